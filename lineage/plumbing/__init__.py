"""Code without any meaning of the domain: garbage collection, file identity, backoff, addresses."""
