"""Callers with a token of this store (``delegraph token create``), for scripts.

A token is looked up by its digest on every request, so that a revoked one is refused at once. It is accepted only
where it cannot be read in transit: from this machine, or behind TLS.
"""

from typing import Final

from starlette.requests import HTTPConnection

from lineage.core.model.errors import WouldBlockError
from lineage.deliver.http.callers import Authenticate, Authentication, BadTokenError, Caller
from lineage.serve.commands.api_tokens import PREFIX, caller_of_token
from lineage.serve.http.auth.locality import is_from_here
from lineage.serve.queries.service import Service

_SCHEME: Final = "bearer"


class ApiTokenCallers:
    """Authenticates callers by tokens of a store. Thread-safe."""

    def __init__(self, service: Service, *, tls: bool) -> None:
        """Use the tokens of a service.

        Args:
            service: The service with the tokens.
            tls: Whether all callers connect over TLS.
        """
        self._service = service
        self._tls = tls

    def combined_with(self, other: Authentication) -> Authentication:
        """Return an authentication by a token if one is presented, otherwise in another way."""

        def recognise(connection: HTTPConnection) -> Caller:
            if _presented(connection):
                raise WouldBlockError("the token has to be looked up")
            assert other.recognise is not None  # noqa: S101 (else there is no such function)
            return other.recognise(connection)

        return Authentication(self._or_else(other.authenticate), None if other.recognise is None else recognise)

    def _or_else(self, other: Authenticate) -> Authenticate:
        def authenticate(connection: HTTPConnection) -> Caller:
            """Authenticate by the presented token, otherwise in the other way."""
            token = _presented(connection)
            return other(connection) if token is None else self._caller_of(token, connection)

        return authenticate

    def _caller_of(self, token: str, connection: HTTPConnection) -> Caller:
        if not (self._tls or is_from_here(connection)):
            raise BadTokenError(
                "an API token is accepted over TLS or from this machine only: set the public URL to that of the "
                "proxy that terminates TLS (DELEGRAPH_HTTP_PUBLIC_URL), and revoke this token, which was sent in clear"
            )
        return caller_of_token(self._service, token)


def _presented(connection: HTTPConnection) -> str | None:
    """Return the API token of a request; None if it has none.

    Raises:
        BadTokenError: It is in the URL.
    """
    if PREFIX.encode() in connection.scope.get("query_string", b""):
        raise BadTokenError(
            "an API token must not be in a URL, where logs keep it: send it as 'Authorization: Bearer', and replace "
            "this one (delegraph token revoke)"
        )
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    token = token.strip()
    return token if scheme.lower() == _SCHEME and token.startswith(PREFIX) else None
