"""Findings: the rules of the catalogue, and their evaluation. Pure."""
