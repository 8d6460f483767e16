"""Answers about agents: which were active, and what they could do, held and did."""

from typing import TypedDict

from lineage.serve.http.openapi.schemas.answers import Action
from lineage.serve.http.openapi.schemas.common import AsOf, ListPage, Time


class _Named(TypedDict):
    known_as: str
    display_name: str | None
    owner: str | None


class ActiveAgent(_Named):
    """An agent that acted, or was granted anything."""

    first: Time
    last: Time
    actions: int
    tokens: int
    delegations: int


_Between = TypedDict("_Between", {"from": Time, "to": Time})


class ActiveAgents(ListPage, _Between):
    """The agents that were active between two instants, the most active first."""

    items: list[ActiveAgent]
    as_of: AsOf


class Grant(TypedDict):
    """A token or a delegation that an agent holds."""

    kind: str
    id: str
    given_by: str | None
    on_behalf_of: str | None
    scopes: list[str]
    audience: list[str]
    task: str | None
    issued_at: Time
    expires_at: Time | None


class AllowedGrant(Grant):
    """A live grant, with what it effectively allows and where it was used."""

    effective_scopes: list[str] | None
    ends_at: Time | None
    tools: list[str]


class Allowed(ListPage, _Named):
    """The rights of an agent at an instant."""

    agent: str
    at: Time
    effective_scopes: list[str]
    scopes_known: bool
    tools: list[str]
    items: list[AllowedGrant]
    as_of: AsOf


class HeldGrant(Grant):
    """A grant that an agent held, and what ended it."""

    ended_at: Time | None
    ended_by: str | None


class Held(ListPage, _Named, _Between):
    """The grants that an agent held between two instants."""

    agent: str
    items: list[HeldGrant]
    as_of: AsOf


class DoneAction(Action):
    """An action of an agent, with its chain."""

    human: str | None
    chain: list[str]


class Done(ListPage, _Named, _Between):
    """The actions of an agent between two instants, the latest first."""

    agent: str
    items: list[DoneAction]
    as_of: AsOf
