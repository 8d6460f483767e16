"""A log shared by many threads: one at a time uses it, and it is opened on first use.

While the log is unavailable, callers fail at once, and a background thread reopens it until that succeeds.
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

AWAY_SECONDS: Final = 2.0  # between attempts to reopen it
_TURN_SECONDS: Final = 30.0


class SharedLog:
    """A thread-safe log."""

    def __init__(self, opening: Callable[[], Log]) -> None:
        """Remember how to open the log; it is not opened yet."""
        self._opening = opening
        self._log: Log | None = None
        self._lock = threading.Lock()
        self._away: str | None = None  # why it is unavailable
        self._closed = threading.Event()

    @contextmanager
    def _used(self) -> Iterator[Log]:
        self._refuse_unavailable()
        if not self._lock.acquire(timeout=_TURN_SECONDS):
            raise OverloadedError("other requests have been using the log for too long; try again")
        try:
            self._refuse_unavailable()  # the thread before us may have found it unavailable
            if self._log is None:
                self._log = self._opening()
            yield self._log
        except UnavailableError as fault:
            if self._away is None:
                self._away = str(fault)
                self._release()
                threading.Thread(target=self._reopen, name="delegraph-log", daemon=True).start()
            raise
        finally:
            self._lock.release()

    def _refuse_unavailable(self) -> None:
        away = self._away
        if away is not None:
            raise UnavailableError(away)

    def _reopen(self) -> None:
        while not self._closed.wait(AWAY_SECONDS):
            try:
                log = self._opening()
                self._adopt(log)
            except DelegraphError as fault:
                self._away = str(fault)
            except Exception as fault:
                logger.exception("the log cannot be opened")
                self._away = f"the log cannot be opened: {type(fault).__name__}"
            else:
                return

    def _adopt(self, log: Log) -> None:
        try:
            log.ends()
        except BaseException:
            log.close()
            raise
        with self._lock:
            self._log, self._away = log, None
            if self._closed.is_set():
                self._release()

    def _release(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    @property
    def identity(self) -> bytes:
        """Identifies this log among all others."""
        with self._used() as log:
            return log.identity

    def append(self, entries: Iterable[Entry]) -> list[Position]:
        """Append entries. ``ends`` is called first because, if the log is unavailable, it fails much sooner."""
        with self._used() as log:
            log.ends()
            return log.append(entries)

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        """Read records of a partition from an offset on."""
        with self._used() as log:
            return log.read(topic, partition, offset, limit=limit)

    def erase(self, topic: str, offsets: Iterable[int]) -> int:
        """Remove records that retention deleted, if the log can; return how many it removed."""
        with self._used() as log:
            return log.erase(topic, offsets)

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record, by topic and partition."""
        with self._used() as log:
            return log.ends()

    def begins(self) -> dict[tuple[str, int], int]:
        """The offset of the first record that was not deleted in the log itself, by topic and partition."""
        with self._used() as log:
            return log.begins()

    def close(self) -> None:
        """Close the log, and stop trying to reopen it."""
        self._closed.set()
        with self._lock:
            self._release()
