"""A client of RFC 7009 revocation endpoints."""
