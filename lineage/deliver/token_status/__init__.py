"""Token status for enforcement points: introspection (RFC 7662) and status lists."""
