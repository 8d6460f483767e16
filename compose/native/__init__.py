"""The stack without containers: Kafka from its jars, PostgreSQL from a wheel, ordinary processes on this machine."""
