"""The outbox writer, and the feed of revoked elements to Kafka."""
