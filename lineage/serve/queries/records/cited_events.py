"""The events behind an answer: those about everything that its document names."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lineage.core.authority.elements import cite
from lineage.core.model.keys import KINDS, key_of, split_key
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service

MOST_KEYS: Final = 500  # things looked up for one answer
MOST_EVENTS: Final = 1_000  # events cited for one answer

# The keys of documents whose value is the id of a thing (or a list of ids), and its kind.
_IDS: Final = {
    "action": "action",
    "case": "case",
    "token": "token",
    "tokens": "token",
    "delegation": "delegation",
    "delegations": "delegation",
    "decision": "decision",
    "revocation": "revocation",
    "principal": "principal",
    "human": "principal",
    "owner": "principal",
}
# The keys whose value is `KIND:ID` (or a list of these).
_KEYS: Final = frozenset({"element", "of", "about", "path", "caused_by"})


def cited_events(service: Service, document: Document, *, known_at: Instant | None = None) -> Document:
    """List the events that an answer rests on.

    They are the authorised events about the actions, elements, decisions, principals and revocations that the answer
    names, earliest first. What an answer says about missing evidence rests on no event.

    Args:
        service: The service that gave the answer.
        document: The answer.
        known_at: Only events recorded by then; None for all.

    Returns:
        ``events`` (``source``, ``event_id`` and ``digest`` of each) and ``complete``: whether these are all, which is
        not so for an answer that names more than 500 things, or if there are more than 1,000 events.
    """
    keys = list(dict.fromkeys(_named(document)))
    with service.reader(known_at=known_at) as reader:
        found = cite(reader.known_about(keys[:MOST_KEYS]))
    return {"events": found[:MOST_EVENTS], "complete": len(keys) <= MOST_KEYS and len(found) <= MOST_EVENTS}


def _named(value: Any) -> Iterator[str]:
    """Yield the keys of everything that a part of a document names."""
    if isinstance(value, list):
        for item in value:
            yield from _named(item)
    elif isinstance(value, Mapping):
        if value.get("kind") in KINDS and isinstance(value.get("id"), str):
            yield key_of(value["kind"], value["id"])
        for name, part in value.items():
            if name in _IDS:
                yield from (key_of(_IDS[name], id_) for id_ in _texts(part))
            elif name in _KEYS:
                yield from filter(None, map(_key, _texts(part)))
            yield from _named(part)


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _key(text: str) -> str | None:
    kind, id_ = split_key(text)
    return key_of(kind, id_) if kind in KINDS and id_ else None
