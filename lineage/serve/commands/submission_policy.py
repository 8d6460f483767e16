"""What may be sent as an event by whoever is let in to send events: nothing given elsewhere, and nobody else's word.

It holds twice for what comes over HTTP: when it comes, and when it is taken up from quarantine by a version that can
read it. Therefore a record waits there together with the sources that its sender might use.
"""

import json
from collections.abc import Iterable
from typing import Final

from ingest.codec import api as codec
from ingest.codec import credentials, limits
from lineage.core.model.events import (
    Event,
    FindingJudged,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
)

SINGLE_OBJECT: Final = b"\xc3\x01"  # how an event in Avro begins, and no JSON
_KEPT_BYTES: Final = 4 * 1024  # of sources, beside each record


def read(raw: bytes) -> Event:
    """One event in either form.

    Raises:
        BadRecordError: It is none.
    """
    return codec.decode(raw) if raw.startswith(SINGLE_OBJECT) else codec.decode_line(raw)


def is_given_elsewhere(event: Event) -> bool:
    """Whether it is an order, lift, acknowledgement or judgement: each has an endpoint with a role of its own."""
    return isinstance(event.body, RevocationOrdered | RevocationLifted | RevocationAcknowledged | FindingJudged)


def may_use(sources: Iterable[str], source: str) -> bool:
    """Whether a source is among some, or below one that ends in ``*``."""
    return any(source == own or (own.endswith("*") and source.startswith(own[:-1])) for own in sources)


def kept(sources: Iterable[str]) -> tuple[str, ...]:
    """The sources as they are kept beside a record; none if they are too many, and then it is never taken up."""
    found = tuple(own for own in sources if not limits.fault_of_id(own) and not credentials.find(own))
    return found if len(json.dumps(found)) <= _KEPT_BYTES else ()
