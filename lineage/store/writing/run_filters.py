"""Which runs of the index a batch has to ask for its keys, so that it does not read all of them.

A complete run, to which nobody adds any more, gets a filter of the keys that writers look up: the identities and the
subjects of its facts, and what has a bound in its rows of ``ref``. A run without a filter is always asked. A filter
never misses a key: an identity that is not found would be accepted twice, and a bound that is not found would hide a
living child from a revocation. On SQLite readers use it too (``reading.possible_runs``), so there it has everything
that is mentioned in ``ref``, also without a bound. A filter of a version before, which has not, is built again.

A filter is built from the run itself, a part after each batch, and belongs to the mark that the run got when it became
complete, which no other run ever has. If the process ends before it is stored, the next one begins again.

On SQLite runs are merged. Only a run that is not being merged gets a filter, because what is read of it later would be
less than it had. As long as its entries are moved, and until the run into which they were moved has a filter of its
own, its filter answers for both runs. A filter is stored in parts there, of which none takes long to write, and is used
once all of them are stored.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection

from lineage.plumbing.key_filter import KeyFilter, bits_of
from lineage.store.database.dialects import CHUNK, chunks, rows_found
from lineage.store.database.run_filters import DueRun, FilteredRuns, load_filter, rows_on_sqlite, runs_of_rows
from lineage.store.database.sorted_runs import (
    IS_NARROWED,
    KEYS_PER_FACT,
    MOST_WORDS,
    fact_in_run,
    filter_on_sqlite,
    filter_part,
    new_mark,
    run,
    run_filter,
    run_on_postgresql,
    sorted_about,
    sorted_ident,
    sorted_ref,
)
from lineage.store.writing.filter_groups import FilterGroups, folded, for_merging, is_united

_STEP: Final = 10_000  # keys that are read at a time
_FEW: Final = 1_000  # records for which no filter is loaded: an order should not wait for megabytes
_LEAST: Final = -(1 << 63)
_WORDS_OF_PART: Final = 1 << 19  # 4 MiB, which is written as fast as some 30,000 keys are read
_KEYS_OF_PART: Final = 30_000
# A rebuild that replaces the runs locks the filters, and waits for whoever has read a run: do not wait for it in turn.
_BRIEFLY: Final = "SET LOCAL lock_timeout = '200ms'"

_ON_POSTGRESQL: Final = (
    sa.select(
        run_on_postgresql.c.id,
        run_on_postgresql.c.level,
        run_on_postgresql.c.facts,
        run_on_postgresql.c.mark,
        IS_NARROWED.label("narrowed"),
        (sa.func.length(run_filter.c.words) // 8).label("words"),
    )
    .outerjoin(run_filter, run_filter.c.mark == run_on_postgresql.c.mark)
    .order_by(run_on_postgresql.c.id)
)
_WORDS: Final = sa.select(run_filter.c.words).where(run_filter.c.mark == sa.bindparam("mark"))


def _keys_of(table: sa.Table, column: sa.Column[int], *where: sa.ColumnElement[bool]) -> sa.Select[int]:
    """Select keys of a run in order, from one on."""
    of_run = sa.select(column).where(table.c.run == sa.bindparam("run"), *where)
    return of_run.where(column >= sa.bindparam("first")).order_by(column).limit(sa.bindparam("most"))


_BOUNDED: Final = _keys_of(sorted_ref, sorted_ref.c.key, sorted_ref.c.until > 0)
# On SQLite the filters are also for readers, who look up everything that is mentioned.
_OF_FACTS: Final = (_keys_of(sorted_ident, sorted_ident.c.key), _keys_of(sorted_about, sorted_about.c.key))
_SOURCES: Final = {
    "postgresql": (_keys_of(fact_in_run, fact_in_run.c.ident), _keys_of(fact_in_run, fact_in_run.c.about), _BOUNDED),
    "sqlite": (*_OF_FACTS, _keys_of(sorted_ref, sorted_ref.c.key)),
}
_FOR_WRITERS: Final = (*_OF_FACTS, _BOUNDED)
_ORPHANS: Final = (
    sa.select(filter_part.c.mark, filter_part.c.part)
    .where(filter_part.c.mark.not_in(sa.select(filter_on_sqlite.c.mark)))
    .limit(1)
)


def _read(connection: Connection) -> FilteredRuns:
    if connection.dialect.name == "sqlite":
        return runs_of_rows(rows_on_sqlite(connection))
    return _read_on_postgresql(connection)


def _read_on_postgresql(connection: Connection) -> FilteredRuns:
    rows = connection.execute(_ON_POSTGRESQL).all()
    filtered = [each for each in rows if each.words is not None]
    [newest] = [each.id for each in rows if each.level == 0]
    return FilteredRuns(
        newest,
        [each.id for each in rows],
        {each.id: [each.mark] for each in filtered},
        {each.mark: each.words for each in filtered},
        [DueRun(each.id, each.facts, each.mark) for each in rows if each.level and each.words is None],
        is_wide=any(each.level and not each.narrowed for each in rows),
    )


class RunsToAsk(NamedTuple):
    """The runs at the beginning of a batch.

    Attributes:
        newest: The run to which it adds.
        unfiltered: All runs that are always asked, the newest among them.
        filters: The filters, each with the other runs of which it has keys. The filters of a run have all its keys.
        groups: Further ones, in groups with a filter of all their keys, which is asked first.
        in_pairs: Whether statements get each key together with a run, as on PostgreSQL.
    """

    newest: int
    unfiltered: list[int]
    filters: list[tuple[KeyFilter, list[int]]]
    groups: list[tuple[KeyFilter, list[tuple[KeyFilter, list[int]]]]]
    in_pairs: bool

    def asked(self, keys: Collection[int]) -> Iterator[dict[str, list[int]]]:
        """Yield the parameters of statements that look up keys (``sorted_runs.asked``, ``in_asked``), in parts.

        Every key is looked up once in each run that may have it, and in the newest one.
        """
        possible: defaultdict[int, set[int]] = defaultdict(set)
        with_bits = [(key, bits_of(key)) for key in keys] if self.filters or self.groups else []
        parts = [(self.filters, with_bits)]
        for group, members in self.groups:
            parts.append((members, [(key, bits_of(key)) for key in group.possible(with_bits)]))
        for filters, asked in parts:
            for each, ids in filters:
                if some := each.possible(asked):
                    for id_ in ids:
                        possible[id_].update(some)
        if self.in_pairs:
            found = [(id_, keys) for id_ in self.unfiltered] + [*possible.items()]
            runs = [id_ for id_, some in found for _ in some]
            in_runs = [key for _, some in found for key in some]
            for start in range(0, len(runs), CHUNK):
                yield {"runs": runs[start : start + CHUNK], "keys": in_runs[start : start + CHUNK]}
            return
        for part in chunks(keys):
            yield {"runs": self.unfiltered, "keys": part}
        for id_, some_keys in possible.items():
            for part in chunks(sorted(some_keys)):
                yield {"runs": [id_], "keys": part}


@dataclass(slots=True)
class _Building:
    """A filter that is being built: how far the keys of its run were read, and how much of it is stored.

    Attributes:
        run: The run.
        filter: The filter.
        mark: The mark of the filter, on SQLite.
        is_large: Whether it is still to be united with others, and folded.
        source: The column that is read.
        first: The lowest key that was not read of it.
        stored: How many parts are stored.
    """

    run: DueRun
    filter: KeyFilter
    mark: int
    is_large: bool = False
    source: int = 0
    first: int = _LEAST
    stored: int = 0


class RunFilters:
    """The filters that a process has loaded, and those that it builds. For one transaction at a time."""

    def __init__(self) -> None:
        """Begin with none."""
        self._loaded: dict[int, KeyFilter] = {}
        self._building: dict[int, _Building] = {}  # by the mark of the run
        self._groups = FilterGroups()
        self.due: list[int] = []  # the marks of the runs without a filter of their own, when they were last read
        self.is_wide = False  # whether ``key_runs`` of a complete run were not all written then
        self._has_orphans = True  # until we have looked: of a process that was killed while it stored one

    def runs(self, connection: Connection, records: int) -> RunsToAsk:
        """Read which runs there are, and load filters that are new if that is worth it for the records of a batch."""
        now = self._noted(_read(connection))
        wanted: dict[int, int] = {}
        for mark, size in sorted(now.words.items(), key=lambda each: each[1]):
            if sum(wanted.values()) + size <= MOST_WORDS:  # the largest runs are asked without one
                wanted[mark] = size
        self._loaded = {mark: found for mark, found in self._loaded.items() if mark in wanted}
        if records > _FEW:
            for mark in wanted.keys() - self._loaded.keys():
                found = _load(connection, mark)
                if len(found) == wanted[mark]:  # or the store is damaged, as `fsck` says
                    self._loaded[mark] = found
        runs_of: defaultdict[int, list[int]] = defaultdict(list)
        unfiltered: list[int] = []
        for id_ in now.ids:
            marks = now.filters.get(id_, [])
            if not marks or not self._loaded.keys() >= {*marks}:
                unfiltered.append(id_)
                continue
            for mark in marks:
                runs_of[mark].append(id_)
        groups = [
            (united, [(self._loaded[mark], runs_of.pop(mark)) for mark in marks & runs_of.keys()])
            for united, marks in self._groups
            if len(marks & runs_of.keys()) > 1
        ]
        filters = [(self._loaded[mark], ids) for mark, ids in runs_of.items()]
        return RunsToAsk(now.newest, unfiltered, filters, groups, connection.dialect.name != "sqlite")

    def loaded(self, mark: int) -> KeyFilter | None:
        """Return a filter if it is in memory; for readers in other threads."""
        return self._loaded.get(mark)

    def _noted(self, now: FilteredRuns) -> FilteredRuns:
        self.due = [each.mark for each in now.due]
        self.is_wide = now.is_wide
        going_on = {mark: each for mark, each in self._building.items() if mark in self.due}
        if len(going_on) < len(self._building):  # the run is merged, or another process has stored its filter
            self._has_orphans = True
        self._building = going_on
        return now

    @property
    def is_due(self) -> bool:
        """Whether there is something to do, as far as is known."""
        return bool(self.due) or self._has_orphans

    def build_some(self, connection: Connection, most: int) -> int:
        """Continue to build a filter, and store it when it is complete.

        Args:
            connection: In a transaction of a writer.
            most: About how many keys to read.

        Returns:
            About how many were read; 0 if nothing is left to do.
        """
        # Read again, since what is read below is only the whole of a run that is not being merged.
        known = self._noted(_read(connection))
        if not known.due:
            return self._delete_orphan(connection)
        # A larger one takes many batches, and is not lost.
        least = min(known.due, key=lambda each: (each.facts, each.id))
        sources = _SOURCES[connection.dialect.name]
        if least.mark not in self._building:
            filters = known.filters.get(least.id, [])
            self._building[least.mark] = self._begin(least, filters, len(sources), connection.dialect.name)
        now, done = self._building[least.mark], 0
        while done < most:
            if now.source == len(sources):
                if now.is_large and done:  # uniting takes as long as a step
                    break
                done += _KEYS_OF_PART
                if now.is_large:
                    self._groups.unite(now.mark, now.filter, known.filters.values())
                    now.filter, now.is_large = folded(now.filter, least.facts), False
                    continue
                if self._store_some(connection, now):
                    del self._building[least.mark]
                    break
                continue
            keys = _some_keys(connection, sources[now.source], now.run.id, now.first)
            now.filter.add({*keys})
            done += max(len(keys), 1)
            now.source, now.first = (now.source, keys[-1] + 1) if _goes_on(keys) else (now.source + 1, _LEAST)
        return done

    def _begin(self, due: DueRun, filters: Collection[int], sources: int, dialect: str) -> _Building:
        """Begin to build the filter of a run, which may have those of the runs that were merged into it."""
        if dialect == "sqlite":
            if (united := self._groups.take(filters)) is not None:
                return _Building(due, united, new_mark(), source=sources)
            if is_united(due.facts):
                return _Building(due, for_merging(), new_mark(), is_large=True)
        return _Building(due, KeyFilter.for_keys(due.facts * KEYS_PER_FACT), new_mark())

    def _store_some(self, connection: Connection, built: _Building) -> bool:
        """Store a filter or a part of it, unless another process has, or the run belongs to a store that was replaced.

        Returns:
            Whether it is stored.
        """
        if connection.dialect.name != "sqlite":
            _store_on_postgresql(connection, built)
            self.due.remove(built.run.mark)
            return True
        first = built.stored * _WORDS_OF_PART
        if first < len(built.filter):
            words = built.filter.dump(first, first + _WORDS_OF_PART)
            connection.execute(filter_part.insert(), [{"mark": built.mark, "part": built.stored, "words": words}])
            built.stored += 1
            return False
        parts = sa.select(sa.func.count()).where(filter_part.c.mark == built.mark)
        if connection.execute(parts).scalar_one() != built.stored:  # a transaction that stored some was not committed
            built.mark, built.stored = new_mark(), 0
            return False
        connection.execute(filter_on_sqlite.delete().where(filter_on_sqlite.c.of == built.run.mark))
        row = {"mark": built.mark, "of": built.run.mark, "words": len(built.filter), "whole": 1}
        connection.execute(filter_on_sqlite.insert(), [row])
        if sum(map(len, self._loaded.values())) + len(built.filter) <= MOST_WORDS:
            self._loaded[built.mark] = built.filter  # not used if this transaction is not committed
        self.due.remove(built.run.mark)
        self._has_orphans = True
        return True

    def _delete_orphan(self, connection: Connection) -> int:
        """Delete a part of a filter that is not used any more, where no process may still be storing it."""
        if connection.dialect.name == "sqlite" and self._has_orphans:
            marks = sa.select(run.c.mark).where(run.c.mark.is_not(None))
            connection.execute(filter_on_sqlite.delete().where(filter_on_sqlite.c.of.not_in(marks)))
            for mark, part in connection.execute(_ORPHANS).all():
                connection.execute(filter_part.delete().where(filter_part.c.mark == mark, filter_part.c.part == part))
                return _KEYS_OF_PART
        self._has_orphans = False
        return 0


def _some_keys(connection: Connection, source: sa.Select[int], run: int, first: int) -> list[int]:
    values = {"run": run, "first": first, "most": _STEP}
    if connection.dialect.name == "sqlite":
        return [key for (key,) in rows_found(connection, source, values)]
    # As one value: reading rows takes twice the time of adding their keys.
    keys: list[int] = connection.execute(sa.select(sa.func.array(source.scalar_subquery())), values).scalar_one()
    return keys


def _goes_on(keys: list[int]) -> bool:
    """Return whether there may be keys beyond some that were read."""
    return len(keys) == _STEP and keys[-1] < -_LEAST - 1


def _load(connection: Connection, mark: int) -> KeyFilter:
    if connection.dialect.name == "sqlite":
        return load_filter(connection, mark)
    return KeyFilter.load(b"".join(connection.execute(_WORDS, {"mark": mark}).scalars()))


def _store_on_postgresql(connection: Connection, built: _Building) -> None:
    """Store a filter.

    Raises:
        OperationalError: The table of filters is locked; the next attempt goes on from here.
    """
    connection.exec_driver_sql(_BRIEFLY)
    words = sa.literal(built.filter.dump(), sa.LargeBinary)
    complete = (run_on_postgresql.c.mark == built.run.mark, run_on_postgresql.c.level > 0)
    rows = sa.select(run_on_postgresql.c.mark, words).where(*complete)
    stored = postgresql.insert(run_filter).from_select(["mark", "words"], rows)
    connection.execute(stored.on_conflict_do_nothing())


def denied_keys(connection: Connection) -> Iterator[tuple[int, int]]:
    """Yield each run whose filters deny keys of it, and how many: there should be none."""
    now = _read(connection)
    for id_, marks in now.filters.items():
        kept = [_load(connection, mark) for mark in marks]
        if [len(each) for each in kept] != [now.words[mark] for mark in marks]:
            kept = []
        denied = 0
        is_whole = now.for_writers.isdisjoint(marks)
        for source in _SOURCES[connection.dialect.name] if is_whole else _FOR_WRITERS:
            first, goes_on = _LEAST, True
            while goes_on:
                keys = _some_keys(connection, source, id_, first)
                left = {*keys}
                for each in kept:
                    left.difference_update(each.possible((key, bits_of(key)) for key in keys))
                denied += len(left)
                goes_on = _goes_on(keys)
                first = keys[-1] + 1 if goes_on else _LEAST
        if denied:
            yield id_, denied
