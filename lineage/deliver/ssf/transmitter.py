"""The transmitter: what receivers may ask of it (SSF 1.0 sections 7 and 8), each of its own stream alone.

A receiver has one stream. What is said of a stream of somebody else is what is said of one that does not exist.
"""

import secrets
from collections.abc import Callable
from typing import Any, Final

from lineage.core.model.errors import FencedError, RefusedError
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.deliver.http.signing_keys import Keys
from lineage.deliver.ssf import stream_requests
from lineage.deliver.ssf.pending_events import Teller, Telling
from lineage.deliver.ssf.secret_sealing import Seals
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

_MOST_NOTICES: Final = 16  # of one stream, waiting
_ATTEMPTS: Final = 20  # while others change the stream as well
_LISTED: Final = 100  # dead letters


class NoStreamError(RefusedError):
    """The caller has no such stream."""


class OneStreamError(RefusedError):
    """The caller has a stream already."""


class TooOftenError(RefusedError):
    """What the caller asks for is waiting to be told already, many times over."""


class Transmitter:
    """Transmits what the outbox of a store holds. May be used by several threads."""

    def __init__(
        self, store: Store, trust: Trusted | None, settings: SsfSettings, keys: Keys, clock: Callable[[], Instant]
    ) -> None:
        """Take what it transmits, who it is, and the moment now."""
        self.store = store
        self.keys = keys
        self.seals = Seals(keys)
        self.settings = settings
        self.clock = clock
        self.teller = Teller(store, trust, settings.issuer)

    @classmethod
    def of(
        cls,
        store: Store,
        trust: Trusted | None,
        settings: SsfSettings | None,
        keys: Keys | None,
        clock: Callable[[], Instant],
    ) -> "Transmitter | None":
        """A transmitter by settings; None where nothing is to be transmitted."""
        return None if settings is None or keys is None else cls(store, trust, settings, keys, clock)

    def sign(self, telling: Telling) -> str:
        """An event as it is told."""
        return self.keys.sign(telling.claims, "secevent+jwt")  # RFC 8417 section 2.3

    # What everybody may know

    def configuration(self) -> Document:
        """What it says of itself."""
        return configuration_document(self.settings.issuer)

    # Streams

    def create(self, receiver: str, body: Json) -> Document:
        """Make a stream of a receiver; it is told everything that has not ended, from the beginning.

        Raises:
            OneStreamError: It has one.
            RefusedError: It cannot be as it is wanted.
        """
        wanted = stream_requests.wanted_of(body, loopback=self.settings.loopback)
        new = Stream(
            id=secrets.token_urlsafe(24),
            receiver=receiver,
            said=wanted.said,
            secret=self._sealed(wanted.authorization),
            horizon=streams.last(self.store),
            covers=self.teller.covers(receiver),
        )
        if not streams.create(self.store, new):
            raise OneStreamError(f"{receiver} has a stream already; change it, or delete it first")
        return self.document(new)

    def streams(self, receiver: str) -> list[Document]:
        """The streams of a receiver."""
        found = streams.of_receiver(self.store, receiver)
        return [] if found is None else [self.document(found)]

    def own(self, receiver: str, stream_id: str) -> Stream:
        """A stream of a receiver.

        Raises:
            NoStreamError: It has no such stream.
        """
        found = streams.of_receiver(self.store, receiver)
        if found is None or found.id != stream_id:
            raise NoStreamError(f"{receiver} has no such stream")
        return found

    def update(self, receiver: str, body: Json, *, whole: bool) -> Document:
        """Change a stream; with ``whole`` what is left out is as in a new one."""

        def change(stream: Stream) -> Stream:
            self._refuse_other(stream, body)
            before = (
                streams.Said(method=stream_requests.POLL) if whole and body.get("delivery") is None else stream.said
            )
            left: Json = {"events_requested": [], "description": None} if whole else {}
            wanted = stream_requests.wanted_of({**left, **body}, before=before, loopback=self.settings.loopback)
            secret = stream.secret if wanted.keeps_authorization else self._sealed(wanted.authorization)
            if wanted.said.method != PUSH:
                secret = None
            # What was not asked for until now was passed over.
            more = stream.said.events and (
                not wanted.said.events or not set(wanted.said.events) <= {*stream.said.events}
            )
            anew = streams.from_the_beginning(self.store) if more else {}
            return streams.change(self.store, stream, said=wanted.said, secret=secret, fault=None, **anew)

        return self.document(self._changed(receiver, stream_requests.stream_id_of(body), change))

    def delete(self, receiver: str, stream_id: str) -> None:
        """Delete a stream."""
        streams.delete(self.store, self.own(receiver, stream_id))

    def document(self, stream: Stream) -> Document:
        """A stream as its receiver sees it."""
        return stream_document(stream, self.settings.issuer)

    # Status and verification

    def status(self, receiver: str, stream_id: str) -> Document:
        """The status of a stream."""
        return status_document(self.own(receiver, stream_id))

    def set_status(self, receiver: str, body: Json) -> Document:
        """Give a stream another status."""
        status, reason = stream_requests.status_of(body)

        def change(stream: Stream) -> Stream:
            values: dict[str, Any] = {"status": status, "reason": reason}
            if status == DISABLED:  # nothing is held
                values["noticed"] = [each.id for each in streams.notices(self.store, stream.id)]
            elif status == ENABLED != stream.status:
                # Of its status the last word alone waits, however often it is changed.
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
            TooOftenError: Many are waiting.
        """
        state = stream_requests.state_of(body)

        def change(stream: Stream) -> Stream:
            if len(streams.notices(self.store, stream.id)) >= _MOST_NOTICES:
                raise TooOftenError("so many verifications are waiting to be told; take these first")
            payload = {} if state is None else {"state": state}
            return streams.change(self.store, stream, notices=[(VERIFICATION, payload, self.clock())])

        self._changed(receiver, stream_requests.stream_id_of(body), change)

    def mark(self, stream_id: str) -> tuple[int, int | None]:
        """A value that is another whenever there may be something new to tell a stream; cheap to ask for."""
        return streams.last(self.store), streams.turn_of(self.store, stream_id)

    def dead_letters(self, receiver: str | None) -> Document:
        """What a receiver, or any, refused for good, the latest first."""
        found = streams.dead_letters(self.store, receiver=receiver, limit=_LISTED)
        return dead_letters_document(found, streams.count_dead_letters(self.store, receiver=receiver))

    def _changed(self, receiver: str, stream_id: str, change: Callable[[Stream], Stream]) -> Stream:
        for _ in range(_ATTEMPTS):
            try:
                return change(self.own(receiver, stream_id))
            except FencedError:
                continue
        raise FencedError(f"the stream {stream_id} is changed by others all the while; try again")

    def _sealed(self, authorization: str | None) -> bytes | None:
        return None if authorization is None else self.seals.seal(authorization)

    def _refuse_other(self, stream: Stream, body: Json) -> None:
        """What the transmitter says of a stream may be repeated, and not be changed (SSF 1.0 section 8.1.1.3)."""
        document = self.document(stream)
        for name in ("iss", "aud", "events_supported", "events_delivered"):
            if name in body and body[name] != document[name]:
                raise RefusedError(f"'{name}' is the transmitter's to say; leave it out")
