"""A transmitter of Shared Signals (OpenID SSF 1.0): what the outbox holds, as security event tokens."""
