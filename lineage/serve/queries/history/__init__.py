"""Facts in chronological order, and what changed between two instants."""
