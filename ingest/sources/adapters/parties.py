"""Parties that other systems name: in the claims of a JWT, or by a type and an id; and what kind of principal they are.

Pure. What a log says of somebody's kind becomes one ``principal.registered`` a party, however many records name it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import Document, Memory, Source, Translation, handle, member, text

# What declares its kind by itself stands as it is (clause 2.4).
_DECLARED: Final = ("human:", "agent:", "service:", "spiffe://")
# AuthZEN leaves types of subjects open; these mean a kind of principal.
KINDS: Final = {"user": "human", "human": "human", "agent": "agent", "service": "service", "workload": "workload"}
_DEEPEST_ACT: Final = 64
_ID_DIGITS: Final = 16
_DUE, _TOLD = "party", "party-told"


class Bearer(NamedTuple):
    """What the claims of a JWT say.

    Attributes:
        token: ``<iss>#<jti>``.
        subject: Whom it speaks for.
        actor: Who wields it: the outermost ``act``, else the client that it was issued to; None: the subject itself.
        prior_actors: The other actors, root to leaf.
    """

    token: str | None = None
    subject: str | None = None
    actor: str | None = None
    prior_actors: tuple[str, ...] = ()

    def named(self, native: str) -> str | None:
        """The party whose id within the issuer this is, if the claims name one."""
        parties = (self.actor, self.subject, *self.prior_actors)
        return next((party for party in parties if party and party.endswith(f"#{native}")), None)

    def before(self, actor: str | None) -> list[str]:
        """Who handed over to an actor, root to leaf; whoever wields the token does so to anybody else."""
        chain = [*self.prior_actors, *([self.actor] if self.actor else [])]
        return chain[: chain.index(actor)] if actor in chain else [] if actor == self.subject else chain


def bearer_of(claims: Any, source: Source) -> Bearer:
    """What the claims of a JWT say; of claims without an issuer the ids are those of the source."""
    issuer, number = text(claims, "iss"), text(claims, "jti")
    subject = _party(claims, issuer, source)
    actors: list[str] = []
    act = member(claims, "act")
    while isinstance(act, Mapping) and len(actors) < _DEEPEST_ACT:
        issuer = text(act, "iss") or issuer  # an actor without an issuer is one of whoever says so
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


def party_of(source: Source, type_: str | None, native: str) -> str:
    """The id of a party that an application names by a type and an id."""
    if native.startswith(_DECLARED) or "#" in native:
        return native
    return source.principal(type_ or "subject", native)


def behalf_of(said: str | None, actor: str | None, bearer: Bearer, source: Source, type_: str) -> str | None:
    """Whom somebody acts for: the party that the application names, else the subject of the token that it passed on."""
    if said is not None:
        return bearer.named(said) or party_of(source, type_, said)
    return bearer.subject if bearer.subject != actor else None


def qualified(source: Source, native: str | None) -> str | None:
    """The id of a session or delegation that an application names: as it stands if it says whose it is."""
    return native if native is None or "#" in native or "://" in native else source.id(native)


class Mention(NamedTuple):
    """The record that speaks of somebody: its id, and when it was written."""

    id: str
    at: str


def registered(source: Source, principal: str, kind: str, said: Mention, name: str | None = None) -> Document:
    """The event that a record says what kind of principal somebody is, and what people call them."""
    digest = handle(principal).removeprefix("sha256:")[:_ID_DIGITS]  # an id may be as long as that of the event
    body = {"principal": principal, "kind": kind, "display_name": name}
    return source.event("principal.registered", f"{said.id}/{digest}", said.at, **body)


def note_kind(memory: Memory, principal: str | None, kind: str | None, said: Mention, name: str | None = None) -> None:
    """Remember that a record says what kind of principal somebody is, for ``told`` to make one event of many records.

    Nothing is remembered of nobody, of an unknown kind, or of somebody whose id declares it.
    """
    if principal is None or kind is None or principal.startswith(_DECLARED) or memory.get(_TOLD, principal):
        return
    known, found = memory.get(_DUE, principal), [said.at, said.id, kind, name]
    if known is None or found[:2] < known[:2]:
        memory.put(_DUE, principal, found)


def told(source: Source, memory: Memory, *, end: bool) -> Iterable[Translation]:
    """A ``principal.registered`` for each party of which a kind was noted; a ``settle`` of the kit."""
    for principal, (at, id_, kind, name) in memory.entries(_DUE):
        memory.drop(_DUE, principal)
        if memory.is_new(_TOLD, principal):
            yield Translation(events=(registered(source, principal, kind, Mention(id_, at), name),))


def _party(claims: Any, issuer: str | None, source: Source) -> str | None:
    subject = text(claims, "sub")
    return _within(issuer, subject, source) if subject else None


def _within(issuer: str | None, native: str, source: Source) -> str:
    return f"{issuer}#{native}" if issuer else source.issued(native)
