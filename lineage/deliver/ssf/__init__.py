"""A Shared Signals transmitter (OpenID SSF 1.0): delivers the outbox as security event tokens."""
