"""Core values as JSON documents, and the wording of refusals."""
