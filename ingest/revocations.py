"""The revocation follower SDK: ``Revocations.is_dead(token)``, answered from the topic of revocations.

``answering`` lets ``delegraph prove`` ask a follower which elements it denies; ``answer_of`` is for an endpoint of
your own.
"""

from ingest.kafka.revocation_answers import answer_of, answering
from ingest.kafka.revocation_follower import Revocations

__all__ = ["Revocations", "answer_of", "answering"]
