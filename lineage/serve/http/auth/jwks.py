"""The public keys of the issuer (JWKS, RFC 7517), from a URL or a file: fetched on demand, with a rate limit.

An unknown key id triggers a fetch, because keys are rotated; but at most once in ``COOLDOWN_SECONDS``, so that a
flood of made-up key ids does not cause a flood of requests.
"""

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import jwt

from lineage.core.model.errors import UnavailableError
from lineage.deliver.http.callers import BadTokenError

logger = logging.getLogger(__name__)

COOLDOWN_SECONDS: Final = 30.0
RETRY_SECONDS: Final = 2.0  # how long to wait after a failed fetch
FRESH_SECONDS: Final = 600.0  # how long a withdrawn key is accepted at most
_FETCH_SECONDS: Final = 5.0
_LARGEST_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 64


_Key = tuple[Mapping[str, Any], jwt.PyJWK]  # as published, and ready for use


class IssuerKeys:
    """The keys of an issuer. Thread-safe."""

    def __init__(self, fetch: Callable[[], Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Keep the function that fetches them; nothing is fetched yet."""
        self._fetch = fetch
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: tuple[_Key, ...] = ()
        self._fetched_at: float | None = None  # when a fetch was last attempted
        self._good_at: float | None = None  # when a fetch last succeeded

    def key(self, kid: str | None, algorithm: str) -> jwt.PyJWK:
        """Return the key with an id; without an id, the only key that fits.

        Raises:
            BadTokenError: There is no such key.
            UnavailableError: The keys cannot be fetched.
        """
        found = self._find(kid, algorithm) if self._is_fresh() else None
        if found is None:
            with self._lock:
                self._refresh(lambda: self._find(kid, algorithm) is not None)
            found = self._find(kid, algorithm)
        if found is None:
            raise BadTokenError("the token is signed with a key that the issuer does not publish")
        return found

    def _find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        fitting = [(jwk, key) for jwk, key in self._keys if _fits(jwk, algorithm)]
        if kid is None:
            return fitting[0][1] if len(fitting) == 1 else None
        return next((key for jwk, key in fitting if jwk.get("kid") == kid), None)

    def _is_fresh(self) -> bool:
        return self._age < FRESH_SECONDS

    @property
    def _age(self) -> float:
        return math.inf if self._good_at is None else self._monotonic() - self._good_at

    def _refresh(self, known: Callable[[], bool]) -> None:
        """Fetch the keys, unless that was attempted recently or another thread did it while we waited for the lock."""
        now = self._monotonic()
        if self._is_fresh() and (known() or self._age < COOLDOWN_SECONDS):
            return
        if self._fetched_at is not None and now - self._fetched_at < RETRY_SECONDS:
            if self._is_fresh():
                return
            raise UnavailableError("the keys of the issuer cannot be fetched; trying again in a moment")
        self._fetched_at = now
        try:
            self._keys = keys_of(self._fetch())
            self._good_at = now
        except (OSError, ValueError, httpx.HTTPError, jwt.PyJWTError) as error:
            logger.warning("the keys of the issuer cannot be fetched: %s", error)
            if not self._is_fresh():
                self._keys = ()
                raise UnavailableError("the keys of the issuer cannot be fetched") from error


def keys_of(document: Any) -> tuple[_Key, ...]:
    """Extract the signature keys from a JWKS, omitting unknown kinds.

    Raises:
        ValueError: It is not a JWKS.
    """
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list):
        raise ValueError("it is not a JWKS: no list of keys")  # noqa: TRY004 (a malformed document, not a wrong argument)
    found = []
    for key in jwks[:_MOST_KEYS]:
        if not isinstance(key, dict) or key.get("use", "sig") != "sig" or key.get("kty") == "oct":
            continue  # a secret key among public ones: nothing signed with it can be trusted
        try:
            found.append((key, jwt.PyJWK(key)))
        except jwt.PyJWTError as error:
            logger.debug("a key of the issuer cannot be used: %s", error)
    return tuple(found)


_KINDS: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


def _fits(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether a key fits an algorithm by its kind and its metadata (RFC 7517 section 4)."""
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return False
    return jwk.get("kty") == _KINDS.get(algorithm[:2]) and jwk.get("alg", algorithm) == algorithm


def fetching(where: str) -> Callable[[], Any]:
    """Return a function that fetches the keys from a URL or a file."""
    if "://" not in where:
        return lambda: json.loads(Path(where).read_bytes()[:_LARGEST_BYTES])

    def fetch() -> Any:
        with (
            httpx.Client(timeout=_FETCH_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", where, headers={"Accept": "application/json"}) as response,
        ):
            response.raise_for_status()
            raw = b""
            for part in response.iter_bytes():
                raw += part
                if len(raw) > _LARGEST_BYTES:
                    raise ValueError(f"it has more than {_LARGEST_BYTES:,} bytes")
            return json.loads(raw)

    return fetch
