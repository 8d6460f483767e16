"""Asking enforcement points what they do with what a revocation has ended."""
