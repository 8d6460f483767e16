"""The meaning of the facts. Pure: standard library and networkx only; trust table, instants and facts are arguments."""
