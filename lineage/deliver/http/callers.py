"""Authenticated callers of the HTTP endpoints, and their roles.

This module only defines the result of authentication; the server decides how callers are authenticated. The endpoints
are given a function ``authenticate`` and call it for every request.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from starlette.requests import HTTPConnection

from lineage.core.model.errors import OverloadedError, RefusedError


class Role(StrEnum):
    """The roles of callers (docs/http-api.md)."""

    PRODUCER = "producer"  # send events of the sources listed for it
    INVESTIGATOR = "investigator"  # query
    RESPONDER = "responder"  # revoke and reinstate
    RECEIVER = "receiver"  # receive state changes, acknowledge, introspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller.

    Attributes:
        name: Its id, used as ``ordered_by``, ``lifted_by`` and ``receiver``.
        roles: Its roles.
        sources: For a producer, the sources whose events it may send; one that ends in ``*`` is a prefix.
        by_token: Whether it used a bearer token, so that the response can ask for a token with more rights.
    """

    name: str
    roles: frozenset[Role]
    sources: tuple[str, ...] = ()
    by_token: bool = False


class UnauthenticatedError(RefusedError):
    """The caller is not authenticated; the message says what was wrong with the credentials, without repeating them."""


class BadTokenError(UnauthenticatedError):
    """The bearer token is not valid."""


class ForbiddenError(RefusedError):
    """The caller is authenticated but not allowed to do that."""


class CallerLimitError(OverloadedError):
    """The caller has too many requests in progress."""


class LacksRoleError(ForbiddenError):
    """The caller has none of the required roles.

    Attributes:
        needs: The required roles, in a text that contains nothing from the request.
        by_token: Whether the caller used a bearer token.
    """

    def __init__(self, caller: Caller, roles: Iterable[Role]) -> None:
        """Build the message from the caller and the required roles."""
        self.needs = f"it takes the role {' or '.join(sorted(roles))}"
        self.by_token = caller.by_token
        super().__init__(f"{caller.name} may not do that: {self.needs}")


Authenticate = Callable[[HTTPConnection], Caller]
"""Authenticates the caller of a request; raises UnauthenticatedError if it cannot."""


class Authentication(NamedTuple):
    """The functions that authenticate callers.

    Attributes:
        authenticate: Authenticates the caller; may block, for example to fetch keys.
        recognise: The same without blocking; raises WouldBlockError if it would block. None if it always would.
    """

    authenticate: Authenticate
    recognise: Authenticate | None = None


def require(caller: Caller, *roles: Role) -> Caller:
    """Return the caller if it has one of the roles.

    Raises:
        LacksRoleError: It has none of them.
    """
    if caller.roles.isdisjoint(roles):
        raise LacksRoleError(caller, roles)
    return caller
