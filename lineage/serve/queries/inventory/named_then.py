"""Determine whether a name in the store's list of names was stated by an instant, for searches as of then."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from lineage.core.model.events import ActionPerformed, Event, Fact, PrincipalRegistered
from lineage.core.model.keys import split_key
from lineage.core.model.references import mentions_key
from lineage.core.model.times import Instant
from lineage.store.acts_in_time import EVERY_SORT, LONGEST, STATED, ListFilter, Sort
from lineage.store.database.dialects import storable
from lineage.store.reading.list_items import candidates_in_order, hash_of
from lineage.store.reading.reader import Reader
from lineage.store.writing.fact_rows import BETWEEN, CALLED, display_name_key

_FEW: Final = 1_000  # facts that are read without looking for the earliest first
_READ: Final = 64  # facts read at once
_ANY_NUMBER: Final = 1 << 60


def is_named_then(reader: Reader, key: str, at: Instant | None) -> bool:
    """Whether any fact that is authorised and known, and occurred by an instant, states a name.

    Args:
        reader: Reads the store; determines which facts are authorised and known.
        key: The name, as the list of names has it.
        at: The instant; None for any.

    Cost:
        The facts that mention the name, the earliest first, up to one that qualifies.
    """
    kind, id_ = split_key(key)
    if kind == CALLED:
        facts = reader.facts_about([f"principal:{id_.rpartition(BETWEEN)[2]}"])
        return any(_occurred(one.event, at) and _calls(one.event, key) and reader.knows(one) for one in facts)
    if kind in STATED:
        # An escape sequence may stand for a character that the database does not store: the hash is not of this text.
        stated = {} if "\\" in id_ else {kind: hash_of(reader, kind, id_)}
        looked = ListFilter({Sort.ACTION}, stated, last_at=at, earliest_first=True)
        return any(stated_value(one.event, kind) == id_ for one in _known(reader, looked))
    if at is None and reader.known_at is None:
        return reader.is_named(key)
    few = reader.numbers_mentioning(key, _FEW)
    if few is not None:
        return any(_occurred(one.event, at) for one in reader.mentioning(key, few).values())
    every = reader.numbers_mentioning(key, _ANY_NUMBER)
    looked = ListFilter(EVERY_SORT, {}, last_at=at, numbers=every, earliest_first=True)
    return any(mentions_key(one.event, key) for one in _known(reader, looked))


def _known(reader: Reader, looked: ListFilter) -> Iterator[Fact]:
    """Yield facts that are authorised and known, roughly in the order asked for."""
    numbers = (one.place.n for one in candidates_in_order(reader, looked))
    while part := list(islice(numbers, _READ)):
        yield from reader.known(part).values()


def _occurred(event: Event, at: Instant | None) -> bool:
    return at is None or event.occurred_at <= at


def _calls(event: Event, key: str) -> bool:
    return isinstance(event.body, PrincipalRegistered) and display_name_key(event.body) == key


def stated_value(event: Event, kind: str) -> str | None:
    """Return the tool, the operation or the resource that an action states, as the list of names has it."""
    body = event.body
    if not isinstance(body, ActionPerformed):
        return None
    stated = (body.resource and body.resource.id) if kind == "resource" else getattr(body, kind)
    return None if stated is None else storable(stated[:LONGEST])
