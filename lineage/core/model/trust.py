"""Who may say what: the trust table (clauses 2.12 and 2.13).

A fact outside it is kept, counted and shown, and is no part of the state. Pure: the table is an argument; the file it
comes from is read by ``ingest.trust_file``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    Fact,
    FindingJudged,
    PrincipalRegistered,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    WorkloadBound,
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What one source may send.

    Attributes:
        types: Event types; ``*`` is every type.
        prefixes: Prefixes of the ids it may speak about; the empty prefix is every id.
    """

    types: frozenset[str]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustTable:
    """What each source may send; a source that is not listed may say nothing."""

    sources: Mapping[str, Grant]

    @property
    def table(self) -> "TrustTable":
        """Itself: it stays in force."""
        return self

    def allows(self, event: Event) -> bool:
        """Whether the source of an event may say it."""
        grant = self.sources.get(event.source)
        if grant is None or not (event.type in grant.types or "*" in grant.types):
            return False
        return all(self.may_speak_about(event.source, id_) for id_ in own_ids(event))

    def may_speak_about(self, source: str, id_: str) -> bool:
        """Whether a source may speak about an id: one of its prefixes is a prefix of it."""
        grant = self.sources.get(source)
        return grant is not None and id_.startswith(grant.prefixes)


class Trusted(Protocol):
    """What says which table is in force; it may be another one from one moment to the next."""

    @property
    def table(self) -> TrustTable | None:
        """The table in force, the same object for as long as it is; None: every source may say everything."""
        ...


def in_force(trust: Trusted | None) -> TrustTable | None:
    """The table in force; None: every source may say everything."""
    return None if trust is None else trust.table


def own_ids(event: Event) -> tuple[str, ...]:
    """The ids that an event speaks about.

    Its own token, delegation, principal, workload or receiver, for an order the target. A registration speaks about
    its aliases as well: it declares them to be the same party (ADR 0007). A lift has no id of its own: whether it
    counts depends on the order (``may_lift``).
    """
    body = event.body
    match body:
        case TokenIssued():
            return (body.token,)
        case DelegationGranted():
            return (body.delegation,)
        case PrincipalRegistered():
            return (body.principal, *body.aliases)
        case WorkloadBound():
            return (body.workload,)
        case ReceiverRegistered() | RevocationAcknowledged():
            return (body.receiver,)
        case RevocationOrdered():
            return (body.target.id,)
        case RevocationLifted() | DecisionMade() | ActionPerformed() | FindingJudged():
            return ()
        case _:
            assert_never(body)


def may_lift(lift: Event, target: str, trust: TrustTable | None) -> bool:
    """Whether a lift counts for orders on a target: its source may speak about the target's id."""
    return trust is None or trust.may_speak_about(lift.source, target)


def authorised(fact: Fact, trust: TrustTable | None) -> bool:
    """Whether a fact is part of the state. Without a table every source may say everything."""
    return not fact.misrouted and (trust is None or trust.allows(fact.event))
