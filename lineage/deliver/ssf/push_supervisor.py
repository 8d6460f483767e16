"""Push delivery: one thread for each stream with push delivery, so that no stream delays another, and a supervisor.

One of several processes pushes, as with the feed: one that begins fences off the previous one, and a fenced process
waits until no other pushes any more. Acceptance is recorded after the push, so after a crash events are pushed again,
in the same order and with the same ``jti``.
"""

import logging
import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from lineage.core.model.errors import DelegraphError, FencedError
from lineage.deliver.outbox.kafka_feed import StallWatch
from lineage.deliver.ssf.push_request import TIMEOUT_SECONDS
from lineage.deliver.ssf.stream_pusher import PushBackoff, StreamPusher
from lineage.deliver.ssf.stream_requests import PUSH
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.plumbing.backoff import Backoff
from lineage.store.delivery import outbox
from lineage.store.delivery import ssf_streams as streams
from lineage.store.delivery.ssf_streams import ENABLED, Stream

logger = logging.getLogger(__name__)

PUSHER: Final = "push"  # its name among the receivers in `delivered`
STILL_SECONDS: Final = 5.0  # a fenced process takes over again if no other has pushed for this long
_BEAT_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.1
_LOOK_ANYWAY_SECONDS: Final = 5.0  # check all streams this often, since a receiver's coverage may have changed
_LONGEST_WAIT_SECONDS: Final = 10.0


class _Runner:
    """Runs the pusher of a stream in a separate thread, whenever it is poked."""

    def __init__(self, transmitter: Transmitter, stream_id: str, pace: PushBackoff) -> None:
        self._stopped, self._poked = threading.Event(), threading.Event()
        self.line = StreamPusher(transmitter, stream_id, pace, self._stopped)
        self._thread = threading.Thread(target=self._run, name=f"push {stream_id}", daemon=True)
        self._thread.start()

    def poke(self) -> None:
        self._poked.set()

    def stop(self) -> None:
        self._stopped.set()
        self._poked.set()

    def join(self) -> None:
        self._thread.join(TIMEOUT_SECONDS * 2)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._poked.wait()
            self._poked.clear()
            try:
                self.line.push()
            except FencedError as fault:
                logger.debug("%s", fault)
            except DelegraphError as fault:
                logger.warning("%s; trying again", fault)
                self.line.put_off()
            except Exception:  # an internal error with one stream must not affect the others
                logger.exception("pushing failed; trying again")
                self.line.put_off()
        self.line.close()


def _pushed_once(line: StreamPusher) -> None:
    with suppress(FencedError):  # its receiver is changing the stream: the remaining events are left for the next time
        line.push()


class Pusher:
    """Pushes the events of all streams, unless another process does."""

    def __init__(self, transmitter: Transmitter, pace: PushBackoff | None = None) -> None:
        """Create a pusher for a transmitter; ``pace`` determines when to retry."""
        self._transmitter = transmitter
        self._store = transmitter.store
        self._pace = pace or PushBackoff()
        self._name = secrets.token_bytes(8)  # identifies this process in the store
        self._watch = StallWatch(self._store, PUSHER)
        self._cursor: outbox.Cursor | None = None  # None if this process does not push
        self._fenced = False
        self._beaten = self._looked = 0.0
        self._runners: dict[str, _Runner] = {}
        self._before = 0

    @property
    def accepted(self) -> int:
        """The number of events that receivers have accepted."""
        return self._before + sum(runner.line.accepted for runner in self._runners.values())

    def run(self, stopped: threading.Event) -> None:
        """Push until stopped; if the store is unavailable, retry with exponential backoff."""
        wait, backoff = _LOOK_SECONDS, Backoff(2 * _LOOK_SECONDS, _LONGEST_WAIT_SECONDS)
        while not stopped.is_set():
            try:
                self.turn()
                wait = _LOOK_SECONDS
                backoff.reset()
            except FencedError as fault:
                logger.info("%s", fault)
            except DelegraphError as fault:
                wait = backoff.next_seconds()
                logger.warning("%s; trying again in %.1f s", fault, wait)
            except Exception:  # if this thread ended, the process would silently continue without pushing
                wait = _LONGEST_WAIT_SECONDS
                logger.exception("pushing failed; trying again in %.1f s", wait)
            stopped.wait(wait)
        self._end()

    def once(self) -> None:
        """Push the outstanding events of all streams once; events that are not accepted stay outstanding.

        Raises:
            FencedError: Another process pushes as well.
            UnavailableError: The store is unavailable.
        """
        self._begin()
        never = threading.Event()
        lines = [StreamPusher(self._transmitter, stream.id, self._pace, never) for stream in self._pushed()]
        with ThreadPoolExecutor(max_workers=max(1, len(lines))) as pool:
            for _ in pool.map(_pushed_once, lines):
                pass
        self._before += sum(line.accepted for line in lines)
        for line in lines:
            line.close()

    def turn(self) -> None:
        """Start and end threads so that every push stream has one, and wake those with outstanding events.

        Raises:
            FencedError: Another process has taken over.
            UnavailableError: The store is unavailable.
        """
        now = time.monotonic()
        if self._cursor is None:
            if self._fenced and self._watch.still_seconds() < STILL_SECONDS:
                return
            self._begin()
        elif now - self._beaten >= _BEAT_SECONDS:
            self._beat(self._cursor)
        pushed = {stream.id: stream for stream in self._pushed()}
        for id_ in self._runners.keys() - pushed.keys():
            self._end(id_)
        for id_ in pushed.keys() - self._runners.keys():
            self._runners[id_] = _Runner(self._transmitter, id_, self._pace)
        last, streams_with_notices = streams.last(self._store), streams.streams_with_notices(self._store)
        anyway = now - self._looked >= _LOOK_ANYWAY_SECONDS
        self._looked = now if anyway else self._looked
        for id_, stream in pushed.items():
            if stream.status == ENABLED and (anyway or stream.seq < last or id_ in streams_with_notices):
                self._runners[id_].poke()

    def _pushed(self) -> list[Stream]:
        return [stream for stream in streams.every(self._store) if stream.settings.method == PUSH]

    def _begin(self) -> None:
        self._beat(outbox.cursor_of(self._store, PUSHER))
        self._fenced = False

    def _beat(self, cursor: outbox.Cursor) -> None:
        try:
            at = self._transmitter.clock()
            self._cursor = outbox.move(self._store, PUSHER, cursor, seq=cursor.seq, at=at, place=self._name)
            self._beaten = time.monotonic()
        except FencedError:
            self._end()
            self._cursor, self._fenced = None, True
            self._watch.still_seconds()  # start to measure from now on
            raise

    def _end(self, *ids: str) -> None:
        """End the threads of some streams, or of all."""
        ended = [self._runners[id_] for id_ in ids or self._runners]
        for runner in ended:
            runner.stop()
        for runner in ended if not ids else ():
            runner.join()
        self._before += sum(runner.line.accepted for runner in ended)
        self._runners = {id_: runner for id_, runner in self._runners.items() if runner not in ended}
