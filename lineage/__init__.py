"""The delegation graph: what the facts mean, how they are kept, how an order is told, what is answered."""

__version__ = "0.1.0"
