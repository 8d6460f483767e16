"""Reads: the four questions and everything else that is looked up."""
