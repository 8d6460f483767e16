"""In which runs of the index on SQLite a key may be: readers ask the filters of complete runs, which writers build.

A recursive statement does not know its keys in advance, so it calls a function of the connection for each of them
(``database.run_function``). The function answers from filters in memory. A process loads them once it has opened some
readers, the smallest first, up to a limit: a command that asks one question loads none, and the runs of the filters
that do not fit are always searched.

A filter belongs to the mark of a run, and a run with a mark never gets a further key. So what is in memory is true for
every snapshot in which a run has that filter, and which run has which filter is read from the snapshot of the reader.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy.engine import Connection

from lineage.plumbing.key_filter import FiltersOfMany, KeyFilter
from lineage.store.database.dialects import Row
from lineage.store.database.run_filters import FilteredRuns, load_filter, rows_on_sqlite, runs_of_rows
from lineage.store.database.run_function import RUNS_OF

_READERS_BEFORE: Final = 20  # that a process opens before it loads a filter: a command opens fewer
_MOST_WORDS: Final = 1 << 23  # 64 MiB in all: the filters of some five million facts, and those of the smallest runs
_FEWEST: Final = 3  # runs that need not be searched for every key: with fewer, asking takes as long as searching
_REMEMBERED: Final = 20_000  # keys of which a connection knows the runs: 3 MB


class _AskedRuns:
    """Says for a key in which runs of a snapshot it may be, as a JSON array."""

    def __init__(self, always: Sequence[int], filtered: dict[int, list[KeyFilter]]) -> None:
        """Ask some runs always, and each of the others if one of its filters may have the key."""
        self.narrowed = len(filtered)
        runs_of: dict[int, tuple[KeyFilter, int]] = {}
        for run, filters in filtered.items():
            for each in filters:
                runs_of[id(each)] = (each, runs_of.get(id(each), (each, 0))[1] | 1 << run)
        self._filters = FiltersOfMany(runs_of.values())
        self._always = sum(1 << run for run in always)
        self._texts: dict[int, str] = {}

    def runs_of(self, key: int) -> str:
        """Return the runs of a key; hot path."""
        runs = self._filters.places(key) | self._always
        text = self._texts.get(runs)
        if text is None:
            text = self._texts[runs] = str([place for place in range(runs.bit_length()) if runs >> place & 1])
        return text


class _RunsOfKeys(dict[int, str]):
    """What a connection was told about keys, for the snapshot of its transaction: they are asked about repeatedly."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = _AskedRuns([], {})

    def answer_for(self, asked: _AskedRuns) -> None:
        """Answer for a snapshot; what is known stays if it has the same runs."""
        if asked is not self.asked:
            self.clear()
            self.asked = asked

    def __missing__(self, key: int) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        found = self[key] = self.asked.runs_of(key)
        return found


class PossibleRuns:
    """The filters that a process has loaded for its readers. Thread-safe."""

    def __init__(self, of_writers: Callable[[int], KeyFilter | None]) -> None:
        """Begin with none.

        Args:
            of_writers: Returns the filter with a mark if the writers of this process have loaded it.
        """
        self._of_writers = of_writers
        self._loaded: dict[int, KeyFilter] = {}
        self._readers = 0
        self._latest: tuple[list[Row], _AskedRuns] | None = None  # of the rows that were read last, if all is loaded

    def prepare(self, connection: Connection) -> int:
        """Let the function of a connection answer for the snapshot that it reads.

        Args:
            connection: In a transaction of a reader on SQLite.

        Returns:
            How many runs need not be searched for keys that they do not have; 0 if the function is not to be used.
        """
        self._readers += 1
        if self._readers <= _READERS_BEFORE:
            return 0
        rows = rows_on_sqlite(connection)
        latest = self._latest
        if latest is not None and latest[0] == rows:
            asked = latest[1]
        else:
            now = runs_of_rows(rows)
            asked, is_whole = self._asked(connection, now)
            self._latest = (rows, asked) if is_whole else None
        if asked.narrowed < _FEWEST:
            return 0
        known: _RunsOfKeys | None = connection.info.get(RUNS_OF)
        if known is None:
            known = connection.info[RUNS_OF] = _RunsOfKeys()
            raw: Any = connection.connection.driver_connection
            raw.create_function(RUNS_OF, 1, known.__getitem__, deterministic=True)
        known.answer_for(asked)
        return asked.narrowed

    def _asked(self, connection: Connection, now: FilteredRuns) -> tuple[_AskedRuns, bool]:
        """Return which runs to ask, and whether all filters are loaded; one more of them is."""
        left, wanted = _MOST_WORDS, []
        for mark, size in sorted(now.words.items(), key=lambda each: (each[1], each[0])):
            if size <= left and mark not in now.for_writers:
                left -= size
                wanted.append((mark, size))
        known = self._loaded
        loaded = {mark: found for mark, _ in wanted if (found := known.get(mark) or self._of_writers(mark)) is not None}
        for mark, size in wanted:
            if mark not in loaded:
                found = load_filter(connection, mark)
                if len(found) == size:  # or the store is damaged, as `fsck` says
                    loaded[mark] = found
                break
        self._loaded = loaded
        filtered = {
            run: [loaded[mark] for mark in marks]
            for run, marks in now.filters.items()
            if all(mark in loaded for mark in marks)
        }
        always = [run for run in now.ids if run not in filtered]
        return _AskedRuns(always, filtered), len(loaded) == len(wanted)
