"""Writing the projection: facts and positions, in one transaction."""
