"""A client of an authorization server's revocation endpoint (RFC 7009): revokes ended tokens there too.

delegraph never has the token itself. It sends a handle, built from the token's id, that the server accepts instead.
Calls are only made for permanent revocations: RFC 7009 has no suspension, and a token revoked there cannot be
reinstated. The rows of the outbox are processed in order, each until the server has answered; the answer is recorded
and appended to the log as an acknowledgement before the next row. After a crash a call is repeated, which is harmless,
and the same acknowledgement is sent again, which is a duplicate.

No call is made for a token that has expired. If the clock was ahead when that was decided, the rows are processed again
from the first one, except those that were accepted.
"""

import hashlib
import json
import logging
import re
import secrets
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx

from ingest.secrets import read_secret
from lineage.core.authority.receivers import ENFORCED, REJECTED
from lineage.core.authority.verdict import State
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.events import Event, RevocationAcknowledged
from lineage.core.model.keys import split_key
from lineage.core.model.times import SECOND, Instant
from lineage.core.model.trust import Trusted, in_force
from lineage.core.revocation.receipt import receipt_of
from lineage.deliver.http.certificates import trusting
from lineage.deliver.http.signing_keys import SigningKeys, load_keys
from lineage.deliver.rfc7009.endpoint_settings import Endpoint
from lineage.plumbing.backoff import delay_seconds
from lineage.store.delivery import outbox
from lineage.store.delivery.omissions import forget_omissions, is_premature, note_omitted, omissions_of
from lineage.store.delivery.outbox import Cursor, OutboxRow
from lineage.store.store import Store

logger = logging.getLogger(__name__)

SOURCE: Final = "urn:delegraph:deliver"  # the source of the acknowledgements
LONGEST_WAIT_SECONDS: Final = 300.0
_SHORTEST_WAIT_SECONDS: Final = 1.0
_TOGETHER: Final = 1_000  # rows read at a time
_SETTLE_SECONDS: Final = 1.0  # answers are recorded at least this often
_ANSWER_BYTES: Final = 65_536
_ASSERTION_SECONDS: Final = 60
_FOR_GOOD: Final = (State.REVOKED, State.CASCADED)
# Error codes of RFC 7009 and RFC 6749 that concern the request itself, not the client.
_ITS_OWN_FAULT: Final = ("unsupported_token_type", "invalid_request")
_CODE: Final = re.compile(r"[a-z_]{1,40}")
_SECONDS: Final = re.compile(r"[0-9]{1,7}", re.ASCII)
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class NotAnsweredError(UnavailableError):
    """A server has not answered for a token; the call will be repeated.

    Attributes:
        wait_seconds: The time to wait that the server requests; None if it did not say.
    """

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        """Store the time to wait in addition to the message."""
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(slots=True)
class CallCounts:
    """The number of calls by outcome."""

    enforced: int = 0
    rejected: int = 0
    failed: int = 0


class RevocationEndpointClient:
    """Revokes tokens at one server. Used by one thread."""

    def __init__(
        self,
        store: Store,
        trust: Trusted | None,
        endpoint: Endpoint,
        append: Callable[[Sequence[Event]], object],
        clock: Callable[[], Instant],
    ) -> None:
        """Create the client of one endpoint.

        Args:
            store: The store with the outbox.
            trust: Provides the trust table in force.
            endpoint: The endpoint.
            append: Appends events to the log; they are durable when it returns.
            clock: Returns the current time.

        Raises:
            RefusedError: A secret cannot be read, or the trust file does not allow us to acknowledge for the receiver.
        """
        self.endpoint = endpoint
        self.counts = CallCounts()
        self._store = store
        self._trust = trust
        self._append = append
        self._clock = clock
        self._origin = outbox.origin_of(store)
        # The name of a cursor is at most 64 characters; a receiver's id may be longer.
        self._name = f"rfc7009:{hashlib.sha256(endpoint.receiver.encode()).hexdigest()[:48]}"
        self._refuse_untrusted()
        self._keys = None if endpoint.key is None else load_keys([endpoint.key])
        self._secret = None if endpoint.secret is None else read_secret(endpoint.secret, f"{endpoint.receiver}")
        self._client = httpx.Client(
            timeout=endpoint.timeout_seconds,
            verify=trusting(endpoint.ca),
            trust_env=False,  # a .netrc file would override our credentials
            headers={"Accept": "application/json", "User-Agent": "delegraph"},
        )
        self._failures = 0
        self._not_before = 0.0

    def turn(self) -> int:
        """Process the new rows of the outbox; does nothing while waiting to retry.

        Returns:
            For how many tokens the server has answered.

        Raises:
            FencedError: Another process calls the same server; nothing is lost.
            NotAnsweredError: The server did not answer for a token; the call will be repeated.
            UnavailableError: The store or the log is unavailable.
        """
        called = 0
        while time.monotonic() >= self._not_before:
            now = self._clock()
            cursor = self._cursor(now)
            rows = outbox.rows(self._store, after=cursor.seq, limit=_TOGETHER)
            if not rows:
                break
            passed = self._accepted_before(cursor, rows)
            omitted: list[Instant] = []
            answers: list[tuple[OutboxRow, str, str | None]] = []
            fault = None
            done, began = cursor.seq, time.monotonic()
            for row in rows:
                if answers and time.monotonic() - began > _SETTLE_SECONDS:
                    break
                over_at = row.change.version.outcome.over_at
                if over_at <= now:
                    omitted.append(over_at)
                handle = None if over_at <= now or row.seq in passed else self._handle(row)
                try:
                    if handle is not None:
                        answers.append((row, *self._call(handle)))
                except NotAnsweredError as raised:
                    fault = raised
                    break
                done = row.seq
            self._settle(answers)
            if omitted:
                note_omitted(self._store, self._name, max(omitted))
            if done > cursor.seq:
                outbox.move(self._store, self._name, cursor, seq=done, at=now, place=cursor.place or b"")
            called += len(answers)
            self._pause(fault)
            if fault is not None:
                raise fault
        return called

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # Rows of the outbox

    def _cursor(self, now: Instant) -> Cursor:
        """Read the cursor; if tokens were omitted too early, move it to the beginning."""
        omissions = omissions_of(self._store, self._name)
        cursor = outbox.cursor_of(self._store, self._name)
        if is_premature(omissions, now):
            logger.warning("%s is asked again about what seemed to have expired", self.endpoint.receiver)
            last = str(max(cursor.seq, _last_before(cursor))).encode()
            cursor = outbox.move(self._store, self._name, cursor, seq=0, at=now, place=last)
            forget_omissions(self._store, self._name, omissions)
        return cursor

    def _accepted_before(self, cursor: Cursor, rows: Sequence[OutboxRow]) -> Collection[int]:
        """Return the rows that were accepted and acknowledged before the cursor was moved to the beginning."""
        before = [row.seq for row in rows if row.seq <= _last_before(cursor)]
        return outbox.accepted_at(self._store, self.endpoint.receiver, before) if before else ()

    def _handle(self, row: OutboxRow) -> str | None:
        """Return the ``token`` parameter for a row; None if no call is needed."""
        kind, id_ = split_key(row.change.key)
        outcome = row.change.version.outcome
        if kind != "token" or outcome.state not in _FOR_GOOD:
            return None
        handle = self.endpoint.handle_of(id_)
        if handle is None:
            return None
        # A token that has been reinstated since must not be revoked there, because that cannot be undone.
        latest = outbox.latest(self._store, row.change.key)
        return handle if latest is not None and latest.version.outcome.state in _FOR_GOOD else None

    def _settle(self, answers: Sequence[tuple[OutboxRow, str, str | None]]) -> None:
        """Record the answers, then append the acknowledgements; repeating this yields the same events."""
        if not answers:
            return
        enforced = [row.seq for row, outcome, _ in answers if outcome == ENFORCED]
        outbox.note_delivered(self._store, self.endpoint.receiver, enforced, self._clock())
        times = outbox.accepted_at(self._store, self.endpoint.receiver, enforced)
        now = self._clock()
        self._append(
            [
                self._acknowledgement(row, revocation, outcome, note, times.get(row.seq, now))
                for row, outcome, note in answers
                for revocation in self._orders(row)
            ]
        )
        self.counts.enforced += len(enforced)
        self.counts.rejected += len(answers) - len(enforced)

    def _orders(self, row: OutboxRow) -> list[str]:
        """Return the ids of the revocations that have ended the element by now, including that of the row."""
        key = row.change.key
        with self._store.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            reader.load_elements(world, [key])
        found = {id_ for id_ in world.orders.by_id if receipt_of(world, id_, self._clock(), {key})}
        own = row.change.version.outcome.revocation
        return sorted(found | ({own} if own is not None else set()))

    def _acknowledgement(self, row: OutboxRow, revocation: str, outcome: str, note: str | None, at: Instant) -> Event:
        named = f"{self._origin} {self.endpoint.receiver} {row.seq} {revocation} {outcome} {note} {at}"
        body = RevocationAcknowledged(revocation, self.endpoint.receiver, outcome, split_key(row.change.key)[1], note)
        return Event(f"ack-{hashlib.sha256(named.encode()).hexdigest()[:40]}", SOURCE, at, body)

    # The call

    def _call(self, handle: str) -> tuple[str, str | None]:
        """Call the endpoint for a token.

        Returns:
            The outcome of the acknowledgement, and its note.

        Raises:
            NotAnsweredError: The server is unavailable or refuses our credentials; this says nothing about the token.
        """
        form = {"token": handle}
        if self.endpoint.token_type_hint is not None:
            form["token_type_hint"] = self.endpoint.token_type_hint
        receiver = self.endpoint.receiver
        try:
            with self._client.stream("POST", self.endpoint.url, **self._authenticated(form)) as answer:
                status, headers, body = answer.status_code, answer.headers, _beginning(answer)
        except httpx.HTTPError as error:
            self.counts.failed += 1
            raise NotAnsweredError(f"{receiver} does not answer: {type(error).__name__}") from error
        if status in (HTTPStatus.OK, HTTPStatus.NO_CONTENT):
            return ENFORCED, None
        code = _error_in(body)
        if status == HTTPStatus.BAD_REQUEST and code in _ITS_OWN_FAULT:
            return REJECTED, f"the revocation endpoint answers {status} {code}"
        self.counts.failed += 1
        what = f"{receiver} answers {status}" + (f" {code}" if code else "")
        raise NotAnsweredError(what, _seconds_in(headers.get("retry-after")))

    def _authenticated(self, form: dict[str, str]) -> dict[str, Any]:
        endpoint = self.endpoint
        match endpoint.auth:
            case "bearer":
                return {"data": form, "headers": {"Authorization": f"Bearer {self._secret!s}"}}
            case "basic":  # RFC 6749 section 2.3.1: both are form-encoded first
                user, password = quote(str(endpoint.client_id), safe=""), quote(str(self._secret), safe="")
                return {"data": form, "auth": httpx.BasicAuth(user, password)}
            case _:
                assert isinstance(self._keys, SigningKeys)  # noqa: S101 (the endpoint has a key)
                now = self._clock() // SECOND
                claims = {
                    "iss": endpoint.client_id,
                    "sub": endpoint.client_id,
                    "aud": endpoint.url,
                    "jti": str(uuid.uuid4()),
                    "iat": now,
                    "exp": now + _ASSERTION_SECONDS,
                }
                assertion = self._keys.sign(claims, "JWT")
                signed = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}
                return {"data": {**form, "client_id": str(endpoint.client_id), **signed}}

    def _pause(self, fault: NotAnsweredError | None) -> None:
        """Wait before the next attempt after an error, longer each time."""
        if fault is None:
            self._failures, self._not_before = 0, 0.0
            return
        self._failures += 1
        wait = delay_seconds(self._failures, _SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        wait *= 0.5 + secrets.randbelow(1_000) / 2_000  # jitter, so that many clients do not retry at once
        if fault.wait_seconds is not None:
            wait = max(wait, min(fault.wait_seconds, LONGEST_WAIT_SECONDS))
        self._not_before = time.monotonic() + wait

    def _refuse_untrusted(self) -> None:
        body = RevocationAcknowledged("r", self.endpoint.receiver, ENFORCED)
        table = in_force(self._trust)
        if table is not None and not table.allows(Event("e", SOURCE, 0, body)):
            raise RefusedError(
                f"the trust file does not allow the source {SOURCE!r} to send revocation.acknowledged for the receiver "
                f"{self.endpoint.receiver}; allow it there"
            )


def _last_before(cursor: Cursor) -> int:
    """Return the last row that was processed before the cursor was moved to the beginning; 0 if it was not."""
    return int(cursor.place or 0)


def _beginning(answer: httpx.Response) -> bytes:
    body = b""
    for part in answer.iter_bytes():
        body += part
        if len(body) > _ANSWER_BYTES:
            break
    return body[:_ANSWER_BYTES]


def _error_in(body: bytes) -> str | None:
    """Return only the error code of an error response (RFC 6749 section 5.2)."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    error = parsed.get("error") if isinstance(parsed, dict) else None
    return error if isinstance(error, str) and _CODE.fullmatch(error) else None


def _seconds_in(header: str | None) -> float | None:
    """Return the seconds in ``Retry-After``; a date is ignored because it would need synchronised clocks."""
    return float(header) if header is not None and _SECONDS.fullmatch(header) else None
