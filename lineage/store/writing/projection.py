"""Write facts: a batch of records, their index rows and the positions, in one transaction.

Every record is accounted for: it becomes a fact (accepted, in conflict with another content, or unauthorised), a
sighting of a known fact (duplicate), or a row in quarantine.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.evidence.record_tree import Committed
from lineage.core.model.errors import FencedError, StaleRowsError
from lineage.core.model.events import Event
from lineage.core.model.records import Batch, Outcomes, RejectedRecord
from lineage.core.model.references import RefRole, mentions
from lineage.store import acts_in_time
from lineage.store.database.dialects import (
    add,
    add_missing,
    chunks,
    rows_found,
    storable,
    takes_turns,
    values_of,
    wait_for_turn,
)
from lineage.store.database.sorted_runs import (
    add_facts,
    add_raised,
    asked,
    asked_rows,
    count_in_turn,
    fact_in_run,
    facts_about,
    highest_in_asked,
    in_asked,
    is_upward,
    newest_run,
    sorted_ident,
    sorted_ref,
    sorted_upward,
)
from lineage.store.database.tables import Keys, fact, meta, name, position, quarantine, sighting
from lineage.store.writing import optimistic_commit, trees
from lineage.store.writing.fact_rows import (
    BOUNDED,
    IDENT,
    MISROUTED,
    OUTCOME,
    RECORDED_AT,
    VALUE,
    BatchRows,
    FactRows,
    N,
    Outcome,
    Ref,
    RowMaker,
    with_bounds,
)
from lineage.store.writing.quarantine_quota import Quota, charged, within
from lineage.store.writing.run_filters import RunFilters, RunsToAsk

# The origin of a record is part of an index, and PostgreSQL limits an index entry to 2,704 bytes.
_ORIGIN_BYTES: Final = 2_048

# The highest bound takes one index lookup in each run that is asked, however many children there are.
_BOUNDS: Final = {
    "sqlite": highest_in_asked(),
    "postgresql": sa.select(
        asked.c.key,
        sa.func.greatest(
            *(
                sa.select(sa.func.max(table.c.until))
                .where(table.c.run == asked.c.run, key == asked.c.key)
                .scalar_subquery()
                for table, key in ((sorted_ref, sorted_ref.c.key), (fact_in_run, fact_in_run.c.about))
            )
        ),
    ),
}
_PARENTS: Final = {
    "sqlite": sa.select(sorted_upward.c.about, sorted_upward.c.key).where(
        in_asked(sorted_upward, sorted_upward.c.about), sorted_upward.c.role == RefRole.DEPENDS
    ),
    "postgresql": asked_rows(
        sorted_ref,
        sorted_ref.c.about,
        [sorted_ref.c.about, sorted_ref.c.key],
        is_upward(sorted_ref.c.role, RefRole.DEPENDS),
    ),
}
_known = [fact.c.n, fact.c.ident, fact.c.misrouted, fact.c.value]
_KNOWN: Final = {
    "sqlite": sa.select(*_known).where(
        fact.c.n.in_(sa.select(sorted_ident.c.n).where(in_asked(sorted_ident, sorted_ident.c.key)))
    ),
    "postgresql": asked_rows(fact_in_run, fact_in_run.c.ident, [fact_in_run.c[column.name] for column in _known]),
}


@dataclass(slots=True)
class _WriteResult:
    """The result of writing some records.

    Attributes:
        outcomes: The outcomes of the new facts.
        raised: Rows of ``ref`` for stored elements whose bound is raised; still to be written.
        traces: The read set and the write set.
        run: The run to which the facts were added; 0 if there were none.
    """

    outcomes: list[int] = field(default_factory=list)
    raised: list[Ref] = field(default_factory=list)
    traces: optimistic_commit.Traces = field(default_factory=optimistic_commit.Traces)
    run: int = 0


class Projection:
    """Writes batches over one connection at a time."""

    def __init__(self, keys: Keys, decode: Callable[[bytes], Event], quota: Quota, dialect: str) -> None:
        """Use the store's hash of keys, its decoder of stored values, its quota of the quarantine, and its database."""
        self._keys = keys
        self._quota = quota
        self._decode = decode
        self._maker = RowMaker(keys, dialect)
        self._edition: bytes | None = None
        self.filters = RunFilters()
        self._runs: RunsToAsk  # of the batch that is being written
        self.entries = 0  # that were added to the index, as far as is known

    def write(self, connection: Connection, batch: Batch) -> Outcomes:
        """Write a batch, within the transaction of the caller.

        Returns:
            The number of records by outcome; ``quarantined`` includes those that were in quarantine already.

        Raises:
            FencedError: A position is not the one that the batch expects.
        """
        committed = trees.committed_of(batch)
        _advance(connection, batch.advance, committed)
        self._forget_replaced(connection)
        rows = BatchRows(self._maker.rows(batch.readable), batch.unreadable, committed, batch.advance)
        return self._write_advanced(connection, rows, lambda place: batch.readable[place].fact.event)

    def write_rows(self, connection: Connection, batch: BatchRows, edition: bytes | None = None) -> Outcomes:
        """Write a batch whose rows were made elsewhere; see ``write``.

        Raises:
            StaleRowsError: The edition is not the one given, so names that were written before may be missing.
        """
        _advance(connection, batch.advance, batch.committed)
        if edition is not None and edition != _edition(connection):
            raise StaleRowsError("the store was rebuilt since the rows of this batch were made")
        facts = batch.rows.facts
        return self._write_advanced(connection, batch, lambda place: self._decode(facts[place][VALUE]))

    def _write_advanced(self, connection: Connection, batch: BatchRows, event_at: Callable[[int], Event]) -> Outcomes:
        trees.extend(connection, batch.advance, batch.committed)
        self.quarantine(connection, batch.unreadable)
        records = len(batch.rows.facts)
        written = self._write_in_turn(connection, batch.rows, event_at, batch.advance) if records else _WriteResult()
        became = Counter(written.outcomes)
        return Outcomes(
            accepted=became[Outcome.ACCEPTED],
            duplicates=records - len(written.outcomes),
            conflicts=became[Outcome.CONFLICT],
            unauthorised=became[Outcome.UNAUTHORISED],
            quarantined=len(batch.unreadable),
        )

    def _write_in_turn(
        self,
        connection: Connection,
        rows: FactRows,
        event_at: Callable[[int], Event],
        lanes: Collection[tuple[str, int]],
    ) -> _WriteResult:
        """Write records with the same result as if no other transaction had written concurrently."""
        if not takes_turns(connection):
            written = self._write(connection, rows, event_at, lanes)
            add_raised(connection, written.raised)
            return written
        since = optimistic_commit.latest(connection)
        before = connection.begin_nested()
        written = self._write(connection, rows, event_at, lanes)
        wait_for_turn(connection)
        # Nobody may add to a complete run, because its filter would miss what is added.
        completed = written.run and written.run != newest_run(connection)
        if completed or optimistic_commit.missed(connection, since, written.traces):
            before.rollback()
            wait_for_turn(connection)  # the rollback also released the turn
            written = self._write(connection, rows, event_at, lanes)
        else:
            before.commit()
        # Concurrent writers may raise the same rows: writing them before our turn could deadlock.
        add_raised(connection, written.raised)
        optimistic_commit.note(connection, written.traces)
        if written.run:
            count_in_turn(connection, written.run, len(written.outcomes))
        return written

    def _write(
        self,
        connection: Connection,
        rows: FactRows,
        event_at: Callable[[int], Event],
        lanes: Collection[tuple[str, int]],
    ) -> _WriteResult:
        """Write the rows of records, except those that raise the bounds of stored elements."""
        written = _WriteResult()
        self._runs = self.filters.runs(connection, len(rows.facts))
        rows = self._fresh(connection, rows, event_at, written.traces.asked)
        if not rows.facts:
            return written
        written.raised = self._bounds(connection, rows, written.traces)
        if rows.acts:
            written.traces.acts = acts_in_time.write(
                connection, rows.acts, self._decode, lanes=lanes, asked=self._runs.asked
            )
        written.run = self._runs.newest
        refs = with_bounds(rows, written.traces.bounds)
        add_facts(connection, rows.facts, refs, rows.entries, written.run)
        self.entries += len(refs) + len(written.raised) + sum(map(len, rows.entries or ()))
        add(connection, name, rows.names)
        written.outcomes = [row[OUTCOME] for row in rows.facts]
        written.traces.idents = [row[IDENT] for row in rows.facts]
        written.traces.granted = written.traces.acts.union(rows.granting)
        return written

    def forget(self) -> None:
        """Clear the caches, because the transaction was rolled back."""
        self._maker.forget()

    def _forget_replaced(self, connection: Connection) -> None:
        """Forget what was written before a rebuild: retention may have left out the last that mentions a name."""
        edition = _edition(connection)
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

    def _fresh(
        self, connection: Connection, rows: FactRows, event_at: Callable[[int], Event], asked: set[int]
    ) -> FactRows:
        """Keep the rows of new facts, and mark those in conflict; duplicates are written as sightings.

        Args:
            connection: The connection to the store.
            rows: The rows of the records.
            event_at: Returns the event of the record with an index.
            asked: Receives the identities that are looked up.
        """
        idents = [row[IDENT] for row in rows.facts]
        asked.update(idents)
        # (source, event_id) -> content -> misrouted -> number. A hash is not an identity: the real ids are compared.
        known: defaultdict[tuple[str, str], dict[Event, dict[bool, int]]] = defaultdict(dict)
        repeated: set[int] = set()
        for part in self._runs.asked(sorted(asked)):
            for n, ident, misrouted, value in connection.execute(_KNOWN[connection.dialect.name], part):
                event = self._decode(value)
                known[event.source, event.event_id].setdefault(event, {})[bool(misrouted)] = n
                repeated.add(ident)
        if len(asked) < len(idents):
            repeated.update(ident for ident, count in Counter(idents).items() if count > 1)
        if not repeated:  # nearly every batch
            return rows
        facts: list[tuple[Any, ...]] = []
        seen: dict[int, tuple[int, int, int]] = {}
        for place, row in enumerate(rows.facts):
            if row[IDENT] not in repeated:
                facts.append(row)
                continue
            event, n, misrouted = event_at(place), row[N], bool(row[MISROUTED])
            contents = known[event.source, event.event_id]
            in_conflict = bool(contents) and event not in contents and row[OUTCOME] == Outcome.ACCEPTED
            same = contents.setdefault(event, {})
            if misrouted in same:
                seen[n] = (n, same[misrouted], row[RECORDED_AT])
                continue
            same[misrouted] = n
            facts.append((*row[:OUTCOME], Outcome.CONFLICT, *row[OUTCOME + 1 :]) if in_conflict else row)
        add(connection, sighting, list(seen.values()))
        return rows.without(seen.keys(), facts) if seen else rows._replace(facts=facts)

    def _bounds(self, connection: Connection, rows: FactRows, traces: optimistic_commit.Traces) -> list[Ref]:
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

    def _load_bounds(self, connection: Connection, keys: set[int], into: dict[int, int]) -> None:
        for key in keys:
            into.setdefault(key, 0)
        for part in self._runs.asked(sorted(keys)):
            for key, until in rows_found(connection, _BOUNDS[connection.dialect.name], part):
                if until is not None and until > into[key]:
                    into[key] = until

    def _stored_parents(self, connection: Connection, keys: set[int]) -> dict[int, set[int]]:
        parents: dict[int, set[int]] = {}
        for part in self._runs.asked(keys):
            for child, parent in connection.execute(_PARENTS[connection.dialect.name], part):
                parents.setdefault(child, set()).add(parent)
        return parents

    def _raised(self, connection: Connection, touched: set[int], bounds: dict[int, int]) -> Iterator[Ref]:
        for part in chunks(touched):
            columns = (fact.c.n, fact.c.about, fact.c.value)
            query = facts_about(connection.dialect.name, values_of(part), columns, fact.c.until > 0)
            for n, own, value in connection.execute(query):
                for role, kind, id_ in mentions(self._decode(value)):
                    if role in BOUNDED:
                        yield self._keys[kind][id_], bounds[own], role, own, n


def _edition(connection: Connection) -> bytes:
    return connection.execute(sa.select(meta.c.value).where(meta.c.name == "edition")).scalar() or b""


def _advance(
    connection: Connection, advance: Mapping[tuple[str, int], tuple[int, int]], committed: list[Committed]
) -> None:
    recorded_at = max((each[1] for each in committed), default=0)
    # In a fixed order, so that two consumers cannot deadlock.
    for (topic, partition), (expected, following) in sorted(advance.items()):
        where = (position.c.topic == topic) & (position.c.partition == partition)
        moved = connection.execute(
            position.update()
            .where(where & (position.c.next_offset == expected))
            .values(
                next_offset=following,
                recorded_at=sa.case((position.c.recorded_at > recorded_at, position.c.recorded_at), else_=recorded_at),
            )
        )
        if moved.rowcount:
            continue
        # If two consumers are both about to write the first position of a partition, one of them succeeds.
        first = [(topic, partition, following, recorded_at)]
        if expected != 0 or not add_missing(connection, position, first):
            known = connection.execute(sa.select(position.c.next_offset).where(where)).scalar()
            raise FencedError(
                f"the position of {topic}/{partition} is {known or 0}, not {expected}: another consumer has moved it"
            )


def _origin(text: str) -> str:
    """The origin of a record; one that is too long for an index is cut to its end and the digest of the whole."""
    whole = storable(text).encode()
    if len(whole) <= _ORIGIN_BYTES:
        return whole.decode()
    return f"…{whole[-_ORIGIN_BYTES // 2 :].decode(errors='ignore')} (sha256:{hashlib.sha256(whole).hexdigest()})"
