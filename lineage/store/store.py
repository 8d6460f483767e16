"""The store: facts and where the projection stands. Every method is one transaction."""

import json
import secrets
import threading
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from lineage.core.model.errors import BadRecordError, IntegrityError
from lineage.core.model.events import Event, Fact, canonical_json
from lineage.core.model.records import Batch, Outcomes, Position, Readable, Unreadable
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable
from lineage.plumbing.gc_pause import collector_put_off
from lineage.store.database.dialects import add_missing, backend_of, frugally, wait_for_turn, without_limits
from lineage.store.database.engine import check, connect, faults, sqlite_path, upgrade
from lineage.store.database.sql import among, chunks, storable
from lineage.store.database.tables import (
    Keys,
    approval,
    claim,
    fact,
    meta,
    name,
    plan,
    position,
    quarantine,
    ref,
    release,
    sighting,
)
from lineage.store.reading.reader import FACT, Reader, fact_of
from lineage.store.reading.sequence_gap_index import Sequences
from lineage.store.writing.projection import Outcome, Projection

_REMEMBERED: Final = 16_384  # decoded values; some 30 MB
_READ: Final = 50_000  # facts at once where all are
_PAGE: Final = 10_000  # rows that are fetched at once where there may be any number
_EDITION: Final = sa.select(meta.c.value).where(meta.c.name == "edition")
_POSITIONS: Final = sa.select(position.c.topic, position.c.partition, position.c.next_offset)
# One row at least, for there is an id always.
_PLACE: Final = (
    sa.select(position.c.topic, position.c.partition, position.c.next_offset, _EDITION.scalar_subquery())
    .select_from(meta.outerjoin(position, sa.true()))
    .where(meta.c.name == "id")
)
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)


class Quarantined(NamedTuple):
    """A record in quarantine."""

    id: int
    record: Unreadable
    released_at: Instant | None


class Stored(NamedTuple):
    """A fact with its place."""

    number: int
    fact: Fact


class Store:
    """Facts in SQL. Any thread may use it.

    The store never decides what a value means: ``decode`` reads a value that was accepted before.
    """

    def __init__(self, engine: Engine, secret: bytes, decode: Callable[[bytes], Event]) -> None:
        """Take an engine of a store of our version; ``open_store`` makes one."""
        self.engine = engine
        self._pinned: Connection | None = None
        self._log: bytes | None = None
        backend = backend_of(engine.dialect)
        self._reading, self._writing = backend.reading(engine), backend.writing(engine)
        # Questions about one incident read the same facts again and again.
        self._remembered = lru_cache(maxsize=_REMEMBERED)(decode)
        self.keys = Keys(secret)
        self._projection = Projection(self.keys, self.decode)
        self._sequences = Sequences()
        self._one_writer = threading.Lock()  # what the projection remembers goes with one transaction at a time

    def decode(self, value: bytes) -> Event:
        """A value that was accepted, as the event that it is.

        Raises:
            IntegrityError: It can no longer be read.
        """
        try:
            return self._remembered(value)
        except BadRecordError as error:
            raise IntegrityError(
                f"the store {self.url} is damaged: a fact cannot be read ({error}); run 'delegraph rebuild'"
            ) from error

    @property
    def url(self) -> str:
        """Where it is, without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def log(self) -> bytes | None:
        """The identity of the log that was projected here; None: none yet. It never changes once it is set."""
        if self._log is None:
            with self.connection() as connection:
                self._log = connection.execute(sa.select(meta.c.value).where(meta.c.name == "log")).scalar()
        return self._log

    @property
    def file(self) -> Path | None:
        """The file of a SQLite store."""
        return sqlite_path(self.url)

    def close(self) -> None:
        """Give the connections back."""
        if glance := self.__dict__.pop("glance", None):
            glance.close()
        self.engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._one_writer:
            try:
                with faults(self.engine), self._writing.begin() as connection:
                    yield connection
            except BaseException:
                self._projection.forget()  # whatever it thinks to have written was rolled back
                raise

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection that sees one moment of the store; for the modules of this package."""
        if self._pinned is not None:
            with faults(self.engine):
                yield self._pinned
            return
        with faults(self.engine), self._reading.connect() as connection:
            yield connection

    @contextmanager
    def frozen(self, *, frugal: bool = False) -> Iterator["Store"]:
        """The store as it is now, for as long as this lasts, whatever others write meanwhile.

        Args:
            frugal: Whether much is read once, so that none of it is to be kept in memory.
        """
        with self.connection() as connection, frugally(connection) if frugal else nullcontext():
            without_limits(connection)
            connection.execute(sa.select(position)).all()  # the first statement that reads fixes the moment
            yield self._pinned_to(connection)

    def _pinned_to(self, connection: Connection) -> "Store":
        """This store as a connection sees it, with what it remembers: decoded values and hashes stay what they are."""
        still = copy(self)
        vars(still).update(_pinned=connection, _sequences=Sequences())
        return still

    def grant_reader(self, role: str) -> None:
        """Let a role of the database read the store, and nothing else; harmless to repeat.

        Raises:
            RefusedError: There is no such role, or the database has none.
        """
        with self._write() as connection:
            backend_of(connection.dialect).grant_reader(connection, role)

    # Writing

    def bind(self, log: bytes) -> None:
        """Say which log is about to be projected: positions mean nothing in another.

        Raises:
            IntegrityError: The store has read another log.
        """
        if self.log is None:
            with self._write() as connection:
                add_missing(connection, meta, [("log", log)])
        if self.log != log:
            raise IntegrityError(
                f"the store {self.url} has read another log than this one; name that log with --log, "
                "or project this one into a store of its own"
            )

    def write(self, batch: Batch) -> Outcomes:
        """Write a batch of records and its positions, in one transaction.

        Returns:
            What became of the records.

        Raises:
            FencedError: Another consumer has moved a position; nothing was written.
            UnavailableError: The store is away, locked, read-only or full; nothing was written.
        """
        with self._write() as connection:
            return self._projection.write(connection, batch)

    def put_aside(self, records: Iterable[Unreadable]) -> None:
        """Write lines of files that the log never took to quarantine. What stands there already is not repeated."""
        with self._write() as connection:
            self._projection.put_aside(connection, records)

    def take_up(self, readable: Iterable[tuple[int, Readable]], released_at: Instant) -> None:
        """Take records of the log up from quarantine, where they can be read now: (quarantine id, record)."""
        records = dict(readable)
        with self._write() as connection:
            wait_for_turn(connection)
            taken_up = sa.select(release.c.quarantine).where(among(release.c.quarantine, list(records)))
            for id_ in connection.execute(taken_up).scalars().all():  # by somebody else, since they were read
                del records[id_]
            self._projection.write(connection, Batch(readable=list(records.values())))
            self._release(connection, records, released_at)
            new_edition(connection)

    def release(self, ids: Iterable[int], released_at: Instant) -> None:
        """Say of records in quarantine that the log holds them now."""
        with self._write() as connection:
            self._release(connection, ids, released_at)

    @staticmethod
    def _release(connection: Connection, ids: Iterable[int], released_at: Instant) -> None:
        add_missing(connection, release, [(id_, released_at) for id_ in sorted(ids)])

    def keep_plan(self, digest: str, document: Mapping[str, Any], made_at: Instant) -> None:
        """Keep a plan under its digest. The first moment at which it was made stands."""
        with self.connection() as connection:
            if connection.execute(sa.select(plan.c.digest).where(plan.c.digest == digest)).first():
                return
        with self._write() as connection:
            add_missing(connection, plan, [(digest, made_at, zlib.compress(canonical_json(document)))])

    def approve(self, digest: str, approved_by: str, approved_at: Instant) -> None:
        """Keep that somebody has approved a plan."""
        row = {"plan": storable(digest), "approved_by": storable(approved_by), "approved_at": approved_at}
        with self._write() as connection:
            connection.execute(approval.insert(), [row])

    def claim(self, revocation: str, value: bytes) -> bytes:
        """Claim the id of a revocation for an order. What was claimed first stands, and is what is returned."""
        with self._write() as connection:
            add_missing(connection, claim, [(storable(revocation), value)])
        return self.claimed(revocation) or value

    # Reading

    def approvals(self, digest: str, *, after: Instant, until: Instant) -> list[tuple[str, Instant]]:
        """Who has approved a plan after one moment and not after another, and when, the earliest first."""
        query = (
            sa.select(approval.c.approved_by, approval.c.approved_at)
            .where(approval.c.plan == storable(digest))
            .where(approval.c.approved_at > after, approval.c.approved_at <= until)
            .order_by(approval.c.approved_at, approval.c.id)
        )
        with self.connection() as connection:
            return [(who, when) for who, when in connection.execute(query)]

    def claimed(self, revocation: str) -> bytes | None:
        """The order that the id of a revocation was claimed for, or None."""
        with self.connection() as connection:
            query = sa.select(claim.c.value).where(claim.c.revocation == storable(revocation))
            return connection.execute(query).scalar()

    @contextmanager
    def reader(self, *, trust: TrustTable | None, known_at: Instant | None = None) -> Iterator[Reader]:
        """Facts as one moment of the store has them."""
        with collector_put_off(), self.connection() as connection:
            yield Reader(connection, self.keys, self.decode, trust=trust, known_at=known_at)

    def plan(self, digest: str) -> dict[str, Any] | None:
        """A plan that was kept, or None."""
        with self.connection() as connection:
            found = connection.execute(sa.select(plan.c.document).where(plan.c.digest == storable(digest))).scalar()
        return None if found is None else dict(json.loads(zlib.decompress(found)))

    def positions(self) -> dict[tuple[str, int], int]:
        """The offset that comes next, by topic and partition."""
        with self.connection() as connection:
            return {(topic, partition): following for topic, partition, following in connection.execute(_POSITIONS)}

    def standing(self) -> tuple[dict[tuple[str, int], int], Instant | None]:
        """The positions, and when the last projected record was recorded."""
        with self.connection() as connection:
            rows = connection.execute(sa.select(position)).all()
        return (
            {(row.topic, row.partition): row.next_offset for row in rows},
            max((row.recorded_at for row in rows), default=None),
        )

    def outcomes(self, first: int | None = None, last: int | None = None) -> Outcomes:
        """What became of the records of the log, or of those between two numbers, both included."""

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

    def quarantined(self, *, waiting: bool = True, after: int = 0, limit: int | None = None) -> list[Quarantined]:
        """Records in quarantine by id; with ``waiting`` only those that were not taken up since."""
        query = (
            sa.select(quarantine, release.c.released_at)
            .outerjoin(release, release.c.quarantine == quarantine.c.id)
            .where(quarantine.c.id > after)
            .order_by(quarantine.c.id)
            .limit(limit)
        )
        if waiting:
            query = query.where(release.c.quarantine.is_(None))
        with self.connection() as connection:
            return [
                Quarantined(
                    row.id,
                    Unreadable(
                        number=row.n,
                        origin=row.origin,
                        place=row.place,
                        recorded_at=row.recorded_at,
                        reason=row.reason,
                        detail=row.detail,
                        sha256=row.sha256,
                        size=row.size,
                        value=row.value,
                        headers=row.headers,
                        sources=None if row.sources is None else tuple(json.loads(row.sources)),
                    ),
                    row.released_at,
                )
                for row in connection.execute(query)
            ]

    def count_quarantined(self) -> int:
        """How many records are in quarantine and were not taken up since."""
        query = (
            sa.select(sa.func.count())
            .select_from(quarantine)
            .where(quarantine.c.id.not_in(sa.select(release.c.quarantine)))
        )
        with self.connection() as connection:
            return int(connection.execute(query).scalar_one())

    def conflicts(self) -> list[list[Fact]]:
        """The facts that share (source, event_id) and differ in content, in groups; each content once."""
        repeated = sa.select(fact.c.ident).group_by(fact.c.ident).having(sa.func.count() > 1)
        groups: dict[tuple[str, str], dict[Event, Fact]] = {}
        with self.connection() as connection:
            for found in self._facts(connection, sa.select(*FACT).where(fact.c.ident.in_(repeated))):
                event = found.fact.event
                contents = groups.setdefault((event.source, event.event_id), {})
                known = contents.setdefault(event, found.fact)
                if known.misrouted and not found.fact.misrouted:
                    contents[event] = found.fact
        return [list(groups[key].values()) for key in sorted(groups) if len(groups[key]) > 1]

    def facts(self, *, after: int = -1, limit: int | None = None) -> list[Stored]:
        """The facts in the order of their numbers, a page at a time."""
        with self.connection() as connection:
            return self._facts(connection, sa.select(*FACT).where(fact.c.n > after).order_by(fact.c.n).limit(limit))

    def every_fact(self) -> Iterator[Fact]:
        """All facts in the order of their numbers, read in parts; of a store that stands still."""
        after = -1
        while page := self.facts(after=after, limit=_READ):
            yield from (found.fact for found in page)
            after = page[-1].number

    def latest_facts(self, topic: str, partition: int, *, limit: int) -> list[Fact]:
        """The facts of a partition that came last, the latest first."""
        first, beyond = Position(topic, partition, 0).number, Position(topic, partition + 1, 0).number
        query = sa.select(*FACT).where(fact.c.n >= first, fact.c.n < beyond).order_by(fact.c.n.desc()).limit(limit)
        with self.connection() as connection:
            return [stored.fact for stored in self._facts(connection, query)]

    def _facts(self, connection: Connection, query: sa.Select[Any]) -> list[Stored]:
        return [Stored(row.n, fact_of(row, self.decode)) for row in connection.execute(query)]

    def facts_between(self, first: int, last: int) -> list[Fact]:
        """The facts with numbers between two, both included."""
        with self.connection() as connection:
            query = sa.select(*FACT).where(fact.c.n.between(first, last)).order_by(fact.c.n)
            return [found.fact for found in self._facts(connection, query)]

    def edition(self) -> bytes:
        """A value that is another whenever facts were put elsewhere than behind the positions.

        A rebuild does so, and taking records up from quarantine.
        """
        with self.connection() as connection:
            return connection.execute(_EDITION).scalar() or b""

    def place(self) -> tuple[bytes, dict[tuple[str, int], int]]:
        """The edition and the positions: as long as they are the same, so are the facts."""
        with self.connection() as connection:
            rows = connection.execute(_PLACE).all()
        positions = {(topic, partition): following for topic, partition, following, _ in rows if topic is not None}
        return rows[0][3] or b"", positions

    def facts_behind(self, positions: Mapping[tuple[str, int], int]) -> Iterator[Fact]:
        """The facts after some positions, in the order of each partition, then those repeated after them.

        A duplicate may be the record that the log took first, in another partition: then ``recorded_at`` is earlier
        than it was, and so may be when an order was given.
        """
        spans = list(self._spans_behind(positions))
        for first, last in spans:
            yield from self.facts_between(first, last)
        for first, last in spans:
            again = sa.select(sighting.c.fact).where(sighting.c.n.between(first, last))
            with self.connection() as connection:
                found = self._facts(connection, sa.select(*FACT).where(fact.c.n.in_(again)))
            yield from (stored.fact for stored in found)

    def _spans_behind(self, positions: Mapping[tuple[str, int], int]) -> Iterator[tuple[int, int]]:
        """The first and the last number that is projected behind some positions, by partition."""
        for (topic, partition), following in self.positions().items():
            first = positions.get((topic, partition), 0)
            if first < following:
                yield Position(topic, partition, first).number, Position(topic, partition, following - 1).number

    @cached_property
    def glance(self) -> Callable[[], object] | None:
        """Tells without waiting whether anything was committed; None: it takes asking the server."""
        return backend_of(self.engine.dialect).glance(self.engine)

    def mark(self) -> object:
        """A value that stays the same as long as the facts and the positions do."""
        with faults(self.engine):
            return self.place() if self.glance is None else self.glance()

    def search(self, text: str, *, limit: int, start: str | None = None) -> list[str]:
        """Keys (``KIND:ID``) that contain a text, whatever its case (of ASCII letters), sorted, from ``start`` on."""
        if text != storable(text):  # no key has such characters
            return []
        found: list[str] = []
        with self.connection() as connection:
            # What SQLite finds alike is alike but for the case of ASCII letters; lower() costs it twice the search.
            on_sqlite = connection.dialect.name == "sqlite"
            column = name.c.key if on_sqlite else sa.func.lower(name.c.key)
            # With repeats: telling all of them apart costs more than asking again behind those that came.
            query = (
                sa.select(name.c.key)
                .where(column.contains(text if on_sqlite else text.translate(_LOWER), autoescape=True))
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

    def sequence_holes(self, *, steps: int | None = None) -> list[tuple[Fact, Fact]] | None:
        """The facts before and after each hole in what a source numbers without gaps.

        Args:
            steps: How much to read at most of what no question has read yet (``sequences.STEP``); None: all of it.

        Returns:
            None: there is more to read, and no hole is known before that.
        """
        pairs = self._sequences.holes(self, steps=steps)
        if pairs is None:
            return None
        facts = self.facts_at([number for pair in pairs for number in pair])
        return [(facts[before], facts[after]) for before, after in pairs]

    def facts_at(self, numbers: Collection[int]) -> dict[int, Fact]:
        """Facts by their numbers."""
        with self.connection() as connection:
            return {
                found.number: found.fact
                for part in chunks(numbers)
                for found in self._facts(connection, sa.select(*FACT).where(among(fact.c.n, part)))
            }

    def sizes(self) -> dict[str, int]:
        """How many rows the tables have."""
        with self.connection() as connection:
            return {
                table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (fact, ref, sighting, quarantine, name, plan)
            }

    def count_quarantined_holding(self, text: str) -> int:
        """How many records in quarantine, not taken up since, hold a text in their bytes."""
        needle = sa.literal(text.encode(errors="surrogateescape"), sa.LargeBinary)
        waiting = quarantine.c.id.not_in(sa.select(release.c.quarantine))
        with self.connection() as connection:
            place = (
                sa.func.instr(quarantine.c.value, needle)
                if connection.dialect.name == "sqlite"
                else sa.func.position(needle.op("IN")(quarantine.c.value))
            )
            query = sa.select(sa.func.count()).select_from(quarantine).where(waiting, place > 0)
            return int(connection.execute(query).scalar_one())


def new_edition(connection: Connection) -> None:
    """Tell whoever keeps what the store holds in memory to read it anew."""
    connection.execute(meta.delete().where(meta.c.name == "edition"))
    connection.execute(meta.insert(), [{"name": "edition", "value": secrets.token_bytes(8)}])


def open_store(
    url: str, decode: Callable[[bytes], Event], *, create: bool = False, password: str | None = None
) -> Store:
    """Open a store; with ``create`` make it, or bring it up to this version, first.

    Args:
        url: ``sqlite:///path`` or ``postgresql://user@host/database``.
        decode: How a stored value is read.
        create: Whether to make what is missing.
        password: For PostgreSQL, instead of one in the URL.

    Raises:
        RefusedError: The URL cannot be used, or nobody is let in by it.
        UnavailableError: There is none, or it cannot be used; the message says what to do.
    """
    engine = connect(url, create=create, password=password)
    try:
        if create:
            upgrade(engine)
        return Store(engine, check(engine), decode)
    except BaseException:
        engine.dispose()
        raise
