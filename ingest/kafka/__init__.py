"""Everything that talks to Kafka: the log, the consumer, the sink and the topic of revoked elements."""
