"""The sender: from the spool to the log, on a thread of its own, for as long as it takes.

It hands events over in the order in which they came, each topic by itself, and takes out of the spool only what the
log has acknowledged. A fault that may pass is waited out with growing pauses and tried again for ever; an event that
the log refuses for good is put aside, and the others go on. What was on its way when a fault came may have arrived: it
is sent again, so that an event reaches the log at least once.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ingest.log.sink_port import HeldUpError, Outlet, Receipt
from ingest.producer.spool import Spool, Waiting
from lineage.core.model.errors import DelegraphError
from lineage.core.model.records import TOPICS
from lineage.plumbing.backoff import Backoff

logger = logging.getLogger(__name__)

# So many events are on their way at once, and so many are read from the spool at a time. Where one of them is refused
# and nobody knows which, fewer and fewer, until it is alone.
_WINDOW: Final = 10_000
_SHRINK: Final = 10
_READ: Final = 1_000
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
# How often what is on its way is looked at; meanwhile more gathers, and is handed over together.
_LOOK_SECONDS: Final = 0.02
_IDLE_SECONDS: Final = 1.0
_ALL: Final = "events"


class _Pause:
    """How long to wait after a fault: longer each time, until something succeeds."""

    def __init__(self) -> None:
        self.until = 0.0
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def begin(self) -> float:
        seconds = self._backoff.next_seconds()
        self.until = time.monotonic() + seconds
        return seconds

    def forget(self) -> None:
        self.until = 0.0
        self._backoff.reset()


class _Lane:
    """A topic: how far it was read, and what of it is on its way, in order."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.read_to = 0
        self.on_the_way: deque[tuple[Waiting, Receipt]] = deque()
        self.pause = _Pause()


class _StartOverError(Exception):
    """The way into the log must be opened anew.

    Attributes:
        fault: What failed and may succeed another time; None if an event was put aside, and that is all.
        doubtful: Whether it is said to be an event's own fault, and nobody knows whose.
    """

    def __init__(self, fault: str | None, *, doubtful: bool) -> None:
        super().__init__(fault)
        self.fault = fault
        self.doubtful = doubtful


class Sender:
    """Sends what is in a spool, from ``start`` to ``stop``."""

    def __init__(self, spool: Spool, open_outlet: Callable[[], Outlet]) -> None:
        """Send what is in the spool.

        Args:
            spool: Where the events are.
            open_outlet: Opens a way into the log; called on the thread, as often as it takes.
        """
        self._spool = spool
        self._open_outlet = open_outlet
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._pause = _Pause()
        self._window = _WINDOW
        self._thread = threading.Thread(target=self._run, name=f"delegraph sender of {spool.path}", daemon=True)
        # What keeps the events of a topic from the log, or all of them.
        self._faults: dict[str, str] = {}
        self.acknowledged = 0
        self.retries = 0

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def fault(self) -> str | None:
        """What keeps events from the log at the moment."""
        return next(iter(list(self._faults.values())), None)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to send."""
        if not self._woken.is_set():
            self._woken.set()

    def stop(self, seconds: float) -> None:
        """Hand nothing more over, and wait a moment for the thread to end; what is on its way stays in the spool."""
        self._stopping.set()
        self.wake()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                outlet = self._open_outlet()
            except Exception as error:  # noqa: BLE001  (the thread must outlive whatever a library raises)
                self._tell(_ALL, str(error) if isinstance(error, DelegraphError) else repr(error))
            else:
                if self._feed_until_it_fails(outlet):
                    continue
            if not self._stopping.is_set():
                self.retries += 1
                self._stopping.wait(self._pause.begin())

    def _feed_until_it_fails(self, outlet: Outlet) -> bool:
        """Whether to go on at once."""
        lanes = [_Lane(topic) for topic in TOPICS]
        try:
            while not self._stopping.is_set():
                self._step(outlet, lanes)
        except _StartOverError as failed:
            if failed.doubtful:
                self._window = max(1, self._window // _SHRINK)
            self._wait_for_the_rest(outlet, lanes)
            if failed.fault is None or failed.doubtful:
                return True
            self._tell(_ALL, failed.fault)
        except DelegraphError as fault:  # the spool is closed, or cannot be used
            self._tell(_ALL, str(fault))
        except Exception:
            logger.exception("the sender starts over")
            self._tell(_ALL, "a fault in the sender itself; see the log of the program")
        finally:
            try:
                outlet.close()
            except Exception:
                logger.exception("the way into the log could not be closed")
        return False

    def _step(self, outlet: Outlet, lanes: Sequence[_Lane]) -> None:
        settled = [self._settle(outlet, lane) for lane in lanes]
        handed = [self._hand_over(outlet, lane, sum(len(each.on_the_way) for each in lanes)) for lane in lanes]
        if any(settled) or any(handed):
            return
        if any(lane.on_the_way for lane in lanes):
            self._stopping.wait(_LOOK_SECONDS)
        else:
            self._woken.wait(_IDLE_SECONDS)
            self._woken.clear()

    def _hand_over(self, outlet: Outlet, lane: _Lane, on_the_way: int) -> bool:
        room = min(self._window - on_the_way, _READ)
        if room <= 0 or time.monotonic() < lane.pause.until:
            return False
        found = self._spool.read(lane.topic, after=lane.read_to, limit=room)
        if not found:
            return False
        try:
            receipts = outlet.send([entry for _, entry in found])
        except HeldUpError as fault:
            self._faults.pop(_ALL, None)  # whatever kept us out before: we are in
            self._tell(lane.topic, str(fault))
            self.retries += 1
            lane.pause.begin()
            return False
        except DelegraphError as fault:
            raise _StartOverError(str(fault), doubtful=False) from fault
        lane.on_the_way.extend(zip(found, receipts, strict=False))
        lane.read_to = found[len(receipts) - 1].number
        return True

    def _settle(self, outlet: Outlet, lane: _Lane) -> bool:
        """Take out of the spool what the log has, and put aside what it refuses.

        Raises:
            _StartOverError: Something failed, or was put aside.
        """
        acknowledged: list[Waiting] = []
        failed: BaseException | None = None
        settled = refused = doubtful = False
        while lane.on_the_way and lane.on_the_way[0][1].is_done:
            waiting, receipt = lane.on_the_way.popleft()
            settled = True
            if receipt.exception is None:
                acknowledged.append(waiting)
                continue
            refusal = outlet.refusal(receipt.exception, lane.topic)
            # A client that has failed for one event fails all that are on their way with the same words.
            if refusal is not None and (refusal.certain or self._window == 1):
                self._spool.refuse(waiting.number, refusal.reason, refusal.detail)
                logger.error("the log refused an event of the topic %s: %s", lane.topic, refusal.detail)
                refused = True
            else:
                failed, doubtful = receipt.exception, doubtful or refusal is not None
        if acknowledged:
            self._spool.acknowledge(acknowledged)
            self.acknowledged += len(acknowledged)
            self._window = min(2 * self._window, _WINDOW)
            self._succeed(lane)
        if failed is not None or refused:
            raise _StartOverError(None if failed is None else outlet.explain(failed), doubtful=doubtful)
        return settled

    def _wait_for_the_rest(self, outlet: Outlet, lanes: Sequence[_Lane]) -> None:
        """Let what is on its way come to its end, so that as little as can be is sent twice."""
        while any(lane.on_the_way for lane in lanes) and not self._stopping.wait(_LOOK_SECONDS):
            for lane in lanes:
                try:
                    self._settle(outlet, lane)
                except _StartOverError:
                    continue
                except DelegraphError:
                    return

    def _succeed(self, lane: _Lane) -> None:
        self._pause.forget()
        lane.pause.forget()
        for what in (_ALL, lane.topic):
            if self._faults.pop(what, None) is not None:
                logger.warning("the log takes %s again", what)

    def _tell(self, what: str, fault: str) -> None:
        if fault != self._faults.get(what) and not self._stopping.is_set():
            logger.warning("%s wait in the spool: %s", what, fault)
            self._faults[what] = fault
