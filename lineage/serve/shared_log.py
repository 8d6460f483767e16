"""One log for many threads: one at a time, opened when first asked, and not asked again at once when it is away."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from ingest.log import Entry, Log
from lineage.core.errors import UnavailableError
from lineage.core.records import Position, Slice

AWAY_SECONDS: Final = 2.0  # what was away is away for so long, so that questions do not all wait for it
_TURN_SECONDS: Final = 30.0


class SharedLog:
    """A log that any thread may use."""

    def __init__(self, opening: Callable[[], Log], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take how it is opened; nothing is opened yet."""
        self._opening = opening
        self._monotonic = monotonic
        self._log: Log | None = None
        self._lock = threading.Lock()
        self._away: tuple[float, str] | None = None  # since when, and why

    @contextmanager
    def _used(self) -> Iterator[Log]:
        self._refuse_away()
        if not self._lock.acquire(timeout=_TURN_SECONDS):
            raise UnavailableError("the log is in use by others for too long; try again")
        try:
            self._refuse_away()  # who was before us may have found out
            if self._log is None:
                self._log = self._opening()
            yield self._log
        except UnavailableError as fault:
            self._away = (self._monotonic(), str(fault))
            raise
        finally:
            self._lock.release()

    def _refuse_away(self) -> None:
        away = self._away
        if away is not None and self._monotonic() - away[0] < AWAY_SECONDS:
            raise UnavailableError(away[1])

    @property
    def identity(self) -> bytes:
        """What tells this log from every other."""
        with self._used() as log:
            return log.identity

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries."""
        with self._used() as log:
            return log.append(entries)

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """Records of a partition from an offset on."""
        with self._used() as log:
            return log.read(topic, partition, offset, limit=limit)

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record, by topic and partition."""
        with self._used() as log:
            return log.ends()

    def close(self) -> None:
        """Give back what it holds."""
        with self._lock:
            if self._log is not None:
                self._log.close()
                self._log = None
