"""The clock of the database server, which all processes over one store share.

A process whose own clock is ahead would publish a scheduled lift before its time, and skip what seems to have expired.
Without a server, with SQLite, the clock of this machine counts.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from lineage.core.model.errors import UnavailableError
from lineage.core.model.times import SECOND, Instant
from lineage.store.server_info import database_of
from lineage.store.store import Store

logger = logging.getLogger(__name__)

TOLERATED_SECONDS: Final = 5.0  # a clock that differs by more is reported
_ASK_SECONDS: Final = 10.0  # how often the server is asked; in between its time is counted with a monotonic clock


class ServerClock:
    """Returns the time of a store's server. Thread-safe.

    Attributes:
        ahead_seconds: By how much the clock of this machine was ahead of it when it was last asked; 0 without a server.
    """

    def __init__(
        self, store: Store, local: Callable[[], Instant], *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a clock; nothing is asked before the first reading.

        Args:
            store: The store.
            local: The clock of this machine.
            monotonic: A monotonic clock.
        """
        self.ahead_seconds = 0.0
        self._store, self._local, self._monotonic = store, local, monotonic
        self._lock = threading.Lock()
        self._asked: tuple[float, Instant] | None = None
        self._ask_at = float("-inf")
        self._is_reported = False

    def __call__(self) -> Instant:
        """Return the time, by an answer of the server that is at most ten seconds old.

        Raises:
            UnavailableError: The server has never answered.
        """
        with self._lock:
            if self._monotonic() >= self._ask_at:
                try:
                    return self._ask()
                except UnavailableError:
                    if self._asked is None:
                        raise
                    self._ask_at = self._monotonic() + _ASK_SECONDS  # its time is counted further
            if self._asked is None:
                return self._local()
            asked_at, answer = self._asked
            return answer + int((self._monotonic() - asked_at) * SECOND)

    def ask(self) -> Instant:
        """Return the time, by an answer to this call: that of all processes that ask, even if it was just set.

        Raises:
            UnavailableError: The server does not answer.
        """
        with self._lock:
            return self._ask()

    def _ask(self) -> Instant:
        began = self._monotonic()
        answer = database_of(self._store).now
        ended = self._monotonic()
        self._ask_at = ended + _ASK_SECONDS
        if answer is None:
            return self._local()
        self._asked = (began + ended) / 2, answer
        self.ahead_seconds = (self._local() - answer) / SECOND
        is_off = abs(self.ahead_seconds) > TOLERATED_SECONDS + (ended - began)
        if is_off and not self._is_reported:
            logger.warning(
                "the clock of this machine is %.0f s %s that of the database server, which counts: set it",
                abs(self.ahead_seconds),
                "ahead of" if self.ahead_seconds > 0 else "behind",
            )
        self._is_reported = is_off
        return answer
