"""The stack without containers: Kafka from its jars, PostgreSQL from its wheel, processes of this machine."""
