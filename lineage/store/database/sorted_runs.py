"""The index of facts in sorted runs: what a batch writes fits into the cache, however large the store is.

A B-tree of random keys costs more the larger it is: a batch changes nearly every page of it. So the first column of
every index is the run, and new entries go to the newest one. When that is large enough, another one is started. A
look-up searches every run; there are a handful.

On SQLite every index is a table of its own, and runs are merged: entries are moved from some runs to a new one, in
order and a few thousand at a time. Every step is a transaction in which each entry is moved from one run to the other,
so a look-up finds it once at any time, and a process that is killed leaves a smaller merge, which the next step
continues. A complete run receives entries only while others are merged into it.

On PostgreSQL the run is a column of ``fact`` and of ``sorted_ref``, the first of their indexes. A run is complete when
its indexes fill about half of the server's page cache, and it is not small. Runs are not merged, so there are only so
many: the last one has whatever comes then.

A batch asks only the runs that may have its keys (``writing.run_filters``), and so does a question with many keys on
PostgreSQL (``key_runs``).

The view ``ref`` has the columns without the run, so that statements are the same on both databases.
"""

import secrets
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, count
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, SmallInteger, Table
from sqlalchemy.engine import Connection
from sqlalchemy.sql.visitors import replacement_traverse

from lineage.plumbing.key_filter import words_for
from lineage.store.database import postgres
from lineage.store.database.dialects import OnSQLite, add, in_array, lateral_for_each, values_of
from lineage.store.database.key_runs import IN_RUNS, keys_by_run, possible_runs
from lineage.store.database.run_function import IN_RUNS_ON_SQLITE, runs_of_each
from lineage.store.database.sqlite import add_to_run
from lineage.store.database.tables import UPWARD, fact, ref

HOT: Final = 200_000  # facts after which the newest run is complete on SQLite: its pages still fit into the cache
# Runs of one level that are merged into one of the next level. With 8, a fact of the first twelve million is merged
# once, and of the first hundred million twice.
FAN: Final = 8
BYTES_OF_CACHE: Final = 640  # of PostgreSQL's page cache for each fact of a run: twice what its entries take
# A run on PostgreSQL has at least this many facts: every run makes questions slower, and a smaller index is in the page
# cache of the operating system anyway.
LEAST_FACTS: Final = 4_000_000
# On PostgreSQL there are up to 32 runs if the filters of so many fit into the memory of a consumer, as those of the
# smallest do (128 million facts), and else at least 12: without a filter, each of them is searched for every key.
MOST_RUNS: Final = 32
_MOST_WITHOUT_FILTERS: Final = 12
MOST_WORDS: Final = 1 << 27  # of all filters in memory: 1 GiB
KEYS_PER_FACT: Final = 3
_MOST_IN_A_BYTE: Final = 127

Row = tuple[Any, ...]

on_sqlite = MetaData()


def _sorted(name: str, *columns: Column[int]) -> Table:
    """Describe a table of entries, whose primary key consists of all its columns, the run first."""
    return Table(name, on_sqlite, Column("run", SmallInteger), *columns)


# The runs. New entries go to the one on level 0.
run = Table(
    "run",
    on_sqlite,
    Column("id", Integer, primary_key=True),
    Column("level", SmallInteger, nullable=False),  # a run of level 2 was merged from some of level 1
    Column("facts", BigInteger, nullable=False),  # whose entries it received
    Column("target", Integer),  # the run into which it is being merged
    Column("mark", BigInteger),  # random, since it is complete and nothing is merged into it any more
)

# The filters of complete runs: which keys they may have.
filter_on_sqlite = Table(
    "run_filter",
    on_sqlite,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),  # random
    # The mark of the run of whose keys it has some. A run that was merged has the filters of those that were merged
    # until it has one of its own, and always either all of them or none.
    Column("of", BigInteger, nullable=False),
    Column("words", Integer, nullable=False),  # how many it has in all its parts
    # 1 if it has all keys by which entries are found; 0 without those that only entries without a bound mention, which
    # writers do not look up: built by a version before 0028.
    Column("whole", SmallInteger, nullable=False, server_default="0"),
)

# The words of a filter of keys, in parts, so that none takes long to write.
filter_part = Table(
    "run_filter_part",
    on_sqlite,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("words", LargeBinary, nullable=False),
)

# The entries of ``ref``.
sorted_ref = _sorted(
    "sorted_ref",
    Column("key", BigInteger),
    Column("until", Integer),
    Column("role", SmallInteger),
    Column("about", BigInteger),
    Column("n", BigInteger),
)
# The facts by the hash of their subject, with their bounds.
sorted_about = _sorted("sorted_about", Column("key", BigInteger), Column("until", Integer), Column("n", BigInteger))
# The facts by the hash of their identity.
sorted_ident = _sorted("sorted_ident", Column("key", BigInteger), Column("n", BigInteger))

# What the entries of the roles UPWARD say, by the element: once for each fact, whatever their bounds.
sorted_upward = _sorted(
    "sorted_upward",
    Column("about", BigInteger),
    Column("key", BigInteger),
    Column("role", SmallInteger),
    Column("n", BigInteger),
)

SORTED: Final = (sorted_ref, sorted_about, sorted_ident, sorted_upward)

# PostgreSQL

on_postgresql = MetaData()

# The runs there. New entries go to the one on level 0; level 1 is complete, nobody adds to it any more.
run_on_postgresql = Table(
    "run",
    on_postgresql,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("level", SmallInteger, nullable=False),
    Column("facts", BigInteger, nullable=False),  # about how many it has
    Column("mark", BigInteger, nullable=False),  # random, so that a run of a rebuilt store is another one
    # How far ``key_runs`` are written, in blocks, and how many bits of a key do not say its block; all runs of an octet
    # have the same.
    Column("shift", SmallInteger),
    Column("cleared", Integer, nullable=False, server_default="0"),
)

# Complete runs whose ``key_runs`` are written, so that they are not searched for keys that they do not have.
IS_NARROWED: Final = sa.and_(
    run_on_postgresql.c.shift.is_not(None),
    run_on_postgresql.c.cleared == sa.literal_column("1 << (64 - shift)", Integer),
)

# For complete runs: which keys they may have.
run_filter = Table(
    "run_filter",
    on_postgresql,
    Column("mark", BigInteger, primary_key=True, autoincrement=False),
    Column("words", LargeBinary, nullable=False),  # of a ``KeyFilter``
)

# The table ``fact`` with the run in which each fact was written.
fact_in_run = Table(
    "fact", on_postgresql, *(Column(column.name, column.type) for column in fact.c), Column("run", SmallInteger)
)

_CACHE: Final = sa.func.pg_size_bytes(sa.func.current_setting("shared_buffers"))
_RUNS: Final = "SELECT id FROM run ORDER BY id"
# Every run is searched for each key, by one scan of the index.
_IN_ANY_RUN: Final[sa.ColumnElement[bool]] = sa.literal_column(f"fact.run = ANY (ARRAY({_RUNS}))", sa.Boolean)

# Keys to look up, and the runs in which to look for them: on SQLite for all of them in each of the runs.
_asked_keys: Final = values_of("keys")
_asked_runs: Final = values_of("runs")

# On PostgreSQL for each in the run with the same place.
asked = (
    sa.func.unnest(
        sa.cast(sa.bindparam("runs"), sa.ARRAY(SmallInteger)), sa.cast(sa.bindparam("keys"), sa.ARRAY(BigInteger))
    )
    .table_valued(sa.column("run", SmallInteger), sa.column("key", BigInteger))
    .render_derived(name="asked")
)


def asked_rows(
    table: Table,
    column: Column[int],
    columns: list[sa.ColumnElement[Any]],
    *where: sa.ColumnElement[bool],
    group_by: Column[int] | None = None,
) -> sa.Select[Any]:
    """Select columns of the rows of a table in which a column is one of the keys, in the run asked for each."""
    rows = sa.select(*columns).where(table.c.run == asked.c.run, column == asked.c.key, *where)
    if group_by is not None:
        rows = rows.group_by(group_by)
    return lateral_for_each(asked, rows.correlate(asked))


def in_asked(table: Table, column: Column[int]) -> sa.ColumnElement[bool]:
    """Build the condition on SQLite that a column of entries is one of the keys, in the runs that are asked."""
    return sa.and_(table.c.run.in_(_asked_runs), column.in_(_asked_keys))


def highest_in_asked() -> sa.Select[Any]:
    """Select on SQLite the highest bound of each key that has one, among entries that mention it and those about it.

    In each run that is asked, that takes one look-up in each index, however many entries it has.
    """
    runs, keys = _asked_runs.subquery("in_runs"), _asked_keys.subquery("of_keys")
    highest = sa.func.max(
        *(
            sa.func.coalesce(
                sa.select(sa.func.max(table.c.until))
                .where(table.c.run == runs.c.key, table.c.key == keys.c.key)
                .scalar_subquery(),
                0,
            )
            for table in (sorted_ref, sorted_about)
        )
    )
    found = sa.select(keys.c.key, highest.label("until")).select_from(runs).join(keys, sa.true()).subquery()
    return sa.select(found).where(found.c.until > 0)


# Look-ups


by_about = sa.table("by_about", sa.column("key", BigInteger), sa.column("until", Integer), sa.column("n", BigInteger))
by_ident = sa.table("by_ident", sa.column("key", BigInteger), sa.column("n", BigInteger))
by_child = sa.table(
    "by_child",
    sa.column("about", BigInteger),
    sa.column("key", BigInteger),
    sa.column("role", SmallInteger),
    sa.column("n", BigInteger),
)


def _in_any_run(column: sa.ColumnElement[int], keys: sa.Select[int]) -> sa.ColumnElement[bool]:
    """Build the condition that a column of ``fact`` is one of some keys, on PostgreSQL.

    As arrays, because for a join the planner, without statistics, would read all of each run.
    """
    array = sa.func.array(keys.scalar_subquery(), type_=sa.ARRAY(BigInteger))
    return sa.and_(_IN_ANY_RUN, column == sa.any_(array))


def facts_about(
    dialect: str,
    keys: sa.Select[int],
    columns: Sequence[sa.ColumnElement[Any]],
    *where: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    """Select columns of the facts whose subject has one of some hashes.

    Args:
        dialect: The name of the database, ``IN_RUNS`` or ``IN_RUNS_ON_SQLITE``.
        keys: Selects the hashes, as ``key``.
        columns: Columns of ``fact``.
        where: Further conditions.
    """
    if dialect == IN_RUNS_ON_SQLITE:
        entries = rows_in_runs(keys.subquery(), sorted_about, sorted_about.c.key, [sorted_about.c.n])
        return sa.select(*columns).where(fact.c.n.in_(entries), *where)
    if dialect != IN_RUNS:
        numbers = sa.select(by_about.c.n).where(by_about.c.key.in_(keys))
        return sa.select(*columns).where(OnSQLite(fact.c.n.in_(numbers), _in_any_run(fact.c.about, keys)), *where)
    asked_for = keys_by_run(keys.subquery())
    found = (sa.literal_column("fact.run") == asked_for.c.id, fact.c.about == sa.any_(asked_for.c["keys"]))
    return lateral_for_each(asked_for, sa.select(*columns).where(*found, *where).correlate(asked_for))


def rows_in_runs(
    keys: sa.FromClause,
    table: sa.FromClause,
    column: sa.ColumnElement[int],
    columns: Sequence[sa.ColumnElement[Any]],
    *where: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    """Select on SQLite columns of the entries in which a column is one of some keys, in the runs that may have it."""
    possible = runs_of_each(keys.c.key)
    found = (table.c.run == possible.c.value, column == keys.c.key)
    return sa.select(*columns).select_from(keys).join(possible, sa.true()).join(table, sa.and_(*found)).where(*where)


def about_is(key: sa.ColumnElement[int] | int) -> sa.ColumnElement[bool]:
    """Build the condition that the subject of a fact has a hash."""
    numbers = sa.select(by_about.c.n).where(by_about.c.key == key)
    return OnSQLite(fact.c.n.in_(numbers), sa.and_(_IN_ANY_RUN, fact.c.about == key))


def ident_among(keys: sa.Select[int]) -> sa.ColumnElement[bool]:
    """Build the condition that the identity of a fact has one of some hashes."""
    numbers = sa.select(by_ident.c.n).where(by_ident.c.key.in_(keys))
    return OnSQLite(fact.c.n.in_(numbers), _in_any_run(fact.c.ident, keys))


def found_by(
    dialect: str,
    column: sa.ColumnElement[int],
    keys: sa.FromClause | str,
    columns: Sequence[sa.ColumnElement[Any]],
    *where: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    """Select the rows in which a column is one of some keys, by one index lookup for each key and run.

    PostgreSQL's planner, without statistics for a table, assumes that the other conditions are selective and compares
    every such row with every key. ``OFFSET 0`` in a lateral join prevents that. SQLite has no lateral join and does not
    need one.

    Args:
        dialect: The name of the database, ``IN_RUNS`` or ``IN_RUNS_ON_SQLITE``.
        column: The column: ``key`` of ``ref``, or ``about`` of what ``upward`` returns.
        keys: A table with the column ``key``, or the name of the parameter with the keys.
        columns: The columns to select.
        where: Further conditions.
    """
    if dialect == "sqlite":
        if isinstance(keys, str):
            return sa.select(*columns).where(in_array(column, keys), *where)
        if isinstance(keys, sa.CTE):  # SQLite's planner begins with the recursive table, which it must not have in IN
            return sa.select(*columns).join(keys, column == keys.c.key).where(*where)
        return sa.select(*columns).where(column.in_(sa.select(keys.c.key)), *where)
    each = values_of(keys).subquery() if isinstance(keys, str) else keys
    if dialect == IN_RUNS_ON_SQLITE:
        entries = _IN_RUN[column.table] if isinstance(column, sa.ColumnClause) else _ref_in_run
        return rows_in_runs(each, entries, _in_run(column), [*map(_in_run, columns)], *map(_in_run, where))
    if dialect != IN_RUNS:
        return lateral_for_each(each, sa.select(*columns).where(column == each.c.key, *where).correlate(each))
    possible = possible_runs(each)
    found = (_in_run(column) == each.c.key, _ref_in_run.c.run == possible.c.id, *map(_in_run, where))
    rows = sa.select(*map(_in_run, columns)).where(*found).correlate(each, possible)
    return lateral_for_each(sa.join(each, possible, sa.true()), rows)


_ref_in_run: Final = sorted_ref.alias("ref")
_child_in_run: Final = sorted_upward.alias("by_child")
_IN_RUN: Final[dict[Any, sa.FromClause]] = {ref: _ref_in_run, by_child: _child_in_run}


def _in_run(expression: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Replace the views ``ref`` and ``by_child`` by the tables with the runs."""

    def replaced(element: Any, **_: Any) -> Any:
        entries = _IN_RUN.get(element.table) if isinstance(element, sa.ColumnClause) else None
        return None if entries is None else entries.c[element.key]

    changed: sa.ColumnElement[Any] = replacement_traverse(expression, {}, replaced)
    return changed


def upward(dialect: str, role: int) -> tuple[sa.FromClause, tuple[sa.ColumnElement[bool], ...]]:
    """Return where the way up is found (``about``, ``key``, ``n``), and the condition for a role of UPWARD.

    On PostgreSQL the condition is worded like the partial index, so that it is used.
    """
    if dialect in ("sqlite", IN_RUNS_ON_SQLITE):
        return by_child, (by_child.c.role == sa.literal_column(str(role)),)
    return ref, (is_upward(ref.c.role, role),)


def is_upward(column: sa.ColumnElement[int], role: int) -> sa.ColumnElement[bool]:
    """Build the condition for a role of UPWARD, worded like PostgreSQL's partial index."""
    return sa.and_(
        column.in_([sa.literal_column(str(each)) for each in UPWARD]), column == sa.literal_column(str(role))
    )


def repeated_idents(dialect: str, among: Collection[int] | None = None) -> sa.Select[int]:
    """Select the hashes of identities that several facts have, of all or of some.

    Args:
        dialect: The name of the database.
        among: The hashes to look at; None for all.
    """
    column = by_ident.c.key if dialect == "sqlite" else fact.c.ident
    repeated = sa.select(column).group_by(column).having(sa.func.count() > 1)
    if among is not None:
        return repeated.where(in_array(column, among) if dialect == "sqlite" else _in_any_run(column, values_of(among)))
    if dialect == "sqlite":
        return repeated
    # Within one run the index has the identities in order, so a store of one run needs no sorting or hashing.
    runs = sa.select(sa.func.count()).select_from(run_on_postgresql).scalar_subquery()
    in_one = sa.select(fact_in_run.c.ident).group_by(fact_in_run.c.run, fact_in_run.c.ident)
    found = sa.union(in_one.having(sa.func.count() > 1), repeated.where(runs > 1)).subquery()
    return sa.select(found.c.ident)


class Entries(NamedTuple):
    """The sorted entries of facts in the index on SQLite, besides those of ``ref``; the number of the fact comes last.

    Attributes:
        upward: What is found on the way up.
        about: The facts by subject.
        ident: The facts by identity.
    """

    upward: list[Row]
    about: list[Row]
    ident: list[Row]

    def without(self, numbers: AbstractSet[int]) -> "Entries":
        """Leave out the entries of some facts."""
        return Entries(*([row for row in rows if row[-1] not in numbers] for rows in self))


def add_facts(connection: Connection, facts: list[Row], refs: list[Row], entries: Entries | None, into: int) -> None:
    """Add new facts and their entries.

    Args:
        connection: In a transaction of a writer.
        facts: Rows of ``fact``.
        refs: Rows of ``ref``, sorted.
        entries: The other entries on SQLite; on PostgreSQL, where they are indexes of ``fact``, None.
        into: The newest run, on PostgreSQL.
    """
    if entries is None:
        _add_to_run(connection, fact_in_run, [(*row, into) for row in facts])
        _add_to_run(connection, sorted_ref, [(into, *row) for row in refs])
        return
    add(connection, fact, facts)
    add_entries(connection, len(facts), refs, entries)


def _add_to_run(connection: Connection, table: sa.Table, rows: list[Row]) -> None:
    if rows:
        postgres.add(connection, table, list(table.c), rows)


def add_entries(connection: Connection, facts: int, refs: list[Row], entries: Entries) -> None:
    """Add the entries of some number of new facts on SQLite, where that completes a run."""
    newest = newest_run(connection)
    add_to_run(connection, sorted_ref, newest, refs)
    for table, rows in zip((sorted_upward, sorted_about, sorted_ident), entries, strict=True):
        add_to_run(connection, table, newest, rows)
    _count(connection, newest, facts)


def add_raised(connection: Connection, refs: list[Row]) -> None:
    """Add further rows of ``ref`` for facts that have entries already; rows that exist are not added again."""
    if not refs:
        return
    newest = newest_run(connection)
    if connection.dialect.name == "sqlite":
        add_to_run(connection, sorted_ref, newest, refs)
    else:
        postgres.add_missing(connection, sorted_ref, list(sorted_ref.c), [(newest, *row) for row in refs])


def newest_run(connection: Connection) -> int:
    """Return the run that receives new entries."""
    return int(connection.execute(sa.select(run.c.id).where(run.c.level == 0)).scalar_one())


def count_in_turn(connection: Connection, newest: int, facts: int) -> None:
    """Count the facts of the newest run on PostgreSQL, and start another one when it is complete.

    Args:
        connection: In the turn of a writer, whose entries are written: nobody may add to the run afterwards.
        newest: The run.
        facts: How many facts were added to it.
    """
    grown = run_on_postgresql.update().where(run_on_postgresql.c.id == newest)
    grown = grown.values(facts=run_on_postgresql.c.facts + facts)
    runs = sa.select(sa.func.count()).select_from(run_on_postgresql.alias()).scalar_subquery()
    row = connection.execute(grown.returning(run_on_postgresql.c.facts, _CACHE, runs)).one()
    counted, bytes_of_cache, existing = row
    if counted < LEAST_FACTS or counted * BYTES_OF_CACHE < bytes_of_cache or existing >= _most_runs(bytes_of_cache):
        return
    # With a mark that nobody has seen: if the database loses this transaction and others follow instead, what was read
    # of the run until then is not taken for its content.
    complete = run_on_postgresql.update().where(run_on_postgresql.c.id == newest)
    connection.execute(complete.values(level=1, mark=new_mark()))
    another = {"id": newest + 1, "level": 0, "facts": 0, "mark": new_mark()}
    connection.execute(run_on_postgresql.insert(), [another])


_BY_LEVEL: Final = sa.select(run).order_by(run.c.level, run.c.id)


def _most_runs(bytes_of_cache: int) -> int:
    """Return how many runs there may be on a PostgreSQL server with a page cache of a size."""
    facts = max(LEAST_FACTS, bytes_of_cache // BYTES_OF_CACHE)
    return min(max(MOST_WORDS // words_for(facts * KEYS_PER_FACT), _MOST_WITHOUT_FILTERS), MOST_RUNS)


def new_mark() -> int:
    """Return a mark for a run that no other run has."""
    return int.from_bytes(secrets.token_bytes(8), "big", signed=True)


def _count(connection: Connection, newest: int, facts: int) -> None:
    """Count the facts of the newest run, and start another one when it is complete."""
    connection.execute(run.update().where(run.c.id == newest).values(facts=run.c.facts + facts))
    complete = run.update().where(run.c.id == newest, run.c.facts >= HOT).values(level=1, mark=new_mark())
    if connection.execute(complete).rowcount:
        _start(connection, level=0, facts=0)


def _start(connection: Connection, *, level: int, facts: int, is_last: bool = False) -> int:
    """Start a run with the smallest free number, which takes the least space in its entries.

    Args:
        connection: In a transaction of a writer on SQLite.
        level: Its level.
        facts: Its facts.
        is_last: Whether it rather gets a number higher than all others, as long as that takes one byte. Sorted entries
            are inserted in three quarters of the time at the end of a table.
    """
    used = set(connection.execute(sa.select(run.c.id)).scalars())
    id_ = next(number for number in count(1) if number not in used)
    if is_last and max(used) < _MOST_IN_A_BYTE:
        id_ = max(used) + 1
    connection.execute(run.insert(), [{"id": id_, "level": level, "facts": facts}])
    return id_


class IndexRuns(NamedTuple):
    """The state of the index.

    Attributes:
        runs: The number of runs.
        waiting: The number of facts whose entries wait to be merged or are being merged; 0 on PostgreSQL.
        is_full: Whether no further run is started, however many facts are added: on PostgreSQL.
    """

    runs: int
    waiting: int
    is_full: bool


def state_of(connection: Connection) -> IndexRuns:
    """Return the state of the index."""
    if connection.dialect.name != "sqlite":
        existing, cache = connection.execute(sa.select(sa.func.count(), _CACHE).select_from(run_on_postgresql)).one()
        return IndexRuns(existing, 0, existing >= _most_runs(cache))
    runs = connection.execute(sa.select(run)).all()
    complete = [each for each in runs if each.level]
    waiting = sum(each.facts for each in complete if each.target is not None)
    for level in {each.level for each in complete}:
        ready = [each for each in _ready(complete) if each.level == level]
        waiting += sum(each.facts for each in ready[: len(ready) // FAN * FAN])
    return IndexRuns(len(runs), waiting, is_full=False)


class Merged(NamedTuple):
    """What a step has done.

    Attributes:
        entries: How many entries were moved.
        merges: How many merges are under way.
    """

    entries: int
    merges: int


def merge_some(connection: Connection, most: int, *, turn: int = 0, patient: bool = False) -> Merged | None:
    """Move some entries of runs that are being merged, beginning a merge if one is due.

    Args:
        connection: In a transaction of a writer on SQLite.
        most: About the most entries to move.
        turn: A number that is higher in each step, so that all merges under way get on.
        patient: Whether a merge waits for the filters of its runs, which cannot be built once it has begun, but only
            until one more run is complete.

    Returns:
        What was done; None if no merge is due.
    """
    runs = connection.execute(_BY_LEVEL).all()
    ready = _ready(runs)
    for level in sorted({each.level for each in ready}):
        of_level = [each for each in ready if each.level == level]
        if len(of_level) < FAN:
            continue
        filtered = _filtered(connection, [each.mark for each in of_level])
        # First those with filters: they are the oldest, and the filter of the merged run may have been made of theirs.
        due = sorted(of_level, key=lambda each: each.mark not in filtered)[:FAN]
        if not patient or len(of_level) > FAN or len(filtered) == FAN:
            target = _start(connection, level=level + 1, facts=sum(each.facts for each in due), is_last=True)
            merged = run.c.id.in_([each.id for each in due])
            connection.execute(run.update().where(merged).values(target=target))
            runs = connection.execute(_BY_LEVEL).all()
            break
    under_way = list(dict.fromkeys(each.target for each in runs if each.target is not None))
    if not under_way:
        return None
    target = under_way[turn % len(under_way)]
    sources = [each.id for each in runs if each.target == target]
    for table in SORTED:
        if moved := _move(connection, table, sources, target, most):
            return Merged(moved, len(under_way))
    _finish(connection, target)
    return Merged(0, len(under_way))


def _filtered(connection: Connection, marks: Sequence[int]) -> set[int]:
    """Return those marks of whose runs there are filters."""
    of = filter_on_sqlite.c.of
    return {*connection.execute(sa.select(of).where(of.in_(marks))).scalars()}


def _finish(connection: Connection, target: int) -> None:
    """Delete the runs that were merged into another, which takes over their filters if each of them has any."""
    mark = new_mark()
    sources = connection.execute(sa.select(run.c.mark).where(run.c.target == target)).scalars().all()
    if _filtered(connection, sources) == {*sources}:
        taken = filter_on_sqlite.update().where(filter_on_sqlite.c.of.in_(sources)).values(of=mark)
        connection.execute(taken)
    connection.execute(run.delete().where(run.c.target == target))
    connection.execute(run.update().where(run.c.id == target).values(mark=mark))


def _ready(runs: Any) -> list[Any]:
    """The complete runs that are neither being merged nor still receiving entries of others, oldest level first."""
    targets = {each.target for each in runs}
    return [each for each in runs if each.level and each.target is None and each.id not in targets]


def _move(connection: Connection, table: sa.Table, sources: list[int], target: int, most: int) -> int:
    """Move the first entries of some runs to another; they all come before those that remain.

    Statements are text, because building them would take a seventh of the time of a step.
    """
    columns = ", ".join(column.name for column in table.c if column.name != "run")
    marks = ", ".join("?" for column in table.c if column.name != "run")
    name = table.name
    # In each run the entry that is this far from its beginning; the first of these has fewer than `most` before it.
    nth = f"SELECT {columns} FROM {name} WHERE run = ? ORDER BY {columns} LIMIT 1 OFFSET ?"  # noqa: S608 (names)
    offset = max(most // len(sources), 1)
    found = [connection.exec_driver_sql(nth, (source, offset)).first() for source in sources]
    beyond = min((tuple(row) for row in found if row is not None), default=())
    which = "run = ?" + (f" AND ({columns}) < ({marks})" if beyond else "")
    values = [(source, *beyond) for source in sources]
    # Sorted run by run; one range of several runs would be read more slowly.
    entries = " UNION ALL ".join([f"SELECT {columns} FROM {name} WHERE {which}"] * len(sources))  # noqa: S608
    # An entry may be in several runs; it need not be twice in one.
    insert = f"INSERT OR IGNORE INTO {name} (run, {columns}) SELECT {target}, * FROM ({entries}) ORDER BY {columns}"  # noqa: S608
    connection.exec_driver_sql(insert, tuple(chain.from_iterable(values)))
    delete = f"DELETE FROM {name} WHERE {which}"  # noqa: S608
    return sum(connection.exec_driver_sql(delete, each).rowcount for each in values)
