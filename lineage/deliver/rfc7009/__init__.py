"""Calls to RFC 7009 revocation endpoints."""
