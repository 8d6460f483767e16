"""Cases: the list, one with its items, and its export."""
