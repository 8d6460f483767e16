"""Revocations: verdicts, receipts and the enforcement points that they need."""
