"""What the facts mean. Pure: standard library and networkx only; the trust table, instants and facts are arguments."""
