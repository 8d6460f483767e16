"""Commitments to the log: Merkle trees over its records, signed checkpoints, and proofs."""
