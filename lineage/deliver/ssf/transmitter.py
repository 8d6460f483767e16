"""The transmitter: the requests of receivers (SSF 1.0 sections 7 and 8), each about its own stream only.

A receiver has at most one stream. The stream of another receiver is treated as one that does not exist.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

from lineage.core.model.errors import FencedError, RefusedError
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.deliver.ssf import stream_requests
from lineage.deliver.ssf.pending_events import EventSource, OutgoingEvent
from lineage.deliver.ssf.secret_sealing import SecretBox
from lineage.deliver.ssf.security_event_tokens import STREAM_UPDATED, VERIFICATION, update_of
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.ssf.stream_documents import (
    Document,
    configuration_document,
    dead_letters_document,
    status_document,
    stream_document,
)
from lineage.deliver.ssf.stream_requests import PUSH, Json
from lineage.store.delivery import ssf_streams as streams
from lineage.store.delivery.ssf_streams import DISABLED, ENABLED, Stream
from lineage.store.store import Store

_MOST_NOTICES: Final = 16  # pending notices of one stream
_ATTEMPTS: Final = 20  # while other requests also change the stream
_LISTED: Final = 100  # dead letters in a list


class NoStreamError(RefusedError):
    """The caller has no such stream."""


class OneStreamError(RefusedError):
    """The caller already has a stream."""


class TooOftenError(RefusedError):
    """Too many earlier requests of the same kind are still pending."""


class Transmitter:
    """Transmits the outbox of a store. Thread-safe."""

    def __init__(
        self,
        store: Store,
        trust: Trusted | None,
        settings: SsfSettings,
        keys: SigningKeys,
        clock: Callable[[], Instant],
    ) -> None:
        """Create a transmitter.

        Args:
            store: The store with the outbox and the streams.
            trust: Provides the trust table in force.
            settings: The issuer, and the settings of pushes.
            keys: The signing keys.
            clock: Returns the current time.
        """
        self.store = store
        self.keys = keys
        self.seals = SecretBox(keys)
        self.settings = settings
        self.clock = clock
        self.teller = EventSource(store, trust, settings.issuer)

    @classmethod
    def of(
        cls,
        store: Store,
        trust: Trusted | None,
        settings: SsfSettings | None,
        keys: SigningKeys | None,
        clock: Callable[[], Instant],
    ) -> "Transmitter | None":
        """Create a transmitter from settings; None if it is not configured."""
        return None if settings is None or keys is None else cls(store, trust, settings, keys, clock)

    def sign(self, event: OutgoingEvent) -> str:
        """Sign an event as a security event token."""
        return self.keys.sign(event.claims, "secevent+jwt")  # RFC 8417 section 2.3

    # Public information

    def configuration(self) -> Document:
        """Return the transmitter's configuration document."""
        return configuration_document(self.settings.issuer)

    # Streams

    def create(self, receiver: str, body: Json) -> Document:
        """Create the stream of a receiver; delivery starts from the beginning, except for expired elements.

        Raises:
            OneStreamError: The receiver has a stream already.
            RefusedError: The configuration is invalid.
        """
        requested = stream_requests.stream_request_of(body, loopback=self.settings.loopback)
        new = Stream(
            id=secrets.token_urlsafe(24),
            receiver=receiver,
            settings=requested.settings,
            secret=self._sealed(requested.authorization),
            horizon=streams.last(self.store),
            covers=self.teller.covers(receiver),
        )
        if not streams.create(self.store, new):
            raise OneStreamError(f"{receiver} already has a stream; change it, or delete it first")
        return self.document(new)

    def streams(self, receiver: str) -> list[Document]:
        """Return the streams of a receiver."""
        found = streams.of_receiver(self.store, receiver)
        return [] if found is None else [self.document(found)]

    def own(self, receiver: str, stream_id: str) -> Stream:
        """Return a stream of a receiver.

        Raises:
            NoStreamError: It has no such stream.
        """
        found = streams.of_receiver(self.store, receiver)
        if found is None or found.id != stream_id:
            raise NoStreamError(f"{receiver} has no such stream")
        return found

    def update(self, receiver: str, body: Json, *, whole: bool) -> Document:
        """Change a stream; with ``whole``, omitted members are reset to their defaults."""

        def change(stream: Stream) -> Stream:
            self._refuse_other(stream, body)
            before = (
                streams.StreamSettings(method=stream_requests.POLL)
                if whole and body.get("delivery") is None
                else stream.settings
            )
            left: Json = {"events_requested": [], "description": None} if whole else {}
            requested = stream_requests.stream_request_of(
                {**left, **body}, before=before, loopback=self.settings.loopback
            )
            secret = stream.secret if requested.keeps_authorization else self._sealed(requested.authorization)
            if requested.settings.method != PUSH:
                secret = None
            # Events of types that were not requested until now were skipped, so deliver from the beginning.
            more = stream.settings.events and (
                not requested.settings.events or not set(requested.settings.events) <= {*stream.settings.events}
            )
            restart = streams.from_the_beginning(self.store) if more else {}
            return streams.change(self.store, stream, settings=requested.settings, secret=secret, fault=None, **restart)

        return self.document(self._changed(receiver, stream_requests.stream_id_of(body), change))

    def delete(self, receiver: str, stream_id: str) -> None:
        """Delete a stream."""
        streams.delete(self.store, self.own(receiver, stream_id))

    def document(self, stream: Stream) -> Document:
        """Return the document of a stream for its receiver."""
        return stream_document(stream, self.settings.issuer)

    # Status and verification

    def status(self, receiver: str, stream_id: str) -> Document:
        """Return the status of a stream."""
        return status_document(self.own(receiver, stream_id))

    def set_status(self, receiver: str, body: Json) -> Document:
        """Change the status of a stream."""
        status, reason = stream_requests.status_of(body)

        def change(stream: Stream) -> Stream:
            values: dict[str, Any] = {"status": status, "reason": reason}
            if status == DISABLED:  # no events are kept
                values["noticed"] = [each.id for each in streams.notices(self.store, stream.id)]
            elif status == ENABLED != stream.status:
                # Only the latest status update is kept pending, however often the status changes.
                waiting = streams.notices(self.store, stream.id)
                values["noticed"] = [each.id for each in waiting if each.type == STREAM_UPDATED]
                values["notices"] = [(*update_of(status, reason), self.clock())]
                values |= {"fault": None}
                values |= streams.from_the_beginning(self.store) if stream.status == DISABLED else {}
            return streams.change(self.store, stream, **values)

        return status_document(self._changed(receiver, stream_requests.stream_id_of(body), change))

    def verify(self, receiver: str, body: Json) -> None:
        """Send a verification through a stream.

        Raises:
            TooOftenError: Too many are pending already.
        """
        state = stream_requests.state_of(body)

        def change(stream: Stream) -> Stream:
            if len(streams.notices(self.store, stream.id)) >= _MOST_NOTICES:
                raise TooOftenError("too many verifications are pending; receive these first")
            payload = {} if state is None else {"state": state}
            return streams.change(self.store, stream, notices=[(VERIFICATION, payload, self.clock())])

        self._changed(receiver, stream_requests.stream_id_of(body), change)

    def mark(self, stream_id: str) -> tuple[int, int | None]:
        """Return a value that changes whenever there may be new events for a stream; cheap to query."""
        return streams.last(self.store), streams.turn_of(self.store, stream_id)

    def dead_letters(self, receiver: str | None) -> Document:
        """Return the events that a receiver (or any, if None) has permanently refused, latest first."""
        found = streams.dead_letters(self.store, receiver=receiver, limit=_LISTED)
        return dead_letters_document(found, streams.count_dead_letters(self.store, receiver=receiver))

    def _changed(self, receiver: str, stream_id: str, change: Callable[[Stream], Stream]) -> Stream:
        for _ in range(_ATTEMPTS):
            try:
                return change(self.own(receiver, stream_id))
            except FencedError:
                continue
        raise FencedError(f"the stream {stream_id} is being changed by other requests; try again")

    def _sealed(self, authorization: str | None) -> bytes | None:
        return None if authorization is None else self.seals.seal(authorization)

    def _refuse_other(self, stream: Stream, body: Json) -> None:
        """Refuse changes of members that the transmitter sets; repeating them is allowed (SSF 1.0 section 8.1.1.3)."""
        document = self.document(stream)
        for name in ("iss", "aud", "events_supported", "events_delivered"):
            if name in body and body[name] != document[name]:
                raise RefusedError(f"'{name}' is set by the transmitter; leave it out")
