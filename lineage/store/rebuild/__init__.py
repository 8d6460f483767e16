"""Rebuild a projection from the log, and compare it with the stored one."""
