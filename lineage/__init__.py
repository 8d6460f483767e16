"""The delegation graph: the meaning of facts, their storage, the delivery of revocations, and the answers."""

__version__ = "0.1.0"
