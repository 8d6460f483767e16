"""Sends findings to one webhook, in order, each message until it is accepted or permanently refused.

Messages are signed according to Standard Webhooks 1.0: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``.
A message that is sent again, after a crash or without a response, has the same id. The number of messages per rule
and minute is limited; findings held back are counted, and their number is sent once the minute is over.
"""

import base64
import binascii
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx

from ingest.secrets import read_secret
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.deliver.findings.messages import is_published, message_of
from lineage.deliver.findings.webhook_settings import Webhook
from lineage.plumbing.backoff import delay_seconds
from lineage.store import kept_findings
from lineage.store.delivery import outbox, ssf_streams
from lineage.store.delivery.outbox import Cursor
from lineage.store.delivery.ssf_streams import DeadLetter
from lineage.store.kept_findings import Version
from lineage.store.store import Store

_TOGETHER: Final = 500
_MINUTE: Final = 60 * SECOND
_ANSWER_BYTES: Final = 4_096
_LONGEST_WAIT_SECONDS: Final = 300.0
_SHORTEST_WAIT_SECONDS: Final = 1.0
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
_PREFIX: Final = "whsec_"


class NotAcceptedError(UnavailableError):
    """The webhook did not accept a message; it is sent again."""


@dataclass(slots=True)
class WebhookCounts:
    """The numbers of messages by outcome, and of findings for which none was sent."""

    accepted: int = 0
    refused: int = 0
    failed: int = 0
    held_back: int = 0


@dataclass(slots=True)
class Window:
    """The messages sent and held back since an instant, by rule."""

    since: Instant = 0
    sent: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)


class WebhookSender:
    """Sends to one webhook. Used by one thread."""

    def __init__(self, store: Store, webhook: Webhook, clock: Callable[[], Instant]) -> None:
        """Create the client of one webhook.

        Raises:
            RefusedError: The secret, or the file of certificates, cannot be read.
        """
        self.webhook = webhook
        self.counts = WebhookCounts()
        self.name = f"{ssf_streams.WEBHOOK}{webhook.name}"
        self._store = store
        self._clock = clock
        self._origin = outbox.origin_of(store)
        self._secret = key_of(read_secret(webhook.secret, f"'secret_file' of [webhooks.{webhook.name}]"))
        try:
            trusted = ssl.create_default_context(cafile=webhook.ca)
        except OSError as error:  # an SSLError is one
            raise RefusedError(f"the file {webhook.ca} contains no readable certificates: {error.strerror}") from error
        self._client = httpx.Client(
            timeout=webhook.timeout_seconds,
            verify=trusted,
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": "delegraph", "Content-Type": "application/json"},
        )
        self._failures = 0
        self._not_before = 0.0

    def turn(self) -> int:
        """Send new messages; do nothing while waiting to retry.

        Returns:
            The number of messages that were accepted.

        Raises:
            FencedError: Another process sends to the same webhook; nothing is lost.
            NotAcceptedError: A message was not accepted; it will be sent again.
            UnavailableError: The store is unavailable.
        """
        if time.monotonic() < self._not_before:
            return 0
        cursor = outbox.cursor_of(self._store, self.name)
        if cursor.turn == 0:  # it receives new findings, not all earlier ones
            self._moved(cursor, kept_findings.latest_seq(self._store), Window(self._clock()))
            return 0
        before = self.counts.accepted
        window = _window(cursor.place)
        cursor, window = self._tell_held_back(cursor, window)
        passed = cursor.seq
        try:
            for version in kept_findings.versions(self._store, after=cursor.seq, limit=_TOGETHER):
                if self._is_wanted(version) and self._tell(version, window):
                    cursor = self._moved(cursor, version.seq, window)
                passed = version.seq
        finally:
            if passed > cursor.seq:  # all at once: each is a transaction
                self._moved(cursor, passed, window)
        return self.counts.accepted - before

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _is_wanted(self, version: Version) -> bool:
        return is_published(version) and self.webhook.wants(version.kept.kind, version.kept.severity)

    def _tell(self, version: Version, window: Window) -> bool:
        """Send a message, or hold it back; return whether it was sent."""
        kind = version.kept.kind
        if window.sent.get(kind, 0) >= self.webhook.most_per_minute:
            window.held[kind] = window.held.get(kind, 0) + 1
            self.counts.held_back += 1
            return False
        self._send(f"{self._origin}-{version.seq}", message_of(version, self._origin), version.seq)
        window.sent[kind] = window.sent.get(kind, 0) + 1
        return True

    def _tell_held_back(self, cursor: Cursor, window: Window) -> tuple[Cursor, Window]:
        """Send the number of findings held back in a minute once it is over, and start another."""
        now = self._clock()
        if 0 <= now - window.since < _MINUTE:  # one that begins in the future is of a clock that was ahead
            return cursor, window
        if window.held:
            message = {
                "type": "findings.held_back",
                "origin": self._origin,
                "seq": cursor.seq,
                "at": format_instant(now),
                "since": format_instant(window.since),
                "held_back": dict(sorted(window.held.items())),
            }
            self._send(f"{self._origin}-{cursor.seq}-held", message, cursor.seq)
        elif not window.sent:
            return cursor, Window(now)  # nothing happened, so nothing to write
        window = Window(now)
        return self._moved(cursor, cursor.seq, window), window

    def _moved(self, cursor: Cursor, seq: int, window: Window) -> Cursor:
        place = json.dumps({"since": window.since, "sent": window.sent, "held": window.held}).encode()
        return outbox.move(self._store, self.name, cursor, seq=seq, at=self._clock(), place=place)

    def _send(self, id_: str, message: dict[str, Any], seq: int) -> None:
        now = self._clock()
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        headers = signed(self._secret, id_, now // SECOND, body)
        try:
            with self._client.stream("POST", self.webhook.url, content=body, headers=headers) as answer:
                status = answer.status_code
                next(answer.iter_bytes(_ANSWER_BYTES), b"")  # so that the connection can be reused
        except (httpx.HTTPError, OSError) as fault:  # its message may contain the request
            raise self._failed(f"it does not answer ({type(fault).__name__})") from None
        if HTTPStatus(200) <= status < HTTPStatus(300):
            self.counts.accepted += 1
            self._failures = 0
        elif HTTPStatus(400) <= status < HTTPStatus(500) and status not in _PASSING:
            letter = DeadLetter(self.name, self.name, id_[-64:], seq, str(status), "the webhook refuses it", now)
            ssf_streams.add_dead_letter(self._store, letter)
            self.counts.refused += 1
            self._failures = 0
        else:
            raise self._failed(f"it answers {status}")

    def _failed(self, why: str) -> NotAcceptedError:
        self.counts.failed += 1
        self._failures += 1
        wait = delay_seconds(self._failures, _SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS)
        self._not_before = time.monotonic() + wait
        return NotAcceptedError(f"the webhook {self.webhook.name!r}: {why}; the message is sent again in {wait:g} s")


def key_of(secret: str) -> bytes:
    """Return the signing key: the Base64 after ``whsec_``, else the secret unchanged."""
    if secret.startswith(_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError("a secret that begins with 'whsec_' must continue in Base64") from None
    return secret.encode()


def signed(key: bytes, id_: str, seconds: int, body: bytes) -> dict[str, str]:
    """Return the headers that authenticate a message: HMAC-SHA256 over ``id.timestamp.body``.

    Examples:
        >>> signed(b"secret", "m-1", 1, b"{}")["webhook-signature"]
        'v1,8YC4duZmbwjOnuh9pjyedGeg0N4T9W8eXsi1nV04k7E='
    """
    digest = hmac.new(key, f"{id_}.{seconds}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _window(place: bytes | None) -> Window:
    state = json.loads(place) if place else {}
    return Window(state.get("since", 0), state.get("sent", {}), state.get("held", {}))
