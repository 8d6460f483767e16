"""One log for many threads: one at a time, opened when first asked.

While it is away nobody waits for it but a thread of its own, which opens it anew until it is there: a client that has
found nobody waits longer each time before it looks again.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from ingest.log.port import Entry, Log
from lineage.core.model.errors import DelegraphError, OverloadedError, UnavailableError
from lineage.core.model.records import Position, Slice

logger = logging.getLogger(__name__)

AWAY_SECONDS: Final = 2.0  # before it is looked for again
_TURN_SECONDS: Final = 30.0


class SharedLog:
    """A log that any thread may use."""

    def __init__(self, opening: Callable[[], Log]) -> None:
        """Take how it is opened; nothing is opened yet."""
        self._opening = opening
        self._log: Log | None = None
        self._lock = threading.Lock()
        self._away: str | None = None  # why
        self._closed = threading.Event()

    @contextmanager
    def _used(self) -> Iterator[Log]:
        self._refuse_away()
        if not self._lock.acquire(timeout=_TURN_SECONDS):
            raise OverloadedError("the log is in use by others for too long; try again")
        try:
            self._refuse_away()  # who was before us may have found out
            if self._log is None:
                self._log = self._opening()
            yield self._log
        except UnavailableError as fault:
            if self._away is None:
                self._away = str(fault)
                self._give_back()
                threading.Thread(target=self._look_for_it, name="delegraph-log", daemon=True).start()
            raise
        finally:
            self._lock.release()

    def _refuse_away(self) -> None:
        away = self._away
        if away is not None:
            raise UnavailableError(away)

    def _look_for_it(self) -> None:
        while not self._closed.wait(AWAY_SECONDS):
            try:
                log = self._opening()
                self._there(log)
            except DelegraphError as fault:
                self._away = str(fault)
            except Exception as fault:
                logger.exception("the log cannot be opened")
                self._away = f"the log cannot be opened: {type(fault).__name__}"
            else:
                return

    def _there(self, log: Log) -> None:
        try:
            log.ends()
        except BaseException:
            log.close()
            raise
        with self._lock:
            self._log, self._away = log, None
            if self._closed.is_set():
                self._give_back()

    def _give_back(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    @property
    def identity(self) -> bytes:
        """What tells this log from every other."""
        with self._used() as log:
            return log.identity

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries. A log that is away says so at once when it is asked, and only after long when it is told."""
        with self._used() as log:
            log.ends()
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
        self._closed.set()
        with self._lock:
            self._give_back()
