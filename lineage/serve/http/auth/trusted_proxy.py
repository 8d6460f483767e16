"""Callers whom a proxy before us has signed in, and names in headers.

Whoever can reach us could write these headers: they count only from the proxy's addresses, or with its secret. The
browser brings whatever the proxy signed in by to every page of anybody, so that writes are held to ``forgery``.
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
    """Takes a proxy's word."""

    def __init__(self, settings: HttpSettings) -> None:
        """Take which headers it writes, and how it is known."""
        assert settings.proxy_user_header is not None  # noqa: S101 (there is a proxy)
        self._user_header = settings.proxy_user_header
        self._settings = settings

    def authenticate(self, connection: HTTPConnection) -> Caller:
        """Says who asks.

        Raises:
            UnauthenticatedError: It did not come by the proxy, or the proxy names nobody.
            ForbiddenError: A page of somewhere else wants to write.
        """
        if not (self._by_address(connection) and self._by_secret(connection)):
            raise UnauthenticatedError("sign in by the proxy before this server")
        name = self._one(connection, self._user_header)
        if not name or limits.fault_of_id(name) or credentials.find(name):
            raise UnauthenticatedError("the proxy names nobody, or somebody who cannot be named")
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
        said = connection.headers.get(SECRET_HEADER, "")
        return secret is None or secrets.compare_digest(secret.encode(), said.encode())

    @staticmethod
    def _one(connection: HTTPConnection, header: str) -> str:
        """The value of a header. If it stands twice, one of them may be the caller's own."""
        said = connection.headers.getlist(header)
        if len(said) > 1:
            raise UnauthenticatedError(f"the header {header} stands twice: the proxy must replace what is there")
        return said[0] if said else ""


def _words(said: str) -> list[str]:
    return said.replace(",", " ").split()
