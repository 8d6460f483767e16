"""Writes: revoke, lift, approve, acknowledge, and the maintenance of a store."""
