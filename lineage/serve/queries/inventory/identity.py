"""The identity of a principal: what was stated about it and by whom, its aliases, and its workloads.

It contains no judgement: whether an order targets a principal is part of its status.
"""

from typing import Final

from lineage.core.authority.elements import Stated, cite, first_stated, in_order, last_stated
from lineage.core.authority.world import World
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.findings.rules.contradictions import principal_findings
from lineage.core.model.events import Fact, WorkloadBound
from lineage.core.model.finding import Finding, merged
from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, finding_documents, instant
from lineage.serve.queries.service import Service

# Attributes of a principal that change over time; for all others the first stated value counts (clauses 3.4, 3.5).
_CHANGING: Final = ("display_name", "owner", "purpose", "environment")


def identity(service: Service, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Answer who a principal is; None if no fact names it.

    Args:
        service: The service to query.
        id_: The principal.
        at: The instant for which bindings are evaluated. Statements about a principal have no instant.
        known_at: Only facts recorded by then; None for all.

    Cost:
        The registrations and bindings of the party, however many facts mention it.
    """
    as_of = service.as_of()  # read first, so it never claims more than was loaded
    key = f"principal:{id_}"
    with service.reader(known_at=known_at) as reader:
        world = reader.world()
        reader.load_parties(world, [key])
        party = {f"principal:{member}" for member in world.principals.party(id_)}
        for found in reader.facts_referring(party, RefRole.BOUND):
            world.add(found)
        if not _is_registered(world, id_) and not reader.is_named(key):
            return None
        reader.load_about(world, [f"finding:{one}" for one in merged(_wrong_with(world, id_))])
    return {
        "kind": "principal",
        "id": id_,
        **identity_answer(world, id_, at=at, options=service.options),
        "at": format_instant(at),
        "known_at": instant(known_at),
        "as_of": as_of,
    }


def identity_answer(world: World, id_: str, *, at: Instant, options: Options = DEFAULT) -> Document:
    """Answer ``identity``, without the parameters and the progress of the projection."""
    principals = world.principals
    party, facts = principals.party(id_), principals.facts_of(id_)
    bindings = in_order(fact for member in party for fact in principals.bindings.get(member))
    workloads = [_binding_document(fact, at) for fact in bindings]
    workloads.sort(key=lambda one: (not one["bound"], one["workload"], one["agent"], one["since"]))
    return {
        "principal_kind": principals.kind(id_),
        "registered": bool(facts),
        **{field: _stated_document(last_stated(facts, field)) for field in _CHANGING},
        "max_delegation_depth": _stated_document(first_stated(facts, "max_delegation_depth")),
        "aliases": sorted(party - {id_}),
        "workloads": workloads,
        "findings": finding_documents(_wrong_with(world, id_), options, judgements=world.judgements, at=at),
    }


def _wrong_with(world: World, id_: str) -> list[Finding]:
    return [found for member in world.principals.party(id_) for found in principal_findings(world, member)]


def _is_registered(world: World, id_: str) -> bool:
    """Whether a registration or a binding names it; an alias is named by the registration that states it."""
    return bool(world.principals.facts_of(id_) or world.principals.bindings.get(id_))


def _stated_document(stated: Stated | None) -> Document | None:
    """Convert a stated value with its fact, or None."""
    if stated is None:
        return None
    return {
        "value": stated.value,
        "occurred_at": format_instant(stated.fact.event.occurred_at),
        **cite([stated.fact])[0],
    }


def _binding_document(fact: Fact, at: Instant) -> Document:
    """Convert a binding, and whether it holds at an instant; like a token, it no longer holds at its end."""
    body, since = fact.event.body, fact.event.occurred_at
    assert isinstance(body, WorkloadBound)  # noqa: S101 (only bindings are indexed there)
    return {
        "agent": body.agent,
        "workload": body.workload,
        "key_thumbprint": body.key_thumbprint,
        "since": format_instant(since),
        "until": instant(body.expires_at),
        "bound": since <= at and (body.expires_at is None or at < body.expires_at),
        **cite([fact])[0],
    }
