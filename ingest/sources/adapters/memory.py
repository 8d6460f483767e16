"""What an adapter remembers between records: bounded, and kept over a restart by whoever runs the adapter.

A memory holds knowledge, never state: what it knows only grows, until the oldest entries make room. So it does not
matter in which order two records come, and reading a record again with a fuller memory gives the same events.

Two records that belong together (a token's digest and its accessor, a launch and what was launched) meet under a
topic and a key. One side says what it knows (``learn``), the other what it waits for (``ask``); whichever comes
second is handed the other:

    >>> memory = Memory()
    >>> memory.ask("accessor", "digest-1", {"request": "r1"})  # nothing known yet: the question waits
    >>> memory.learn("accessor", "digest-1", "accessor-1")     # the questions that waited for it
    [{'request': 'r1'}]
    >>> memory.ask("accessor", "digest-1", {"request": "r2"})
    'accessor-1'

Pure: no clock, no I/O. Values are what JSON can hold.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from lineage.core.model.times import Instant

# Entries of one topic. A token's digest with its accessor has some 300 bytes: 60 MB at worst.
MOST_ENTRIES: Final = 200_000
# Questions that wait for one answer; further ones are dropped, and the records they are of keep their gap.
MOST_WAITING: Final = 64
_WAITING: Final = "?"  # in front of a topic: the questions that wait in it
_LATEST: Final = ("latest", "")


class Row(NamedTuple):
    """An entry as it is kept: its value in JSON, None when it was dropped."""

    topic: str
    key: str
    value: str | None


class Memory:
    """What the adapter of one source remembers."""

    def __init__(self, rows: Iterable[Row] = (), *, most: int = MOST_ENTRIES) -> None:
        """Start with what was kept, the oldest entry first."""
        self._most = most
        self._topics: dict[str, dict[str, Any]] = {}
        self._changed: dict[tuple[str, str], bool] = {}  # whether it is kept under this key already
        for row in rows:
            if row.value is not None:
                self._topics.setdefault(row.topic, {})[row.key] = json.loads(row.value)

    @property
    def latest(self) -> Instant:
        """The latest time of any record so far, by the log's own clock; 0 before the first."""
        found: Instant = self.get(*_LATEST, 0)
        return found

    def advance(self, moment: Instant) -> None:
        """Say that a record has this time."""
        if moment > self.latest:
            self.put(*_LATEST, moment)

    def get(self, topic: str, key: str, default: Any = None) -> Any:
        """What is remembered under a key."""
        return self._topics.get(topic, {}).get(key, default)

    def put(self, topic: str, key: str, value: Any, *, most: int | None = None) -> None:
        """Remember a value under a key, in place of what was there. The oldest entry of a full topic makes room."""
        entries = self._topics.setdefault(topic, {})
        self._changed[topic, key] = self._changed.pop((topic, key), key in entries)  # last, as among the entries
        entries.pop(key, None)
        entries[key] = value
        if len(entries) > (most or self._most):
            self.drop(topic, next(iter(entries)))

    def drop(self, topic: str, key: str) -> Any:
        """Forget an entry, and say what it was; None if there was none."""
        entries = self._topics.get(topic, {})
        if key not in entries:
            return None
        if not self._changed.setdefault((topic, key), True):
            del self._changed[topic, key]  # nobody has kept it yet
        return entries.pop(key)

    def is_new(self, topic: str, key: str) -> bool:
        """Whether this key comes for the first time. It is remembered."""
        if key in self._topics.get(topic, {}):
            return False
        self.put(topic, key, 1)
        return True

    def oldest(self, topic: str) -> tuple[str, Any] | None:
        """The oldest entry of a topic."""
        return next(iter(self._topics.get(topic, {}).items()), None)

    def size(self, topic: str) -> int:
        """How many entries a topic has."""
        return len(self._topics.get(topic, {}))

    def entries(self, topic: str) -> Iterator[tuple[str, Any]]:
        """The entries of a topic, the oldest first. They may be dropped or replaced meanwhile."""
        yield from list(self._topics.get(topic, {}).items())

    def learn(self, topic: str, key: str, value: Any) -> list[Any]:
        """Remember an answer, and hand out the questions that waited for it. A later answer is not taken."""
        if self.get(topic, key) is None:
            self.put(topic, key, value)
        return self.drop(_WAITING + topic, key) or []

    def ask(self, topic: str, key: str, question: Any) -> Any:
        """The answer; None if it is not known yet, and then the question waits for it."""
        answer = self.get(topic, key)
        if answer is None:
            waiting = self.get(_WAITING + topic, key, [])
            if question not in waiting and len(waiting) < MOST_WAITING:
                self.put(_WAITING + topic, key, [*waiting, question])
        return answer

    def waiting(self, topic: str) -> Iterator[tuple[str, Any]]:
        """Every question that waits, with its key, the oldest key first. They go on waiting."""
        for key, questions in self.entries(_WAITING + topic):
            for question in questions:
                yield key, question

    def changes(self) -> list[Row]:
        """What changed since this was asked last, for whoever keeps it. Kept entries must come back in this order."""
        rows = [Row(topic, key, self._kept(topic, key)) for topic, key in self._changed]
        self._changed.clear()
        return rows

    def _kept(self, topic: str, key: str) -> str | None:
        value = self.get(topic, key)
        return None if value is None else json.dumps(value, separators=(",", ":"), default=dict)
