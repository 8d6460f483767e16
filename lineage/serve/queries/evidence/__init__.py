"""The evidence under answers: checkpoints, proofs, published trees, and what goes with an export."""
