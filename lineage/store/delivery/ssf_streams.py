"""The Shared Signals streams: their configuration, their progress, and the events that receivers have refused.

Streams are changed with optimistic locking: a writer that has not seen the latest change is fenced, and reads again.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.authority.verdict import State
from lineage.core.model.errors import FencedError
from lineage.core.model.times import Instant
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.store.database.dialects import add_missing, storable, writing
from lineage.store.database.tables import dead_letter, notice, spread, stream
from lineage.store.delivery.omissions import drop_omissions
from lineage.store.store import Store

ENABLED: Final = "enabled"
PAUSED: Final = "paused"  # events are kept until it is enabled
DISABLED: Final = "disabled"  # no events are kept; once it is enabled, delivery starts from the beginning


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """The configuration of a stream that its receiver has set.

    Attributes:
        method: The URN of the delivery method.
        endpoint: The URL for pushes.
        events: The event types requested; empty for all.
        description: The receiver's description.
    """

    method: str
    endpoint: str | None = None
    events: tuple[str, ...] = ()
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A stream.

    Attributes:
        id: An opaque id.
        receiver: The receiver that owns it.
        settings: The configuration set by the receiver.
        secret: The authorization header for pushes, encrypted.
        status: ``enabled``, ``paused`` or ``disabled``.
        reason: The reason for that status, if one was given.
        fault: Why pushes fail.
        seq: The rows of the outbox up to here are settled: accepted, permanently refused, or not for this receiver.
        horizon: Up to this row, only the latest row of each element is delivered.
        settled: Rows after ``seq`` that are settled too.
        covers: The receiver's coverage when delivery started from the beginning.
        turn: The number of times that the stream was changed.
    """

    id: str
    receiver: str
    settings: StreamSettings
    secret: bytes | None = field(default=None, repr=False)
    status: str = ENABLED
    reason: str | None = None
    fault: str | None = None
    seq: int = 0
    horizon: int = 0
    settled: frozenset[int] = frozenset()
    covers: str = ""
    turn: int = 0


class UndeliveredRow(NamedTuple):
    """A row of the outbox that has not been delivered to a stream yet."""

    seq: int
    change: Change
    recorded_at: Instant


class Notice(NamedTuple):
    """An event about the stream itself."""

    id: int
    type: str
    payload: Mapping[str, Any]
    made_at: Instant


WEBHOOK: Final = "webhook:"  # a webhook has no stream; its dead letters have its name instead


class DeadLetter(NamedTuple):
    """An event that a receiver has permanently refused."""

    receiver: str
    stream: str
    jti: str
    seq: int | None
    error: str
    description: str
    refused_at: Instant


def create(store: Store, new: Stream) -> bool:
    """Store a new stream; False if its receiver already has one."""
    with writing(store.engine) as connection:
        return bool(add_missing(connection, stream, [tuple(_columns(new).values())]))


def of_receiver(store: Store, receiver: str) -> Stream | None:
    """Return the stream of a receiver; None if it has none."""
    with store.connection() as connection:
        row = connection.execute(sa.select(stream).where(stream.c.receiver == storable(receiver))).first()
    return None if row is None else _stream(row)


def by_id(store: Store, id_: str) -> Stream | None:
    """Return the stream with an id; None if it does not exist."""
    with store.connection() as connection:
        row = connection.execute(sa.select(stream).where(stream.c.id == storable(id_))).first()
    return None if row is None else _stream(row)


def every(store: Store) -> list[Stream]:
    """Return all streams, sorted by id."""
    with store.connection() as connection:
        return [_stream(row) for row in connection.execute(sa.select(stream).order_by(stream.c.id))]


def turn_of(store: Store, id_: str) -> int | None:
    """Return how many times a stream was changed; None if it was deleted."""
    with store.connection() as connection:
        return connection.execute(sa.select(stream.c.turn).where(stream.c.id == storable(id_))).scalar()


def change(
    store: Store,
    before: Stream,
    *,
    noticed: Collection[int] = (),
    refused: Sequence[DeadLetter] = (),
    notices: Sequence[tuple[str, Mapping[str, Any], Instant]] = (),
    **values: Any,
) -> Stream:
    """Change a stream, in one transaction.

    Args:
        store: The store.
        before: The stream as it was read.
        noticed: Ids of notices that are settled.
        refused: Events that the receiver has permanently refused; if one is repeated, the first is kept.
        notices: New notices: type, payload and time.
        values: New values of attributes of the stream.

    Returns:
        The changed stream.

    Raises:
        FencedError: Another process has changed or deleted it since; nothing was written.
    """
    after = replace(before, **values, turn=before.turn + 1)
    with writing(store.engine) as connection:
        _replace(connection, before, after)
        if noticed:
            connection.execute(notice.delete().where(notice.c.stream == before.id, notice.c.id.in_(noticed)))
        add_missing(connection, dead_letter, [tuple(letter) for letter in refused])
        for type_, payload, made_at in notices:
            event = json.dumps([type_, payload])
            connection.execute(notice.insert().values(stream=before.id, event=event, made_at=made_at))
    return after


def from_the_beginning(store: Store) -> dict[str, Any]:
    """Return the changes that let a stream deliver everything: the latest row of each element, then new rows."""
    return {"seq": 0, "horizon": last(store), "settled": frozenset()}


def delete(store: Store, stream_to_delete: Stream) -> None:
    """Delete a stream; its dead letters are kept."""
    with writing(store.engine) as connection:
        connection.execute(stream.delete().where(stream.c.id == stream_to_delete.id))
        connection.execute(notice.delete().where(notice.c.stream == stream_to_delete.id))
        drop_omissions(connection, stream_to_delete.id)


def last(store: Store) -> int:
    """Return the number of the last row of the outbox."""
    with store.connection() as connection:
        return connection.execute(sa.select(sa.func.max(spread.c.seq))).scalar() or 0


def undelivered(store: Store, to: Stream, *, after: int, limit: int) -> list[UndeliveredRow]:
    """Read rows of the outbox after one, in order; up to the stream's horizon only the latest row of each element."""
    later = spread.alias()
    superseded = sa.exists().where(later.c.key == spread.c.key, later.c.seq > spread.c.seq, later.c.seq <= to.horizon)
    query = (
        sa.select(spread)
        .where(spread.c.seq > after, sa.or_(spread.c.seq > to.horizon, ~superseded))
        .order_by(spread.c.seq)
        .limit(limit)
    )
    with store.connection() as connection:
        return [
            UndeliveredRow(
                row.seq,
                Change(
                    row.key,
                    PublishedState(
                        row.version, ElementState(State(row.state), row.revocation, row.effective_at, row.expires_at)
                    ),
                ),
                row.recorded_at,
            )
            for row in connection.execute(query)
        ]


def notices(store: Store, id_: str) -> list[Notice]:
    """Return the pending notices of a stream, in order."""
    query = sa.select(notice).where(notice.c.stream == id_).order_by(notice.c.id)
    with store.connection() as connection:
        rows = [(row.id, json.loads(row.event), row.made_at) for row in connection.execute(query)]
    return [Notice(number, type_, payload, made_at) for number, (type_, payload), made_at in rows]


def streams_with_notices(store: Store) -> set[str]:
    """Return the ids of the streams with pending notices."""
    with store.connection() as connection:
        return set(connection.execute(sa.select(notice.c.stream).distinct()).scalars())


def dead_letters(store: Store, *, receiver: str | None = None, limit: int) -> list[DeadLetter]:
    """Return the events that a receiver (or any, if None) has permanently refused, latest first."""
    query = sa.select(*dead_letter.columns[1:]).order_by(dead_letter.c.id.desc()).limit(limit)
    if receiver is not None:
        query = query.where(dead_letter.c.receiver == storable(receiver))
    with store.connection() as connection:
        return [DeadLetter(*row) for row in connection.execute(query)]


def add_dead_letter(store: Store, letter: DeadLetter) -> None:
    """Record events that a receiver without a stream has permanently refused; if one is repeated, the first is kept."""
    with writing(store.engine) as connection:
        add_missing(connection, dead_letter, [tuple(letter)])


def count_dead_letters(store: Store, *, receiver: str | None = None) -> int:
    """Count the events that a receiver (or any with a stream, if None) has permanently refused."""
    query = sa.select(sa.func.count()).select_from(dead_letter)
    if receiver is None:
        query = query.where(dead_letter.c.stream.not_like(f"{WEBHOOK}%"))
    if receiver is not None:
        query = query.where(dead_letter.c.receiver == storable(receiver))
    with store.connection() as connection:
        return int(connection.execute(query).scalar_one())


def _replace(connection: Connection, before: Stream, after: Stream) -> None:
    written = connection.execute(
        stream.update().where(stream.c.id == before.id, stream.c.turn == before.turn).values(_columns(after))
    )
    if written.rowcount != 1:
        raise FencedError(f"the stream {before.id} was changed by another process; read it again")


def _columns(of: Stream) -> dict[str, Any]:
    fields = {"method": of.settings.method, "endpoint": of.settings.endpoint, "events": of.settings.events}
    return {
        "id": of.id,
        "receiver": storable(of.receiver),
        "said": json.dumps({**fields, "description": of.settings.description}),
        "secret": of.secret,
        "status": of.status,
        "reason": None if of.reason is None else storable(of.reason),
        "fault": None if of.fault is None else storable(of.fault),
        "seq": of.seq,
        "horizon": of.horizon,
        "settled": json.dumps(sorted(of.settled)),
        "covers": of.covers,
        "turn": of.turn,
    }


def _stream(row: Any) -> Stream:
    settings = json.loads(row.said)
    return Stream(
        id=row.id,
        receiver=row.receiver,
        settings=StreamSettings(**{**settings, "events": tuple(settings["events"])}),
        secret=None if row.secret is None else bytes(row.secret),
        status=row.status,
        reason=row.reason,
        fault=row.fault,
        seq=row.seq,
        horizon=row.horizon,
        settled=frozenset(json.loads(row.settled)),
        covers=row.covers,
        turn=row.turn,
    )
