"""The trust table: who may state what (clauses 2.12 and 2.13).

A fact that the table does not allow is kept, counted and shown, but is not part of the state. Pure: the table is an
argument; its file is read by ``ingest.trust_file``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from lineage.core.model.events import (
    ActionPerformed,
    CaseChanged,
    CheckpointKeyRotated,
    DecisionMade,
    DelegationGranted,
    Event,
    Fact,
    FindingJudged,
    HoldChanged,
    PrincipalRegistered,
    ReceiverRegistered,
    RecordsDeleted,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    TokenIssued,
    WorkloadBound,
)


@dataclass(frozen=True, slots=True)
class SourceGrant:
    """The events that one source may send.

    Attributes:
        types: Event types; ``*`` is every type.
        prefixes: Prefixes of the ids it may speak about; the empty prefix matches every id.
    """

    types: frozenset[str]
    prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustTable:
    """The grants of all sources; a source that is not listed may send nothing."""

    sources: Mapping[str, SourceGrant]

    @property
    def table(self) -> "TrustTable":
        """The table itself, which never changes."""
        return self

    def allows(self, event: Event) -> bool:
        """Whether the source of an event may send it."""
        grant = self.sources.get(event.source)
        if grant is None or not (event.type in grant.types or "*" in grant.types):
            return False
        return all(self.may_speak_about(event.source, id_) for id_ in own_ids(event))

    def may_speak_about(self, source: str, id_: str) -> bool:
        """Whether a source may speak about an id: one of its prefixes is a prefix of it."""
        grant = self.sources.get(source)
        return grant is not None and id_.startswith(grant.prefixes)


class Trusted(Protocol):
    """A provider of the trust table in force, which may change over time."""

    @property
    def table(self) -> TrustTable | None:
        """The table in force, the same object until it changes; None means that every source may say everything."""
        ...


def in_force(trust: Trusted | None) -> TrustTable | None:
    """Return the table in force; None means that every source may say everything."""
    return None if trust is None else trust.table


def own_ids(event: Event) -> tuple[str, ...]:
    """Return the ids that an event speaks about.

    Its own token, delegation, principal, workload or receiver; for an order, the target. A registration also speaks
    about its aliases, because it declares them to be the same party (ADR 0007). A lift has no separate id: whether it
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
        case RevocationLifted() | DecisionMade() | ActionPerformed():
            return ()
        case FindingJudged() | CaseChanged() | HoldChanged() | RecordsDeleted() | CheckpointKeyRotated():
            return ()
        case _:
            assert_never(body)


def may_lift(lift: Event, target: str, trust: TrustTable | None) -> bool:
    """Whether a lift counts for orders on a target: its source may speak about the target's id."""
    return trust is None or trust.may_speak_about(lift.source, target)


def authorised(fact: Fact, trust: TrustTable | None) -> bool:
    """Whether a fact is part of the state. Without a table every source may say everything."""
    return not fact.misrouted and (trust is None or trust.allows(fact.event))
