"""Ask enforcement points whether they deny the elements that a revocation has ended."""
