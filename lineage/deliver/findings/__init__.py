"""Telling what was found: the topic of findings, and webhooks."""
