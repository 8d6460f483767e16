"""The rule of authority, written once more, slowly: what every answer must be.

A transcription of docs/rule-of-authority.md into plain dicts and sets. It checks the real implementation and shares
nothing with it: each function names the clauses that it carries out, and none of them is clever. No clock, no database,
no network, no third-party library; every question evaluates all its records again.

A record is ``{"event": <an event in the JSONL form>, "recorded_at": <microseconds since the epoch>, "via": "decisions"
or "orders"}``. ``at`` and ``known_at`` are microseconds; ``known_at=None`` hides nothing. A trust table is None (every
source may state everything) or ``{source: {"types": [...], "ids": [prefix, ...]}}``, where the type ``"*"`` and the
prefix ``""`` allow everything.

It leaves out everything besides the answers: findings, survivors, the latest actions, digests, deliveries.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from typing import Any

Element = tuple[str, str]
"""A kind (``token`` or ``delegation``) and an id. What a role, an order or a gap names has the same form."""

Fact = dict[str, Any]
"""``event`` (its content), ``recorded_at``, ``order`` (the key of the order of facts), ``about`` (the prefixes of the
ids that its source may speak about)."""

View = dict[str, Any]
"""All that is visible: ``facts``, ``elements``, ``parties``, ``orders``, ``named``."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")

TIMES = {
    *("occurred_at", "issued_at", "not_before", "expires_at", "effective_at", "issued_before", "until"),
    *("starts_at", "ends_at", "recorded_before"),
}
ORDERS = (
    *("revocation.ordered", "revocation.lifted", "finding.judged", "case.changed"),
    *("hold.changed", "records.deleted", "checkpoint.key_rotated"),
)
ORDER_DEFAULTS = {"mode": "revoke", "cascade": True}
OWN_IDS = {
    "principal.registered": ("principal", "aliases"),
    "workload.bound": ("workload",),
    "delegation.granted": ("delegation",),
    "token.issued": ("token",),
    "revocation.acknowledged": ("receiver",),
    "receiver.registered": ("receiver",),
}
PRINCIPAL_ROLES = (
    *("principal", "aliases", "owner", "agent", "workload", "delegator", "delegatee", "subject", "actor"),
    *("prior_actors", "on_behalf_of", "ordered_by", "lifted_by", "approved_by", "by", "assignee"),
)
ROLES = {
    "token": "token",
    "delegation": "delegation",
    "parents": "delegation",
    "session": "session",
    "client": "client",
    **dict.fromkeys(PRINCIPAL_ROLES, "principal"),
}
KIND_PREFIXES = {"human:": "human", "agent:": "agent", "service:": "service", "spiffe://": "workload"}
PATH_ROLES = {"subject", "refresh", "replaced"}
STATES_WITH_LIFE = {"active", "suspended", "not_yet_valid"}


# The questions


def status(
    records: list[dict],
    kind: str,
    id: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
) -> dict | None:
    """Return the state of a token, delegation, principal, workload, session or client; None if no fact names it.

    Source:
        Clauses 6.1 to 6.12.
    """
    view = view_of(visible(records, known_at, trust))
    return status_in(view, kind, id, at) if is_named(view, kind, id) else None


def chain(
    records: list[dict],
    kind: str,
    id: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
) -> dict | None:
    """Return the chain of a token or a delegation, with its state; None if no fact names it."""
    view = view_of(visible(records, known_at, trust))
    if not is_named(view, kind, id):
        return None
    hops, tokens, delegations = chain_of(view, (kind, id))
    return answer(view, hops, tokens, delegations) | status_in(view, kind, id, at)


def who(
    records: list[dict],
    action: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
) -> dict | None:
    """Return who performed an action, and under which authority; None if no visible event performed it.

    Source:
        Clauses 7.7 to 7.9 and 7.11; the gaps are those of clause 8.1.
    """
    view = view_of(visible(records, known_at, trust))
    facts = facts_stating(view, "action", action)
    if not facts:
        return None
    decided = facts_stating(view, "decision", stated(facts, "decision")[0])
    authority = authority_of(view, action)

    hops, tokens, delegations = [], [], []
    if authority in view["elements"]:
        hops, tokens, delegations = chain_of(view, authority)
    else:
        hops += hops_stated(facts, "on_behalf_of", "asserted") or hops_stated(decided, "on_behalf_of", "asserted")
        hops += hops_stated(facts, "prior_actors", "asserted") or hops_stated(decided, "prior_actors", "asserted")
    for actor in hops_stated(facts, "actor", "asserted") or hops_stated(decided, "actor", "asserted"):
        if authority not in view["elements"] or not stands(view, actor["principal"], hops):
            hops = [*hops, actor]
    hops = collapse(view, hops)

    def state_of(known: View, moment: int) -> dict:
        if authority is None or not is_named(known, *authority):
            return {"state": "unknown", "because": None}
        found = status_in(known, *authority, moment)
        return {"state": found["state"], "because": found["because"]}

    occurred_at = min(micros(fact["event"]["occurred_at"]) for fact in facts)
    recorded_at = min(fact["recorded_at"] for fact in facts)
    known_then = view_of(visible(records, recorded_at, trust))

    gaps = {element for element in elements_named(view, action) if element not in view["elements"]}
    if authority is not None:
        gaps |= set(gaps_of(view, authority))
    if hops and hops[0]["evidence"] == "asserted":
        gaps.add(("principal", hops[0]["principal"]))

    return {
        **answer(view, hops, tokens, delegations),
        **state_of(view, at),
        "gaps": sorted(gaps),
        "authority": {
            "element": None if authority is None else ":".join(authority),
            "then_as_known_then": state_of(known_then, occurred_at),
            "then_as_known_now": state_of(view, occurred_at),
            "now": state_of(view, at),
        },
    }


def reach(
    records: list[dict],
    target_kind: str,
    target_id: str,
    at: int,
    mode: str = "revoke",
    issued_before: int | None = None,
    cascade: bool = True,
    known_at: int | None = None,
    trust: dict | None = None,
) -> dict | None:
    """Return what an order given at ``at`` would kill among the elements alive then; None if no fact names the target.

    Source:
        Clauses 9.1 to 9.4 and 9.6.
    """
    facts = visible(records, known_at, trust)
    before = view_of(facts)
    if not is_named(before, target_kind, target_id):
        return None
    proposal = {
        "type": "revocation.ordered",
        "event_id": unused({fact["event"]["event_id"] for fact in facts}),
        "source": "urn:proposed",
        "occurred_at": rfc3339(at),
        "revocation": unused({fact["event"].get("revocation") for fact in facts}),
        "target": {"kind": target_kind, "id": target_id},
        "mode": mode,
        "cascade": cascade,
        "issued_before": None if issued_before is None else rfc3339(issued_before),
        "reason": "test",
        "ordered_by": "human:proposer",
    }
    after = view_of(in_order([*facts, fact_of(content(proposal), at)]))
    order = next(order for order in after["orders"] if order["revocation"] == proposal["revocation"])

    dies_as = {"suspended"} if mode == "suspend" else {"revoked", "cascaded"}
    kills, already_dead = set(), set()
    for element in sorted(before["named"]):
        if element[0] not in ("token", "delegation") or not counts(after, order, element, at):
            continue
        was, becomes = (status_in(view, *element, at)["state"] for view in (before, after))
        if was in STATES_WITH_LIFE and becomes in dies_as:
            kills.add(element)
        expires_at = before["elements"].get(element, {}).get("expires_at")
        if was in ("revoked", "cascaded") and (expires_at is None or at < expires_at):
            already_dead.add(element)

    # What nobody granted names nothing and never ends; it is in the reach if it is suspended.
    grants = [before["elements"].get(element, {"names": set(), "expires_at": None}) for element in kills]
    names = {named for grant in grants for space, named in grant["names"] if space == "principal"}
    actions = {fact["event"]["action"] for fact in facts if fact["event"]["type"] == "action.performed"}
    ends = [grant["expires_at"] for grant in grants]
    return {
        "tokens": sorted(id_ for kind, id_ in kills if kind == "token"),
        "delegations": sorted(id_ for kind, id_ in kills if kind == "delegation"),
        "agents": sorted(named for named in names if kind_of(before, named) == "agent"),
        "humans": sorted(named for named in names if kind_of(before, named) == "human"),
        "already_dead": {
            "tokens": sum(kind == "token" for kind, _ in already_dead),
            "delegations": sum(kind == "delegation" for kind, _ in already_dead),
        },
        "actions_count": sum(authority_of(before, action) in kills for action in actions),
        "own_actions": sum(
            space_of(target_kind) == "principal"
            and not party_of(before, target_id).isdisjoint(who_acted(before, action))
            and authority_of(before, action) not in kills
            for action in actions
        ),
        "last_expiry": None if None in ends else max(ends, default=None),
    }


# Times and contents


@cache
def micros(text: str) -> int:
    """Convert a time to microseconds (clause 2.8)."""
    day, clock, digits, offset = RFC3339.fullmatch(text).groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    return (moment - EPOCH) // timedelta(microseconds=1) + int(((digits or "") + "000000")[:6])


def rfc3339(moment: int) -> str:
    """Format a time as in answers: UTC, with six digits."""
    return (EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stated_only(value: Any) -> Any:
    """Return a value without the parts that state nothing (clause 2.11)."""
    if isinstance(value, dict):
        kept = {key: stated_only(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item not in ([], {})}
    if isinstance(value, list):
        return [stated_only(item) for item in value]
    return value


def content(event: dict) -> dict:
    """Return the content of an event, in the one form in which contents are compared (clause 2.11)."""
    values = {key: rfc3339(micros(item)) if key in TIMES else item for key, item in stated_only(event).items()}
    if values["type"] == "revocation.ordered":
        values = {key: item for key, item in values.items() if ORDER_DEFAULTS.get(key) != item}
    return values


def canonical(value: Any) -> str:
    """Serialise to canonical JSON (RFC 8785): keys in the order of their UTF-16 code units, no spaces."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def fact_of(fields: dict, recorded_at: int) -> Fact:
    """Build a fact with its position in the order of facts (clause 3.4)."""
    digest = hashlib.sha256(canonical(fields).encode()).hexdigest()
    order = (micros(fields["occurred_at"]), fields["source"], fields["event_id"], digest)
    return {"event": fields, "recorded_at": recorded_at, "order": order}


def in_order(facts: list[Fact]) -> list[Fact]:
    """Sort facts by the order of facts."""
    return sorted(facts, key=lambda fact: fact["order"])


def unused(used: set) -> str:
    """Return an id that is not in use."""
    return next(id_ for id_ in (f"proposed-{n}" for n in range(len(used) + 1)) if id_ not in used)


# What is visible


def authorised(record: dict, trust: dict | None) -> bool:
    """Whether a record is part of the state (clauses 2.12 to 2.14)."""
    event = record["event"]
    if event["type"] in ORDERS and record["via"] != "orders":
        return False
    if trust is None:
        return True
    allowed = trust.get(event["source"], {"types": [], "ids": []})
    if event["type"] not in allowed["types"] and "*" not in allowed["types"]:
        return False
    own = [id_ for field in OWN_IDS.get(event["type"], ()) for id_ in listed(event.get(field))]
    if event["type"] == "revocation.ordered":
        own = [event["target"]["id"]]
    return all(any(id_.startswith(prefix) for prefix in allowed["ids"]) for id_ in own)


def visible(records: list[dict], known_at: int | None, trust: dict | None) -> list[Fact]:
    """Return the facts that are part of the state, each once, in the order of facts.

    Unauthorised records are dropped first, so that their times do not count for others.

    Source:
        Clauses 2.10, 11.1 and 11.2.
    """
    facts: dict[tuple, Fact] = {}
    for record in records:
        if not authorised(record, trust) or (known_at is not None and record["recorded_at"] > known_at):
            continue
        fact = fact_of(content(record["event"]), record["recorded_at"])
        fact["about"] = [""] if trust is None else trust[record["event"]["source"]]["ids"]
        if fact["order"] not in facts or fact["recorded_at"] < facts[fact["order"]]["recorded_at"]:
            facts[fact["order"]] = fact
    return in_order(list(facts.values()))


def view_of(facts: list[Fact]) -> View:
    """Build everything from which answers are made, from visible facts in the order of facts."""
    return {
        "facts": facts,
        "elements": elements_of(facts),
        "parties": parties_of(facts),
        "orders": orders_of(facts),
        "named": named_by(facts),
    }


def listed(value: Any) -> list:
    """Return a list, a single thing, or nothing as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def named_by(facts: list[Fact]) -> set[Element]:
    """Return every (kind, id) that a fact names; a workload counts as a principal, which has the same namespace."""
    named = set()
    for fact in facts:
        event = fact["event"]
        named |= {(ROLES[field], id_) for field in ROLES for id_ in listed(event.get(field))}
        named |= {("token", source["token"]) for source in event.get("derived_from", [])}
        if "target" in event:
            named.add((space_of(event["target"]["kind"]), event["target"]["id"]))
        items = [item for item in event.get("items", []) if item["kind"] != "actions"]  # of a case
        named |= {(space_of(item["kind"]), item["id"]) for item in items}
    return named


def is_named(view: View, kind: str, id_: str) -> bool:
    """Whether a visible fact names the id in that kind of role."""
    return (space_of(kind), id_) in view["named"]


def space_of(kind: str) -> str:
    """Return the namespace of a kind: principals and workloads share one (clause 4.2)."""
    return "principal" if kind == "workload" else kind


# Several events about one thing


def stated(facts: list[Fact], field: str) -> tuple[Any, str | None]:
    """Return the value of a field, and the source that states it (clause 3.4)."""
    for fact in facts:
        if field in fact["event"]:
            return fact["event"][field], fact["event"]["source"]
    return None, None


def facts_stating(view: View, kind: str, id_: str | None) -> list[Fact]:
    """Return the facts about one action or decision, in the order of facts."""
    type_ = {"action": "action.performed", "decision": "decision.made"}[kind]
    return [fact for fact in view["facts"] if fact["event"]["type"] == type_ and fact["event"][kind] == id_]


def elements_of(facts: list[Fact]) -> dict[Element, dict]:
    """Return every granted token and delegation, with the combination of all its events.

    Source:
        Clauses 3.2, 3.3 and 4.1.
    """
    grants_of: dict[Element, list[Fact]] = {}
    for fact in facts:
        for type_, kind in (("token.issued", "token"), ("delegation.granted", "delegation")):
            if fact["event"]["type"] == type_:
                grants_of.setdefault((kind, fact["event"][kind]), []).append(fact)
    elements = {}
    for element, grants in grants_of.items():
        events = [fact["event"] for fact in grants]
        needs = {("token", source["token"]) for event in events for source in event.get("derived_from", [])}
        needs |= {("delegation", parent) for event in events for parent in event.get("parents", [])}
        if element[0] == "token":
            needs |= {("delegation", event["delegation"]) for event in events if "delegation" in event}
        named = ("subject", "actor", "workload", "session", "client", "delegator", "delegatee")
        not_before = stated(grants, "not_before")[0]
        elements[element] = {
            "facts": grants,
            "needs": needs,
            "names": {(ROLES[field], event[field]) for event in events for field in named if field in event},
            "issued": min(micros(event.get("issued_at", event["occurred_at"])) for event in events),
            "expires_at": max((micros(event["expires_at"]) for event in events if "expires_at" in event), default=None),
            "not_before": None if not_before is None else micros(not_before),
        }
    return elements


def parties_of(facts: list[Fact]) -> dict[str, set[str]]:
    """Map each registered id to all its aliases (clause 4.3)."""
    parties: dict[str, set[str]] = {}
    for fact in facts:
        if fact["event"]["type"] == "principal.registered":
            party = {fact["event"]["principal"], *fact["event"].get("aliases", [])}
            for id_ in list(party):
                party |= parties.get(id_, set())
            parties |= dict.fromkeys(party, party)
    return parties


def party_of(view: View, id_: str) -> set[str]:
    """Return an id and its aliases."""
    return view["parties"].get(id_, {id_})


def same(view: View, one: str | None, other: str | None) -> bool:
    """Whether two ids are one principal (clause 4.3)."""
    return one is not None and other is not None and other in party_of(view, one)


def registrations_of(view: View, id_: str) -> list[Fact]:
    """Return the registrations of a principal or an alias, in the order of facts."""
    registrations = [fact for fact in view["facts"] if fact["event"]["type"] == "principal.registered"]
    return [fact for fact in registrations if fact["event"]["principal"] in party_of(view, id_)]


def kind_of(view: View, id_: str) -> str:
    """Return the kind of a principal (clause 2.4)."""
    for candidate in (id_, *sorted(party_of(view, id_))):
        for prefix, kind in KIND_PREFIXES.items():
            if candidate.startswith(prefix):
                return kind
    return stated(registrations_of(view, id_), "kind")[0] or "unknown"


def called(view: View, id_: str) -> dict:
    """Return how answers name a principal besides its stated id.

    Source:
        Clause 2.6 for ``known_as``; clause 3.5 for the display name.
    """
    declaring = [one for one in party_of(view, id_) if one.startswith(tuple(KIND_PREFIXES))]
    display_name = stated(latest_first(registrations_of(view, id_)), "display_name")[0]
    return {"known_as": min(declaring, default=id_), "display_name": display_name}


def owner_of(view: View, id_: str) -> str | None:
    """Return a principal's owner (clause 3.5)."""
    return stated(latest_first(registrations_of(view, id_)), "owner")[0]


def given_at(fact: Fact) -> int:
    """Return when a fact was given: the earlier of ``occurred_at`` and ``recorded_at`` (clause 5.1)."""
    return min(micros(fact["event"]["occurred_at"]), fact["recorded_at"])


def latest_first(facts: list[Fact]) -> list[Fact]:
    """Sort facts of which the last counts, with that one first.

    Ties go by the order of facts.

    Source:
        Clause 3.6.
    """
    return sorted(facts, key=lambda fact: (given_at(fact), fact["order"]), reverse=True)


# Orders


def works_from(order: Fact) -> int:
    """Return when an order takes effect (clause 5.2)."""
    stated_time = order["event"].get("effective_at")
    return given_at(order) if stated_time is None else micros(stated_time)


def lifts_from(lift: Fact) -> int:
    """Return when a lift takes effect (clause 5.7)."""
    stated_time = lift["event"].get("effective_at")
    return given_at(lift) if stated_time is None else max(given_at(lift), micros(stated_time))


def orders_of(facts: list[Fact]) -> list[dict]:
    """Return the orders that ever take effect, each with the time at which it is lifted.

    Source:
        Clauses 2.13, 3.8, 5.7 and 5.8.
    """
    orders = []
    for fact in facts:
        event = fact["event"]
        if event["type"] != "revocation.ordered":
            continue
        effective_at = works_from(fact)
        lifts = [
            lifts_from(lift)
            for lift in facts
            if lift["event"]["type"] == "revocation.lifted"
            and lift["event"]["revocation"] == event["revocation"]
            and given_at(fact) <= given_at(lift)
            and any(event["target"]["id"].startswith(prefix) for prefix in lift["about"])
        ]
        lifted_at = min(lifts, default=None)
        if lifted_at is not None and lifted_at <= effective_at:
            continue
        orders.append(
            {
                "revocation": event["revocation"],
                "target": (event["target"]["kind"], event["target"]["id"]),
                "mode": event.get("mode", "revoke"),
                "cascade": event.get("cascade", True),
                "effective_at": effective_at,
                "issued_before": micros(event["issued_before"]) if "issued_before" in event else None,
                "lifted_at": lifted_at,
                "ordered_by": event.get("ordered_by"),
                "reason": event.get("reason"),
                "rank": (effective_at, event["revocation"], *fact["order"]),
                "fact": fact,
            }
        )
    return orders


def in_force(order: dict, at: int) -> bool:
    """Whether an order is in force (clauses 5.2 and 5.5)."""
    if order["mode"] == "suspend" and order["lifted_at"] is not None and order["lifted_at"] <= at:
        return False
    return order["effective_at"] <= at


def targets_by_name(view: View, order: dict, space: str, id_: str) -> bool:
    """Whether an order's target is the principal (or an alias of it), session or client with this name."""
    kind, target = order["target"]
    return space_of(kind) == space and (same(view, target, id_) if space == "principal" else target == id_)


def hits(view: View, order: dict, element: Element) -> bool:
    """Whether an order hits an element (clauses 5.3 and 5.4)."""
    if order["target"] == element:
        return True
    grant = view["elements"].get(element)
    if grant is None or not any(targets_by_name(view, order, *named) for named in grant["names"]):
        return False
    if order["issued_before"] is not None and grant["issued"] >= order["issued_before"]:
        return False
    return not (order["mode"] == "revoke" and order["lifted_at"] is not None and grant["issued"] >= order["lifted_at"])


def needs_of(view: View, element: Element) -> set[Element]:
    """Return the direct dependencies of an element; those of an element that nobody granted are unknown."""
    return view["elements"][element]["needs"] if element in view["elements"] else set()


def needs_at_any_depth(view: View, element: Element) -> set[Element]:
    """Return the transitive closure of the dependencies; an element on a cycle is in its own."""
    closure: set[Element] = set()
    while True:
        larger = needs_of(view, element).union(*(needs_of(view, need) for need in closure), closure)
        if larger == closure:
            return closure
        closure = larger


def kills(view: View, order: dict, element: Element) -> bool:
    """Whether an order kills an element: the whole rule (clause 1.1)."""
    if hits(view, order, element):
        return True
    return order["cascade"] and any(hits(view, order, need) for need in needs_at_any_depth(view, element))


def counts(view: View, order: dict, element: Element, at: int) -> bool:
    """Whether an order counts for an element (clause 6.8)."""
    expires_at = view["elements"].get(element, {}).get("expires_at")
    in_time = expires_at is None or order["effective_at"] < expires_at
    return in_force(order, at) and in_time and kills(view, order, element)


def path_down(view: View, order: dict, element: Element) -> list[str]:
    """Return the shortest path from the target of an order that kills an element down to it (clause 6.10)."""
    paths, met = [[element]], {element}
    while True:
        found = [
            [":".join(step) for step in (path if path[0] == order["target"] else [order["target"], *path])]
            for path in paths
            if hits(view, order, path[0])
        ]
        if found:
            return min(found)
        paths = [[need, *path] for path in paths for need in needs_of(view, path[0]) if need not in met]
        met |= {path[0] for path in paths}


# States


def status_in(view: View, kind: str, id_: str, at: int) -> dict:
    """Return the state, its cause and its gaps."""
    if kind in ("token", "delegation"):
        state, because = state_of_element(view, (kind, id_), at)
        return {"state": state, "because": because, "gaps": gaps_of(view, (kind, id_))}
    state, because = state_of_name(view, kind, id_, at)
    return {"state": state, "because": because, "gaps": []}


def state_of_element(view: View, element: Element, at: int) -> tuple[str, dict | None]:
    """Return the state of a token or delegation: the first of clauses 6.1 to 6.7 that applies.

    Remaining ties go by the order of facts.

    Source:
        Clause 6.9 for ``because``.
    """
    counting = [order for order in view["orders"] if counts(view, order, element, at)]
    revoking = [order for order in counting if order["mode"] == "revoke"]
    suspending = [order for order in counting if order["mode"] == "suspend"]

    def because(orders: list[dict]) -> dict:
        first = min(orders, key=lambda order: (order["target"] != element, order["rank"]))
        return because_of(first, path_down(view, first, element))

    grant = view["elements"].get(element)
    if any(order["target"] == element for order in revoking):  # 1
        return "revoked", because(revoking)
    if revoking:  # 2
        return "cascaded", because(revoking)
    if grant is not None and grant["expires_at"] is not None and at >= grant["expires_at"]:  # 3
        return "expired", None
    if suspending:  # 4
        return "suspended", because(suspending)
    if grant is None:  # 5
        return "unknown", None
    if at < grant["issued"] or (grant["not_before"] is not None and at < grant["not_before"]):  # 6
        return "not_yet_valid", None
    return "active", None  # 7


def state_of_name(view: View, kind: str, id_: str, at: int) -> tuple[str, dict | None]:
    """Return the state of a principal, workload, session or client (clause 6.12)."""
    for mode, state in (("revoke", "revoked"), ("suspend", "suspended")):
        orders = [
            order
            for order in view["orders"]
            if order["mode"] == mode
            and targets_by_name(view, order, space_of(kind), id_)
            and order["issued_before"] is None
            and order["effective_at"] <= at
            and (order["lifted_at"] is None or at < order["lifted_at"])
        ]
        if orders:
            return state, because_of(min(orders, key=lambda order: order["rank"]), [f"{kind}:{id_}"])
    return "active", None


def because_of(order: dict, path: list[str]) -> dict:
    """Return an order as the cause of a state."""
    kind, id_ = order["target"]
    return {
        "revocation": order["revocation"],
        "mode": order["mode"],
        "target": {"kind": kind, "id": id_},
        "effective_at": order["effective_at"],
        "ordered_by": order["ordered_by"],
        "reason": order["reason"],
        "path": path,
    }


def gaps_of(view: View, element: Element) -> list[Element]:
    """Return what is missing: the element itself, or something above it (clause 8.1)."""
    return sorted({element, *needs_at_any_depth(view, element)} - view["elements"].keys())


# Chains


def path_up(view: View, element: Element) -> list[Element]:
    """Return the path of an element, root first; empty if nobody granted it (clause 7.1)."""
    if element not in view["elements"]:
        return []
    path = [element]
    while True:
        below = view["elements"][path[0]]["facts"]
        above = {("delegation", parent) for fact in below for parent in fact["event"].get("parents", [])}
        for fact in below:
            sources = fact["event"].get("derived_from", [])
            above |= {("token", source["token"]) for source in sources if source["role"] in PATH_ROLES}
        choices = [parent for parent in above if parent in view["elements"] and parent not in path]
        if not choices:
            return path

        def preference(parent: Element, below: list[Fact] = below) -> tuple:
            ours, theirs = ("subject", "subject") if parent[0] == "token" else ("delegator", "delegatee")
            grant = view["elements"][parent]
            fits = same(view, stated(below, ours)[0], stated(grant["facts"], theirs)[0])
            return (not fits, grant["issued"], parent[1])

        path = [min(choices, key=preference), *path]


def chain_of(view: View, element: Element) -> tuple[list[dict], list[str], list[str]]:
    """Return the hops of an element's chain, root first, its tokens, its delegations; empty if nobody granted it.

    Source:
        Clauses 7.1 to 7.4.
    """
    path = path_up(view, element)
    if not path:
        return [], [], []
    if element[0] == "delegation":
        return collapse(view, delegations_say(view, path)), [], [id_ for _, id_ in path]

    # (2): the oldest token's subject, its prior actors, then each token's wielder down the path.
    oldest = view["elements"][path[0]]["facts"]
    subject = hops_stated(oldest, "subject", "token")
    by_tokens = [*subject, *hops_stated(oldest, "prior_actors", "asserted")]
    for token in path:
        by_tokens += wielder_of(view, token)

    # (3): the token, or the nearest one above it on its path, that names a granted delegation.
    for position in reversed(range(len(path))):
        named = [
            ("delegation", fact["event"]["delegation"])
            for fact in view["elements"][path[position]]["facts"]
            if "delegation" in fact["event"]
        ]
        granted = [delegation for delegation in named if delegation in view["elements"]]
        if granted:
            delegations = path_up(view, granted[0])
            hops = delegations_say(view, delegations)
            for token in path[position:]:
                hops = hops + wielder_of(view, token)
            hops = in_front(view, by_tokens, subject, hops) + hops
            return collapse(view, hops), [id_ for _, id_ in path], [id_ for _, id_ in delegations]
    return collapse(view, by_tokens), [id_ for _, id_ in path], []


def in_front(view: View, by_tokens: list[dict], subject: list[dict], hops: list[dict]) -> list[dict]:
    """Return the hops that precede those of the delegations (clause 7.3)."""
    first_delegator = hops[0]["principal"]
    for position, hop in enumerate(by_tokens):
        if same(view, hop["principal"], first_delegator):
            return by_tokens[:position]
    if kind_of(view, first_delegator) == "human" or stands(view, subject[0]["principal"], hops):
        return []
    return subject


def wielder_of(view: View, token: Element) -> list[dict]:
    """Return the wielder of a token, if any (clause 7.2)."""
    facts = view["elements"][token]["facts"]
    actor = hops_stated(facts, "actor", "token")
    if actor:
        return actor
    sources = [source for fact in facts for source in fact["event"].get("derived_from", [])]
    exchanged_with = {("token", source["token"]) for source in sources if source["role"] == "actor"}
    granted = [actor for actor in exchanged_with if actor in view["elements"]]
    if not granted:
        return []
    first = min(granted, key=lambda actor: (view["elements"][actor]["issued"], actor))
    facts = view["elements"][first]["facts"]
    return hops_stated(facts, "actor", "token") or hops_stated(facts, "subject", "token")


def delegations_say(view: View, path: list[Element]) -> list[dict]:
    """Return each delegator and delegatee down a delegation's path (clause 7.3)."""
    hops = []
    for delegation in path:
        facts = view["elements"][delegation]["facts"]
        hops += hops_stated(facts, "delegator", "delegation") + hops_stated(facts, "delegatee", "delegation")
    return hops


def hops_stated(facts: list[Fact], field: str, evidence: str) -> list[dict]:
    """Return the principals that a field states, as hops (clause 7.5)."""
    value, source = stated(facts, field)
    return [{"principal": id_, "evidence": evidence, "source": source} for id_ in listed(value)]


def stands(view: View, principal: str, hops: list[dict]) -> bool:
    """Whether a principal is among hops."""
    return any(same(view, hop["principal"], principal) for hop in hops)


def collapse(view: View, hops: list[dict]) -> list[dict]:
    """Collapse equal neighbours (clause 7.4)."""
    kept: list[dict] = []
    for hop in hops:
        if not kept or not same(view, kept[-1]["principal"], hop["principal"]):
            kept.append(hop)
    return kept


def answer(view: View, hops: list[dict], tokens: list[str], delegations: list[str]) -> dict:
    """Return the head of a chain: root, human, agents and accountable owner (clause 7.4)."""
    shown = [{**called(view, hop["principal"]), "kind": kind_of(view, hop["principal"]), **hop} for hop in hops]
    root = shown[0]["principal"] if shown else None
    human = root if shown and shown[0]["kind"] == "human" else None
    return {
        "chain": shown,
        "root": root,
        "human": human,
        "accountable": human if root is None or human is not None else owner_of(view, root),
        "agents": [hop["principal"] for hop in shown if hop["kind"] == "agent"],
        "tokens": tokens,
        "delegations": delegations,
    }


# Actions


def elements_named(view: View, action: str) -> list[Element]:
    """Return what an action names, in the order of clause 7.7."""
    done = facts_stating(view, "action", action)
    decided = facts_stating(view, "decision", stated(done, "decision")[0])
    named = [(kind, stated(facts, kind)[0]) for facts in (done, decided) for kind in ("token", "delegation")]
    return [(kind, id_) for kind, id_ in named if id_ is not None]


def who_acted(view: View, action: str) -> set[str]:
    """Return everybody of whom a fact says that they performed an action.

    A workload acts as well, and every fact counts.

    Source:
        Clauses 7.8 and 9.3.
    """
    facts = facts_stating(view, "action", action)
    if not any("actor" in fact["event"] for fact in facts):
        facts = facts + facts_stating(view, "decision", stated(facts, "decision")[0])
    acted = {fact["event"].get("actor", fact["event"].get("on_behalf_of")) for fact in facts}
    return acted | {fact["event"].get("workload") for fact in facts}


def authority_of(view: View, action: str) -> Element | None:
    """Return the authority of an action (clauses 7.7 and 7.9)."""
    named = elements_named(view, action)
    granted = [element for element in named if element in view["elements"]]
    return next(iter(granted or named), None)


# Receipts and verdicts


def receipt(
    records: list[dict],
    revocation: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
) -> list[dict] | None:
    """Return what the orders of an id end, one line for each element; None if there is no such order.

    It is the difference of the states without and with these orders, whatever others there are.

    Source:
        Clauses 10.3 and 10.4.
    """
    facts = visible(records, known_at, trust)
    if not orders_called(facts, revocation):
        return None
    kept = [fact for fact in facts if fact["event"]["type"] != "revocation.ordered"]
    alone = view_of(in_order(kept + orders_called(facts, revocation)))
    lines = []
    for kind, id_ in alone["named"]:
        if kind not in ("token", "delegation"):
            continue
        ended = ended_by(alone, (kind, id_), at)
        if ended is None:
            continue
        state, order = ended
        path = path_down(alone, order, (kind, id_))
        grant = alone["elements"].get((kind, id_), {"names": set(), "expires_at": None, "issued": -1})
        lines.append(
            {
                "kind": kind,
                "id": id_,
                "state": state,
                "revocation": revocation,
                "effective_at": order["effective_at"],
                "path": path,
                "principals": sorted(named for space, named in grant["names"] if space == "principal"),
                "expires_at": grant["expires_at"],
                "born_dead": grant["issued"] >= order["effective_at"],
                "recorded_at": proven_at(facts, order, path),
            }
        )
    return sorted(lines, key=lambda line: (line["id"], line["kind"]))


def status_list(
    records: list[dict],
    uri: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
) -> dict[int, set[str]]:
    """Return the states of the tokens for which each entry of a status list is stated.

    Source:
        Clauses 3.2 and 10.18.
    """
    view = view_of(visible(records, known_at, trust))
    places: dict[int, set[str]] = {}
    for element, grant in view["elements"].items():
        stated_places = [fact["event"]["status_list"] for fact in grant["facts"] if "status_list" in fact["event"]]
        for place in stated_places:
            if place["uri"] == uri:
                places.setdefault(place["idx"], set()).add(state_of_element(view, element, at)[0])
    return places


def orders_called(facts: list[Fact], revocation: str) -> list[Fact]:
    """Return the orders of an id."""
    orders = [fact for fact in facts if fact["event"]["type"] == "revocation.ordered"]
    return [fact for fact in orders if fact["event"]["revocation"] == revocation]


def known_when_ordered(view: View, order: dict, element: Element) -> list[Fact]:
    """Return the facts about an element that had been recorded when an order was; else the first that came later.

    Of an element that an order targeted before anybody had named it, nothing had been stated.

    Source:
        Clause 10.8 and ADR 0031.
    """
    facts = view["elements"].get(element, {"facts": []})["facts"]
    ordered_at = order["fact"]["recorded_at"]
    known = [fact for fact in facts if fact["recorded_at"] <= ordered_at]
    if known or order["target"] == element or not facts:
        return known
    first = min(fact["recorded_at"] for fact in facts)
    return [fact for fact in facts if fact["recorded_at"] == first]


def end_for(view: View, orders: list[dict], element: Element) -> int | None:
    """Return when an element expires, as it counts for the enforcement of some orders; None for never.

    Source:
        Clauses 3.3 and 10.8; ADR 0031.
    """
    for order in orders:
        if not any("expires_at" in fact["event"] for fact in known_when_ordered(view, order, element)):
            return None
    return view["elements"][element]["expires_at"]


def ending(view: View, element: Element, at: int) -> list[dict]:
    """Return the orders that count for an element in receipts, verdicts and deliveries.

    Source:
        Clauses 6.8 and 10.8; ADR 0031.
    """
    found = []
    for order in view["orders"]:
        if in_force(order, at) and kills(view, order, element):
            end = end_for(view, [order], element)
            if end is None or order["effective_at"] < end:
                found.append(order)
    return found


def ended_by(view: View, element: Element, at: int) -> tuple[str, dict] | None:
    """Return the state that orders cause for an element, and the order responsible; None if there is none.

    The suspension of an expired element is over.

    Source:
        Clauses 6.1, 6.2, 6.4 and 6.9.
    """
    orders = ending(view, element, at)
    revoking = [order for order in orders if order["mode"] == "revoke"]
    end = end_for(view, orders, element) if orders else None
    if not orders or (not revoking and end is not None and end <= at):
        return None
    order = min(revoking or orders, key=lambda order: (order["target"] != element, order["rank"]))
    if order["mode"] == "suspend":
        return "suspended", order
    return ("revoked" if order["target"] == element else "cascaded"), order


def proven_at(facts: list[Fact], order: dict, path: list[str]) -> int:
    """Return when the order and every link of a path had been recorded."""
    for moment in sorted({fact["recorded_at"] for fact in facts}):
        known = [fact for fact in facts if fact["recorded_at"] <= moment]
        view = view_of(known)
        ordered = any(tuple(fact["order"]) == tuple(order["rank"][2:]) for fact in known)
        steps = [tuple(step.split(":", 1)) for step in path]
        if order["target"][0] not in ("token", "delegation"):
            space, target = space_of(order["target"][0]), order["target"][1]
            first = view["elements"].get(steps[1], {"names": set()})
            names = {named for of, named in first["names"] if of == space}
            ordered &= any(same(view, target, named) if space == "principal" else target == named for named in names)
            steps = steps[1:]
        if ordered and all(above in needs_of(view, below) for above, below in pairwise(steps)):
            return moment
    raise AssertionError("the path is in the facts")


def closure(
    records: list[dict],
    revocation: str,
    at: int,
    known_at: int | None = None,
    trust: dict | None = None,
    delivered: dict[tuple[str, str], int] | None = None,
) -> dict | None:
    """Return the verdict on a revocation; None if there is no such order. ``delivered``: (receiver, key) -> time.

    Source:
        Clauses 10.11 to 10.16.
    """
    facts = visible(records, known_at, trust)
    lines = receipt(records, revocation, at, known_at, trust)
    if lines is None:
        return None
    view = view_of(facts)
    registered = {fact["event"]["receiver"] for fact in facts if fact["event"]["type"] == "receiver.registered"}
    tallies = {
        name: {"receiver": name, "covers": 0, "delivered": 0, "enforced": 0, "rejected": 0, "pending": 0}
        for name in registered
    }
    opened, reopened, used, tainted = set(), set(), set(), set()
    for line in lines:
        element = (line["kind"], line["id"])
        uses = uses_of(view, facts, revocation, element, at)
        used |= {action for action, _, late in uses if late}
        tainted |= {action for action, _, late in uses if not late}
        last = max((moment for _, moment, late in uses if late), default=None)
        ordering = [order for order in ending(view, element, at) if order["revocation"] == revocation]
        expires_at = end_for(view, ordering, element)
        over = expires_at is not None and expires_at <= at and (last is None or last < expires_at)
        then = min((known_when_ordered(view, order, element) for order in ordering), key=len)
        known = view["elements"].get(element, {"facts": []})["facts"]
        covering, uncovered = set(), False
        for order in ordering:
            counting = [(name, value) for name in registered for value in in_force_since(facts, name, order["fact"])]
            covering_then = {name for name, registration in counting if covers(registration, element, then)}
            covering |= covering_then | {name for name, value in counting if covers(value, element, known)}
            uncovered = uncovered or not covering_then
        still_open = set()
        for name in covering:
            outcome, place = word_of(view, ordering, name, element, at, delivered or {})
            tally = tallies[name]
            tally["covers"] += 1
            tally["delivered"] += (name, ":".join(element)) in (delivered or {})
            enforced = outcome == "enforced" and (last is None or place[0] > last)
            if enforced or enforced_elsewhere(view, revocation, name, element, at, delivered or {}) > place:
                tally["enforced"] += 1
                continue
            tally["rejected"] += outcome == "rejected"
            if not over:
                tally["pending"] += outcome != "rejected"
                still_open.add((*element, name))
        if uncovered and not over:
            still_open.add((*element, None))
        if still_open:
            reopened |= {action for action, _, late in uses if late}
        opened |= still_open
    waiting = {
        (*order["target"], None)
        for order in view["orders"]
        if order["revocation"] == revocation and order["effective_at"] > at
    }
    verdict = "CLOSED"
    if opened | waiting:
        verdict = "UNKNOWN"
    if any(receiver is not None for _, _, receiver in opened):
        verdict = "PARTIAL"
    orders = orders_called(facts, revocation)
    return {
        "verdict": verdict,
        "ordered_at": min(given_at(fact) for fact in orders),
        "in_force_at": min(in_force_from(fact) for fact in orders),
        "elements": len(lines),
        "receivers": [tallies[name] for name in sorted(tallies)],
        "open": opened | waiting,
        "reopened_by": reopened,
        "used": used,
        "tainted": tainted,
    }


def in_force_from(order: Fact) -> int:
    """Return ``in_force_at`` of an order (clause 10.2)."""
    return max(order["recorded_at"], works_from(order))


def in_force_since(facts: list[Fact], receiver: str, order: Fact) -> list[dict]:
    """Return the registrations of a receiver that were in force at some time since an order was given.

    A registration recorded after the order replaces none for it, whatever its date.

    Source:
        Clause 10.7 and ADR 0030.
    """
    lines = [fact for fact in facts if fact["event"]["type"] == "receiver.registered"]
    latest = latest_first([fact for fact in lines if fact["event"]["receiver"] == receiver])
    counting = []
    for fact in latest:
        counting.append(fact["event"])
        if given_at(fact) <= given_at(order) and fact["recorded_at"] <= order["recorded_at"]:
            break
    return counting


def covers(receiver: dict, element: Element, facts: list[Fact]) -> bool:
    """Whether a receiver covers an element, by some of the facts that grant it.

    Source:
        Clauses 3.2 and 10.6.
    """
    kind, id_ = element
    issuers, audiences, kinds = (receiver.get(field, []) for field in ("issuers", "audiences", "kinds"))
    stated_audience = {audience for fact in facts for audience in fact["event"].get("audience", [])}
    if kinds and kind not in kinds:
        return False
    if issuers and ("#" not in id_ or id_.split("#")[0] not in issuers):
        return False
    return not audiences or not stated_audience or bool(set(audiences) & stated_audience)


def word_of(
    view: View, ordering: list[dict], receiver: str, element: Element, at: int, delivered: dict
) -> tuple[str | None, tuple]:
    """Return a receiver's last acknowledgement that applies to an element, and its position among others.

    ``ordering`` are the orders of one id that end the element at the instant asked about. If there are several, it
    applies only to those that were known to end the element when it was recorded. So does one without ``token`` if
    orders of other ids end the element as well, for which alone it may have been delivered.

    Source:
        Clauses 5.1, 10.9 and 10.10; ADR 0019.
    """
    last = None
    for fact in sorted(view["facts"], key=given_at):
        event = fact["event"]
        moment = given_at(fact)
        if event["type"] != "revocation.acknowledged" or event["receiver"] != receiver or moment > at:
            continue
        of_id = any(order["revocation"] == event["revocation"] for order in ordering)
        if of_id and speaks_for(fact, element, delivered):
            last = fact
    ids = {order["revocation"] for order in view["orders"] if ends_in(view, order, element)}
    in_general_of_several = last is not None and "token" not in last["event"] and len(ids) > 1
    must_be_known = len(ordering) > 1 or in_general_of_several
    if last is not None and any(
        given_at(order["fact"]) <= given_at(last)
        and (not must_be_known or ends_in(as_known(view, last["recorded_at"]), order, element))
        for order in ordering
    ):
        return last["event"]["outcome"], (given_at(last), last["order"])
    return None, NO_WORD


NO_WORD: tuple = (-1, ())


def speaks_for(value: Fact, element: Element, delivered: dict) -> bool:
    """Whether an acknowledgement applies to an element (clause 10.9)."""
    event = value["event"]
    if "token" in event:
        return element == ("token", event["token"])
    sent = delivered.get((event["receiver"], ":".join(element)))
    return sent is not None and sent <= given_at(value)


def enforced_elsewhere(view: View, revocation: str, receiver: str, element: Element, at: int, delivered: dict) -> tuple:
    """Return the position of a receiver's last acknowledgement under other ids, if it enforced the end of an element.

    An acknowledgement applies to an order of its id that was given and recorded no later than itself and that was known
    by then, or at least when the order was recorded, to end the element; for each id only the last one can count. Since
    then the element must have been dead at every instant, by what had been recorded by that instant (until the order
    was recorded: by then), and unused.

    Source:
        Clause 10.10 and ADR 0042.
    """
    facts, orders = view["facts"], [order for order in view["orders"] if ends_in(view, order, element)]
    words = []
    for id_ in {order["revocation"] for order in orders} - {revocation}:
        of_id = [order for order in orders if order["revocation"] == id_]
        first = min(given_at(order["fact"]) for order in of_id)
        lines = [
            fact
            for fact in facts
            if fact["event"]["type"] == "revocation.acknowledged"
            and (fact["event"]["revocation"], fact["event"]["receiver"]) == (id_, receiver)
            and first <= given_at(fact) <= at
            and speaks_for(fact, element, delivered)
        ]
        if not lines:
            continue
        last_said = max(lines, key=lambda fact: (given_at(fact), fact["order"]))
        said_at = given_at(last_said)
        for order in of_id:
            recorded_at = order["fact"]["recorded_at"]
            if (
                given_at(order["fact"]) <= said_at
                and recorded_at <= last_said["recorded_at"]
                and ends_in(as_known(view, max(said_at, recorded_at)), order, element)
            ):
                words.append(((said_at, last_said["order"]), last_said["event"]["outcome"], order))
    last = max((place for place, _, _ in words), default=None)
    used = any(last is not None and last[0] <= moment for _, moment in successes_of(view, element, at))
    for place, outcome, order in words:
        is_last = place == last and outcome == "enforced" and not used and in_force(order, place[0])
        if is_last and dead_since(view, orders, element, place[0], at, order["fact"]["recorded_at"]):
            return place
    return NO_WORD


def as_known(view: View, moment: int) -> View:
    """Return a view of what had been recorded by an instant."""
    facts = [fact for fact in view["facts"] if fact["recorded_at"] <= moment]
    views = view.setdefault("as_known", {})
    if len(facts) not in views:
        views[len(facts)] = view_of(facts)
    return views[len(facts)]


def ends_in(view: View, order: dict, element: Element) -> bool:
    """Whether an order that ever takes effect ends an element, with its lifts as given and the rest as in a view."""
    known = any(fact["order"] == order["fact"]["order"] for fact in view["facts"])
    end = end_for(view, [order], element)
    return known and kills(view, order, element) and (end is None or order["effective_at"] < end)


def dead_since(view: View, orders: list[dict], element: Element, said_at: int, at: int, recorded_at: int) -> bool:
    """Whether at each instant of an interval some order ended an element, by what was known then and ever since."""
    moments = {said_at, at, *(order["effective_at"] for order in orders)}
    moments |= {lifts_from(fact) for fact in view["facts"] if fact["event"]["type"] == "revocation.lifted"}
    moments = {moment for moment in moments if said_at <= moment <= at}
    known = {fact["recorded_at"] for fact in view["facts"]} | moments | {recorded_at}
    for moment in moments | {one for one in known if said_at <= one <= at}:
        for then in known:
            if then < max(moment, recorded_at):
                continue
            there = as_known(view, then)
            lifted = {order["fact"]["order"]: order for order in there["orders"]}
            if not any(
                ends_in(there, order, element) and in_force(lifted[order["fact"]["order"]], moment) for order in orders
            ):
                return False
    return True


def uses_of(view: View, facts: list[Fact], revocation: str, element: Element, at: int) -> list[tuple[str, int, bool]]:
    """Return the successes under an element that the orders of an id had ended, and whether one of these was in force.

    The facts about an action count together and each by itself, and so do the facts about its decision. If there are
    several times, the latest counts, and one in force before any other.

    Source:
        Clause 10.16 and ADR 0031.
    """
    found: dict[str, list[tuple[bool, int]]] = {}
    for action, moment in successes_of(view, element, at):
        dead_by = [
            order
            for order in ending(view, element, at)
            if order["revocation"] == revocation and in_force(order, moment)
        ]
        if dead_by:
            known = min(in_force_from(order["fact"]) for order in dead_by)
            found.setdefault(action, []).append((known <= moment, moment))
    latest = [(action, *max(uses)) for action, uses in found.items()]
    return [(action, moment, late) for action, late, moment in latest]


def successes_of(view: View, element: Element, at: int) -> list[tuple[str, int]]:
    """Return every success under an element, with its time, by the facts together or one by itself."""
    facts, found = view["facts"], []
    for action in {fact["event"]["action"] for fact in facts if fact["event"]["type"] == "action.performed"}:
        done = facts_stating(view, "action", action)
        for value in [done, *([fact] for fact in done)]:
            decided = facts_stating(view, "decision", stated(value, "decision")[0])
            moment = min(micros(fact["event"]["occurred_at"]) for fact in value)
            for decision in [decided, *([fact] for fact in decided)]:
                named = [
                    (kind, stated(part, kind)[0]) for part in (value, decision) for kind in ("token", "delegation")
                ]
                named = [(kind, id_) for kind, id_ in named if id_ is not None]
                authority = next(iter([key for key in named if key in view["elements"]] or named), None)
                if authority == element and stated(value, "outcome")[0] == "succeeded" and moment <= at:
                    found.append((action, moment))
    return found
