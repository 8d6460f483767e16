"""Entries that end or suspend tokens in Keycloak, if it takes two entries to determine which tokens. Pure.

Every function receives the two entries in either order, and builds events with an id derived from both.
"""

from collections.abc import Iterator
from typing import Final

from ingest.sources.adapters import keycloak_exchanges as exchanges
from ingest.sources.adapters.keycloak_entries import KeycloakEntry, Request, digest
from ingest.sources.adapters.keycloak_exchanges import Issue
from ingest.sources.adapters.kit import Document, Memory, Source, Translation

# Topics: impersonators by session; logouts by realm; enabling and disabling, by target; revocations that ended the
# sessions of other clients and are not processed yet.
_IMPERSONATORS, _LOGOUTS, _SWITCHES, _DETACHED = "impersonator", "realm-logout", "switch", "detached"
_MOST: Final = 64  # requests of one realm or target


def of_issue(issue: Issue, source: Source, memory: Memory) -> list[Document]:
    """Return the events that an impersonation and the logouts of its realm imply for a token."""
    logouts = [Request(*found) for found in memory.get(_LOGOUTS, _realm(issue.group), [])]
    events = [_ended(issue, logout, source) for logout in logouts if issue.moment < logout.moment]
    impersonators = [Request(*found) for found in memory.get(_IMPERSONATORS, issue.group, [])]
    return [*events, *(event for request in impersonators for event in _impersonated(issue, request, source))]


def impersonated(group: str, request: Request, source: Source, memory: Memory) -> list[Document]:
    """Handle a session opened in another's name: the impersonator is responsible for its tokens."""
    known = memory.get(_IMPERSONATORS, group, [])
    if list(request) not in known:
        memory.put(_IMPERSONATORS, group, [*known[1 - _MOST :], list(request)])
    return [event for issue in exchanges.issued_in(group, memory) for event in _impersonated(issue, request, source)]


def realm_logout(issuer: str, request: Request, source: Source, memory: Memory) -> list[Document]:
    """Handle a realm logout, which ends all sessions and rejects older tokens without one.

    Yields one order for each known token.
    """
    known = memory.get(_LOGOUTS, issuer, [])
    if list(request) not in known:
        memory.put(_LOGOUTS, issuer, [*known[1 - _MOST :], list(request)])
    groups = [group for group in exchanges.groups(memory) if _realm(group) == issuer]
    issues = [issue for group in groups for issue in exchanges.issued_in(group, memory)]
    return list(
        {issue.group: _ended(issue, request, source) for issue in issues if issue.moment < request.moment}.values()
    )


def switched(target: tuple[str, str], request: Request, source: Source, memory: Memory, *, on: bool) -> list[Document]:
    """Handle the enabling or disabling of a client or user: a suspension, and its lift."""
    key, known = ":".join(target), memory.get(_SWITCHES, ":".join(target), [])
    if [*request, on] not in known:
        memory.put(_SWITCHES, key, [*known[1 - _MOST :], [*request, on]])
    others = [Request(*other) for *other, was_on in known if was_on is not on]
    if on:
        return [_lift(off, request, source) for off in others if off.moment < request.moment]
    order = source.order(request.id, request.at, target, by=request.by, cascade=False, mode="suspend", note="disabled")
    return [order, *(_lift(request, later, source) for later in others if request.moment < later.moment)]


def detached(entry: KeycloakEntry, memory: Memory) -> None:
    """Remember a revoked token that also ended the sessions of clients that exchanged its client's tokens."""
    token, clients = entry.named(entry.detail("token_id")), entry.detail("token_exchange_revoked_clients")
    if token and clients:
        holders = [f"{entry.issuer}#{client}" for client in clients.split(",")]
        request = Request(entry.id, entry.at, entry.named(entry.client) or str(entry.issuer))
        memory.put(_DETACHED, entry.id, [list(request), token, holders])


def due(source: Source, memory: Memory) -> Iterator[Translation]:
    """Yield an order for each token of those clients in the session of the revoked one."""
    for id_, (request, token, holders) in memory.entries(_DETACHED):
        memory.drop(_DETACHED, id_)
        by = Request(*request)
        sessions = (exchanges.issued_in(group, memory) for group in exchanges.groups(memory))
        session = next((found for found in sessions if any(issue.token == token for issue in found)), [])
        for issue in session:
            if issue.holder in holders and issue.moment < by.moment:
                yield Translation(events=(_end(f"{by.id}/{digest(issue.token)}", by, ("token", issue.token), source),))


def _end(id_: str, request: Request, target: tuple[str, str], source: Source, **body: str) -> Document:
    return source.order(id_, request.at, target, by=request.by, cascade=False, **body)


def _ended(issue: Issue, logout: Request, source: Source) -> Document:
    kind, _, id_ = issue.group.partition(":")
    note = "all sessions of the realm were logged out"
    event_id = f"{logout.id}/{digest(issue.group)}"
    return _end(event_id, logout, (kind, id_), source, issued_before=logout.at, note=note)


def _lift(off: Request, on: Request, source: Source) -> Document:
    return source.lift(off.id, f"{off.id}/{on.id}", on.at, by=on.by)


def _impersonated(issue: Issue, request: Request, source: Source) -> list[Document]:
    if issue.subject_client is not None:  # stated by the token it was derived from
        return []
    id_, body = f"{request.id}/{digest(f'{issue.token} {issue.at}')}", {"token": issue.token, "subject": issue.subject}
    return [source.event("token.issued", id_, issue.at, prior_actors=[request.by], **body)]


def _realm(group: str) -> str:
    """Return the issuer in ``session:<issuer>#<id>``."""
    return group.partition(":")[2].rpartition("#")[0]


def revoked(entry: KeycloakEntry) -> tuple[str, str] | None:
    """Return what a revocation ended: for an access token only the token, for a refresh token its session.

    The revocation of a consent names neither.
    """
    access, refresh = entry.named(entry.detail("token_id")), entry.named(entry.detail("refresh_token_id"))
    if access is not None:
        return "token", access
    if refresh is not None:
        return ("session", entry.session_id) if entry.session_id else ("token", refresh)
    return None
