"""The outbox: the state changes of elements, one row each, and how far they have been delivered to each receiver.

It is derived from facts but is not part of the projection: a rebuild keeps it, since its rows have been published.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.authority.verdict import State
from lineage.core.model.errors import FencedError
from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.store.database.dialects import add, add_missing, in_array, texts_of, writing
from lineage.store.database.tables import accepted, delivered, meta, spread
from lineage.store.store import Store

SPREAD: Final = "spread"  # the row in `delivered` with the progress of the outbox itself


@dataclass(frozen=True, slots=True)
class Standing:
    """The facts from which something was computed.

    Attributes:
        edition: The edition of the store.
        positions: The next offset to project, by topic and partition.
    """

    edition: bytes
    positions: Mapping[tuple[str, int], int]

    def is_behind(self, other: "Standing") -> bool:
        """Whether the other includes facts that this one lacks; False between editions, which have no order."""
        return self.edition == other.edition and any(
            self.positions.get(place, 0) < following for place, following in other.positions.items()
        )


class Cursor(NamedTuple):
    """The position up to which the outbox has been written or delivered.

    Attributes:
        seq: The last row that was written or delivered.
        at: The time up to which that was done.
        turn: The number of times that the cursor was written.
        place: An opaque position of its owner; for the outbox itself, the facts used.
    """

    seq: int = 0
    at: Instant = 0
    turn: int = 0
    place: bytes | None = None


class OutboxRow(NamedTuple):
    """A change with its sequence number, and the time for which it was computed."""

    seq: int
    change: Change
    recorded_at: Instant


def rows(store: Store, *, after: int, limit: int) -> list[OutboxRow]:
    """Read the rows after a sequence number, in order."""
    query = sa.select(spread).where(spread.c.seq > after).order_by(spread.c.seq).limit(limit)
    with store.connection() as connection:
        return [_row(row) for row in connection.execute(query)]


def _row(row: Any) -> OutboxRow:
    outcome = ElementState(State(row.state), row.revocation, row.effective_at, row.expires_at)
    return OutboxRow(row.seq, Change(row.key, PublishedState(row.version, outcome)), row.recorded_at)


def origin_of(store: Store) -> str:
    """Return the id of a store as the origin of versions; versions of different origins cannot be compared."""
    with store.connection() as connection:
        id_ = connection.execute(sa.select(meta.c.value).where(meta.c.name == "id")).scalar_one()
    return bytes(id_).hex()


def cursor_of(store: Store, receiver: str) -> Cursor:
    """Read the cursor of a receiver, or of the outbox itself (``SPREAD``)."""
    with store.connection() as connection:
        return _cursor(connection, receiver) or Cursor()


def write(store: Store, found: Sequence[Change], *, after: int, at: Instant, standing: Standing) -> int:
    """Append changes to the outbox, in one transaction with its cursor.

    Args:
        store: The store.
        found: The changes.
        after: The last row that the writer knows.
        at: The time for which the changes were computed.
        standing: The facts from which they were computed.

    Returns:
        The number of the last row.

    Raises:
        FencedError: Another writer has written since, or used newer facts, or the store was rebuilt; nothing was
            written.
    """
    with writing(store.engine) as connection:
        before = held(connection, SPREAD)
        edition = connection.execute(sa.select(meta.c.value).where(meta.c.name == "edition")).scalar() or b""
        if (
            before.seq != after
            or at < before.at
            or edition != standing.edition
            or (before.place is not None and standing.is_behind(_standing(before.place)))
        ):
            raise FencedError("another writer of the outbox is ahead; read its rows and try again")
        add(connection, spread, [_columns(seq, change, at) for seq, change in enumerate(found, start=after + 1)])
        last = after + len(found)
        set_cursor(connection, SPREAD, Cursor(last, at, before.turn + 1, _written(standing)))
        return last


def move(store: Store, receiver: str, before: Cursor, *, seq: int, at: Instant, place: bytes) -> Cursor:
    """Advance the cursor of a receiver.

    Args:
        store: The store.
        receiver: The receiver.
        before: Its cursor as it was read.
        seq: The last row delivered.
        at: The time up to which that was done.
        place: The receiver's own position.

    Returns:
        The new cursor.

    Raises:
        FencedError: Another process has advanced it since; nothing was written.
    """
    with writing(store.engine) as connection:
        if held(connection, receiver).turn != before.turn:
            raise FencedError(f"another process also delivers to {receiver!r}")
        moved = Cursor(seq, at, before.turn + 1, place)
        set_cursor(connection, receiver, moved)
        return moved


def note_delivered(store: Store, receiver: str, seqs: Collection[int], at: Instant) -> None:
    """Record that a receiver has accepted rows; for a row accepted before, the first time is kept."""
    with writing(store.engine) as connection:
        add_missing(connection, accepted, [(seq, receiver, at) for seq in sorted(seqs)])


def accepted_at(store: Store, receiver: str, seqs: Collection[int]) -> dict[int, Instant]:
    """Return when a receiver accepted rows; rows that it has not accepted are omitted."""
    query = sa.select(accepted.c.seq, accepted.c.at).where(
        accepted.c.receiver == receiver, in_array(accepted.c.seq, seqs)
    )
    with store.connection() as connection:
        return {row.seq: row.at for row in connection.execute(query)}


def ended_rows(store: Store, keys: Collection[str]) -> dict[str, int]:
    """Return the number of the latest row of each element, if that row says that it has ended."""
    return {key: row.seq for key, row in latest_rows(store, keys).items() if row.change.version.outcome.ended}


def latest_rows(store: Store, keys: Collection[str]) -> dict[str, OutboxRow]:
    """Return the latest row of each element; elements that were never published are omitted."""
    query = sa.select(spread).where(spread.c.key.in_(texts_of("keys"))).order_by(spread.c.seq)
    with store.connection() as connection:
        return {row.key: _row(row) for row in connection.execute(query, {"keys": sorted(keys)})}


def latest(store: Store, key: str) -> Change | None:
    """Return the latest change of an element; None if there is none."""
    query = sa.select(spread).where(spread.c.key == key).order_by(spread.c.seq.desc()).limit(1)
    with store.connection() as connection:
        row = connection.execute(query).first()
    return None if row is None else _row(row).change


def _cursor(connection: Connection, receiver: str, *, hold: bool = False) -> Cursor | None:
    query = sa.select(delivered).where(delivered.c.receiver == receiver)
    row = connection.execute(query.with_for_update() if hold else query).first()
    return None if row is None else Cursor(row.seq, row.at, row.turn, row.place)


def held(connection: Connection, receiver: str) -> Cursor:
    """Return the cursor of a receiver, locked until the end of the transaction; created if it does not exist."""
    found = _cursor(connection, receiver, hold=True)
    if found is None:
        add_missing(connection, delivered, [(receiver, *Cursor())])
        found = _cursor(connection, receiver, hold=True)
    assert found is not None  # noqa: S101 (it was just inserted)
    return found


def set_cursor(connection: Connection, receiver: str, cursor: Cursor) -> None:
    """Set the cursor of a receiver, which is locked by ``held``."""
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
