"""Read the status lists (draft-ietf-oauth-status-list) by which an enforcement point decides.

Two kinds are read. One is the list served at its URI; the enforcement point may still use an older copy, so a denial
counts only after the longest lifetime of a copy. The other is the copy that the enforcement point shows and acts on.
A list counts only with a valid signature, for the URI that the token names, and before it expires.
"""

import json
import logging
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import jwt

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import StatusList
from lineage.core.model.times import SECOND, Instant
from lineage.core.revocation.status_lists import StatusType, decoded, status_at
from lineage.core.revocation.stop_proof import Observation, Reply
from lineage.deliver.probes.endpoint_client import ANSWER_BYTES, EndpointClient
from lineage.deliver.probes.inquiry import Inquiry
from lineage.deliver.probes.probe_settings import Probe

logger = logging.getLogger(__name__)

AT_ONCE: Final = 4  # lists of one enforcement point that are fetched concurrently
_TYPES: Final = ("statuslist+jwt", "application/statuslist+jwt")
_AHEAD_SECONDS: Final = 300  # how far the clock of a list's signer may be ahead of ours
_REPLIES: Final = {
    StatusType.VALID: Reply.ACCEPTED,
    StatusType.INVALID: Reply.DENIED,
    StatusType.SUSPENDED: Reply.DENIED,
}
_WORST_FIRST: Final = (Reply.ACCEPTED, Reply.UNAVAILABLE, Reply.DENIED)

_KeysById = dict[str, jwt.PyJWK]


class _List(NamedTuple):
    """A status list whose signature is valid.

    Attributes:
        array: The statuses.
        bits: The number of bits of a status.
        life_seconds: How long a copy of it may be used; None if it does not say.
    """

    array: bytes
    bits: int
    life_seconds: float | None

    def reply(self, idx: int) -> Reply:
        """Return the reply of the list about an entry."""
        try:
            return _REPLIES.get(StatusType(status_at(self.array, idx, self.bits)), Reply.UNAVAILABLE)
        except (IndexError, ValueError):  # beyond the list, or an application-specific status
            return Reply.UNAVAILABLE


def read_lists(client: EndpointClient, keys: Sequence[str], inquiry: Inquiry) -> list[Observation]:
    """Read the lists with entries of some elements; an element without an entry is unsupported.

    Raises:
        RefusedError: The file with the keys that sign the lists cannot be read.
    """
    probe = client.probe
    trusted = _trusted(probe, inquiry)
    places = {key: inquiry.places.get(key, ()) for key in keys}
    read = {key: found for key, found in places.items() if found and all(map(partial(_is_read, probe), found))}
    uris = sorted({place.uri for found in read.values() for place in found})
    asked_at = inquiry.clock()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        lists = dict(zip(uris, threads.map(partial(_fetched, client, trusted, asked_at), uris), strict=True))
    answered_at = inquiry.clock()
    replies = dict.fromkeys(keys, Reply.UNSUPPORTED) | {key: _worst(lists, found) for key, found in read.items()}
    lag = max((_lag(probe, found) for found in lists.values() if found is not None), default=0)
    return [Observation(probe.receiver, replies, asked_at, answered_at, lag)]


def _is_read(probe: Probe, place: StatusList) -> bool:
    """Whether an enforcement point reads a list. URIs come from events, so nothing else is ever fetched."""
    return probe.shows_copies or place.uri.startswith(f"{probe.url.rstrip('/')}/")


def _worst(lists: dict[str, _List | None], places: Collection[StatusList]) -> Reply:
    """Return the worst reply of the lists: the enforcement point may read any of the entries."""
    replies = {Reply.UNAVAILABLE if (one := lists[place.uri]) is None else one.reply(place.idx) for place in places}
    return next(reply for reply in _WORST_FIRST if reply in replies)


def _lag(probe: Probe, found: _List) -> int:
    if probe.cached_seconds is not None:
        return round(probe.cached_seconds * SECOND)
    return 0 if probe.shows_copies else round((found.life_seconds or 0) * SECOND)


def _fetched(client: EndpointClient, trusted: _KeysById, at: Instant, uri: str) -> _List | None:
    """Fetch a list; None if there is no valid one."""
    probe = client.probe
    url = probe.url.replace("{uri}", quote(uri, safe="")) if probe.shows_copies else uri
    body = client.answer("GET", url, ANSWER_BYTES, headers={"Accept": "application/statuslist+jwt"})
    if body is None:
        return None
    try:
        found = _verified(body.decode("ascii").strip(), trusted, uri, at)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        logger.info("the list of %s does not count: %s", probe.receiver, type(error).__name__)
        return None
    is_known = probe.shows_copies or probe.cached_seconds is not None or found.life_seconds is not None
    return found if is_known else None


def _verified(token: str, trusted: _KeysById, uri: str, at: Instant) -> _List:
    """Verify a list; raise an error of ``jwt``, or one about its form, if it is not valid."""
    header = jwt.get_unverified_header(token)
    if header.get("typ", "").lower() not in _TYPES:
        raise ValueError("it is of another type")
    key = trusted[header["kid"]] if "kid" in header else next(iter(trusted.values()))
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
    claims = jwt.decode(token, key.key, algorithms=[key.algorithm_name], options=options)
    issued, ends, ttl = _seconds(claims["iat"]), _seconds(claims.get("exp")), _seconds(claims.get("ttl"))
    now = at / SECOND
    if claims["sub"] != uri or issued is None or issued > now + _AHEAD_SECONDS or (ends is not None and ends <= now):
        raise ValueError("it is for another URI, or not valid at this time")
    listed = claims["status_list"]
    lives = [one for one in (ttl, None if ends is None else ends - issued) if one is not None]
    return _List(decoded(listed["lst"]), listed["bits"], max(lives, default=None))


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**40:
        raise ValueError("one of its times is not a number of seconds")
    return float(value)


def _trusted(probe: Probe, inquiry: Inquiry) -> _KeysById:
    if probe.jwks is not None:
        return _read_jwks(probe.jwks)
    return {} if inquiry.keys is None else _by_id(inquiry.keys.jwks())


def _read_jwks(path: Path) -> _KeysById:
    try:
        return _by_id(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, jwt.PyJWTError, AttributeError, TypeError, KeyError) as error:
        raise RefusedError(
            f"{path} cannot be read as the keys that sign status lists; give a JWK Set (RFC 7517)"
        ) from error


def _by_id(jwks: dict[str, Any]) -> _KeysById:
    found = jwt.PyJWKSet.from_dict(jwks).keys
    return {key.key_id or str(number): key for number, key in enumerate(found)}
