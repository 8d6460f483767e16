"""The index of findings: the latest version of each, and earlier versions, in the order of writing.

It is derived from facts but not written with them; its state tells its progress. A rebuild keeps it, because its
content has been reported, and evaluates it again.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import orjson
import sqlalchemy as sa

from lineage.core.findings.judging import NEW, STATUSES
from lineage.core.model.errors import FencedError
from lineage.core.model.finding import Severity
from lineage.core.model.sentences import Sentence, Tag
from lineage.core.model.times import DAY, HOUR, MINUTE, Instant
from lineage.store.database.dialects import add, chunks, in_array, storable, without_limits, writing
from lineage.store.database.tables import finding
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Cursor
from lineage.store.store import Store

KEEPER: Final = "findings"  # its row in `delivered`
OPENED: Final = "opened"
CHANGED: Final = "changed"
REFRESHED: Final = "refreshed"  # more evidence: further facts, seen later
RESOLVED: Final = "resolved"
_KEPT_VERSIONS: Final = HOUR  # long enough for paging
_KEPT_RESOLVED: Final = 30 * DAY
_SKEW: Final = 5 * MINUTE  # the largest assumed difference between the clocks of processes
_MANY: Final = 10_000
_TAGS: Final = "why_tags"  # next to the sentence in a stored document

Positions = Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class StoredFinding:
    """A stored finding.

    Attributes:
        severity: 1 to 5.
        status: As judged by people when it was stored, or ``resolved``.
        last_seen: When it was last true.
        recorded_at: When the last of its facts was recorded.
        document: Its document.
    """

    id: str
    kind: str
    of: str
    about: str | None
    severity: int
    status: str
    last_seen: Instant
    recorded_at: Instant
    document: Mapping[str, Any]

    @cached_property
    def digest(self) -> int:
        """The digest of its document."""
        return digest_of(self.document)


class Version(NamedTuple):
    """One version of a finding: the change, its sequence number, and the finding."""

    seq: int
    change: str
    written_at: Instant
    kept: StoredFinding


class Current(NamedTuple):
    """The latest version of a finding, as far as needed for comparison."""

    seq: int
    change: str
    severity: int
    status: str
    digest: int


@dataclass(frozen=True, slots=True)
class IndexState:
    """The progress of the index.

    Attributes:
        turn: The number of writes.
        seq: The last version.
        edition: The edition of the store; another one has been projected again since.
        looked: The positions up to which the surroundings of every fact were examined.
        swept: The positions known to the last full evaluation; None if there was none.
        swept_at: The instant for which that was evaluated.
        recorded_at: When the last fact known to it was recorded; None if there was none.
        took: Its duration, in microseconds.
        basis: A digest of the settings and of the trust table.
        not_evaluated: Why rules were not evaluated, by kind.
        lagging: The number of findings that have a sentence, a count or evidence that is not written yet.
        numbers: The number of findings by kind, severity and status; empty if not counted.
    """

    turn: int = 0
    seq: int = 0
    edition: bytes = b""
    looked: Positions = field(default_factory=dict)
    swept: Positions | None = None
    swept_at: Instant = 0
    recorded_at: Instant | None = None
    took: int = 0
    basis: str = ""
    not_evaluated: Mapping[str, str] = field(default_factory=dict)
    lagging: int = 0
    numbers: Mapping[tuple[str, int, str], int] = field(default_factory=dict)


def state_of(store: Store) -> IndexState:
    """Read the progress of a store's index."""
    cursor = outbox.cursor_of(store, KEEPER)
    if not cursor.place:
        return IndexState(turn=cursor.turn, seq=cursor.seq)
    parsed = json.loads(cursor.place)
    return IndexState(
        turn=cursor.turn,
        seq=cursor.seq,
        edition=bytes.fromhex(parsed["edition"]),
        looked=_positions(parsed["looked"]),
        swept=None if parsed["swept"] is None else _positions(parsed["swept"]),
        swept_at=cursor.at,
        recorded_at=parsed["recorded_at"],
        took=parsed["took"],
        basis=parsed["basis"],
        not_evaluated=parsed["not_evaluated"],
        lagging=parsed.get("lagging", 0),
        numbers={(kind, severity, status): count for kind, severity, status, count in parsed.get("numbers", ())},
    )


def write(
    store: Store, before: IndexState, after: IndexState, changes: Collection[tuple[str, StoredFinding]], now: Instant
) -> IndexState:
    """Write versions of findings and the progress, in one transaction.

    Args:
        store: The store.
        before: The state from which the changes were computed.
        after: The state once they are written; its turn and sequence number are set by this function.
        changes: The kind of change, and the finding; each finding at most once.
        now: The current time.

    Returns:
        The new state.

    Raises:
        FencedError: Another process has written since; nothing was written.
    """
    turn, seq = before.turn + 1, before.seq + len(changes)
    after = replace(after, turn=turn, seq=seq)
    # Before the transaction: on SQLite no other process can write meanwhile.
    rows = [
        _row(store, (number, turn), change, kept, now)
        for number, (change, kept) in enumerate(changes, start=before.seq + 1)
    ]
    with writing(store.engine) as connection:
        if outbox.held(connection, KEEPER).turn != before.turn:
            raise FencedError("another process also keeps the findings; what it wrote is read first")
        without_limits(connection)
        for part in _parts([kept.id for _, kept in changes]):
            superseded = finding.update().where(finding.c.until.is_(None), finding.c.id.in_(part))
            connection.execute(superseded.values(until=turn, until_at=now))
        add(connection, finding, rows)
        outbox.set_cursor(connection, KEEPER, Cursor(seq, after.swept_at, turn, _written(after)))
    return after


def forget_old(store: Store, now: Instant) -> None:
    """Delete versions replaced some time ago, and findings resolved long ago.

    The last reported version of each finding stays, so that a receiver that is far behind learns it.
    """
    later = finding.alias()
    told_since = sa.exists().where(
        later.c.id == finding.c.id, later.c.seq > finding.c.seq, later.c.change != sa.literal(REFRESHED)
    )
    old = finding.c.until_at < now - _KEPT_VERSIONS
    resolved = sa.and_(finding.c.change == RESOLVED, finding.c.written_at < now - _KEPT_RESOLVED)
    with writing(store.engine) as connection:
        without_limits(connection)
        untold = sa.or_(finding.c.change == REFRESHED, told_since)
        connection.execute(finding.delete().where(sa.or_(sa.and_(old, untold), resolved)))


def current(store: Store, ids: Collection[str] | None = None) -> dict[str, Current]:
    """Return the latest version of each finding, or of some."""
    columns = (finding.c.id, finding.c.seq, finding.c.change, finding.c.rank, finding.c.status, finding.c.digest)
    query = sa.select(*columns).where(finding.c.until.is_(None))
    found: dict[str, Current] = {}
    with store.connection() as connection:
        without_limits(connection)
        for part in [None] if ids is None else _parts(sorted(ids)):
            asked = query if part is None else query.where(finding.c.id.in_(part))
            for row in connection.execute(asked):
                found[row.id] = Current(row.seq, row.change, -row.rank, row.status, row.digest)
    return found


def kept_of(store: Store, ids: Collection[str]) -> dict[str, StoredFinding]:
    """Return the latest versions of some findings, complete."""
    found: dict[str, StoredFinding] = {}
    with store.connection() as connection:
        for part in _parts(sorted(ids)):
            query = sa.select(finding).where(finding.c.until.is_(None), finding.c.id.in_(part))
            found.update((row.id, _kept(row)) for row in connection.execute(query))
    return found


def kept_of_kind(store: Store, kind: str) -> list[StoredFinding]:
    """Return the latest versions of the findings of a rule, complete."""
    query = sa.select(finding).where(finding.c.until.is_(None), finding.c.kind == kind)
    with store.connection() as connection:
        return [_kept(row) for row in connection.execute(query)]


def versions(store: Store, *, after: int, limit: int) -> list[Version]:
    """List the versions written after one, in order. If one was replaced long ago, only the latest remains."""
    query = sa.select(finding).where(finding.c.seq > after).order_by(finding.c.seq).limit(limit)
    with store.connection() as connection:
        return [Version(row.seq, row.change, row.written_at, _kept(row)) for row in connection.execute(query)]


def latest_seq(store: Store) -> int:
    """Return the number of the last version."""
    return outbox.cursor_of(store, KEEPER).seq


class Moment(NamedTuple):
    """A state of the index: the turn that wrote it, and a time at which it was the latest."""

    turn: int
    at: Instant


class FindingPosition(NamedTuple):
    """A position in the list of findings, the worst first."""

    rank: int
    seen: int
    id: str


@dataclass(frozen=True, slots=True)
class Filters:
    """The findings to return; empty for any. ``resolved`` ones are returned only on request."""

    of: str | None = None
    kinds: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    statuses: tuple[str, ...] = ()
    not_statuses: tuple[str, ...] = ()
    since: Instant | None = None


def page(
    store: Store, filters: Filters, moment: Moment, behind: FindingPosition | None, limit: int
) -> list[StoredFinding]:
    """Return one page of the findings of a state of the index, the worst first.

    Cost: a page; for an older state also the versions replaced since.
    """
    here = sa.tuple_(finding.c.rank, finding.c.seen, finding.c.id)
    after = sa.true() if behind is None else here > sa.tuple_(*map(sa.literal, behind))
    rows: list[Any] = []
    with store.connection() as connection:
        for shown in _shown(store, filters, moment):
            full = len(rows) + limit
            for ranks in _ranks(filters):
                query = sa.select(finding).where(shown, after, ranks).limit(full - len(rows))
                rows += connection.execute(query.order_by(finding.c.rank, finding.c.seen, finding.c.id))
                if len(rows) == full:
                    break
    rows.sort(key=lambda row: (row.rank, row.seen, row.id))
    return [_kept(row) for row in rows[:limit]]


def is_remembered(moment: Moment, now: Instant) -> bool:
    """Whether a state of the index can still be listed: no version replaced since then has been deleted yet."""
    return now - moment.at < _KEPT_VERSIONS


def counts(store: Store) -> dict[tuple[str, int, str], int]:
    """Count the current findings by kind, severity and status."""
    query = (
        sa.select(finding.c.kind, finding.c.rank, finding.c.status, sa.func.count().label("findings"))
        .where(finding.c.until.is_(None), finding.c.status != RESOLVED)
        .group_by(finding.c.kind, finding.c.rank, finding.c.status)
    )
    with store.connection() as connection:
        return {(row.kind, -row.rank, row.status): row.findings for row in connection.execute(query)}


def concerning(
    store: Store, keys: Collection[int], *, without: Collection[str]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield each current finding of or about one of some hashes: its severity, and the hashes that it concerns."""
    seen: set[int] = set()
    columns = (finding.c.seq, finding.c.rank, finding.c.of_key, finding.c.about_key)
    current = (finding.c.until.is_(None), finding.c.status.not_in([*without, RESOLVED]))
    with store.connection() as connection:
        for part in chunks(keys):
            for key in (finding.c.of_key, finding.c.about_key):
                for row in connection.execute(sa.select(*columns).where(*current, in_array(key, part))):
                    if row.seq not in seen:
                        seen.add(row.seq)
                        yield -row.rank, tuple(one for one in (row.of_key, row.about_key) if one is not None)


def numbers(store: Store, filters: Filters, moment: Moment) -> dict[tuple[int, str], int]:
    """Count the findings of a state of the index by severity and status."""
    latest, replaced = _shown(store, filters, moment)
    found: Counter[tuple[int, str]] = Counter()
    with store.connection() as connection:
        for shown in [replaced] if filters.since is not None else [latest, replaced]:
            for row in connection.execute(_COUNTED.where(shown)):
                found[-row.rank, row.status] += row.findings
        for severity in _severities(filters) if filters.since is not None else ():
            # Within a severity the index is in the order of time, and GROUP BY would sort it by status.
            row = connection.execute(_BY_STATUS.where(latest, finding.c.rank == -severity)).one()
            found.update({(severity, status): count for status, count in zip(STATUSES, row, strict=True)})
    return dict(+found)


_COUNTED: Final = sa.select(finding.c.rank, finding.c.status, sa.func.count().label("findings")).group_by(
    finding.c.rank, finding.c.status
)
_BY_STATUS: Final = sa.select(*(sa.func.count().filter(finding.c.status == status) for status in STATUSES))


def _severities(filters: Filters) -> list[int]:
    return sorted(filters.severities or map(int, Severity), reverse=True)


def _ranks(filters: Filters) -> Iterator[sa.ColumnElement[bool]]:
    """Divide what is filtered by time by severity, the worst first: within one, the index is in the order of time."""
    if filters.since is None:
        yield sa.true()
        return
    for severity in _severities(filters):
        yield finding.c.rank == -severity


def _shown(store: Store, filters: Filters, moment: Moment) -> Iterator[sa.ColumnElement[bool]]:
    """Build the condition for the rows that were the latest at the time of a state."""
    latest = finding.c.until.is_(None)
    replaced = sa.and_(finding.c.until_at >= moment.at - _SKEW, finding.c.until > moment.turn)
    for version in (latest, replaced):
        yield sa.and_(version, finding.c.turn <= moment.turn, *_conditions(store, filters, version))


def _conditions(store: Store, filters: Filters, version: sa.ColumnElement[bool]) -> Iterator[sa.ColumnElement[bool]]:
    if RESOLVED not in filters.statuses:
        yield finding.c.status != RESOLVED
    if filters.of is not None:
        key, of = store.keys(filters.of), storable(filters.of)
        # Use the indexes of these columns rather than the order of the list.
        yield finding.c.seq.in_(
            sa.select(finding.c.seq)
            .where(version, finding.c.of_key == key, finding.c.of == of)
            .union_all(sa.select(finding.c.seq).where(version, finding.c.about_key == key, finding.c.about == of))
        )
    for column, values in (
        (finding.c.kind, filters.kinds),
        (finding.c.rank, tuple(-severity for severity in filters.severities)),
        (finding.c.status, filters.statuses),
    ):
        if values:
            yield column.in_(values)
    if filters.statuses and NEW not in filters.statuses:
        yield finding.c.status != sa.literal_column(f"'{NEW}'")  # as the index of what is not new has it
    if filters.not_statuses:
        yield finding.c.status.not_in(filters.not_statuses)
    if filters.since is not None:
        yield finding.c.seen <= -filters.since


def digest_of(document: Mapping[str, Any]) -> int:
    """Compute a digest of a document, as a signed 64-bit number."""
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)  # as ``canonical_json``: its names are ASCII
    return int.from_bytes(hashlib.blake2b(canonical, digest_size=8).digest(), "little", signed=True)


def _row(store: Store, place: tuple[int, int], change: str, kept: StoredFinding, now: Instant) -> tuple[Any, ...]:
    seq, turn = place
    return (
        *(seq, kept.id, turn, None, None, change, kept.kind, storable(kept.of)),
        None if kept.about is None else storable(kept.about),
        store.keys(kept.of),
        None if kept.about is None else store.keys(kept.about),
        *(-kept.severity, -kept.last_seen, kept.status, kept.recorded_at, now),
        *(kept.digest, zlib.compress(orjson.dumps(_with_tags(kept.document)))),
    )


def _with_tags(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a document with the ids that its sentence names, which are not part of the document or its digest."""
    why = document.get("why")
    return {**document, _TAGS: [list(tag) for tag in why.tags]} if isinstance(why, Sentence) and why.tags else document


def _kept(row: Any) -> StoredFinding:
    document = json.loads(zlib.decompress(row.document))
    if _TAGS in document:  # earlier versions stored none
        document["why"] = Sentence(document["why"], (Tag(*tag) for tag in document.pop(_TAGS)))
    return StoredFinding(
        *(row.id, row.kind, document["of"], document["about"]),
        *(-row.rank, row.status, -row.seen, row.recorded_at, document),
    )


def _parts(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _MANY):
        yield ids[start : start + _MANY]


def _written(state: IndexState) -> bytes:
    return json.dumps(
        {
            "edition": state.edition.hex(),
            "looked": _listed(state.looked),
            "swept": None if state.swept is None else _listed(state.swept),
            "recorded_at": state.recorded_at,
            "took": state.took,
            "basis": state.basis,
            "not_evaluated": dict(state.not_evaluated),
            "lagging": state.lagging,
            "numbers": [[*alike, count] for alike, count in state.numbers.items()],
        }
    ).encode()


def _listed(positions: Positions) -> list[list[Any]]:
    return [[topic, partition, following] for (topic, partition), following in sorted(positions.items())]


def _positions(rows: list[list[Any]]) -> dict[tuple[str, int], int]:
    return {(topic, partition): following for topic, partition, following in rows}
