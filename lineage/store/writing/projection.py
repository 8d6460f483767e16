"""Write facts: a batch of records, their index rows and the positions, in one transaction.

Every record is accounted for: it becomes a fact (accepted, in conflict with another content, or unauthorised), a
sighting of a known fact (duplicate), or a row in quarantine.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.errors import FencedError
from lineage.core.model.events import Event, PrincipalRegistered
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.records import Batch, DecodedRecord, Outcomes, RejectedRecord
from lineage.core.model.references import RefRole, mentions, subject_of
from lineage.store import acts_in_time
from lineage.store.database.dialects import add, add_missing, takes_turns, wait_for_turn
from lineage.store.database.sorted_runs import (
    about_among,
    highest_in_runs,
    ident_among,
    sorted_about,
    sorted_ref,
    upward,
)
from lineage.store.database.sql import chunks, found_by, storable, values_of
from lineage.store.database.tables import (
    ENDLESS,
    Hashes,
    Keys,
    fact,
    meta,
    name,
    position,
    quarantine,
    ref,
    sighting,
    span_after,
)
from lineage.store.writing import optimistic_commit, trees
from lineage.store.writing.index_entries import add_entries, add_raised
from lineage.store.writing.quarantine_quota import Quota, charged, within

# A display name in the table ``name``, and the principal that it belongs to.
CALLED: Final = "called"
BETWEEN: Final = "\t"
_BOUNDED: Final = frozenset({RefRole.DEPENDS, RefRole.NAMES, RefRole.PRIOR})
# The origin of a record is part of an index, and PostgreSQL limits an index entry to 2,704 bytes.
_ORIGIN_BYTES: Final = 2_048

_asked = values_of("keys").subquery()
# The highest bound takes one index lookup (in each run), however many children there are.
_BOUNDS: Final = {
    "sqlite": sa.select(
        _asked.c.key, highest_in_runs(sorted_ref, _asked.c.key), highest_in_runs(sorted_about, _asked.c.key)
    ),
    "postgresql": sa.select(
        _asked.c.key,
        sa.select(sa.func.max(ref.c.until)).where(ref.c.key == _asked.c.key).scalar_subquery(),
        sa.select(sa.func.max(fact.c.until)).where(fact.c.about == _asked.c.key).scalar_subquery(),
    ),
}
_PARENTS: Final = {
    dialect: found_by(dialect, way.c.about, "keys", [way.c.about, way.c.key], *depends)
    for dialect in ("sqlite", "postgresql")
    for way, depends in [upward(dialect, RefRole.DEPENDS)]
}


class Outcome:
    """The outcome of a decoded record, as stored."""

    ACCEPTED: Final = 0
    CONFLICT: Final = 1
    UNAUTHORISED: Final = 2


_Ref = tuple[int, int, int, int, int]  # a row of ``ref``


@dataclass(slots=True)
class _Rows:
    """The rows of some records, as far as they are known before the bounds are computed.

    Attributes:
        facts: Rows of ``fact``.
        refs: Rows of ``ref``. A row with a bound has the one that its fact alone implies.
        granting: For each element that the records grant, the bound that these records imply.
        uneven: The elements for which the records imply different bounds.
        upward: The dependencies of each element.
        acts: Rows of facts about actions and elements, for ``act``, by sort.
    """

    facts: list[tuple[Any, ...]] = field(default_factory=list)
    refs: list[_Ref] = field(default_factory=list)
    granting: dict[int, int] = field(default_factory=dict)
    uneven: set[int] = field(default_factory=set)
    upward: dict[int, set[int]] = field(default_factory=dict)
    acts: defaultdict[int, list[acts_in_time.Row]] = field(default_factory=lambda: defaultdict(list))


_New = tuple[DecodedRecord, int, int]  # a record with a new fact, its ident, its outcome


@dataclass(slots=True)
class _WriteResult:
    """The result of writing some records.

    Attributes:
        fresh: The records with new facts.
        raised: Rows of ``ref`` for stored elements whose bound is raised; still to be written.
        traces: The read set and the write set.
    """

    fresh: list[_New] = field(default_factory=list)
    raised: list[_Ref] = field(default_factory=list)
    traces: optimistic_commit.Traces = field(default_factory=optimistic_commit.Traces)


class _Names(Hashes):
    """Hashes of the ids of one kind; an id that is hashed is queued for the table ``name``.

    An id that was not cached, or no longer is, is queued again, which is harmless.
    """

    __slots__ = ("_down", "_kind")

    def __init__(self, keys: Keys, kind: str, down: list[tuple[str]]) -> None:
        super().__init__(keys.blank, kind)
        self._kind, self._down = kind, down

    def once(self, id_: str) -> int:
        key = f"{self._kind}:{id_}"
        self._down.append((storable(key) if self._kind in acts_in_time.STATED else key,))
        return super().once(id_)


def display_name_key(body: PrincipalRegistered) -> str | None:
    """Return the entry of the table ``name`` for a display name; None if the fact states none."""
    if not body.display_name:
        return None
    name = storable(body.display_name[: acts_in_time.LONGEST]).replace(BETWEEN, " ")
    return f"{CALLED}:{name}{BETWEEN}{body.principal}"


class _NamedThings(dict[str, _Names]):
    """Hashes of everything that facts mention, by kind, and the queue of rows for the table ``name``."""

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self._keys = keys
        self.down: list[tuple[str]] = []

    def __missing__(self, kind: str) -> _Names:
        found = self[kind] = _Names(self._keys, kind, self.down)
        return found


class Projection:
    """Writes batches over one connection at a time."""

    def __init__(self, keys: Keys, decode: Callable[[bytes], Event], quota: Quota) -> None:
        """Use the store's hash of keys, its decoder of stored values, and its quota of the quarantine."""
        self._keys = keys
        self._quota = quota
        self._decode = decode
        self._named = _NamedThings(keys)
        self._edition: bytes | None = None

    def write(self, connection: Connection, batch: Batch) -> Outcomes:
        """Write a batch, within the transaction of the caller.

        Returns:
            The number of records by outcome; ``quarantined`` includes those that were in quarantine already.

        Raises:
            FencedError: A position is not the one that the batch expects.
        """
        self._advance(connection, batch)
        self._forget_replaced(connection)
        trees.extend(connection, batch)
        self.quarantine(connection, batch.unreadable)
        written = self._write_in_turn(connection, batch.readable, batch.advance) if batch.readable else _WriteResult()
        became = Counter(outcome for _, _, outcome in written.fresh)
        return Outcomes(
            accepted=became[Outcome.ACCEPTED],
            duplicates=len(batch.readable) - len(written.fresh),
            conflicts=became[Outcome.CONFLICT],
            unauthorised=became[Outcome.UNAUTHORISED],
            quarantined=len(batch.unreadable),
        )

    def _write_in_turn(
        self, connection: Connection, records: list[DecodedRecord], lanes: Collection[tuple[str, int]]
    ) -> _WriteResult:
        """Write records with the same result as if no other transaction had written concurrently."""
        if not takes_turns(connection):
            written = self._write(connection, records, lanes)
            add_raised(connection, written.raised)
            return written
        since = optimistic_commit.latest(connection)
        before = connection.begin_nested()
        written = self._write(connection, records, lanes)
        wait_for_turn(connection)
        if optimistic_commit.missed(connection, since, written.traces):
            before.rollback()
            self.forget()
            wait_for_turn(connection)  # the rollback also released the turn
            written = self._write(connection, records, lanes)
        else:
            before.commit()
        # Concurrent writers may raise the same rows: writing them before our turn could deadlock.
        add_raised(connection, written.raised)
        optimistic_commit.note(connection, written.traces)
        return written

    def _write(
        self, connection: Connection, records: list[DecodedRecord], lanes: Collection[tuple[str, int]]
    ) -> _WriteResult:
        """Write the rows of records, except those that raise the bounds of stored elements."""
        written = _WriteResult()
        written.fresh = self._fresh(connection, records, written.traces.asked)
        if not written.fresh:
            return written
        rows = self._rows(written.fresh)
        written.raised = self._bounds(connection, rows, written.traces)
        if rows.acts:
            written.traces.acts = acts_in_time.write(connection, rows.acts, self._decode, lanes=lanes)
        add(connection, fact, rows.facts)
        add_entries(connection, rows.facts, _with_bounds(rows, written.traces.bounds))
        add(connection, name, self._named.down)
        self._named.down.clear()
        written.traces.idents = [ident for _, ident, _ in written.fresh]
        written.traces.granted = written.traces.acts.union(rows.granting)
        return written

    def _rows(self, fresh: list[_New]) -> _Rows:
        rows = _Rows()
        named, sources = self._named, self._keys["source"]
        stated = {"outcome": self._keys["outcome"], **{kind: named[kind] for kind in ("operation", "tool", "resource")}}
        add_fact, add_ref = rows.facts.append, rows.refs.append
        granting, upward, acts = rows.granting, rows.upward, rows.acts
        depends = int(RefRole.DEPENDS)
        for (number, (event, recorded_at, misrouted), value, _), ident, outcome in fresh:
            kind, id_ = subject_of(event)
            own = named[kind].once(id_) if kind == "action" else named[kind][id_]
            until = 0
            if kind in ELEMENT_KINDS:
                ends_at = event.body.expires_at  # type: ignore[union-attr]
                until = ENDLESS if ends_at is None else span_after(ends_at)
                if granting.setdefault(own, until) != until:
                    granting[own] = max(granting[own], until)
                    rows.uneven.add(own)
            for role, mentioned, id_ in mentions(event):
                hashed = named[mentioned][id_]
                add_ref((hashed, until if until and role in _BOUNDED else 0, role, own, number))
                if role == depends:
                    upward.setdefault(own, set()).add(hashed)
            if kind == "principal" and isinstance(event.body, PrincipalRegistered):
                self._call(event.body)
            acts[acts_in_time.sort_of(kind)].append(acts_in_time.row_of(event, number, own, stated))
            source = sources[event.source]
            add_fact((number, ident, own, outcome, misrouted, recorded_at, until, source, event.sequence, value))
        return rows

    def _call(self, body: PrincipalRegistered) -> None:
        """Queue a display name for the table ``name``."""
        if (key := display_name_key(body)) is not None:
            self._named.down.append((key,))

    def forget(self) -> None:
        """Clear the caches, because the transaction was rolled back."""
        self._named = _NamedThings(self._keys)

    def _forget_replaced(self, connection: Connection) -> None:
        """Forget what was written before a rebuild: retention may have left out the last that mentions a name."""
        edition = connection.execute(sa.select(meta.c.value).where(meta.c.name == "edition")).scalar()
        if edition != self._edition:
            self.forget()
            self._edition = edition

    def quarantine(self, connection: Connection, unreadable: Iterable[RejectedRecord]) -> None:
        """Write records to quarantine; one that is there already is not written again."""
        found = [replace(record, origin=_origin(record.origin)) for record in unreadable]
        if not found:
            return
        found.sort(key=lambda record: (record.origin, record.place))  # in a fixed order, as in ``_advance``
        rows = [
            (
                record.number,
                record.origin,
                record.place,
                record.recorded_at,
                record.reason,
                storable(record.detail),
                record.sha256,
                record.size,
                record.value,
                record.headers,
                None if record.sources is None else json.dumps(record.sources),
                charged(record),
                kept,
            )
            for record, kept in within(connection, self._quota, found)
        ]
        add_missing(connection, quarantine, rows)

    def _advance(self, connection: Connection, batch: Batch) -> None:
        recorded = [record.fact.recorded_at for record in batch.readable]
        recorded += [record.recorded_at for record in batch.unreadable]
        recorded += [recorded_at for _, recorded_at, _ in batch.deleted]
        recorded_at = max(recorded, default=0)
        # In a fixed order, so that two consumers cannot deadlock.
        for (topic, partition), (expected, following) in sorted(batch.advance.items()):
            where = (position.c.topic == topic) & (position.c.partition == partition)
            moved = connection.execute(
                position.update()
                .where(where & (position.c.next_offset == expected))
                .values(
                    next_offset=following,
                    recorded_at=sa.case(
                        (position.c.recorded_at > recorded_at, position.c.recorded_at), else_=recorded_at
                    ),
                )
            )
            if moved.rowcount:
                continue
            # If two consumers are both about to write the first position of a partition, one of them succeeds.
            first = [(topic, partition, following, recorded_at)]
            if expected != 0 or not add_missing(connection, position, first):
                known = connection.execute(sa.select(position.c.next_offset).where(where)).scalar()
                raise FencedError(
                    f"the position of {topic}/{partition} is {known or 0}, not {expected}: "
                    "another consumer has moved it"
                )

    def _fresh(self, connection: Connection, records: list[DecodedRecord], asked: set[int]) -> list[_New]:
        """Find the records with new facts, with ident and outcome; duplicates are written as sightings.

        Args:
            connection: The connection to the store.
            records: The records.
            asked: Receives the identities that are looked up.
        """
        once = self._keys["event"].once
        idents = [once(f"{event.source}\0{event.event_id}") for _, (event, _, _), _, _ in records]
        asked.update(idents)
        # (source, event_id) -> content -> misrouted -> number. A hash is not an identity: the real ids are compared.
        known: defaultdict[tuple[str, str], dict[Event, dict[bool, int]]] = defaultdict(dict)
        for part in chunks(sorted(asked)):
            query = sa.select(fact.c.n, fact.c.misrouted, fact.c.value).where(ident_among(values_of(part)))
            for n, misrouted, value in connection.execute(query):
                event = self._decode(value)
                known[event.source, event.event_id].setdefault(event, {})[bool(misrouted)] = n
        if not known and len(asked) == len(idents):  # nearly every batch
            return [
                (record, ident, Outcome.ACCEPTED if record.authorised else Outcome.UNAUTHORISED)
                for record, ident in zip(records, idents, strict=True)
            ]
        fresh: list[_New] = []
        seen = []
        for record, ident in zip(records, idents, strict=True):
            event, recorded_at, misrouted = record.fact
            contents = known[event.source, event.event_id]
            others = bool(contents) and event not in contents
            same = contents.setdefault(event, {})
            if misrouted in same:
                seen.append((record.number, same[misrouted], recorded_at))
                continue
            same[misrouted] = record.number
            outcome = Outcome.CONFLICT if others else Outcome.ACCEPTED
            fresh.append((record, ident, outcome if record.authorised else Outcome.UNAUTHORISED))
        add(connection, sighting, seen)
        return fresh

    def _bounds(self, connection: Connection, rows: _Rows, traces: optimistic_commit.Traces) -> list[_Ref]:
        """Compute the bound of every element of the batch.

        The bound of an ancestor must not be below that of its descendants. Otherwise a traversal that skips subtrees
        that have ended would miss a living child, and a child that survives a revocation is the worst possible bug.

        Returns:
            The rows of ``ref`` for stored elements whose bound rises.
        """
        granting, upward, stored = rows.granting, rows.upward, traces.seen
        self._load_bounds(connection, {*granting, *chain.from_iterable(upward.values())}, stored)
        bounds = traces.bounds = {key: max(until, stored.get(key, 0)) for key, until in granting.items()}
        touched: set[int] = set()  # stored elements whose rows need a higher bound
        above = dict(upward)
        asked: set[int] = set()  # whose stored parents are in `above`
        rising = set(bounds)
        while rising:
            # A stored element may depend on more than the facts of this batch state.
            if unasked := {key for key in rising if stored.get(key, 0)} - asked:
                for key, parents in self._stored_parents(connection, unasked).items():
                    above[key] = above.get(key, set()) | parents
                asked |= unasked
            dependent = rising & above.keys()
            if missing := set(chain.from_iterable(above[key] for key in dependent)) - stored.keys():
                self._load_bounds(connection, missing, stored)
            touched.update(key for key in rising if 0 < stored.get(key, 0) < bounds[key])
            higher: set[int] = set()
            for key in dependent:
                until = bounds[key]
                for parent in above[key]:
                    if (bounds[parent] if parent in bounds else stored[parent]) < until:
                        bounds[parent] = until
                        higher.add(parent)
            rising = higher
        return sorted(set(self._raised(connection, touched, bounds)))

    @staticmethod
    def _load_bounds(connection: Connection, keys: set[int], into: dict[int, int]) -> None:
        for part in chunks(sorted(keys)):
            for key, below, own in connection.execute(_BOUNDS[connection.dialect.name], {"keys": part}):
                into[key] = max(below or 0, own or 0)

    @staticmethod
    def _stored_parents(connection: Connection, keys: set[int]) -> dict[int, set[int]]:
        parents: dict[int, set[int]] = {}
        for part in chunks(keys):
            for child, parent in connection.execute(_PARENTS[connection.dialect.name], {"keys": part}):
                parents.setdefault(child, set()).add(parent)
        return parents

    def _raised(self, connection: Connection, touched: set[int], bounds: dict[int, int]) -> Iterator[_Ref]:
        for part in chunks(touched):
            query = sa.select(fact.c.n, fact.c.about, fact.c.value).where(
                about_among(values_of(part)), fact.c.until > 0
            )
            for n, own, value in connection.execute(query):
                for role, kind, id_ in mentions(self._decode(value)):
                    if role in _BOUNDED:
                        yield self._keys[kind][id_], bounds[own], role, own, n


def _with_bounds(rows: _Rows, bounds: dict[int, int]) -> list[_Ref]:
    """The rows of ``ref`` with the computed bounds, sorted by key so that adjacent rows go to the same pages."""
    values_of = rows.granting
    other = {own: until for own, until in bounds.items() if values_of.get(own) != until or own in rows.uneven}
    refs = rows.refs
    if other:
        for place, (key, until, role, about, n) in enumerate(refs):
            if until and about in other:
                refs[place] = (key, other[about], role, about, n)
    refs.sort(key=itemgetter(0))
    return refs


def _origin(text: str) -> str:
    """The origin of a record; one that is too long for an index is cut to its end and the digest of the whole."""
    whole = storable(text).encode()
    if len(whole) <= _ORIGIN_BYTES:
        return whole.decode()
    return f"…{whole[-_ORIGIN_BYTES // 2 :].decode(errors='ignore')} (sha256:{hashlib.sha256(whole).hexdigest()})"
