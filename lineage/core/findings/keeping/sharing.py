"""Facts that share what they state alike, so that each text is in memory once.

Every fact is decoded by itself, and most of what it states was stated before: agents, clients, sessions, scopes, the
token that an action uses. A keeper keeps facts for long, and these repetitions are a tenth of its memory.
"""

from functools import lru_cache
from sys import intern
from typing import Any, Final

from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Derivation,
    Event,
    Fact,
    TokenIssued,
)

_LISTS: Final = 1 << 13
_MANY: Final = frozenset({ActionPerformed, DecisionMade, DelegationGranted, TokenIssued})
_new: Final = tuple.__new__


def sharing_texts(fact: Fact) -> Fact:
    """Return an equal fact that shares texts and lists with the earlier ones. Facts of rare types stay as they are."""
    event, recorded_at, misrouted = fact
    event_id, source, occurred_at, body, txn, traceparent, sequence = event
    kind = type(body)
    if kind not in _MANY:
        return fact
    values = [  # most are None
        one if one is None else intern(one) if type(one) is str else _list(one) if type(one) is tuple and one else one
        for one in body
    ]
    if txn is not None:
        txn = intern(txn)
    shared = _new(Event, (event_id, source, occurred_at, _new(kind, values), txn, traceparent, sequence))
    return _new(Fact, (shared, recorded_at, misrouted))


@lru_cache(maxsize=_LISTS)
def _list(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if type(value[0]) is Derivation:
        return tuple([Derivation(intern(token), intern(role)) for token, role in value])
    return value
