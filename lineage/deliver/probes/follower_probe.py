"""Ask a follower of the feed about all elements in one request (``ingest.revocations``)."""

import logging
from collections.abc import Iterator, Sequence

from ingest.kafka.revocation_answers import MOST_KEYS, question_of, replies_of
from lineage.core.revocation.stop_proof import Observation, Reply
from lineage.deliver.probes.endpoint_client import ANSWER_BYTES, EndpointClient
from lineage.deliver.probes.inquiry import Inquiry

logger = logging.getLogger(__name__)

_REPLIES = {True: Reply.DENIED, False: Reply.ACCEPTED, None: Reply.UNAVAILABLE}


def ask_follower(client: EndpointClient, keys: Sequence[str], inquiry: Inquiry) -> list[Observation]:
    """Ask about all elements, in as few requests as the protocol allows."""
    return [_asked(client, part, inquiry) for part in _parts(keys)]


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), MOST_KEYS):
        yield keys[start : start + MOST_KEYS]


def _asked(client: EndpointClient, keys: Sequence[str], inquiry: Inquiry) -> Observation:
    asked_at = inquiry.clock()
    stated = _replies(client, keys, inquiry.nonce)
    answered_at = inquiry.clock()
    replies = dict(zip(keys, map(_REPLIES.__getitem__, stated), strict=True))
    return Observation(client.probe.receiver, replies, asked_at, answered_at)


def _replies(client: EndpointClient, keys: Sequence[str], nonce: str) -> Sequence[bool | None]:
    body = client.answer("POST", client.probe.url, ANSWER_BYTES, content=question_of(nonce, keys))
    if body is None:
        return [None] * len(keys)
    try:
        return replies_of(body, nonce, keys)
    except (ValueError, RecursionError) as error:
        logger.info("the answer of %s is not one: %s", client.probe.receiver, type(error).__name__)
        return [None] * len(keys)
