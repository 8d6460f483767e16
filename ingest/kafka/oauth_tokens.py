"""Tokens for OAUTHBEARER: from a file that another program renews, or from a token endpoint (RFC 6749 section 4.4).

The library requests a token on its network thread for every connection, so a token is cached while it is valid.
"""

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

from kafka.net.sasl.oauth import AbstractTokenProvider

from ingest.kafka.tls import trusting
from ingest.secrets import Secret, read_secret
from lineage.core.model.errors import UnavailableError

_ANSWER_SECONDS: Final = 5  # the network thread waits for it
_ANSWER_BYTES: Final = 1_048_576
_EARLY_SECONDS: Final = 60  # a token is renewed this long before it expires, but not in the first half of its lifetime
_UNSTATED_LIFE_SECONDS: Final = 300  # the assumed lifetime of a token if the endpoint does not state one
_SHOWN_CHARACTERS: Final = 200  # of an endpoint's error message


class TokenFile(AbstractTokenProvider):  # type: ignore[misc] # the library ships no types
    """The token in a file, which is read again for every connection."""

    def __init__(self, file: Path) -> None:
        """Use a file."""
        self._file = file

    def token(self) -> Secret:
        """The current content of the file."""
        return read_secret(self._file, "the Kafka setting 'token_file'")


class TokenEndpoint(AbstractTokenProvider):  # type: ignore[misc] # the library ships no types
    """Tokens from an endpoint, by client credentials; each is used until shortly before it expires."""

    def __init__(
        self, url: str, client_id: str, client_secret: str, *, scope: str | None = None, ca_file: Path | None = None
    ) -> None:
        """Use an endpoint with client credentials.

        Args:
            url: The endpoint.
            client_id: The client.
            client_secret: Its secret.
            scope: The scope to request, if any.
            ca_file: The CA certificates for the endpoint; None for the system's.
        """
        self._url = url
        self._body = {"grant_type": "client_credentials"}
        if scope is not None:
            self._body["scope"] = scope
        # RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        self._authorization = Secret(f"Basic {base64.b64encode(pair.encode()).decode()}")
        self._opener = urllib.request.build_opener(
            _NoRedirect(), urllib.request.HTTPSHandler(context=trusting(ca_file, "token_ca_file"))
        )
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._renew_at = 0.0

    def token(self) -> Secret:
        """A token that is valid for a while, requested if necessary.

        Raises:
            UnavailableError: The endpoint does not issue one.
        """
        with self._lock:
            if self._token is None or time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                self._token, life = self._granted()
                self._renew_at = asked_at + max(life - _EARLY_SECONDS, life / 2)
            return self._token

    def _granted(self) -> tuple[Secret, float]:
        request = urllib.request.Request(  # noqa: S310 (the settings allow only http and https)
            self._url,
            data=urlencode(self._body).encode(),
            headers={
                "Authorization": str(self._authorization),
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
        )
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as answer:
                parsed = json.loads(answer.read(_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                why = f"{error.code} {_refusal(error.read(_ANSWER_BYTES))}".rstrip()
            raise UnavailableError(f"the token endpoint {self._url} refuses to issue a token: {why}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(f"the token endpoint {self._url} cannot be asked: {reason}") from error
        token = parsed.get("access_token") if isinstance(parsed, dict) else None
        if not isinstance(token, str) or not token:
            raise UnavailableError(f"the answer of the token endpoint {self._url} has no access_token")
        life = parsed.get("expires_in")
        return Secret(token), float(life) if isinstance(life, int | float) and life > 0 else _UNSTATED_LIFE_SECONDS


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the client secret is only for the endpoint."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


def _refusal(raw: bytes) -> str:
    """The printable beginning of an error response (RFC 6749 section 5.2)."""
    try:
        parsed = json.loads(raw)
        text = " ".join(str(parsed[name]) for name in ("error", "error_description") if name in parsed)
    except (ValueError, TypeError):
        text = ""
    return "".join(char if char.isprintable() else "?" for char in text[:_SHOWN_CHARACTERS])
