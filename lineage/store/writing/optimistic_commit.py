"""Several writers on one store: they write side by side, and take turns only to agree that they may commit.

What a batch says depends on what it read: whether its events are known, how long what hangs on its elements lasts.
So a writer reads and writes, then waits for its turn, and looks at what the turns since it began to read have changed.
Nearly always that is nothing that it read, and it commits. Else it takes back what it wrote and does it again, now that
nobody else can write. To be able to look, each turn leaves a note of what it changed; it becomes visible with the rest.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.store.database.tables import turn

_KEPT: Final = 64  # notes; who has missed more than that does it again


@dataclass(slots=True)
class Traces:
    """What a batch read and what it changes, as far as others have to know.

    Attributes:
        asked: The identities that were looked for.
        idents: Those of the facts that were added.
        granted: The elements that facts were added about.
        bounds: The elements whose bound was set or raised, with the bound.
        seen: The elements whose bound was read, with the bound.
    """

    asked: set[int] = field(default_factory=set)
    idents: list[int] = field(default_factory=list)
    granted: set[int] = field(default_factory=set)
    bounds: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)

    def miss(self, idents: Iterable[int], granted: Iterable[int], bounds: Iterable[tuple[int, int]]) -> bool:
        """Whether a turn changed what was read, or cannot have known what is written.

        That is so if it brought an event that was looked for, a fact about an element whose bound was thought to be
        known to all, or a bound above the one that was gone by.
        """
        if not self.asked.isdisjoint(idents) or not self.bounds.keys().isdisjoint(granted):
            return True
        seen, own = self.seen, self.bounds
        return any(key in seen and until > own.get(key, seen[key]) for key, until in bounds)


def latest(connection: Connection) -> int:
    """The number of the last turn."""
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(turn.c.n), 0))).scalar_one())


def missed(connection: Connection, since: int, traces: Traces) -> bool:
    """Whether a turn after another has changed what was read."""
    query = sa.select(turn.c.idents, turn.c.granted, turn.c.bounds).where(turn.c.n > since)
    notes = connection.execute(query).all()
    if len(notes) != latest(connection) - since:  # some are gone already
        return True
    for note in notes:
        idents, granted, bounds = map(_numbers, note)
        if traces.miss(idents, granted, zip(bounds[::2], bounds[1::2], strict=True)):
            return True
    return False


def note(connection: Connection, traces: Traces) -> None:
    """Leave a note of what a turn has changed."""
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
