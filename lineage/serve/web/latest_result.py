"""The latest result of a computation that may take longer than a page: it is repeated in the background.

A result says as of when it is known. After a computation there is a pause of several times as long as it took, so that
it uses a small share of a processor. If it fails, the error is logged, and the last result is kept.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Final, NamedTuple

from lineage.core.model.times import Instant

logger = logging.getLogger(__name__)

FRESH: Final = 60_000_000  # microseconds for which a result is shown again
PAUSE: Final = 5.0  # the least seconds between the end of a computation and its repetition
SHARE: Final = 10  # the pause is at least this many times as long as the computation took


class Result(NamedTuple):
    """A current value, what it was made from, and when."""

    basis: Hashable
    at: Instant
    value: Any

    def is_fresh(self, basis: Hashable, at: Instant) -> bool:
        """Whether it is shown again at a time, although it was made before."""
        return self.basis == basis and 0 <= at - self.at < FRESH


class Known(NamedTuple):
    """What is known of a computation.

    Attributes:
        result: The latest result; None if there is none yet.
        is_fresh: Whether that is current.
        has_failed: Whether the last attempt failed.
    """

    result: Result | None
    is_fresh: bool
    has_failed: bool = False


class Latest:
    """The latest result of a computation."""

    def __init__(
        self,
        name: str,
        compute: Callable[[Instant], Any],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the latest result of a computation.

        Args:
            name: What is computed, for the log.
            compute: Computes it as of a time.
            monotonic: A monotonic clock.
        """
        self._name = name
        self._compute = compute
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._result: Result | None = None
        self._outdated: tuple[Hashable, Instant] | None = None  # what was asked for last, if no result was current
        self._has_failed = False
        self._is_running = False
        self._paused_until = monotonic()

    def at(self, basis: Hashable, now: Instant, *, is_quick: bool) -> Known:
        """Return the latest result; it is computed now if that is quick, else ``renew`` computes it.

        Args:
            basis: What it depends on besides the time.
            now: The time of the result.
            is_quick: Whether it takes no longer than a page may.
        """
        result = self._result
        if result is not None and result.is_fresh(basis, now):
            self._outdated = None
            return Known(result, is_fresh=True)
        if is_quick:
            result = self._result = Result(basis, now, self._compute(now))
            return Known(result, is_fresh=True)
        self._outdated = basis, now
        return Known(result, is_fresh=False, has_failed=self._has_failed)

    def renew(self, later: Callable[[Callable[[], object]], object]) -> None:
        """Compute the result that was asked for and was not current, unless that is running or paused.

        It is not begun by ``at``, so that it does not compete for the processor with the page that asks.

        Args:
            later: Runs something in the background.
        """
        with self._lock:
            outdated = self._outdated
            if outdated is None or self._is_running or self._monotonic() < self._paused_until:
                return
            if self._result is not None and self._result.is_fresh(*outdated):  # it was running when it was asked for
                return
            self._outdated, self._is_running = None, True
        later(partial(self._repeat, *outdated))

    def _repeat(self, basis: Hashable, now: Instant) -> None:
        begun = self._monotonic()
        try:
            self._result = Result(basis, now, self._compute(now))
            self._has_failed = False
        except Exception:
            logger.exception("%s could not be computed", self._name)
            self._has_failed = True
        finally:
            ended = self._monotonic()
            with self._lock:
                self._paused_until = ended + max(PAUSE, SHARE * (ended - begun))
                self._is_running = False
