"""Authentication: bearer tokens, trusted proxy, one-time sign-in link, CSRF."""
