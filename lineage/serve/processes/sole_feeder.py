"""Feed a topic from one process at a time."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lineage.core.model.errors import DelegraphError, FencedError

if TYPE_CHECKING:
    from lineage.deliver.outbox.kafka_feed import StallWatch

_STALLED_SECONDS: Final = 5.0  # a fenced process takes over again if no other has fed for this long


class SoleFeeder:
    """Feeds until fenced by another process, then waits until no other process feeds."""

    def __init__(self, begin: Callable[[], None], watch: "StallWatch") -> None:
        """Create a feeder that does not feed yet.

        Args:
            begin: Becomes the only feed, and finds where to continue.
            watch: Detects whether any process feeds.
        """
        self._begin = begin
        self._watch = watch
        self._is_feeding = False
        self._is_fenced = False

    def turn(self, deliver: Callable[[], int]) -> int:
        """Deliver what is new unless another process does; return how much that was.

        Raises:
            FencedError: Another process has become the feed.
            UnavailableError: The topic or the store is unavailable; try again.
        """
        if not self._is_feeding:
            if self._is_fenced and self._watch.still_seconds() < _STALLED_SECONDS:
                return 0
            self._begin()
            self._is_feeding, self._is_fenced = True, False
        try:
            return deliver()
        except DelegraphError as fault:
            self._is_feeding, self._is_fenced = False, isinstance(fault, FencedError)
            if self._is_fenced:
                self._watch.still_seconds()  # measure from now on
            raise
