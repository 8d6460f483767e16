"""Token status lists over HTTP: ``GET /status-lists/{name}``, signed, for now or for an earlier time.

A list contains the tokens whose facts state an index in ``BASE/{name}``. It is built from the current authority graph,
at most once a second, and signed again when its content changes or its signature is getting old.
"""

import hashlib
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineage.core.model.errors import RefusedError
from lineage.core.model.times import SECOND, Instant
from lineage.core.revocation.status_lists import BITS, Statuses, encoded, packed, statuses_of
from lineage.deliver.http.problems import problem
from lineage.deliver.http.route import Route
from lineage.deliver.http.signing_keys import SigningKeys
from lineage.store.authority_replica import AuthorityReplica

TYPE: Final = "statuslist+jwt"
MEDIA_TYPE: Final = f"application/{TYPE}"
TTL_SECONDS: Final = 60  # how long a client may use a list before it fetches the next
LIFE_SECONDS: Final = 600
_RESIGN_SECONDS: Final = 30  # an unchanged list is signed again after this long
_MADE_SECONDS: Final = 1.0
_MOMENT: Final = re.compile(r"[0-9]{1,11}", re.ASCII)  # seconds; a larger number is beyond all valid times
_KEPT: Final = 32  # a limit is needed, since anyone may request any list that an event mentions
# The lists are public, and web wallets read them across origins.
_ANYWHERE: Final = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_ACCEPTED: Final = {MEDIA_TYPE, "application/*", "*/*"}


class SignedList(NamedTuple):
    """A signed list."""

    token: str
    tag: str
    iat: int


class StatusLists:
    """The status lists, built on demand and cached. Thread-safe."""

    def __init__(
        self,
        current: AuthorityReplica,
        clock: Callable[[], Instant],
        base: str,
        keys: SigningKeys,
        *,
        kept: int = _KEPT,
    ) -> None:
        """Create an empty cache.

        Args:
            current: The replica of the authority graph.
            clock: Returns the current time.
            base: The prefix of the URIs of our lists, such as ``https://us.example/status-lists``.
            keys: The signing keys; the first one signs.
            kept: The number of signed lists to keep; beyond it the least recently used is dropped.
        """
        self.base = base.rstrip("/")
        self._current = current
        self._clock = clock
        self._keys = keys
        self._lock = threading.Lock()
        self._kept = kept
        # By name: when it was last checked, the digest of its content, the signed list. Least recently used first.
        self._made: OrderedDict[str, tuple[float, bytes, SignedList]] = OrderedDict()

    def uris(self) -> list[str]:
        """Return the URIs of all lists, sorted."""
        with self._current.world() as world:
            return sorted(uri for uri in world.listings.last if self._name(uri) is not None)

    def now(self, name: str) -> SignedList | None:
        """Return the current list of a name; None if there is none."""
        uri = f"{self.base}/{name}"
        with self._lock:
            at = self._clock()
            checked_at, known, signed = self._made.get(uri, (-_MADE_SECONDS, b"", None))
            if signed is not None:
                self._made.move_to_end(uri)
                if time.monotonic() - checked_at < _MADE_SECONDS:
                    return signed
            checked_at = time.monotonic()
            with self._current.world() as world:
                found = statuses_of(world, uri, at)
            if found is None:
                self._made.pop(uri, None)
                return None
            array, iat = packed(found.statuses, found.size, BITS), at // SECOND
            digest = hashlib.sha256(array).digest()  # instead of the array, which may have megabytes
            if signed is None or digest != known or not 0 <= iat - signed.iat < _RESIGN_SECONDS:
                signed = self._signed(uri, array, iat, iat + LIFE_SECONDS, {"ttl": TTL_SECONDS})
            self._made[uri] = checked_at, digest, signed
            while len(self._made) > self._kept:
                self._made.popitem(last=False)
            return signed

    def then(self, name: str, seconds: int) -> SignedList | None:
        """Return the list of a name at an earlier time, by current knowledge; None if there was none."""
        uri = f"{self.base}/{name}"
        if seconds * SECOND > self._clock():
            return None
        found = self._at(uri, seconds * SECOND)
        if found is None:
            return None
        return self._signed(uri, packed(found.statuses, found.size, BITS), seconds, seconds + 1, {})

    def _at(self, uri: str, at: Instant) -> Statuses | None:
        with self._current.world() as world:
            since = world.listings.since.get(uri)
            return statuses_of(world, uri, at) if since is not None and since <= at else None

    def _signed(self, uri: str, array: bytes, iat: int, exp: int, more: Mapping[str, Any]) -> SignedList:
        claims = {"bits": BITS, "lst": encoded(array), "aggregation_uri": self.base}
        token = self._keys.sign({"sub": uri, "iat": iat, "exp": exp, **more, "status_list": claims}, TYPE)
        return SignedList(token, f'"{hashlib.sha256(token.encode()).hexdigest()[:32]}"', iat)

    def _name(self, uri: str) -> str | None:
        name = uri.removeprefix(f"{self.base}/")
        return None if name == uri or not name or "/" in name else name


def routes(lists: StatusLists, clock: Callable[[], Instant]) -> list[Route]:
    """Build ``GET /status-lists`` (the aggregation) and ``GET /status-lists/{name}``, without authentication.

    Args:
        lists: The lists.
        clock: Returns the current time.
    """

    async def aggregation(_request: Request) -> Response:
        headers = {"Cache-Control": f"max-age={TTL_SECONDS}", **_ANYWHERE}
        return JSONResponse({"status_lists": await run_in_threadpool(lists.uris)}, headers=headers)

    async def status_list(request: Request) -> Response:
        name = request.path_params["name"]
        if not _accepts(request.headers.get("accept", "*/*")):
            title, detail = "Not acceptable", f"a status list is only available as {MEDIA_TYPE}"
            return problem(HTTPStatus.NOT_ACCEPTABLE, "not-acceptable", title, detail)
        values = request.query_params.getlist("time")
        if len(values) > 1 or (values and _MOMENT.fullmatch(values[0]) is None):
            raise RefusedError("'time' must be one number: seconds since 1970")
        look = partial(lists.then, name, int(values[0])) if values else partial(lists.now, name)
        signed = await run_in_threadpool(look)
        if signed is None:
            when = " at that time" if values else ""
            title, detail = "There is no such status list", f"no token has an index in {name[:200]!a}{when}"
            return problem(HTTPStatus.NOT_FOUND, "no-such-list", title, detail)
        fresh = TTL_SECONDS if values else max(0, signed.iat + TTL_SECONDS - clock() // SECOND)
        headers = {"ETag": signed.tag, "Cache-Control": f"max-age={fresh}", "Vary": "Accept", **_ANYWHERE}
        if signed.tag in _tags(request.headers.get("if-none-match", "")):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(signed.token, media_type=MEDIA_TYPE, headers=headers)

    return [Route("GET", "/status-lists", aggregation), Route("GET", "/status-lists/{name}", status_list)]


def _accepts(header: str) -> bool:
    return not _ACCEPTED.isdisjoint(part.partition(";")[0].strip().lower() for part in header.split(","))


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}
