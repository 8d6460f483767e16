"""Findings kept up to date: what a batch of facts changes, and what must be evaluated again."""
