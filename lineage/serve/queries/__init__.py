"""Reads: the four questions and all other lookups."""
