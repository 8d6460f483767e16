"""Optimistic concurrency of writers: write in parallel, then validate what was read under a lock, and commit.

The rows of a batch depend on what it read: whether its events are known, and how long descendants of its elements last.
So a writer reads and writes, waits for its turn (the lock), and checks what other turns have changed since it began to
read. Nearly always they changed nothing that it has read, and it commits. Otherwise it rolls back and writes again,
still with the lock. For this check each turn stores a note of its changes, committed with them.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.store.database.tables import turn

_KEPT: Final = 64  # notes that are kept; a writer that has missed more than these writes again


@dataclass(slots=True)
class Traces:
    """The read set and the write set of a batch, as far as concurrent writers are concerned.

    Attributes:
        asked: The identities that were looked up.
        idents: The identities of the facts that were added.
        granted: The elements and actions about which facts were added.
        bounds: The elements whose bound was set or raised, with the new bound.
        seen: The elements whose bound was read, with that bound.
        acts: The actions whose earlier facts were looked up.
    """

    asked: set[int] = field(default_factory=set)
    idents: list[int] = field(default_factory=list)
    granted: set[int] = field(default_factory=set)
    bounds: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    acts: set[int] = field(default_factory=set)

    def miss(self, idents: Iterable[int], granted: Iterable[int], bounds: Iterable[tuple[int, int]]) -> bool:
        """Whether another turn invalidates this batch.

        It does if it added an event that was looked up here, a fact about an element whose bound is set here, a fact
        about an action whose earlier facts were looked up here, or a bound above the one that was used here.

        Args:
            idents: The identities of the facts that it added.
            granted: The elements and actions about which it added facts.
            bounds: The elements whose bound it set or raised, with the new bound.
        """
        added = set(granted)
        if not self.asked.isdisjoint(idents) or not (
            self.bounds.keys().isdisjoint(added) and self.acts.isdisjoint(added)
        ):
            return True
        seen, own = self.seen, self.bounds
        return any(key in seen and until > own.get(key, seen[key]) for key, until in bounds)


def latest(connection: Connection) -> int:
    """The number of the last turn."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(turn.c.n), 0))).scalar_one())


def missed(connection: Connection, since: int, traces: Traces) -> bool:
    """Whether any turn after ``since`` invalidates a batch."""
    query = sa.select(turn.c.idents, turn.c.granted, turn.c.bounds).where(turn.c.n > since)
    notes = connection.execute(query).all()
    if len(notes) != latest(connection) - since:  # some have been deleted already
        return True
    for note in notes:
        idents, granted, bounds = map(_numbers, note)
        if traces.miss(idents, granted, zip(bounds[::2], bounds[1::2], strict=True)):
            return True
    return False


def note(connection: Connection, traces: Traces) -> None:
    """Store a note of the changes by this turn."""
    number = latest(connection) + 1
    bounds = array("q", (part for pair in traces.bounds.items() for part in pair))
    row = {
        "n": number,
        "idents": array("q", traces.idents).tobytes(),
        "granted": array("q", traces.granted).tobytes(),
        "bounds": bounds.tobytes(),
    }
    connection.execute(turn.insert(), [row])
    connection.execute(turn.delete().where(turn.c.n <= number - _KEPT))


def _numbers(stored: bytes) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(stored)
    return numbers
