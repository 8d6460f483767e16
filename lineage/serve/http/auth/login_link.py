"""Sign-in without an issuer: a one-time link, printed for the person who started the process.

The link is exchanged for a cookie. Both are random, only their digests are stored, and both end with the process.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.callers import BadTokenError, Caller, Role, UnauthenticatedError
from lineage.deliver.http.route import Route
from lineage.serve.http.auth.csrf import refuse_forgery

LINK_SECONDS: Final = 15 * 60
SESSION_SECONDS: Final = 12 * 60 * 60  # the length of a shift
EVERY_ROLE: Final = frozenset(Role)


class SigningIn:
    """One link and its session. Thread-safe."""

    def __init__(
        self, name: str, clock: Callable[[], Instant], *, port: int, tls: bool = False, start: str = "/"
    ) -> None:
        """Create the link.

        Args:
            name: The person who signs in: the value of ``ordered_by``.
            clock: Returns the current time.
            port: Part of the cookie's name, because cookies are shared by all ports: two processes on one machine
                stay separate.
            tls: Whether browsers connect over TLS.
            start: The address that the link leads to.
        """
        self._start = start
        self._caller = Caller(name=name, roles=EVERY_ROLE, sources=("*",))
        self._clock = clock
        self._tls = tls
        self.cookie: Final = f"__Host-delegraph-{port}" if tls else f"delegraph-{port}"
        self.token: Final = secrets.token_urlsafe(32)
        self._link: tuple[bytes, Instant] | None = (_digest(self.token), clock() + LINK_SECONDS * SECOND)
        self._session: tuple[bytes, Instant] | None = None
        self._lock = threading.Lock()

    def exchange(self, token: str) -> str:
        """Exchange the token of the link for a cookie value.

        Raises:
            UnauthenticatedError: The token is wrong, used, or too old.
        """
        with self._lock:
            if not self._holds(self._link, token):
                raise UnauthenticatedError(
                    "this sign-in link has expired: it works once, for 15 minutes; "
                    "restart 'delegraph serve' to get a new one"
                )
            self._link = None
            session = secrets.token_urlsafe(32)
            self._session = (_digest(session), self._clock() + SESSION_SECONDS * SECOND)
            return session

    def authenticate(self, connection: HTTPConnection) -> Caller:
        """Authenticate the caller.

        Raises:
            BadTokenError: There is no valid cookie, and what is presented instead is no token of this store.
            UnauthenticatedError: There is no cookie, or it has expired.
            ForbiddenError: A foreign page attempts to write.
        """
        if not self._holds(self._session, connection.cookies.get(self.cookie, "")):
            if connection.headers.get("authorization"):
                raise BadTokenError(
                    "the Authorization header holds no API token of this store: send one that 'delegraph token create' "
                    "printed, as 'Authorization: Bearer dgt_...'"
                )
            raise UnauthenticatedError(
                "sign in by the link that 'delegraph serve' printed; a script sends a token of 'delegraph token create'"
            )
        refuse_forgery(connection)
        return self._caller

    def _holds(self, link: tuple[bytes, Instant] | None, shown: str) -> bool:
        return link is not None and secrets.compare_digest(link[0], _digest(shown)) and self._clock() < link[1]

    def route(self) -> Route:
        """Build the route of the link, ``GET /sign-in?token=…``."""

        def sign_in(request: Request) -> Response:
            session = self.exchange(request.query_params.get("token", ""))
            response = RedirectResponse(self._start, status_code=303)
            response.set_cookie(
                self.cookie, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=self._tls
            )
            return response

        return Route("GET", "/sign-in", sign_in)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
