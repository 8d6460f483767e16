"""Delivery of findings: the topic of findings, and webhooks."""
