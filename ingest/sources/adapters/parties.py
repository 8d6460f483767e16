"""Parties that other systems name, in JWT claims or by type and id, and their kinds of principal.

Pure. There is one ``principal.registered`` for each party, however many records state its kind.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import Document, Memory, Source, Translation, handle, member, text

# Ids that declare their kind stay as they are (clause 2.4).
_DECLARED: Final = ("human:", "agent:", "service:", "spiffe://")
# AuthZEN leaves subject types open; these denote a kind of principal.
KINDS: Final = {"user": "human", "human": "human", "agent": "agent", "service": "service", "workload": "workload"}
_MAILBOX: Final = re.compile(r"[^@\s#]+@[^@\s#]+\.[A-Za-z]+")
_MACHINES: Final = ("gserviceaccount.com",)
_DEEPEST_ACT: Final = 64
_ID_DIGITS: Final = 16
_DUE, _REPORTED = "party", "party-told"


class Bearer(NamedTuple):
    """The content of JWT claims.

    Attributes:
        token: ``<iss>#<jti>``.
        subject: The party it acts for.
        actor: The party that uses it: the outermost ``act``, else the client it was issued to; None if that is the
            subject itself.
        prior_actors: The other actors, root to leaf.
    """

    token: str | None = None
    subject: str | None = None
    actor: str | None = None
    prior_actors: tuple[str, ...] = ()

    def named(self, native: str) -> str | None:
        """Return the party with this id within the issuer, if the claims name one."""
        parties = (self.actor, self.subject, *self.prior_actors)
        return next((party for party in parties if party and party.endswith(f"#{native}")), None)

    def before(self, actor: str | None) -> list[str]:
        """Return who delegated to an actor, root to leaf; the last is the token's user, unless that is the actor."""
        chain = [*self.prior_actors, *([self.actor] if self.actor else [])]
        return chain[: chain.index(actor)] if actor in chain else [] if actor == self.subject else chain


def bearer_of(claims: Any, source: Source) -> Bearer:
    """Parse JWT claims; without an issuer the ids are those of the source."""
    issuer, number = text(claims, "iss"), text(claims, "jti")
    subject = _party(claims, issuer, source)
    actors: list[str] = []
    act = member(claims, "act")
    while isinstance(act, Mapping) and len(actors) < _DEEPEST_ACT:
        issuer = text(act, "iss") or issuer  # an actor without an issuer belongs to the issuer of the claims
        if actor := _party(act, issuer, source):
            actors.append(actor)
        act = act.get("act")
    client = text(claims, "client_id") or text(claims, "azp")
    if not actors and client is not None and (wielder := _within(text(claims, "iss"), client, source)) != subject:
        actors = [wielder]
    return Bearer(
        token=f"{text(claims, 'iss')}#{number}" if text(claims, "iss") and number else None,
        subject=subject,
        actor=actors[0] if actors else None,
        prior_actors=tuple(reversed(actors[1:])),
    )


def is_mailbox(party: str) -> bool:
    """Whether an issuer knows a party by a mailbox, as it knows people; some clouds give machines one as well."""
    native = party.rpartition("#")[2]
    return _MAILBOX.fullmatch(native) is not None and not native.endswith(_MACHINES)


def party_of(source: Source, type_: str | None, native: str) -> str:
    """Return the id of a party that an application names by a type and an id."""
    if native.startswith(_DECLARED) or "#" in native:
        return native
    return source.principal(type_ or "subject", native)


def behalf_of(principal: str | None, actor: str | None, bearer: Bearer, source: Source, type_: str) -> str | None:
    """Return on whose behalf someone acts: the party that the application names, else the subject of the token."""
    if principal is not None:
        return bearer.named(principal) or party_of(source, type_, principal)
    return bearer.subject if bearer.subject != actor else None


def qualified(source: Source, native: str | None) -> str | None:
    """Return the id of a session or delegation that an application names; unchanged if it is qualified."""
    return native if native is None or "#" in native or "://" in native else source.id(native)


class NamingRecord(NamedTuple):
    """The record that names a party: its id and time."""

    id: str
    at: str


def registered(source: Source, principal: str, kind: str, mention: NamingRecord, name: str | None = None) -> Document:
    """Build the event that states a party's kind of principal and its display name."""
    digest = handle(principal).removeprefix("sha256:")[:_ID_DIGITS]  # a party's id may be as long as an event's id
    body = {"principal": principal, "kind": kind, "display_name": name}
    return source.event("principal.registered", f"{mention.id}/{digest}", mention.at, **body)


def note_kind(
    memory: Memory, principal: str | None, kind: str | None, mention: NamingRecord, name: str | None = None
) -> None:
    """Remember a stated kind of principal, so that ``registrations`` builds one event from many records.

    Does nothing without a principal or a known kind, or if the id declares the kind.
    """
    if principal is None or kind is None or principal.startswith(_DECLARED) or memory.get(_REPORTED, principal):
        return
    known, found = memory.get(_DUE, principal), [mention.at, mention.id, kind, name]
    if known is None or found[:2] < known[:2]:
        memory.put(_DUE, principal, found)


def registrations(source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
    """Yield a ``principal.registered`` for each party with a remembered kind; a ``settle`` of the kit."""
    for principal, (at, id_, kind, name) in memory.entries(_DUE):
        memory.drop(_DUE, principal)
        if memory.is_new(_REPORTED, principal):
            yield Translation(events=(registered(source, principal, kind, NamingRecord(id_, at), name),))


def _party(claims: Any, issuer: str | None, source: Source) -> str | None:
    subject = text(claims, "sub")
    return _within(issuer, subject, source) if subject else None


def _within(issuer: str | None, native: str, source: Source) -> str:
    return f"{issuer}#{native}" if issuer else source.issued(native)
