"""Rebuilding a projection from the log, and comparing it with the stored one."""
