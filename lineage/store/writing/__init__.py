"""The projection: facts and positions, written in one transaction."""
