"""Who asks over HTTP, as authenticated, and what they may do.

How a caller is authenticated is the business of whoever serves; what stands here is what it comes to. The parts that
are served are given a function ``authenticate`` and ask it for each request.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from starlette.requests import HTTPConnection

from lineage.core.model.errors import OverloadedError, RefusedError


class Role(StrEnum):
    """What a caller may do (docs/http-api.md)."""

    PRODUCER = "producer"  # send events of the sources listed for it
    INVESTIGATOR = "investigator"  # ask
    RESPONDER = "responder"  # order and lift
    RECEIVER = "receiver"  # be told, acknowledge, introspect


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who was authenticated.

    Attributes:
        name: Their id: what stands in ``ordered_by``, ``lifted_by`` and ``receiver``.
        roles: What they may do.
        sources: Of a producer, the sources that it may send events of; a prefix that ends in ``*`` covers all below.
        by_token: Whether they showed a bearer token, so that another token may do what this one may not.
    """

    name: str
    roles: frozenset[Role]
    sources: tuple[str, ...] = ()
    by_token: bool = False


class UnauthenticatedError(RefusedError):
    """Who asks is not known; the message says what was wrong with the credentials, and never repeats them."""


class BadTokenError(UnauthenticatedError):
    """A bearer token was shown, and is not good."""


class ForbiddenError(RefusedError):
    """Who asks is known, and may not do that."""


class CallerLimitError(OverloadedError):
    """Too many requests of one caller are under way."""


class LacksRoleError(ForbiddenError):
    """Who asks has none of the roles that it takes.

    Attributes:
        needs: What it takes, in words that hold nothing of what was asked.
        by_token: Whether they showed a bearer token.
    """

    def __init__(self, caller: Caller, roles: Iterable[Role]) -> None:
        """Keep what it takes beside the message."""
        self.needs = f"it takes the role {' or '.join(sorted(roles))}"
        self.by_token = caller.by_token
        super().__init__(f"{caller.name} may not do that: {self.needs}")


Authenticate = Callable[[HTTPConnection], Caller]
"""Says who asks. Raises UnauthenticatedError."""


class Authentication(NamedTuple):
    """How callers are authenticated.

    Attributes:
        authenticate: Says who asks; may wait, for keys to be fetched say.
        recognise: The same without waiting; raises NotAtOnceError where it would have to. None: it always would.
    """

    authenticate: Authenticate
    recognise: Authenticate | None = None


def require(caller: Caller, *roles: Role) -> Caller:
    """The caller, if it has one of some roles.

    Raises:
        LacksRoleError: It has none of them.
    """
    if caller.roles.isdisjoint(roles):
        raise LacksRoleError(caller, roles)
    return caller
