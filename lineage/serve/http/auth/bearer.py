"""Callers with a bearer token: a JWT of the issuer, verified with its published keys (RFC 8725).

Issuer, audience and algorithms are pinned by settings; the only part of a token that influences its verification is
the key id, among the keys that the issuer publishes.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from starlette.requests import HTTPConnection

from ingest.codec import credentials, limits
from lineage.core.model.errors import WouldBlockError
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.callers import BadTokenError, Caller, Role, UnauthenticatedError
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.http.auth.jwks import IssuerKeys

_LARGEST_TOKEN: Final = 16 * 1024
# Other tokens that an issuer signs with the same keys (logout tokens, security events, proofs) have other types.
_TYPES: Final = frozenset({"jwt", "at+jwt"})
_MOST_SOURCES: Final = 256
# How long a verified signature is cached, and how many: verifying one costs a tenth of an answer.
_VERIFIED_SECONDS: Final = 60
_VERIFIED: Final = 4_096
_NO_MOMENT: Final = 1 << 53  # seconds; larger than any clock


class Bearers:
    """Verifies bearer tokens. Thread-safe."""

    def __init__(self, settings: HttpSettings, keys: IssuerKeys, clock: Callable[[], Instant]) -> None:
        """Keep the settings, the issuer's keys, and the clock."""
        self._settings = settings
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Caller, Instant]] = OrderedDict()  # by digest; tokens are not stored
        self._lock = threading.Lock()

    def authenticate(self, connection: HTTPConnection) -> Caller:
        """Authenticate the caller.

        Raises:
            UnauthenticatedError: There is no token, or it is invalid.
            UnavailableError: The keys of the issuer cannot be fetched.
        """
        token, digest, now = self._shown(connection)
        known = self._verified.get(digest)
        if known is not None and now < known[1]:
            return known[0]
        caller, ends_at = self._verify(token.strip())
        with self._lock:
            self._verified[digest] = caller, min(ends_at, now + _VERIFIED_SECONDS * SECOND)
            if len(self._verified) > _VERIFIED:
                self._verified.popitem(last=False)
        return caller

    def recognise(self, connection: HTTPConnection) -> Caller:
        """Authenticate the caller from the cache.

        Raises:
            UnauthenticatedError: There is no token.
            WouldBlockError: It must be verified, for which a key may have to be fetched.
        """
        _, digest, now = self._shown(connection)
        known = self._verified.get(digest)
        if known is None or now >= known[1]:
            raise WouldBlockError("the token has to be verified")
        return known[0]

    def _shown(self, connection: HTTPConnection) -> tuple[str, bytes, Instant]:
        """Return the token, its digest, and the current time."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("send a token of the issuer: Authorization: Bearer …")
        return token, hashlib.sha256(token.encode(errors="replace")).digest(), self._clock()

    def caller_of(self, token: str) -> Caller:
        """Return the owner of a token.

        Raises:
            BadTokenError: It is invalid.
        """
        return self._verify(token)[0]

    def _verify(self, token: str) -> tuple[Caller, Instant]:
        """Verify a token; return its owner and its expiry."""
        claims = self._claims(token)
        name = _at(claims, self._settings.name_claim)
        if not isinstance(name, str) or limits.fault_of_id(name) or credentials.find(name):
            raise BadTokenError(f"the claim {self._settings.name_claim!r} of the token is not a name")
        caller = Caller(
            name=name,
            roles=roles_of(_words(_at(claims, self._settings.roles_claim))),
            sources=tuple(_words(_at(claims, self._settings.sources_claim))[:_MOST_SOURCES]),
            by_token=True,
        )
        return caller, int((claims["exp"] + self._settings.leeway_seconds) * SECOND)

    def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > _LARGEST_TOKEN:
            raise BadTokenError("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise BadTokenError("the token is not a JWT") from None  # what it says may be in the cause
        if str(header.get("typ", "JWT")).lower().removeprefix("application/") not in _TYPES:
            raise BadTokenError("the token is not an access token by its type")
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.algorithms:
            raise BadTokenError(f"the token must be signed with {' or '.join(self._settings.algorithms)}")
        key = self._keys.key(kid if isinstance(kid, str) else None, str(algorithm))
        try:
            claims = jwt.decode(
                token,
                key=key.key,
                algorithms=[str(algorithm)],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                options={
                    "require": ["exp", "iss", "aud"],
                    "verify_exp": False,  # checked by our own clock below
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidIssuerError:
            raise BadTokenError("the token is from another issuer") from None
        except jwt.InvalidAudienceError:
            raise BadTokenError("the token is for another audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise BadTokenError(f"the token lacks the claim {error.claim!r}") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise BadTokenError("the signature of the token is invalid") from None
        self._refuse_time(claims)
        return claims

    def _refuse_time(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._clock() / SECOND, self._settings.leeway_seconds
        if not _is_moment(claims["exp"]) or claims["exp"] + leeway <= now:
            raise BadTokenError("the token has expired")
        for name in ("nbf", "iat"):
            since = claims.get(name, 0)
            if not _is_moment(since) or since - leeway > now:
                raise BadTokenError("the token is not valid yet")


def _is_moment(value: Any) -> bool:
    """Whether a value is a number of seconds; NaN, which compares with nothing, is not."""
    return isinstance(value, int | float) and abs(value) < _NO_MOMENT


def roles_of(words: list[str]) -> frozenset[Role]:
    """Return the known roles among some words; others are ignored."""
    return frozenset(Role(word) for word in words if word in frozenset(Role))


def _at(claims: Mapping[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a dotted path such as Keycloak's ``realm_access.roles``."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _words(value: Any) -> list[str]:
    """Convert a list of strings, or words separated by spaces as in ``scope``."""
    if isinstance(value, str):
        return value.split()
    return [word for word in value if isinstance(word, str)] if isinstance(value, list) else []
