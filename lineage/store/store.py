"""The store: facts, and the positions of the projection. Every method is one transaction."""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from copy import copy
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import BadRecordError, IntegrityError, UnavailableError
from lineage.core.model.events import Event, Fact
from lineage.core.model.grants import GrantParts
from lineage.core.model.records import Batch, DecodedRecord, Outcomes, Position, RejectedRecord
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable
from lineage.plumbing.gc_pause import gc_paused
from lineage.store.database.dialects import (
    add_missing,
    ascii_lower,
    backend_of,
    chunks,
    faults,
    in_array,
    storable,
    values_of,
    wait_for_turn,
)
from lineage.store.database.engine import check, connect, sqlite_path, upgrade
from lineage.store.database.postgres import RemoteProbe
from lineage.store.database.sorted_runs import (
    IS_NARROWED,
    IndexRuns,
    ident_among,
    merge_some,
    repeated_idents,
    run_on_postgresql,
    state_of,
)
from lineage.store.database.tables import (
    Keys,
    deletion,
    fact,
    folded_name,
    meta,
    name,
    plan,
    position,
    quarantine,
    ref,
    release,
    sighting,
)
from lineage.store.reading.acted import is_complete
from lineage.store.reading.possible_runs import PossibleRuns
from lineage.store.reading.reader import DecodeParts, Reader, fact_of
from lineage.store.reading.statements import FACT, with_keys
from lineage.store.writing.fact_rows import BatchRows, Outcome, row_maker
from lineage.store.writing.key_runs import clear_some
from lineage.store.writing.merge_pace import PAUSE_SECONDS, STEP_SECONDS, BatchSize, Pace
from lineage.store.writing.projection import Projection
from lineage.store.writing.quarantine_quota import Quota, discharge

logger = logging.getLogger(__name__)

_REMEMBERED: Final = 16_384  # cached decoded values, about 30 MB
_READ: Final = 50_000  # facts read at a time if all are read
_PAGE: Final = 10_000  # rows fetched at a time if there may be any number
_STORED: Final = (*FACT, fact.c.outcome)
_EDITION: Final = sa.select(meta.c.value).where(meta.c.name == "edition")
_POSITIONS: Final = sa.select(position.c.topic, position.c.partition, position.c.next_offset)
# The outer join returns at least one row, since `meta` always has an id.
_VERSION: Final = (
    sa.select(position.c.topic, position.c.partition, position.c.next_offset, _EDITION.scalar_subquery())
    .select_from(meta.outerjoin(position, sa.true()))
    .where(meta.c.name == "id")
)
# For each entry that was written, 1.2 are moved in every merge that is under way: each ends just before the next of its
# level is due, also if it waits for filters and some is put off. And three keys are read for filters: those of a run,
# and again of that into which it is merged, unless its filter was made of theirs.
_MERGED_PER_ENTRY: Final = 1.2
_FILTERED_PER_ENTRY: Final = 3.0
_FIRST_STATISTICS: Final = 1_000  # records by one process, after which a new store on PostgreSQL gets statistics
# Keys of a complete run on PostgreSQL; a fact has three or four, so the filter is built much sooner.
_FILTERED_PER_RECORD: Final = 25
_SMALLEST_STEP: Final = 10_000
_COUNTED_EVERY: Final = 250  # readers
_NARROWED: Final = sa.select(sa.func.count()).select_from(run_on_postgresql).where(IS_NARROWED)
_CLEARED_PER_RECORD: Final = 10  # keys of a complete run, for readers: it has two to four for each record
_ESCAPED: Final = str.maketrans({each: f"\\{each}" for each in "\\%_"})  # for LIKE


class Stored(NamedTuple):
    """A fact with its number.

    Attributes:
        is_accepted: Whether it was authorised when it was projected, and in conflict with no fact before it.
    """

    number: int
    fact: Fact
    is_accepted: bool


class Store:
    """Facts in SQL. Thread-safe.

    The store never interprets values itself: ``decode`` reads a value that was accepted before.
    """

    def __init__(
        self,
        engine: Engine,
        secret: bytes,
        decode: Callable[[bytes], Event],
        quota: Quota | None = None,
        *,
        decode_parts: DecodeParts | None = None,
    ) -> None:
        """Use the engine of a store with the current schema version; ``open_store`` creates one."""
        self.engine = engine
        self._pinned: Connection | None = None
        self._log: bytes | None = None
        self._backend = backend_of(engine.dialect)
        self._reading, self._writing = self._backend.reading(engine), self._backend.writing(engine)
        # Queries about one incident read the same facts repeatedly.
        self._remembered = lru_cache(maxsize=_REMEMBERED)(decode)
        self._decode_parts = decode_parts
        self.keys = Keys(secret)
        self.quota = quota or Quota()
        self._projection = Projection(self.keys, self.decode, self.quota, engine.dialect.name)
        # Makes what ``write_rows`` writes, also in another process.
        self.row_maker = partial(row_maker, secret, engine.dialect.name)
        self._maintaining = self._backend.maintaining(engine)
        self._merging, self._filtering = Pace(_MERGED_PER_ENTRY), Pace(_FILTERED_PER_ENTRY)
        self._steps = 0
        self._batch_size = BatchSize()
        self._until_statistics = _FIRST_STATISTICS
        self._possible_runs = PossibleRuns(self._projection.filters.loaded)
        self._narrowed = 0  # runs that readers need not search for every key, as last counted
        self._until_counted = 0
        self._one_writer = threading.Lock()  # the projection's caches belong to one transaction at a time

    def decode(self, value: bytes) -> Event:
        """Decode a value that was accepted before.

        Raises:
            IntegrityError: It can no longer be decoded.
        """
        try:
            return self._remembered(value)
        except BadRecordError as error:
            raise self._damaged(error) from error

    def decode_parts(self, values: Iterable[bytes]) -> Sequence[Event | GrantParts]:
        """Decode very many values that are read once; grants may stay in parts.

        Raises:
            IntegrityError: One can no longer be decoded.
        """
        if self._decode_parts is None:
            return list(map(self.decode, values))
        try:
            return self._decode_parts(values)
        except BadRecordError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BadRecordError) -> IntegrityError:
        return IntegrityError(
            f"the store {self.url} is damaged: a fact cannot be read ({error}); run 'delegraph rebuild'"
        )

    @property
    def url(self) -> str:
        """The URL of the store, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def log(self) -> bytes | None:
        """The identity of the log that was projected here; None if none was yet. It never changes once set."""
        if self._log is None:
            with self.connection() as connection:
                self._log = connection.execute(sa.select(meta.c.value).where(meta.c.name == "log")).scalar()
        return self._log

    @property
    def file(self) -> Path | None:
        """The file of a SQLite store; None for any other."""
        return sqlite_path(self.url)

    def close(self) -> None:
        """Close the connections."""
        if change_probe := self.__dict__.pop("change_probe", None):
            change_probe.close()
        self.engine.dispose()

    @contextmanager
    def _write(self, engine: Engine | None = None) -> Iterator[Connection]:
        with self._one_writer:
            try:
                with faults(self.engine), (engine or self._writing).begin() as connection:
                    yield connection
            except BaseException:
                self._projection.forget()  # its caches may refer to rows that were rolled back
                raise

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Open a connection that reads from one snapshot of the store; for the modules of this package."""
        if self._pinned is not None:
            with faults(self.engine):
                yield self._pinned
            return
        with faults(self.engine), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self, *, frugal: bool = False) -> Iterator["Store"]:
        """A snapshot of the store that concurrent writes do not change, for the duration of the block.

        Args:
            frugal: Whether to limit the page cache, for reading large parts of the store once.
        """
        with self.connection() as connection, self._backend.low_memory(connection) if frugal else nullcontext():
            self._backend.without_limits(connection)
            connection.execute(sa.select(position)).all()  # the first read fixes the snapshot
            yield self._pinned_to(connection)

    def _pinned_to(self, connection: Connection) -> "Store":
        """Return this store as seen by a connection. It shares the caches of values and hashes, which never change."""
        still = copy(self)
        still._pinned = connection  # noqa: SLF001 (the same class)
        return still

    def grant_reader(self, role: str) -> None:
        """Allow a database role to read the store, and nothing else. Idempotent.

        Raises:
            RefusedError: The role does not exist, or the database has no roles.
        """
        with self._write() as connection:
            self._backend.grant_reader(connection, role)

    # Writing

    def bind(self, log: bytes) -> None:
        """Bind the store to the log that is about to be projected, since positions are only valid in one log.

        Args:
            log: The identity of the log.

        Raises:
            IntegrityError: The store is bound to another log.
        """
        if self.log is None:
            with self._write() as connection:
                add_missing(connection, meta, [("log", log)])
        if self.log != log:
            raise IntegrityError(
                f"the store {self.url} has read another log than this one; name that log with --log, "
                "or project this one into a separate store"
            )

    def write(self, batch: Batch) -> Outcomes:
        """Write a batch of records and its positions, in one transaction.

        Returns:
            The number of records by outcome.

        Raises:
            FencedError: Another consumer has moved a position; nothing was written.
            UnavailableError: The store is unavailable, locked, read-only or full; nothing was written.
        """
        with self._write() as connection:
            outcomes = self._projection.write(connection, batch)
        self._maintain(len(batch.readable))
        return outcomes

    def write_rows(self, batch: BatchRows, edition: bytes | None = None) -> Outcomes:
        """Write a batch whose rows were made elsewhere, as ``write`` does.

        Args:
            batch: The batch.
            edition: The edition of the store for which they were made, if it may change.

        Raises:
            StaleRowsError: The store has another edition by now; nothing was written.
        """
        with self._write() as connection:
            outcomes = self._projection.write_rows(connection, batch, edition)
        self._maintain(len(batch.rows.facts))
        return outcomes

    def affordable(self, most: int) -> int:
        """Return how many records the next batch may have.

        Fewer than the most if the steps that are owed for them (``_maintain``) would take too long at once.
        """
        is_behind = self._merging.is_behind or self._filtering.is_behind
        return self._batch_size.affordable(most, is_behind=is_behind)

    def _maintain(self, records: int) -> None:
        """Merge the runs of the index, and build their filters, with pauses for other writers.

        On SQLite as much as is in proportion to what was written, in a fifth of a second or, if too much was put off,
        however long it takes: the number of runs stays the same on a busy machine. On PostgreSQL runs are not merged.
        """
        if self._backend.TAKES_TURNS:
            self._collect_statistics(records)
            self._build_filters(records)
            return
        entries, self._projection.entries = self._projection.entries, 0
        self._merging.wrote(entries)
        self._filtering.wrote(entries)
        began, has_time = time.monotonic(), True
        try:
            while any(
                [
                    (has_time or self._filtering.is_behind) and self._build_filter(),
                    (has_time or self._merging.is_behind) and self._merge_run(),
                ]
            ):
                has_time = time.monotonic() - began + STEP_SECONDS <= PAUSE_SECONDS
        except UnavailableError as fault:  # the batch is written, and the next one merges more
            logger.warning("runs of the index were not merged: %s", fault)
        self._batch_size.paused(records, time.monotonic() - began)

    def _merge_run(self) -> bool:
        """Take a step of a merge on SQLite, and return whether there may be another."""
        if not (most := self._merging.step()):
            return False
        with self._write(self._maintaining) as connection:
            began = time.monotonic()
            merged = merge_some(connection, most, turn=self._steps, patient=True)
        self._steps += 1
        if merged is None:
            self._merging.nothing_to_do()
            return False
        self._merging.did(merged.entries, time.monotonic() - began, merged.merges)
        return True

    def _build_filter(self) -> bool:
        """Take a step of building a filter on SQLite, and return whether there may be another."""
        filters = self._projection.filters
        if not filters.is_due:
            self._filtering.nothing_to_do()
        if not (most := self._filtering.step()):
            return False
        with self._write(self._maintaining) as connection:
            began = time.monotonic()
            read = filters.build_some(connection, most)
        if not read:
            self._filtering.nothing_to_do()
            return False
        self._filtering.did(read, time.monotonic() - began)
        return True

    def _collect_statistics(self, records: int) -> None:
        """Collect statistics of a new store on PostgreSQL once this process has written some records."""
        if self._until_statistics <= 0:
            return
        self._until_statistics -= records
        if self._until_statistics <= 0:
            try:
                with self._write() as connection:
                    self._backend.collect_first_statistics(connection)
            except UnavailableError as fault:  # the batch is written, and the server collects them within a minute
                logger.warning("statistics of the index were not collected: %s", fault)

    def _build_filters(self, records: int) -> None:
        filters = self._projection.filters
        try:
            if filters.due:
                with self._write() as connection:
                    filters.build_some(connection, max(records * _FILTERED_PER_RECORD, _SMALLEST_STEP))
            if filters.is_wide:
                with self._write() as connection:
                    clear_some(connection, max(records * _CLEARED_PER_RECORD, _SMALLEST_STEP))
        except UnavailableError as fault:  # the batch is written, and a later one builds the filter
            logger.warning("the filter of a run of the index was not built: %s", fault)

    def runs(self) -> IndexRuns:
        """Return the state of the index."""
        with self.connection() as connection:
            return state_of(connection)

    def quarantine(self, records: Iterable[RejectedRecord]) -> None:
        """Write lines that are not in the log to quarantine; lines that are there already are not added again."""
        with self._write() as connection:
            self._projection.quarantine(connection, records)

    def project_released(self, readable: Iterable[tuple[int, DecodedRecord]], released_at: Instant) -> None:
        """Project records of the log that were in quarantine and can now be decoded.

        Args:
            readable: Pairs of quarantine id and record.
            released_at: The current time.
        """
        records = dict(readable)
        with self._write() as connection:
            wait_for_turn(connection)
            released = sa.select(release.c.quarantine).where(in_array(release.c.quarantine, list(records)))
            for id_ in connection.execute(released).scalars().all():  # released by another process in the meantime
                del records[id_]
            self._projection.write(connection, Batch(readable=list(records.values())))
            self._release(connection, records, released_at)
            new_edition(connection)

    def release(self, ids: Iterable[int], released_at: Instant) -> None:
        """Mark records in quarantine as released, because they have been appended to the log."""
        with self._write() as connection:
            self._release(connection, ids, released_at)

    @staticmethod
    def _release(connection: Connection, ids: Iterable[int], released_at: Instant) -> None:
        released = sorted(ids)
        add_missing(connection, release, [(id_, released_at) for id_ in released])
        discharge(connection, released)

    # Reading

    @contextmanager
    def reader(self, *, trust: TrustTable | None, known_at: Instant | None = None) -> Iterator[Reader]:
        """Open a reader of facts from a snapshot of the store."""
        with gc_paused(), self.connection() as connection:
            narrowed = self._count_narrowed(connection)
            yield Reader(
                connection,
                self.keys,
                self.decode,
                self.decode_parts,
                trust=trust,
                known_at=known_at,
                narrowed=narrowed,
            )

    def _count_narrowed(self, connection: Connection) -> int:
        """Count the runs that readers need not search for every key: statements are worded by that.

        On PostgreSQL now and then.
        """
        if not self._backend.TAKES_TURNS:
            return self._possible_runs.prepare(connection)
        self._until_counted -= 1
        if self._until_counted < 0:
            self._narrowed = connection.execute(_NARROWED).scalar_one()
            self._until_counted = _COUNTED_EVERY
        return self._narrowed

    def positions(self) -> dict[tuple[str, int], int]:
        """Return the next offset to project, by topic and partition."""
        with self.connection() as connection:
            return {(topic, partition): following for topic, partition, following in connection.execute(_POSITIONS)}

    def progress(self) -> tuple[dict[tuple[str, int], int], Instant | None]:
        """Return the positions, and the recording time of the latest projected record (None if there is none)."""
        with self.connection() as connection:
            rows = connection.execute(sa.select(position)).all()
        return (
            {(row.topic, row.partition): row.next_offset for row in rows},
            max((row.recorded_at for row in rows), default=None),
        )

    def deleted_before(self) -> Instant | None:
        """Return the latest instant before which retention deleted records; None if it deleted none."""
        with self.connection() as connection:
            return connection.execute(sa.select(sa.func.max(deletion.c.recorded_before))).scalar()

    def outcomes(self, first: int | None = None, last: int | None = None) -> Outcomes:
        """Count the records of the log by outcome, in total or between two numbers (inclusive)."""

        def between(column: sa.ColumnElement[int]) -> list[sa.ColumnElement[bool]]:
            return [] if first is None or last is None else [column.between(first, last)]

        with self.connection() as connection:
            by_outcome = (
                sa.select(fact.c.outcome, sa.func.count().label("records"))
                .where(*between(fact.c.n))
                .group_by(fact.c.outcome)
            )
            facts: dict[int, int] = {row.outcome: row.records for row in connection.execute(by_outcome)}
            again = connection.execute(sa.select(sa.func.count()).where(*between(sighting.c.n)).select_from(sighting))
            aside = connection.execute(
                sa.select(sa.func.count())
                .select_from(quarantine)
                .where(quarantine.c.n.is_not(None), *between(quarantine.c.n))
                .where(quarantine.c.id.not_in(sa.select(release.c.quarantine)))
            )
            return Outcomes(
                facts.get(Outcome.ACCEPTED, 0),
                again.scalar_one(),
                facts.get(Outcome.CONFLICT, 0),
                facts.get(Outcome.UNAUTHORISED, 0),
                aside.scalar_one(),
            )

    def indexes_actors(self) -> bool:
        """Whether every action is in the index of actors."""
        with self.connection() as connection:
            return is_complete(connection)

    def conflicts(self, among: Collection[tuple[str, str]] | None = None) -> list[list[Fact]]:
        """Return the facts that share (source, event_id) but differ in content, in groups, each content once.

        Args:
            among: The identities to look at; None for all, which reads an index of every fact.
        """
        dialect = self.engine.dialect.name
        groups: dict[tuple[str, str], dict[Event, Fact]] = {}
        with self.connection() as connection:
            conditions: list[sa.Select[int]] = [repeated_idents(dialect)]
            if among is not None:
                once = self.keys["event"].once
                parts = chunks([once(f"{source}\0{event_id}") for source, event_id in among])
                asked = (connection.scalars(repeated_idents(dialect, part)).all() for part in parts)
                conditions = [values_of(idents) for idents in asked if idents]
            for idents in conditions:
                for found in self._facts(connection, sa.select(*_STORED).where(ident_among(idents))):
                    event = found.fact.event
                    contents = groups.setdefault((event.source, event.event_id), {})
                    known = contents.setdefault(event, found.fact)
                    if known.misrouted and not found.fact.misrouted:
                        contents[event] = found.fact
        return [list(groups[key].values()) for key in sorted(groups) if len(groups[key]) > 1]

    def facts(self, *, after: int = -1, limit: int | None = None) -> list[Stored]:
        """Return one page of the facts in order of their numbers."""
        with self.connection() as connection:
            return self._facts(connection, sa.select(*_STORED).where(fact.c.n > after).order_by(fact.c.n).limit(limit))

    def every_fact(self) -> Iterator[Fact]:
        """Yield all facts in order of their numbers, read in parts; for a snapshot of a store."""
        after = -1
        while page := self.facts(after=after, limit=_READ):
            yield from (found.fact for found in page)
            after = page[-1].number

    def latest_facts(self, topic: str, partition: int, *, limit: int) -> list[Fact]:
        """Return the latest facts of a partition, latest first."""
        first, beyond = Position(topic, partition, 0).number, Position(topic, partition + 1, 0).number
        query = sa.select(*_STORED).where(fact.c.n >= first, fact.c.n < beyond).order_by(fact.c.n.desc()).limit(limit)
        with self.connection() as connection:
            return [stored.fact for stored in self._facts(connection, query)]

    def _facts(self, connection: Connection, query: sa.Select[Any]) -> list[Stored]:
        return [
            Stored(row[0], fact_of(row[:-1], self.decode), row[-1] == Outcome.ACCEPTED)
            for row in connection.execute(query)
        ]

    def facts_between(self, first: int, last: int) -> list[Fact]:
        """Return the facts with numbers between two (inclusive)."""
        with self.connection() as connection:
            query = sa.select(*_STORED).where(fact.c.n.between(first, last)).order_by(fact.c.n)
            return [found.fact for found in self._facts(connection, query)]

    def edition(self) -> bytes:
        """Return a value that changes whenever facts are added anywhere except after the positions.

        A rebuild changes it, and so does the release of records from quarantine.
        """
        with self.connection() as connection:
            return connection.execute(_EDITION).scalar() or b""

    def version(self) -> "Version":
        """The edition and the positions: as long as they are unchanged, so are the facts."""
        with self.connection() as connection:
            return _version_of([tuple(row) for row in connection.execute(_VERSION)])

    def facts_after(self, positions: Mapping[tuple[str, int], int]) -> Iterator[Fact]:
        """Return the facts after some positions, as ``stored_after`` lists them."""
        yield from (stored.fact for stored in self.stored_after(positions))

    def stored_after(
        self, positions: Mapping[tuple[str, int], int], until: Mapping[tuple[str, int], int] | None = None
    ) -> Iterator[Stored]:
        """Return the facts after some positions, in the order of each partition, then older facts repeated after them.

        A duplicate in another partition may have been recorded before the fact itself. Then the fact's ``recorded_at``
        becomes earlier, and so may the time at which a revocation takes effect.

        Args:
            positions: The positions.
            until: The positions before which to stop; None for all projected facts.
        """
        spans = list(_spans(positions, self.positions() if until is None else until))
        news = [fact.c.n.between(first, last) for first, last in spans]
        sighted = sa.or_(sa.false(), *(sighting.c.n.between(first, last) for first, last in spans))
        again = fact.c.n.in_(sa.select(sighting.c.fact).where(sighted))
        for condition in (*news, again) if spans else ():
            with self.connection() as connection:
                yield from self._facts(connection, sa.select(*_STORED).where(condition).order_by(fact.c.n))

    @cached_property
    def change_probe(self) -> Callable[[], object] | None:
        """Return a non-blocking check for new commits; None if that requires a round trip to a server."""
        return self._backend.change_probe(self.engine)

    def warm(self) -> Iterator[None]:
        """Open the connections that stay open, step by step, and run the statements of questions once on each.

        On a new connection PostgreSQL reads its catalogue for each table, index and function that it meets first.
        """
        connections = self._backend.KEPT_CONNECTIONS
        with ExitStack() as opened:
            for _ in range(connections):
                connection = opened.enter_context(self.connection())
                for statement, nothing in with_keys(self.engine.dialect):
                    connection.execute(statement, nothing).all()
                connection.rollback()  # or the transaction would be open until the last connection is warm
                yield

    def version_probe(self) -> "VersionProbe | None":
        """Open a non-blocking check of ``version`` that the caller closes; None if the store is not on a server.

        Raises:
            UnavailableError: The server cannot be reached.
        """
        with faults(self.engine):
            probe = self._backend.remote_probe(self.engine, _VERSION)
        return None if probe is None else VersionProbe(probe)

    def change_token(self) -> object:
        """Return a value that is unchanged as long as the facts and the positions are."""
        with faults(self.engine):
            return self.version() if self.change_probe is None else self.change_probe()

    def search(self, *words: str, limit: int, start: str | None = None) -> list[str]:
        """Return the keys (``KIND:ID``) that contain some words, ignoring ASCII case, sorted, from ``start`` on."""
        if any(word != storable(word) for word in words):  # no key contains such characters
            return []
        found: list[str] = []
        with self.connection() as connection:
            # SQLite's LIKE ignores the case of ASCII letters.
            on_sqlite = connection.dialect.name == "sqlite"
            column = name.c.key if on_sqlite else folded_name
            texts = words if on_sqlite else [ascii_lower(word) for word in words]
            # With repeats: DISTINCT over all matches costs more than querying again after the last row.
            query = (
                sa.select(name.c.key)
                .where(*(column.contains(text, autoescape=True) for text in texts))
                .order_by(name.c.key)
                .limit(2 * limit)
            )
            behind = sa.true() if start is None else name.c.key >= storable(start)
            while len(found) < limit:
                rows = connection.execute(query.where(behind)).scalars().all()
                found += dict.fromkeys(rows)
                if len(rows) < 2 * limit:
                    break
                behind = name.c.key > rows[-1]
        return found[:limit]

    def search_either(self, pieces: Collection[str], *, limit: int) -> list[str]:
        """Return the keys that contain at least one of some texts, ignoring ASCII case, sorted. Cost: one scan."""
        with self.connection() as connection:
            query = sa.select(name.c.key).where(_contains_any(connection, pieces)).order_by(name.c.key).limit(limit)
            return list(dict.fromkeys(connection.execute(query).scalars()))

    def search_rare(self, pieces: Collection[str], *, most: int) -> list[str] | None:
        """Return all keys that contain at least one of some texts, ignoring ASCII case, sorted; None if many do.

        Cost:
            At most one scan; of common texts, only until enough is found.
        """
        with self.connection() as connection:
            self._backend.scan_in_parallel(connection)
            query = sa.select(name.c.key).where(_contains_any(connection, pieces)).limit(most + 1)
            found = connection.execute(query).scalars().all()
        return None if len(found) > most else sorted(set(found))

    def facts_at(self, numbers: Collection[int]) -> dict[int, Fact]:
        """Return facts by their numbers."""
        with self.connection() as connection:
            return {
                found.number: found.fact
                for part in chunks(numbers)
                for found in self._facts(connection, sa.select(*_STORED).where(in_array(fact.c.n, part)))
            }

    def facts_cited(self, identities: Collection[tuple[str, str]]) -> list[Fact]:
        """Return the facts with some identities (source, event_id), every content if there are several."""
        once = self.keys["event"].once
        hashes = [once(f"{source}\0{event_id}") for source, event_id in identities]
        with self.connection() as connection:
            found = [
                stored.fact
                for part in chunks(hashes)
                for stored in self._facts(connection, sa.select(*_STORED).where(ident_among(values_of(part))))
            ]
        return [one for one in found if (one.event.source, one.event.event_id) in identities]

    def sizes(self) -> dict[str, int]:
        """Return the number of rows of each table."""
        with self.connection() as connection:
            return {
                table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (fact, ref, sighting, quarantine, name, plan)
            }


Version = tuple[bytes, dict[tuple[str, int], int]]


def _version_of(rows: list[tuple[Any, ...]]) -> Version:
    positions = {(topic, partition): following for topic, partition, following, _ in rows if topic is not None}
    return rows[0][3] or b"", positions


class VersionProbe:
    """Asks a server for the version of the store without blocking. Not thread-safe.

    After ``begin``, call ``receive`` each time that ``fileno`` is readable, until it returns the version.
    """

    def __init__(self, probe: RemoteProbe) -> None:
        """Use a probe that runs the query of the version."""
        self._probe = probe
        self.fileno, self.begin, self.close = probe.fileno, probe.begin, probe.close
        self._last: tuple[list[tuple[bytes | None, ...]], Version] | None = None

    def receive(self) -> Version | None:
        """Return the version at some time after ``begin``, the same object if it has not changed; None if not yet.

        Raises:
            UnavailableError: The server cannot be reached.
        """
        rows = self._probe.receive()
        if rows is None:
            return None
        if self._last is None or self._last[0] != rows:
            self._last = rows, _version_of([_decoded(*row) for row in rows])
        return self._last[1]


def _decoded(topic: bytes | None, partition: bytes | None, following: bytes | None, edition: bytes | None) -> Any:
    return (
        None if topic is None else topic.decode(),
        int(partition or 0),
        int(following or 0),
        None if edition is None else bytes.fromhex(edition.decode().removeprefix("\\x")),
    )


def new_edition(connection: Connection) -> None:
    """Change the edition, so that every copy of the facts in memory is loaded again."""
    connection.execute(meta.delete().where(meta.c.name == "edition"))
    connection.execute(meta.insert(), [{"name": "edition", "value": secrets.token_bytes(8)}])


def open_store(
    url: str,
    decode: Callable[[bytes], Event],
    *,
    decode_parts: DecodeParts | None = None,
    create: bool = False,
    password: str | None = None,
    quota: Quota | None = None,
) -> Store:
    """Open a store.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/database``.
        decode: Decodes a stored value.
        decode_parts: Decodes very many, and may leave grants in parts; None for ``decode``.
        create: Whether to create a missing store, and to migrate an older one.
        password: For PostgreSQL, overrides the password in the URL.
        quota: The limit up to which unreadable records of each source are kept whole; None for the default.

    Raises:
        RefusedError: The URL is invalid, or the database denies access.
        UnavailableError: The store does not exist or cannot be used; the message says what to do.
    """
    engine = connect(url, create=create, password=password)
    try:
        if create:
            upgrade(engine)
        return Store(engine, check(engine), decode, quota, decode_parts=decode_parts)
    except BaseException:
        engine.dispose()
        raise


def _contains_any(connection: Connection, pieces: Collection[str]) -> sa.ColumnElement[bool]:
    """Build the condition that a name contains at least one of some texts, ignoring ASCII case."""
    pieces = [piece for piece in pieces if piece == storable(piece)]  # no key contains other characters
    if connection.dialect.name == "sqlite":
        return sa.or_(sa.false(), *(name.c.key.contains(piece, autoescape=True) for piece in pieces))
    patterns = [f"%{ascii_lower(piece).translate(_ESCAPED)}%" for piece in pieces]
    return folded_name.like(sa.any_(sa.literal(patterns, sa.ARRAY(sa.Text))))


def _spans(positions: Mapping[tuple[str, int], int], until: Mapping[tuple[str, int], int]) -> Iterator[tuple[int, int]]:
    """Return the first and last number projected after some positions, for each partition."""
    for (topic, partition), following in until.items():
        first = positions.get((topic, partition), 0)
        if first < following:
            yield Position(topic, partition, first).number, Position(topic, partition, following - 1).number
