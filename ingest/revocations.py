"""The revocation follower SDK: ``Revocations.is_dead(token)`` from the topic of revoked elements."""

from ingest.kafka.revocation_follower import Revocations

__all__ = ["Revocations"]
