"""Caches between questions: loaded worlds and the effects of revocations."""
