"""Encode and decode events as JSON lines and Avro, checked against the schema. ``api`` is the public interface."""
