"""Code that is independent of the domain: garbage collection, file identity, backoff, addresses."""
