"""The memory of an adapter between records: bounded, and stored across restarts by its caller.

A memory contains knowledge, not state: it only grows, until the oldest entries are evicted. So the order of two
records does not matter, and reading a record again with a fuller memory yields the same events.

Two records that belong together (a token's digest and its accessor, a launch and its instance) share a topic and a
key. One states what it knows (``learn``), the other asks for it (``ask``); whichever comes second receives the other:

    >>> memory = Memory()
    >>> memory.ask("accessor", "digest-1", {"request": "r1"})  # unknown yet: the question waits
    >>> memory.learn("accessor", "digest-1", "accessor-1")     # the questions that waited for it
    [{'request': 'r1'}]
    >>> memory.ask("accessor", "digest-1", {"request": "r2"})
    'accessor-1'

Pure: no clock, no I/O. Values are JSON values.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from lineage.core.model.times import Instant

# Entries of one topic. A token's digest with its accessor has some 300 bytes: 60 MB at worst.
MOST_ENTRIES: Final = 200_000
# Questions that wait for one answer; further ones are dropped, and their records keep their gap.
MOST_WAITING: Final = 64
_WAITING: Final = "?"  # the prefix of a topic's waiting questions
_LATEST: Final = ("latest", "")


class MemoryRow(NamedTuple):
    """A stored entry: its value in JSON, None if it was dropped."""

    topic: str
    key: str
    value: str | None


class Memory:
    """The memory of one source's adapter."""

    def __init__(self, rows: Iterable[MemoryRow] = (), *, most: int = MOST_ENTRIES) -> None:
        """Load the stored entries, oldest first."""
        self._most = most
        self._topics: dict[str, dict[str, Any]] = {}
        self._changed: dict[tuple[str, str], bool] = {}  # whether it is stored under this key already
        for row in rows:
            if row.value is not None:
                self._topics.setdefault(row.topic, {})[row.key] = json.loads(row.value)

    @property
    def latest(self) -> Instant:
        """The latest time of any record so far, by the log's own clock; 0 before the first."""
        found: Instant = self.get(*_LATEST, 0)
        return found

    def advance(self, moment: Instant) -> None:
        """Note the time of a record."""
        if moment > self.latest:
            self.put(*_LATEST, moment)

    def get(self, topic: str, key: str, default: Any = None) -> Any:
        """Return the value of a key."""
        return self._topics.get(topic, {}).get(key, default)

    def put(self, topic: str, key: str, value: Any, *, most: int | None = None) -> None:
        """Set the value of a key. The oldest entry of a full topic is evicted."""
        entries = self._topics.setdefault(topic, {})
        self._changed[topic, key] = self._changed.pop((topic, key), key in entries)  # last, as among the entries
        entries.pop(key, None)
        entries[key] = value
        if len(entries) > (most or self._most):
            self.drop(topic, next(iter(entries)))

    def drop(self, topic: str, key: str) -> Any:
        """Delete an entry, and return its value; None if there was none."""
        entries = self._topics.get(topic, {})
        if key not in entries:
            return None
        if not self._changed.setdefault((topic, key), True):
            del self._changed[topic, key]  # it was never stored
        return entries.pop(key)

    def is_new(self, topic: str, key: str) -> bool:
        """Whether this key occurs for the first time. It is remembered."""
        if key in self._topics.get(topic, {}):
            return False
        self.put(topic, key, 1)
        return True

    def oldest(self, topic: str) -> tuple[str, Any] | None:
        """Return the oldest entry of a topic."""
        return next(iter(self._topics.get(topic, {}).items()), None)

    def size(self, topic: str) -> int:
        """Return the number of entries of a topic."""
        return len(self._topics.get(topic, {}))

    def entries(self, topic: str) -> Iterator[tuple[str, Any]]:
        """Yield the entries of a topic, oldest first. They may be deleted or replaced during the iteration."""
        yield from list(self._topics.get(topic, {}).items())

    def learn(self, topic: str, key: str, value: Any) -> list[Any]:
        """Remember an answer, and return the questions that waited for it. A later answer is ignored."""
        if self.get(topic, key) is None:
            self.put(topic, key, value)
        return self.drop(_WAITING + topic, key) or []

    def ask(self, topic: str, key: str, question: Any) -> Any:
        """Return the answer; None if it is unknown, and then the question waits for it."""
        answer = self.get(topic, key)
        if answer is None:
            waiting = self.get(_WAITING + topic, key, [])
            if question not in waiting and len(waiting) < MOST_WAITING:
                self.put(_WAITING + topic, key, [*waiting, question])
        return answer

    def waiting(self, topic: str) -> Iterator[tuple[str, Any]]:
        """Yield every waiting question with its key, the oldest key first. They keep waiting."""
        for key, questions in self.entries(_WAITING + topic):
            for question in questions:
                yield key, question

    def changes(self) -> list[MemoryRow]:
        """Return the changes since the last call, for storing. Stored entries must be loaded in this order."""
        rows = [MemoryRow(topic, key, self._kept(topic, key)) for topic, key in self._changed]
        self._changed.clear()
        return rows

    def _kept(self, topic: str, key: str) -> str | None:
        value = self.get(topic, key)
        return None if value is None else json.dumps(value, separators=(",", ":"), default=dict)
