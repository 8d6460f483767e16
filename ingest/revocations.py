"""The revocation follower SDK: ``Revocations.is_dead(token)``, answered from the topic of revocations.

``answering`` lets ``delegraph prove`` ask a follower what it does; ``answer_of`` is for an endpoint of one's own.
"""

from ingest.kafka.revocation_answers import answer_of, answering
from ingest.kafka.revocation_follower import Revocations

__all__ = ["Revocations", "answer_of", "answering"]
