"""Tables of delivery: the outbox and the Shared Signals streams."""
