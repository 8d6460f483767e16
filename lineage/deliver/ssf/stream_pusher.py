"""Push the events of one stream: in order, each repeated until it is accepted before the next one is sent."""

import logging
import random
import threading
import time
from dataclasses import replace
from typing import Final, NamedTuple

from lineage.core.model.errors import FencedError
from lineage.deliver.ssf.pending_events import Outstanding
from lineage.deliver.ssf.polling import settle
from lineage.deliver.ssf.push_request import Accepted, Failed, Post, RefusedPush
from lineage.deliver.ssf.security_event_tokens import update_of
from lineage.deliver.ssf.stream_requests import PUSH
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.plumbing.backoff import delay_seconds
from lineage.store.delivery import ssf_streams
from lineage.store.delivery.ssf_streams import ENABLED, PAUSED, Stream

logger = logging.getLogger(__name__)

_TOGETHER: Final = 200  # events read at a time
_SETTLE_SECONDS: Final = 0.2  # acceptances within this time are recorded together
_CHANCE: Final = random.SystemRandom()


class PushBackoff(NamedTuple):
    """The wait before a receiver is tried again, which doubles each time."""

    first_seconds: float = 0.5
    longest_seconds: float = 60.0
    longest_asked_seconds: float = 3_600.0  # the longest wait that a receiver can request with Retry-After

    def wait_seconds(self, tries: int, asked_seconds: float) -> float:
        """Return the wait after a number of failed attempts; the receiver may have requested ``asked_seconds``."""
        wait = delay_seconds(tries + 1, self.first_seconds, self.longest_seconds)
        return max(_CHANCE.uniform(wait / 2, wait), min(asked_seconds, self.longest_asked_seconds))


class StreamPusher:
    """Pushes the events of one stream. Used by one thread."""

    def __init__(self, transmitter: Transmitter, stream_id: str, pace: PushBackoff, stopped: threading.Event) -> None:
        """Create the pusher of a stream; it stops pushing once ``stopped`` is set."""
        self._transmitter = transmitter
        self._id = stream_id
        self._pace = pace
        self._stopped = stopped
        self._tries = 0
        self._not_before = 0.0
        self._turn = 0  # the stream's turn at the last attempt
        settings = transmitter.settings
        self._post = Post(ca_file=settings.ca_file, loopback=settings.loopback)
        self.accepted = 0

    def push(self) -> None:
        """Push the outstanding events until one is not accepted, which is retried later.

        Raises:
            FencedError: Another process has changed the stream in the meantime; try again.
            UnavailableError: The store is unavailable.
        """
        stream = ssf_streams.by_id(self._transmitter.store, self._id)
        if stream is None or stream.status != ENABLED or stream.settings.method != PUSH:
            return
        if time.monotonic() < self._not_before and stream.turn == self._turn:
            return
        failed = None
        while failed is None and not self._stopped.is_set():
            at = self._transmitter.clock()
            found = self._transmitter.teller.outstanding(stream, limit=_TOGETHER, at=at)
            if not found.outgoing:
                stream = settle(self._transmitter, found, frozenset(), {}, at, fault=None)  # rows not for this receiver
                break
            stream, failed = self._push(found)
        self._turn = stream.turn
        if failed is not None:
            self.put_off(failed.retry_after_seconds)

    def put_off(self, asked_seconds: float = 0.0) -> None:
        """Pause pushing, longer each time, unless the stream is changed."""
        self._not_before = time.monotonic() + self._pace.wait_seconds(self._tries, asked_seconds)
        self._tries += 1

    def close(self) -> None:
        """Close the connections."""
        self._post.close()

    def _push(self, found: Outstanding) -> tuple[Stream, Failed | None]:
        """Push in order until an event is not accepted.

        Returns:
            The changed stream, and the failure, if any.
        """
        store, clock = self._transmitter.store, self._transmitter.clock
        found, authorization = self._opened(found)
        accepted: set[str] = set()
        refused: dict[str, tuple[str, str]] = {}
        failed: Failed | None = None
        changed = found.stream.status != ENABLED
        began = time.monotonic()
        for event in found.outgoing:
            changed = changed or ssf_streams.turn_of(store, self._id) != found.stream.turn  # it may have been paused
            if changed or self._stopped.is_set():
                break
            token = self._transmitter.sign(event)
            match self._post.send(found.stream.settings.endpoint or "", authorization, token, at=clock()):
                case Accepted():
                    accepted.add(event.jti)
                case RefusedPush(error, description):
                    refused[event.jti] = (error, description)
                    logger.error("%s permanently refuses event %s: %s", found.stream.receiver, event.jti, error)
                case Failed() as failed:
                    break
            self._tries = 0
            if time.monotonic() - began >= _SETTLE_SECONDS:
                stream = settle(self._transmitter, found, frozenset(accepted), refused, clock(), fault=None)
                found, began = replace(found, stream=stream), time.monotonic()
        fault = found.stream.fault if changed else failed.why if failed else None
        if fault is not None and fault != found.stream.fault:
            logger.warning("events for %s cannot be delivered: %s; trying again", found.stream.receiver, fault)
        stream = settle(self._transmitter, found, frozenset(accepted), refused, clock(), fault=fault)
        self.accepted += len(accepted)
        if changed:
            raise FencedError(f"the stream {self._id} was changed while its events were pushed")
        return stream, failed

    def _opened(self, found: Outstanding) -> tuple[Outstanding, str | None]:
        """Decrypt the authorization header; if its key is no longer available, pause the stream."""
        stream, seals = found.stream, self._transmitter.seals
        if stream.secret is None:
            return found, None
        opened = seals.unseal(stream.secret)
        store = self._transmitter.store
        if opened is None:
            reason = (
                "the key that encrypted the authorization header is no longer available; set delivery again, and "
                "enable the stream"
            )
            notices = [(*update_of(PAUSED, reason), self._transmitter.clock())]
            stream = ssf_streams.change(store, stream, status=PAUSED, reason=reason, notices=notices)
            logger.error("events for %s cannot be delivered: %s", stream.receiver, reason)
            return replace(found, stream=stream), None
        authorization, is_old = opened
        if is_old:
            stream = ssf_streams.change(store, stream, secret=seals.seal(authorization))
        return replace(found, stream=stream), authorization
