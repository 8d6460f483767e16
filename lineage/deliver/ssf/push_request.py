"""One push (RFC 8935): a POST to the receiver's URL, and the meaning of its response.

The receiver chooses the URL, so the addresses that it resolves to are checked (SSRF). Redirects are not followed, proxy
settings of the environment are not used, and the size of the response and the time to read it are limited.
"""

import ipaddress
import json
import socket
import ssl
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import httpx

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.ssf.polling import PASSING
from lineage.deliver.ssf.stream_requests import Address, goes_nowhere, plain, refusal_of

TIMEOUT_SECONDS: Final = 10.0
_LARGEST_BYTES: Final = 16 * 1024
_MOST_ADDRESSES: Final = 4  # addresses of a host to try


class Accepted(NamedTuple):
    """The receiver has accepted the event."""


class RefusedPush(NamedTuple):
    """The receiver has permanently refused the event."""

    error: str
    description: str


class Failed(NamedTuple):
    """The push has failed; the receiver may accept the event later."""

    why: str
    retry_after_seconds: float = 0.0


Answer = Accepted | RefusedPush | Failed


class Post:
    """Sends pushes. Used by one thread."""

    def __init__(self, *, ca_file: Path | None, loopback: bool, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Create the HTTP client.

        Args:
            ca_file: The CA certificates of receivers; None for the system's.
            loopback: Whether pushes to this machine itself are allowed.
            timeout_seconds: The time limit of a push.

        Raises:
            RefusedError: The file cannot be read.
        """
        try:
            trusted = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise RefusedError(f"the setting 'ssf_ca_file': {ca_file} cannot be read: {error.strerror}") from error
        self._loopback = loopback
        self._seconds = timeout_seconds
        self._client = httpx.Client(verify=trusted, timeout=timeout_seconds, trust_env=False, follow_redirects=False)

    def send(self, url: str, authorization: str | None, token: str, *, at: Instant) -> Answer:
        """Push a security event token.

        Args:
            url: The URL given by the receiver.
            authorization: The ``Authorization`` header given by the receiver; None to omit it.
            token: The signed event.
            at: The current time.
        """
        until = time.monotonic() + self._seconds
        try:
            *others, last = self._addresses(url)
            for address in others:
                with suppress(httpx.ConnectError, httpx.ConnectTimeout):  # nothing was sent: try the next address
                    return self._sent(self._request(url, address, authorization, token), until, at)
            return self._sent(self._request(url, last, authorization, token), until, at)
        except _ClosedError as fault:
            return Failed(str(fault))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as fault:
            # The message is not repeated, since it may contain the request.
            return Failed(f"the receiver does not answer ({type(fault).__name__})")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _request(self, url: str, address: str, authorization: str | None, token: str) -> httpx.Request:
        parts = urlsplit(url)
        headers = {"Host": parts.netloc, "Content-Type": "application/secevent+jwt", "Accept": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization
        # The certificate is verified for this name as well.
        named = {"sni_hostname": parts.hostname or ""}
        where = httpx.URL(url).copy_with(host=address)
        return self._client.build_request("POST", where, content=token, headers=headers, extensions=named)

    def _sent(self, request: httpx.Request, until: float, at: Instant) -> Answer:
        answer = self._client.send(request, stream=True)
        try:
            return self._read(answer, until, at)
        finally:
            answer.close()

    def _addresses(self, url: str) -> list[str]:
        """Resolve the host of a URL, every time because addresses change; refuse it if any address is not allowed."""
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}[parts.scheme]
        try:
            found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise _ClosedError("the receiver's host has no address") from None
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        if not all(self._may_go(address, parts.scheme) for address in addresses):
            raise _ClosedError("the receiver's host has an address to which pushes are not allowed")
        return list(dict.fromkeys(map(str, addresses)))[:_MOST_ADDRESSES]

    def _may_go(self, address: Address, scheme: str) -> bool:
        target = plain(address)
        return self._loopback if target.is_loopback else scheme == "https" and not goes_nowhere(target)

    def _read(self, answer: httpx.Response, until: float, at: Instant) -> Answer:
        status = answer.status_code
        if status == HTTPStatus.ACCEPTED:
            with suppress(httpx.HTTPError):  # read the body, so that the connection can be reused
                _object_in(answer, until)
            return Accepted()
        if status == HTTPStatus.BAD_REQUEST:
            error, description = refusal_of(_object_in(answer, until))
            if error not in PASSING:
                return RefusedPush(error, description)
            return Failed(f"the receiver answers 400 {error}".rstrip())
        return Failed(f"the receiver answers {status}", _retry_after(answer.headers.get("Retry-After", ""), at))


class _ClosedError(Exception):
    """Pushes to this host are not possible or not allowed; the message does not name an address."""


def _object_in(answer: httpx.Response, until: float) -> dict[str, object]:
    raw = b""
    for part in answer.iter_bytes():
        raw += part
        if len(raw) > _LARGEST_BYTES or time.monotonic() > until:
            return {}
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(text: str, at: Instant) -> float:
    """Return ``Retry-After`` in seconds, given as such or as a date (RFC 9110 section 10.2.3); 0 if it is invalid."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - at / SECOND)
    except (ValueError, TypeError, OverflowError):
        return 0.0
