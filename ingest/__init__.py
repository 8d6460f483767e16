"""Getting facts in: codec, log, quarantine, trust, projector, and adapters for other people's logs."""
