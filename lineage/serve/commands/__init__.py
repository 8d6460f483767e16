"""Writes: revoke, lift, approve, acknowledge, and maintain a store."""
