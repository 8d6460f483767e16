"""HTTP parts that every delivery endpoint shares: callers, problems, signing keys, routes."""
