"""Ingestion: codec, log, quarantine, trust, projector, producer SDK, and adapters for foreign logs."""
