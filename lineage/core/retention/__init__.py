"""Retention: what may be deleted once it is old, and the legal holds that prevent it. Pure."""
