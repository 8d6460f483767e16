"""Reads: the part of the graph that a question needs, and lists in log order."""
