"""The sender: a thread that moves events from the spool to the log.

It sends the events of each topic in order, and removes from the spool only those that the log has acknowledged. After a
transient error it retries forever, with exponential backoff; an event that the log permanently refuses is set aside,
and the others are still sent. Events in flight at the time of an error may have arrived and are sent again, so every
event reaches the log at least once.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ingest.log.sink_port import HeldUpError, Sink, SinkReceipt
from ingest.producer.spool import Spool, Waiting
from lineage.core.model.errors import DelegraphError
from lineage.core.model.records import TOPICS
from lineage.plumbing.backoff import Backoff

logger = logging.getLogger(__name__)

# The most events in flight, and the most read from the spool at a time. If one of several events is refused and the
# broker does not say which, the window shrinks until the event is alone.
_WINDOW: Final = 10_000
_SHRINK: Final = 10
_READ: Final = 1_000
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 5.0
# How often the receipts of events in flight are checked; in between, more events gather for the next batch.
_LOOK_SECONDS: Final = 0.02
_IDLE_SECONDS: Final = 1.0
_ALL: Final = "events"


class _Pause:
    """The pause after an error, which grows until something succeeds."""

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
    """The state of one topic: how far the spool was read, and the events in flight, in order."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.read_to = 0
        self.in_flight: deque[tuple[Waiting, SinkReceipt]] = deque()
        self.pause = _Pause()


class _StartOverError(Exception):
    """The sink must be closed and opened again.

    Attributes:
        fault: A transient error; None if the only reason is that an event was set aside.
        doubtful: Whether the broker rejected one event of a batch without saying which.
    """

    def __init__(self, fault: str | None, *, doubtful: bool) -> None:
        super().__init__(fault)
        self.fault = fault
        self.doubtful = doubtful


class Sender:
    """Sends the events of a spool, from ``start`` to ``stop``."""

    def __init__(self, spool: Spool, open_sink: Callable[[], Sink]) -> None:
        """Create a sender.

        Args:
            spool: The spool to send from.
            open_sink: Opens the sink to the log; called on the sender's thread, again after every error.
        """
        self._spool = spool
        self._open_sink = open_sink
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._pause = _Pause()
        self._window = _WINDOW
        self._thread = threading.Thread(target=self._run, name=f"delegraph sender of {spool.path}", daemon=True)
        # Why the events of a topic, or all events, cannot be sent.
        self._faults: dict[str, str] = {}
        self.acknowledged = 0
        self.retries = 0

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    @property
    def fault(self) -> str | None:
        """Return what prevents sending at the moment; None if nothing does."""
        return next(iter(list(self._faults.values())), None)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Notify the thread that there are events to send."""
        if not self._woken.is_set():
            self._woken.set()

    def stop(self, seconds: float) -> None:
        """Stop sending, and wait up to ``seconds`` for the thread to end; unacknowledged events stay in the spool."""
        self._stopping.set()
        self.wake()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                sink = self._open_sink()
            except Exception as error:  # noqa: BLE001  (the thread must survive any exception of a library)
                self._report(_ALL, str(error) if isinstance(error, DelegraphError) else repr(error))
            else:
                if self._send_until_failure(sink):
                    continue
            if not self._stopping.is_set():
                self.retries += 1
                self._stopping.wait(self._pause.begin())

    def _send_until_failure(self, sink: Sink) -> bool:
        """Send events until stopped or until an error; whether to start over without a pause."""
        lanes = [_Lane(topic) for topic in TOPICS]
        try:
            while not self._stopping.is_set():
                self._step(sink, lanes)
        except _StartOverError as failed:
            if failed.doubtful:
                self._window = max(1, self._window // _SHRINK)
            self._drain(sink, lanes)
            if failed.fault is None or failed.doubtful:
                return True
            self._report(_ALL, failed.fault)
        except DelegraphError as fault:  # the spool is closed, or cannot be used
            self._report(_ALL, str(fault))
        except Exception:
            logger.exception("the sender starts over")
            self._report(_ALL, "an internal error of the sender; see the log of the program")
        finally:
            try:
                sink.close()
            except Exception:
                logger.exception("the sink to the log could not be closed")
        return False

    def _step(self, sink: Sink, lanes: Sequence[_Lane]) -> None:
        settled = [self._settle(sink, lane) for lane in lanes]
        handed = [self._hand_over(sink, lane, sum(len(each.in_flight) for each in lanes)) for lane in lanes]
        if any(settled) or any(handed):
            return
        if any(lane.in_flight for lane in lanes):
            self._stopping.wait(_LOOK_SECONDS)
        else:
            self._woken.wait(_IDLE_SECONDS)
            self._woken.clear()

    def _hand_over(self, sink: Sink, lane: _Lane, in_flight: int) -> bool:
        room = min(self._window - in_flight, _READ)
        if room <= 0 or time.monotonic() < lane.pause.until:
            return False
        found = self._spool.read(lane.topic, after=lane.read_to, limit=room)
        if not found:
            return False
        try:
            receipts = sink.send([entry for _, entry in found])
        except HeldUpError as fault:
            self._faults.pop(_ALL, None)  # the connection works: only this topic is missing
            self._report(lane.topic, str(fault))
            self.retries += 1
            lane.pause.begin()
            return False
        except DelegraphError as fault:
            raise _StartOverError(str(fault), doubtful=False) from fault
        lane.in_flight.extend(zip(found, receipts, strict=False))
        lane.read_to = found[len(receipts) - 1].number
        return True

    def _settle(self, sink: Sink, lane: _Lane) -> bool:
        """Remove acknowledged events from the spool, and set aside those that the log refuses.

        Returns:
            Whether any event was settled.

        Raises:
            _StartOverError: An event failed, or was set aside.
        """
        acknowledged: list[Waiting] = []
        failed: BaseException | None = None
        settled = refused = doubtful = False
        while lane.in_flight and lane.in_flight[0][1].is_done:
            waiting, receipt = lane.in_flight.popleft()
            settled = True
            if receipt.exception is None:
                acknowledged.append(waiting)
                continue
            refusal = sink.refusal(receipt.exception, lane.topic)
            # A client that has failed because of one event reports the same error for all events in flight.
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
            raise _StartOverError(None if failed is None else sink.explain(failed), doubtful=doubtful)
        return settled

    def _drain(self, sink: Sink, lanes: Sequence[_Lane]) -> None:
        """Wait until the events in flight are settled, so that few are sent twice."""
        while any(lane.in_flight for lane in lanes) and not self._stopping.wait(_LOOK_SECONDS):
            for lane in lanes:
                try:
                    self._settle(sink, lane)
                except _StartOverError:
                    continue
                except DelegraphError:
                    return

    def _succeed(self, lane: _Lane) -> None:
        self._pause.forget()
        lane.pause.forget()
        for what in (_ALL, lane.topic):
            if self._faults.pop(what, None) is not None:
                logger.warning("the log accepts %s again", what)

    def _report(self, what: str, fault: str) -> None:
        if fault != self._faults.get(what) and not self._stopping.is_set():
            logger.warning("%s wait in the spool: %s", what, fault)
            self._faults[what] = fault
