"""Callers signed in by a proxy in front of us, which names them in headers.

Anyone who can reach us could send these headers, so they count only from the proxy's addresses or with its secret. A
browser sends the proxy's session with the requests of any page, so writes are checked by ``csrf``.
"""

import ipaddress
import secrets
from typing import Final

from starlette.requests import HTTPConnection

from ingest.codec import credentials, limits
from lineage.deliver.http.callers import Caller, UnauthenticatedError
from lineage.serve.config.http_settings import HttpSettings
from lineage.serve.http.auth.bearer import roles_of
from lineage.serve.http.auth.csrf import refuse_forgery

SECRET_HEADER: Final = "Delegraph-Proxy-Secret"


class TrustedProxy:
    """Authenticates by the proxy's headers."""

    def __init__(self, settings: HttpSettings) -> None:
        """Read the names of the headers, and how the proxy is recognised."""
        assert settings.proxy_user_header is not None  # noqa: S101 (there is a proxy)
        self._user_header = settings.proxy_user_header
        self._settings = settings

    def authenticate(self, connection: HTTPConnection) -> Caller:
        """Authenticate the caller.

        Raises:
            UnauthenticatedError: The request did not come through the proxy, or names no caller.
            ForbiddenError: A foreign page attempts to write.
        """
        if not (self._by_address(connection) and self._by_secret(connection)):
            raise UnauthenticatedError("sign in through the proxy in front of this server")
        name = self._one(connection, self._user_header)
        if not name or limits.fault_of_id(name) or credentials.find(name):
            raise UnauthenticatedError("the proxy names no caller, or one whose id is not valid")
        roles = self._one(connection, self._settings.proxy_roles_header)
        sources = self._settings.proxy_sources_header
        refuse_forgery(connection)
        return Caller(
            name=name,
            roles=roles_of(_words(roles)),
            sources=tuple(_words(self._one(connection, sources))) if sources else (),
        )

    def _by_address(self, connection: HTTPConnection) -> bool:
        peers = self._settings.proxy_peers
        if not peers:
            return True
        try:
            peer = ipaddress.ip_address(connection.client.host if connection.client else "")
        except ValueError:
            return False
        return any(peer in network for network in peers)

    def _by_secret(self, connection: HTTPConnection) -> bool:
        secret = self._settings.proxy_secret
        header = connection.headers.get(SECRET_HEADER, "")
        return secret is None or secrets.compare_digest(secret.encode(), header.encode())

    @staticmethod
    def _one(connection: HTTPConnection, header: str) -> str:
        """Return the value of a header. If it is repeated, one of the values may be the caller's own."""
        values = connection.headers.getlist(header)
        if len(values) > 1:
            raise UnauthenticatedError(
                f"the header {header} is given twice: the proxy must replace the one that it receives"
            )
        return values[0] if values else ""


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
