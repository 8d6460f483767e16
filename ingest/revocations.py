"""The revocation follower SDK: ``Revocations.is_dead(token)``, answered from the topic of revocations."""

from ingest.kafka.revocation_follower import Revocations

__all__ = ["Revocations"]
