"""The outbox: what became of elements, a row a change, and how far each receiver has been told.

What is written here is derived from facts, and is not projected: a rebuild leaves it, for it was told already.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.authority.verdict import State
from lineage.core.model.errors import FencedError
from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import Change, Outcome, Version
from lineage.store.database.dialects import add, add_missing, backend_of
from lineage.store.database.engine import faults
from lineage.store.database.sql import among
from lineage.store.database.tables import accepted, delivered, meta, spread
from lineage.store.store import Store

SPREAD: Final = "spread"  # the row of the spread itself among the receivers


@dataclass(frozen=True, slots=True)
class Standing:
    """By which facts something was worked out.

    Attributes:
        edition: That of the store.
        positions: The offset that comes next, by topic and partition.
    """

    edition: bytes
    positions: Mapping[tuple[str, int], int]

    def is_behind(self, other: "Standing") -> bool:
        """Whether the other knows of facts that this does not. Editions have no order: of another it is not behind."""
        return self.edition == other.edition and any(
            self.positions.get(place, 0) < following for place, following in other.positions.items()
        )


class Cursor(NamedTuple):
    """How far somebody is.

    Attributes:
        seq: The last row that was told, or written.
        at: Up to which moment.
        turn: How many times this was written.
        place: Where that is, in the words of who is there; of the spread by which facts.
    """

    seq: int = 0
    at: Instant = 0
    turn: int = 0
    place: bytes | None = None


class Row(NamedTuple):
    """A change with its place, and the moment up to which it was worked out."""

    seq: int
    change: Change
    recorded_at: Instant


def rows(store: Store, *, after: int, limit: int) -> list[Row]:
    """What there is to tell behind a row, in order."""
    query = sa.select(spread).where(spread.c.seq > after).order_by(spread.c.seq).limit(limit)
    with store.connection() as connection:
        return [_row(row) for row in connection.execute(query)]


def _row(row: Any) -> Row:
    outcome = Outcome(State(row.state), row.revocation, row.effective_at, row.expires_at)
    return Row(row.seq, Change(row.key, Version(row.version, outcome)), row.recorded_at)


def origin_of(store: Store) -> str:
    """What tells a store from every other: the versions of two cannot be compared."""
    with store.connection() as connection:
        id_ = connection.execute(sa.select(meta.c.value).where(meta.c.name == "id")).scalar_one()
    return bytes(id_).hex()


def cursor_of(store: Store, receiver: str) -> Cursor:
    """How far a receiver, or the spread, is."""
    with store.connection() as connection:
        return _cursor(connection, receiver) or Cursor()


def write(store: Store, found: Sequence[Change], *, after: int, at: Instant, standing: Standing) -> int:
    """Write changes behind the last row that their writer knows, in one transaction with how far the spread is.

    Returns:
        The number of the last row.

    Raises:
        FencedError: Somebody else has written since, or by newer facts, or the store was put together anew; nothing
            was written.
    """
    with _writing(store) as connection:
        before = _held(connection, SPREAD)
        edition = connection.execute(sa.select(meta.c.value).where(meta.c.name == "edition")).scalar() or b""
        if (
            before.seq != after
            or at < before.at
            or edition != standing.edition
            or (before.place is not None and standing.is_behind(_standing(before.place)))
        ):
            raise FencedError("somebody else spreads what orders do, and is further; follow, and try again")
        add(connection, spread, [_columns(seq, change, at) for seq, change in enumerate(found, start=after + 1)])
        last = after + len(found)
        _move(connection, SPREAD, Cursor(last, at, before.turn + 1, _written(standing)))
        return last


def move(store: Store, receiver: str, before: Cursor, *, seq: int, at: Instant, place: bytes) -> Cursor:
    """Write down how far a receiver has been told, and where.

    Raises:
        FencedError: Somebody else has told it something since; nothing was written.
    """
    with _writing(store) as connection:
        if _held(connection, receiver).turn != before.turn:
            raise FencedError(f"somebody else tells {receiver!r} as well")
        moved = Cursor(seq, at, before.turn + 1, place)
        _move(connection, receiver, moved)
        return moved


def note_delivered(store: Store, receiver: str, seqs: Collection[int], at: Instant) -> None:
    """Write down which rows a receiver has accepted, and when; of a row that it took before the first time stands."""
    with _writing(store) as connection:
        add_missing(connection, accepted, [(seq, receiver, at) for seq in sorted(seqs)])


def accepted_at(store: Store, receiver: str, seqs: Collection[int]) -> dict[int, Instant]:
    """When a receiver accepted some rows; those that it did not are left out."""
    query = sa.select(accepted.c.seq, accepted.c.at).where(accepted.c.receiver == receiver, among(accepted.c.seq, seqs))
    with store.connection() as connection:
        return {row.seq: row.at for row in connection.execute(query)}


def latest(store: Store, key: str) -> Change | None:
    """The last word on an element; None if there was none."""
    query = sa.select(spread).where(spread.c.key == key).order_by(spread.c.seq.desc()).limit(1)
    with store.connection() as connection:
        row = connection.execute(query).first()
    return None if row is None else _row(row).change


@contextmanager
def _writing(store: Store) -> Iterator[Connection]:
    engine = store.engine
    with faults(engine), backend_of(engine.dialect).writing(engine).begin() as connection:
        yield connection


def _cursor(connection: Connection, receiver: str, *, hold: bool = False) -> Cursor | None:
    query = sa.select(delivered).where(delivered.c.receiver == receiver)
    row = connection.execute(query.with_for_update() if hold else query).first()
    return None if row is None else Cursor(row.seq, row.at, row.turn, row.place)


def _held(connection: Connection, receiver: str) -> Cursor:
    """How far one is, held until the end of the transaction."""
    found = _cursor(connection, receiver, hold=True)
    if found is None:
        add_missing(connection, delivered, [(receiver, *Cursor())])
        found = _cursor(connection, receiver, hold=True)
    assert found is not None  # noqa: S101 (somebody has just made it)
    return found


def _move(connection: Connection, receiver: str, cursor: Cursor) -> None:
    connection.execute(delivered.update().where(delivered.c.receiver == receiver).values(cursor._asdict()))


def _columns(seq: int, change: Change, at: Instant) -> tuple[int | str | None, ...]:
    number, outcome = change.version
    return (
        *(seq, change.key, number),
        *(str(outcome.state), outcome.revocation, outcome.effective_at, outcome.expires_at, at),
    )


def _written(standing: Standing) -> bytes:
    positions = [[topic, partition, next_] for (topic, partition), next_ in sorted(standing.positions.items())]
    return json.dumps({"edition": standing.edition.hex(), "positions": positions}).encode()


def _standing(written: bytes) -> Standing:
    found = json.loads(written)
    positions = {(topic, partition): following for topic, partition, following in found["positions"]}
    return Standing(bytes.fromhex(found["edition"]), positions)
