"""Events to bytes and back: JSON lines and Avro, checked against the schema. ``api`` is the one entrance."""
