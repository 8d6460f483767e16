"""Start although something is unavailable: retry with exponential backoff, and log it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Final, TypeVar

from lineage.core.model.errors import UnavailableError
from lineage.plumbing.backoff import Backoff

logger = logging.getLogger(__name__)

T = TypeVar("T")
_SHORTEST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 10.0


@contextmanager
def opened_in_time(opening: Callable[[], AbstractContextManager[T]], stopped: threading.Event) -> Iterator[T]:
    """Open something as soon as everything it needs is available.

    Raises:
        UnavailableError: It was stopped before, or retrying does not help.
    """
    with ExitStack() as stack:
        yield _opened(opening, stopped, stack)


def _opened(opening: Callable[[], AbstractContextManager[T]], stopped: threading.Event, stack: ExitStack) -> T:
    backoff = Backoff(_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
    while True:
        try:
            return stack.enter_context(opening())
        except UnavailableError as fault:
            if not fault.retriable:
                raise
            wait = backoff.next_seconds()
            logger.warning("%s; trying again in %.1f s", fault, wait)
            if stopped.wait(wait):
                raise
