"""Convert core values to JSON documents: plain dictionaries, with keys in display order."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

from lineage.core.authority.chain import Chain, Hop, action_gaps, chain_of, chain_of_action
from lineage.core.authority.elements import FactIndex, cite, first_stated
from lineage.core.authority.orders import Order
from lineage.core.authority.rule import Because, Gap, Verdict, gaps, verdict_of, verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.findings.judging import NEW, status_of, worst_first
from lineage.core.findings.nearby import is_cut, near, on_chain
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.findings.rules.catalogue import RULES, severity_of
from lineage.core.findings.rules.chains import chain_findings
from lineage.core.findings.rules.mismatches import action_findings
from lineage.core.findings.scene.scopes import ScopeIndex
from lineage.core.model.events import Fact, document
from lineage.core.model.finding import SEVERITIES, Finding, first_seen, last_seen, merged
from lineage.core.model.keys import ELEMENT_KINDS, key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.late_uses import in_force_at
from lineage.core.revocation.reach import Reach

Document = dict[str, Any]
_T = TypeVar("_T")


def instant(value: Instant | None) -> str | None:
    """Format an instant as answers show it, or None."""
    return None if value is None else format_instant(value)


def because_document(because: Because | None) -> Document | None:
    """Convert the order behind a state, or None."""
    if because is None:
        return None
    order = because.order
    return {
        "revocation": order.body.revocation,
        "mode": order.body.mode,
        "target": {"kind": order.target.kind, "id": order.target.id},
        "effective_at": format_instant(order.effective_at),
        "ordered_by": order.body.ordered_by,
        "reason": order.body.reason,
        "path": list(because.path),
    }


def verdict_document(verdict: Verdict) -> Document:
    """Convert a state and its cause."""
    return {"state": str(verdict.state), "because": because_document(verdict.because)}


def gap_documents(gaps: Iterable[Gap]) -> list[Document]:
    """Convert gaps."""
    return [{"kind": gap.kind, "id": gap.id, "why": gap.why} for gap in gaps]


def finding_documents(
    findings: Iterable[Finding],
    options: Options = DEFAULT,
    *,
    judgements: FactIndex | None = None,
    at: Instant = 0,
) -> list[Document]:
    """Convert findings, merging those with the same identity, the worst first."""
    return [one.document(options, judgements, at) for one in prepared(findings, options)]


class Prepared(NamedTuple):
    """A finding with its document, which depends on the time asked about only through its status."""

    finding: Finding
    unjudged: Document

    def document(self, options: Options, judgements: FactIndex | None, at: Instant) -> Document:
        """Return the document as of an instant."""
        judged = judgements.get(self.unjudged["id"]) if judgements is not None else ()
        if not judged and not options.exempted:
            return self.unjudged
        status = status_of(self.finding, FactIndex() if judgements is None else judgements, options, at)
        return self.unjudged if status == NEW else {**self.unjudged, "status": status}


def prepared(findings: Iterable[Finding], options: Options) -> list[Prepared]:
    """Merge findings with the same identity, the worst first, and precompute what many answers share."""
    found = worst_first(merged(findings).values(), options)
    return [Prepared(one, finding_document(one, options, NEW)) for one in found]


@lru_cache(maxsize=256)
def _mapped(kind: str) -> tuple[Document, ...]:
    """Return the framework entries to which a rule maps."""
    rule = RULES.get(kind)
    return tuple(reference._asdict() for reference in rule.references) if rule else ()


def finding_document(one: Finding, options: Options, status: str) -> Document:
    """Convert a finding."""
    rule = RULES.get(one.kind)
    return {
        "id": one.id,
        "kind": one.kind,
        "severity": severity_of(one.kind, one.severity, options).word,
        "status": status,
        "of": one.of,
        "about": one.about,
        "why": one.why,
        "facts": cite(one.facts),
        "first_seen": format_instant(first_seen(one)),
        "last_seen": format_instant(last_seen(one)),
        "count": one.count,
        "caused_by": list(one.caused_by),
        "maps_to": list(_mapped(one.kind)),
        "fix": rule.fix if rule else "Look at the facts that show it.",
    }


def summary_of(documents: Collection[Document]) -> Document:
    """Summarise findings, which are in order: their number, the worst severity, and a sentence about the worst."""
    ranked = sorted(documents, key=lambda one: -SEVERITIES[one["severity"]])
    return {
        "count": len(ranked),
        "worst": ranked[0]["severity"] if ranked else None,
        "why": ranked[0]["why"] if ranked else None,
    }


Kept = dict[str, Any]
"""What answers about one thing from the same facts share, because it is the same at every instant; answers add to it.

Several threads may do so: then the same value is computed twice.
"""


def _once(kept: Kept | None, name: str, make: Callable[[], _T]) -> _T:
    """Return a kept value, or compute and keep it."""
    if kept is None:
        return make()
    if name not in kept:
        kept[name] = make()
    found: _T = kept[name]
    return found


def _chain_document(world: World, chain: Chain, options: Options) -> Document:
    """Build what ``who`` and ``chain`` share: the keys from ``root`` to ``chain``, whose hops have no states yet."""
    scopes = ScopeIndex(world.graph, world.principals, options)
    principals = [(hop.principal, world.principals.kind(hop.principal)) for hop in chain.hops]
    root, root_kind = principals[0] if principals else (None, None)
    human = root if root_kind == "human" else None
    owner = world.principals.owner(root) if root is not None and human is None else None
    return {
        "root": root,
        "human": human,
        "accountable": human if human is not None else owner.value if owner else None,
        "agents": [id_ for id_, kind in principals if kind == "agent"],
        "tokens": [split_key(key)[1] for key in chain.tokens],
        "delegations": [split_key(key)[1] for key in chain.delegations],
        "chain": _hop_documents(world, chain.hops, (kind for _, kind in principals), scopes),
    }


def _with_states(document: Document, chain: Chain, states: Mapping[str, Verdict]) -> Document:
    """Add the states of the hops to what ``who`` and ``chain`` share."""
    hops = [
        one if hop.element is None else {**one, "state": states[hop.element].state.value}
        for hop, one in zip(chain.hops, document["chain"], strict=True)
    ]
    return {**document, "chain": hops}


def _may_be_suspect(world: World) -> bool:
    """Whether inconsistencies along a chain may depend on the instant: by orders in force on prior actors."""
    return bool(world.orders) and bool(world.graph.asserted)


def who_answer(
    world: World, action: str, *, at: Instant, options: Options = DEFAULT, kept: Kept | None = None
) -> Document:
    """Answer ``who`` about a known action, without the progress of the projection.

    Its ``findings`` are values; ``with_prepared`` and ``with_findings`` convert them to documents.

    Args:
        world: What is needed to evaluate the action, and the surroundings in which findings are looked for.
        action: Its id.
        at: The time asked about.
        options: The settings of the rules.
        kept: What answers at other times from this world have kept; None for nothing.
    """
    chain = _once(kept, "chain", lambda: chain_of_action(world, action))
    authority = world.authority(action)
    hops = {hop.element for hop in chain.hops if hop.element}
    states = verdicts_of(world, {*hops, authority} if authority else hops, at)
    then = _once(kept, "then", lambda: _then(world, action, authority))
    document = _once(kept, "document", lambda: _chain_document(world, chain, options))
    return {
        **_once(kept, "action", lambda: _action_document(world, action)),
        **_with_states(document, chain, states),
        "decision": _once(kept, "decision", lambda: _decision_of(world, action)),
        "authority": {
            "element": authority,
            **then,
            "now": verdict_document(states[authority] if authority else Verdict(State.UNKNOWN)),
        },
        "gaps": _once(kept, "gaps", lambda: gap_documents(action_gaps(world, action, chain))),
        **_findings_of_action(world, action, chain, at, options, kept),
    }


def _action_document(world: World, action: str) -> Document:
    """Build what ``who`` says of the action itself."""
    facts = world.actions.get(action)
    resource = first_stated(facts, "resource")
    return {
        "action": action,
        "operation": _first(facts, "operation"),
        "tool": _first(facts, "tool"),
        "resource": {"type": resource.value.type, "id": resource.value.id} if resource else None,
        "outcome": _first(facts, "outcome"),
        "occurred_at": format_instant(facts[0].event.occurred_at),
    }


def _decision_of(world: World, action: str) -> Document | None:
    named = first_stated(world.actions.get(action), "decision")
    return decision_document(world.decisions.get(named.value)) if named else None


def _then(world: World, action: str, authority: str | None) -> Document:
    """Build the states of the authority of an action when it was done."""
    facts = world.actions.get(action)
    occurred_at, recorded_at = facts[0].event.occurred_at, min(fact.recorded_at for fact in facts)
    known_then = known_now = Verdict(State.UNKNOWN)
    if authority:
        known_then = verdict_of(world.as_known_at(recorded_at), authority, occurred_at)
        known_now = verdict_of(world, authority, occurred_at)
    return {"then_as_known_then": verdict_document(known_then), "then_as_known_now": verdict_document(known_now)}


def _findings_of_action(
    world: World, action: str, chain: Chain, at: Instant, options: Options, kept: Kept | None
) -> Document:
    named = first_stated(world.actions.get(action), "decision")
    decided = [f"decision:{named.value}"] if named else []
    keys = _once(kept, "examined", lambda: [f"action:{action}", *decided, *on_chain(chain)])
    told = _once(
        None if _may_be_suspect(world) else kept, "findings", lambda: action_findings(world, action, chain, at)
    )
    return _as_looked_at(chain, near(world, keys, at, options, told=told))


def _as_looked_at(chain: Chain, found: list[Finding]) -> Document:
    """Return the findings along a chain, marked if not all of it was examined."""
    return {"findings": found, **({"findings_complete": False} if is_cut(chain) else {})}


def chain_answer(
    world: World,
    kind: str,
    id_: str,
    *,
    at: Instant,
    options: Options = DEFAULT,
    nearby: bool = True,
    kept: Kept | None = None,
) -> Document:
    """Answer ``chain``, without the progress of the projection; otherwise like ``who_answer``.

    Args:
        world: What is needed to evaluate the element.
        kind, id_: The element.
        at: The time asked about.
        options: The settings of the rules.
        nearby: Whether to look for findings in its surroundings as well, not only in the chain itself.
        kept: As there.
    """
    key = key_of(kind, id_)
    chain = _once(kept, "chain", lambda: chain_of(world, key))
    states = verdicts_of(world, {key, *(hop.element for hop in chain.hops if hop.element)}, at)
    document = _once(kept, "document", lambda: _chain_document(world, chain, options))
    return {
        "kind": kind,
        "id": id_,
        **_with_states(document, chain, states),
        **verdict_document(states[key]),
        "gaps": _gaps_of(world, key, kept),
        **(
            element_findings_near(world, key, at, options, kept)
            if nearby
            else {"findings": chain_findings(world, key, chain, at)}
        ),
    }


def _gaps_of(world: World, key: str, kept: Kept | None) -> list[Document]:
    return _once(kept, "gaps", lambda: gap_documents(gaps(world, [key])))


def element_findings_near(world: World, key: str, at: Instant, options: Options, kept: Kept | None = None) -> Document:
    """Find what is wrong with an element, everything on its chain, and the actions under it: ``findings``."""
    chain = _once(kept, "chain", lambda: chain_of(world, key))

    def examined() -> list[str]:
        done = [f"action:{action}" for action in world.actions if key in world.authorities_named(action)]
        return [key, *on_chain(chain), *done]

    keys = _once(kept, "examined", examined)
    told = _once(None if _may_be_suspect(world) else kept, "findings", lambda: chain_findings(world, key, chain, at))
    return _as_looked_at(chain, near(world, keys, at, options, told=told))


def name_findings_near(around: World, kind: str, id_: str, at: Instant, options: Options) -> list[Finding]:
    """Find what is wrong with a principal, session or client, what names it, and the actions by or under it.

    For a session or a client that includes everything below what names it; what is below a principal's is others'.
    """
    key = key_of(kind, id_)
    is_party = key.startswith("principal:")
    names = {f"principal:{one}" for one in around.principals.party(id_)} if is_party else {key}
    elements = {key for name in names for key in around.graph.naming(name)}
    if not is_party:
        elements = around.graph.below(elements)
    done = [f"action:{action}" for action in around.actions if _concerns(around, action, elements, names)]
    return near(around, [*sorted(names), *sorted(elements), *done], at, options)


def _concerns(around: World, action: str, elements: set[str], names: set[str]) -> bool:
    if not elements.isdisjoint(around.authorities_named(action)):
        return True
    return not names.isdisjoint({f"principal:{one}" for one in around.acted(action)})


def with_prepared(answer: Document, options: Options) -> Document:
    """Replace the findings of an answer by prepared ones, from which ``with_findings`` builds documents at any time."""
    return {**answer, "findings": prepared(answer["findings"], options)}


def with_findings(
    answer: Document, options: Options, *, at: Instant, judgements: FactIndex | None = None, is_whole: bool = True
) -> Document:
    """Replace the prepared findings of an answer by documents with their status, the worst first."""
    document = {**answer, "findings": [one.document(options, judgements, at) for one in answer["findings"]]}
    if not is_whole:
        document["findings_complete"] = False  # too much surrounds it to examine for one answer
    return document


def status_answer(
    world: World,
    kind: str,
    id_: str,
    verdict: Verdict,
    *,
    at: Instant,
    known_at: Instant | None,
    kept: Kept | None = None,
) -> Document:
    """Answer ``status``, without the progress of the projection; ``kept`` as for ``who_answer``."""
    return {
        "kind": kind,
        "id": id_,
        "state": str(verdict.state),
        "because": because_document(verdict.because),
        "at": format_instant(at),
        "known_at": instant(known_at),
        "gaps": _gaps_of(world, key_of(kind, id_), kept) if kind in ELEMENT_KINDS else [],
    }


def _hop_documents(world: World, hops: Iterable[Hop], kinds: Iterable[str], scopes: ScopeIndex) -> list[Document]:
    """Convert the hops of a chain, of which there may be many thousands, without their states."""
    principals, graph = world.principals, world.graph
    documents: list[Document] = []
    for hop, kind in zip(hops, kinds, strict=True):
        key = hop.element
        token = delegation = None
        if key is not None:
            element_kind, id_ = split_key(key)
            token, delegation = (id_, None) if element_kind == "token" else (None, id_)
        element = None if key is None else graph.element(key)
        effective = None if key is None else scopes.effective(key)
        documents.append(
            {
                "principal": hop.principal,
                "known_as": principals.known_as(hop.principal),
                "display_name": principals.display_name(hop.principal),
                "kind": kind,
                "evidence": hop.evidence,
                "source": hop.source,
                "token": token,
                "delegation": delegation,
                "scopes": [] if element is None else list(element.first("scopes") or ()),
                "effective_scopes": None if effective is None else sorted(effective),
                "issued_at": None if element is None else format_instant(element.issued_at),
                "expires_at": None if element is None else instant(element.expires_at),
                "state": None,
            }
        )
    return documents


def decision_document(facts: tuple[Fact, ...]) -> Document | None:
    """Combine the facts of a decision into one event-like document; None if there are none."""
    if not facts:
        return None
    events = [document(fact.event) for fact in facts]
    merged: Document = {}
    for one in events:
        for key, value in one.items():
            merged.setdefault(key, value)
    hidden = ("type", "event_id", "txn", "traceparent", "sequence")
    return {key: value for key, value in merged.items() if key not in hidden}


def reach_document(world: World, reach: Reach) -> Document:
    """Convert a reach: what an order would end, and the digest of the plan."""
    return {
        "target": {"kind": reach.proposal.target.kind, "id": reach.proposal.target.id},
        "kills": {"tokens": list(reach.tokens), "delegations": list(reach.delegations)},
        "already_dead": {"tokens": reach.already_dead[0], "delegations": reach.already_dead[1]},
        "agents": list(reach.agents),
        "humans": list(reach.humans),
        "actions": {"count": reach.actions, "recent": [action_document(world, action) for action in reach.recent]},
        "own_actions": {"count": reach.own_actions},
        "survivors": [{"kind": item.kind, "id": item.id, "why": item.why} for item in reach.survivors],
        "last_expiry": instant(reach.last_expiry),
        "plan_digest": reach.plan_digest,
    }


def depth_documents(depths: Counter[tuple[int, str]]) -> list[Document]:
    """Convert the counts of elements by distance from the target."""
    return [
        {"depth": depth, "tokens": depths[depth, "token"], "delegations": depths[depth, "delegation"]}
        for depth in sorted({depth for depth, _ in depths})
    ]


def action_document(world: World, action: str) -> Document:
    """Summarise an action."""
    facts = world.actions.get(action)
    return {
        "action": action,
        "operation": _first(facts, "operation"),
        "tool": _first(facts, "tool"),
        "outcome": _first(facts, "outcome"),
        "actor": _first(facts, "actor"),
        "occurred_at": format_instant(facts[0].event.occurred_at),
        "authority": world.authority(action),
    }


def _first(facts: tuple[Fact, ...], field: str) -> Any:
    found = first_stated(facts, field)
    return found.value if found else None


def fact_document(fact: Fact) -> Document:
    """Convert a fact for lists: when it was recorded, and the event in its JSONL form."""
    return {"recorded_at": format_instant(fact.recorded_at), "misrouted": fact.misrouted, "event": document(fact.event)}


def listing(items: list[Document], *, total: int | None, following: str | None = None) -> Document:
    """Build a list that says whether it is complete (docs/http-api.md)."""
    return {"items": items, "total": total, "complete": following is None, "next": following}


def order_document(order: Order) -> Document:
    """Convert an order."""
    body = order.body
    return {
        "revocation": body.revocation,
        "target": {"kind": body.target.kind, "id": body.target.id},
        "mode": body.mode,
        "cascade": body.cascade,
        "issued_before": instant(body.issued_before),
        "reason": body.reason,
        "note": body.note,
        "ordered_by": body.ordered_by,
        "approved_by": body.approved_by,
        "ordered_at": format_instant(order.given_at),
        "effective_at": format_instant(order.effective_at),
        "in_force_at": format_instant(in_force_at(order)),
        "lifted_at": format_instant(order.lifted_at) if order.is_lifted else None,
    }
