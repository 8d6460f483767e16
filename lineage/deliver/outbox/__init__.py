"""The outbox writer, and the feed of state changes to Kafka."""
