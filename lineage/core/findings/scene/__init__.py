"""The input of rules: facts combined by what they are about, aggregates over many, and derived values."""
