"""The rule of authority, written once more, slowly: what every answer must be.

A transcription of docs/rule-of-authority.md into plain dicts and sets. It grades the real implementation and
shares nothing with it: each function says which sentence it carries out, and none of them is clever.
No clock, no database, no network, no third-party library; every question folds all its records again.

A record is ``{"event": <an event in the JSONL form>, "recorded_at": <microseconds since the epoch>, "via":
"decisions" or "orders"}``. ``at`` and ``known_at`` are microseconds; ``known_at=None`` hides nothing. A trust
table is None (every source may say everything) or ``{source: {"types": [...], "ids": [prefix, ...]}}``, where
the type ``"*"`` and the prefix ``""`` allow all.

It leaves out what is found beside the answers: findings, survivors, the latest actions, digests, deliveries.
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

TIMES = {"occurred_at", "issued_at", "not_before", "expires_at", "effective_at", "issued_before", "until"}
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
    *("prior_actors", "on_behalf_of", "ordered_by", "lifted_by", "approved_by", "by"),
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
    """The state of a token, delegation, principal, workload, session or client; None if no fact names it.

    Source:
        Section 6: "for an id that no fact names ``not_found``".
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
    """The chain of a token or a delegation, with its state; None if no fact names it."""
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
    """Who took an action, by which authority; None if no visible event performed it.

    Source:
        Section 4: "The chain of an action is that of its *authority*: the first granted of its token, its
        delegation, its decision's token, its decision's delegation. An ``actor`` of the action (else of its
        decision) who is not in the chain stands last, ``asserted``. With nothing granted, the chain is
        ``on_behalf_of``, then the ``prior_actors``, root to leaf, then the actor (each of the action, else of its
        decision), ``asserted``". "An
        asserted root, and whatever is named and nobody granted, is a gap." "'As known then', for an action,
        is ``known_at`` = the action's own ``recorded_at``."
    """
    view = view_of(visible(records, known_at, trust))
    told = told_of(view, "action", action)
    if not told:
        return None
    decided = told_of(view, "decision", stated(told, "decision")[0])
    authority = authority_of(view, action)

    hops, tokens, delegations = [], [], []
    if authority in view["elements"]:
        hops, tokens, delegations = chain_of(view, authority)
    else:
        hops += says(told, "on_behalf_of", "asserted") or says(decided, "on_behalf_of", "asserted")
        hops += says(told, "prior_actors", "asserted") or says(decided, "prior_actors", "asserted")
    for actor in says(told, "actor", "asserted") or says(decided, "actor", "asserted"):
        if authority not in view["elements"] or not stands(view, actor["principal"], hops):
            hops = [*hops, actor]
    hops = collapse(view, hops)

    def state_of(known: View, moment: int) -> dict:
        if authority is None or not is_named(known, *authority):
            return {"state": "unknown", "because": None}
        found = status_in(known, *authority, moment)
        return {"state": found["state"], "because": found["because"]}

    occurred_at = min(micros(fact["event"]["occurred_at"]) for fact in told)
    recorded_at = min(fact["recorded_at"] for fact in told)
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
    """What an order given at ``at`` would kill of what is alive then; None if no fact names the target.

    Source:
        Section 4: "**Reach** of a proposed order at T: the elements that are ``active``, ``suspended`` or
        ``not_yet_valid`` at T and that it would make ``revoked`` or ``cascaded`` (mode ``suspend``:
        ``suspended``); the principals of kind agent and human that these name; the actions whose authority is
        one of these; ``own_actions`` {count}: actions of the target, a principal, that rest on no element here […], so
        that "no action was done under it" is never said of someone who acted; ``already_dead``: how many it would
        also kill that are revoked or cascaded and not past their ``expires_at``; ``last_expiry``: when it would all be
        over by itself (null: never)."
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
    """Microseconds since the epoch: "digits past the microsecond are cut off" (section 3)."""
    day, clock, digits, offset = RFC3339.fullmatch(text).groups()
    moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    return (moment - EPOCH) // timedelta(microseconds=1) + int(((digits or "") + "000000")[:6])


def rfc3339(moment: int) -> str:
    """A time as in answers: "``2026-11-01T09:00:00.000000Z``" (section 6)."""
    return (EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def stated_only(value: Any) -> Any:
    """A value without what states nothing: "absent, null, the empty list or map … are one" (section 3)."""
    if isinstance(value, dict):
        kept = {key: stated_only(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item not in ([], {})}
    if isinstance(value, list):
        return [stated_only(item) for item in value]
    return value


def content(event: dict) -> dict:
    """What an event says, in the one form in which contents are compared.

    Source:
        Section 3: "Contents are compared after decoding: absent, null, the empty list or map and the default
        are one, times are instants, keys have no order, lists do".
    """
    said = {key: rfc3339(micros(item)) if key in TIMES else item for key, item in stated_only(event).items()}
    if said["type"] == "revocation.ordered":
        said = {key: item for key, item in said.items() if ORDER_DEFAULTS.get(key) != item}
    return said


def canonical(value: Any) -> str:
    """RFC 8785: keys in the order of their UTF-16 code units, no space."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical(key)}:{canonical(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def fact_of(said: dict, recorded_at: int) -> Fact:
    """A fact with its place in the order of facts.

    Source:
        Section 3: "the order (occurred_at, source, event_id, SHA-256 of the content)".
    """
    digest = hashlib.sha256(canonical(said).encode()).hexdigest()
    order = (micros(said["occurred_at"]), said["source"], said["event_id"], digest)
    return {"event": said, "recorded_at": recorded_at, "order": order}


def in_order(facts: list[Fact]) -> list[Fact]:
    """Facts sorted by the order of facts."""
    return sorted(facts, key=lambda fact: fact["order"])


def unused(taken: set) -> str:
    """An id that is not taken."""
    return next(id_ for id_ in (f"proposed-{n}" for n in range(len(taken) + 1)) if id_ not in taken)


# What is visible


def authorised(record: dict, trust: dict | None) -> bool:
    """Whether a record is part of the state.

    Source:
        Section 3: "lists for each ``source`` the event types it may send and the prefixes of the ids it may
        speak about (the event's own token, delegation, principal, workload, receiver; for orders the target).
        A fact outside it, and an order or lift that came by the decisions topic, is **unauthorised**: kept,
        counted, shown, and no part of the state. Without a file every source may say everything".
    """
    event = record["event"]
    if event["type"] in ("revocation.ordered", "revocation.lifted") and record["via"] != "orders":
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
    """The facts that are part of the state, each once, in the order of facts.

    Source:
        Section 3: "The same (``source``, ``event_id``) with the same content is a **duplicate**; with
        different content a **conflict**: […] each content stands as a fact of its own". Section 1:
        "``known_at`` hides every fact recorded later (equal is visible)"; ``recorded_at`` is "the earliest
        moment at which the log took the fact; its duplicates count". What is unauthorised is dropped first:
        it cannot lend its time to another.
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
    """Everything that the answers are made of, from visible facts in the order of facts."""
    return {
        "facts": facts,
        "elements": elements_of(facts),
        "parties": parties_of(facts),
        "orders": orders_of(facts),
        "named": named_by(facts),
    }


def listed(value: Any) -> list:
    """A list, or one thing, or nothing, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def named_by(facts: list[Fact]) -> set[Element]:
    """Every (kind, id) that a fact names; a workload as principal, since the two "are one namespace"."""
    named = set()
    for fact in facts:
        event = fact["event"]
        named |= {(ROLES[field], id_) for field in ROLES for id_ in listed(event.get(field))}
        named |= {("token", source["token"]) for source in event.get("derived_from", [])}
        if "target" in event:
            named.add((space_of(event["target"]["kind"]), event["target"]["id"]))
    return named


def is_named(view: View, kind: str, id_: str) -> bool:
    """Whether a visible fact names the id in that kind of role."""
    return (space_of(kind), id_) in view["named"]


def space_of(kind: str) -> str:
    """The namespace of a kind: "``principal`` and ``workload`` are one namespace" (section 4)."""
    return "principal" if kind == "workload" else kind


# Several events about one thing


def stated(facts: list[Fact], field: str) -> tuple[Any, str | None]:
    """The value of a field and the source whose word it is.

    Source:
        Section 3: "every other field comes from the first event in the order […] that *states* it (absent,
        null and the empty list state nothing)".
    """
    for fact in facts:
        if field in fact["event"]:
            return fact["event"][field], fact["event"]["source"]
    return None, None


def told_of(view: View, kind: str, id_: str | None) -> list[Fact]:
    """The facts about one action or decision, in the order of facts."""
    type_ = {"action": "action.performed", "decision": "decision.made"}[kind]
    return [fact for fact in view["facts"] if fact["event"]["type"] == type_ and fact["event"][kind] == id_]


def elements_of(facts: list[Fact]) -> dict[Element, dict]:
    """What was granted: each token and delegation with all that its events add up to.

    Source:
        Section 3: "dependencies, names and aliases are the **union** of all that is claimed; the issue time
        is the earliest (each event's ``issued_at``, else its ``occurred_at``); ``expires_at`` is the latest
        stated". Section 4: "A token depends on every token in ``derived_from`` and on its ``delegation``; a
        delegation on its ``parents`` (all of them). A token *names* its subject, actor, workload, session and
        client; a delegation its delegator and delegatee."
    """
    told: dict[Element, list[Fact]] = {}
    for fact in facts:
        for type_, kind in (("token.issued", "token"), ("delegation.granted", "delegation")):
            if fact["event"]["type"] == type_:
                told.setdefault((kind, fact["event"][kind]), []).append(fact)
    elements = {}
    for element, grants in told.items():
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
    """Each registered id with all its aliases.

    Source:
        Section 4: "``aliases`` of a principal are the same party (symmetric, transitive, never inferred)".
    """
    parties: dict[str, set[str]] = {}
    for fact in facts:
        if fact["event"]["type"] == "principal.registered":
            party = {fact["event"]["principal"], *fact["event"].get("aliases", [])}
            for id_ in list(party):
                party |= parties.get(id_, set())
            parties |= dict.fromkeys(party, party)
    return parties


def party_of(view: View, id_: str) -> set[str]:
    """An id and its aliases."""
    return view["parties"].get(id_, {id_})


def same(view: View, one: str | None, other: str | None) -> bool:
    """Whether two ids are one principal.

    Source:
        Section 4: "wherever principals are compared below, aliases are equal".
    """
    return one is not None and other is not None and other in party_of(view, one)


def registrations_of(view: View, id_: str) -> list[Fact]:
    """The registrations of a principal or an alias, in the order of facts."""
    told = [fact for fact in view["facts"] if fact["event"]["type"] == "principal.registered"]
    return [fact for fact in told if fact["event"]["principal"] in party_of(view, id_)]


def kind_of(view: View, id_: str) -> str:
    """The kind of a principal.

    Source:
        Section 2: "The prefix ``human:``, ``agent:``, ``service:`` or ``spiffe://`` (workload) declares a
        principal's kind and stands; without one, an alias's prefix (the smallest id) does, else the kind with
        which it, or an alias, was first registered, else ``unknown``."
    """
    for candidate in (id_, *sorted(party_of(view, id_))):
        for prefix, kind in KIND_PREFIXES.items():
            if candidate.startswith(prefix):
                return kind
    return stated(registrations_of(view, id_), "kind")[0] or "unknown"


def called(view: View, id_: str) -> dict:
    """What a principal is called beside its stated id.

    Source:
        Section 2: "Answers name beside each stated id ``known_as``: of its party the smallest id whose prefix declares
        a kind, else the id itself." Section 3: the display name comes "from the last stated".
    """
    declaring = [one for one in party_of(view, id_) if one.startswith(tuple(KIND_PREFIXES))]
    display_name = stated(latest_first(registrations_of(view, id_)), "display_name")[0]
    return {"known_as": min(declaring, default=id_), "display_name": display_name}


def owner_of(view: View, id_: str) -> str | None:
    """A principal's owner.

    Source:
        Section 3: "of a principal, display name, owner, purpose and environment come from the last stated".
    """
    return stated(latest_first(registrations_of(view, id_)), "owner")[0]


def given_at(fact: Fact) -> int:
    """When a fact was given: "the earlier of its ``occurred_at`` and ``recorded_at``" (section 4)."""
    return min(micros(fact["event"]["occurred_at"]), fact["recorded_at"])


def latest_first(facts: list[Fact]) -> list[Fact]:
    """Facts of which the last counts, that one in front.

    Source:
        Section 3: "\"Last\" and \"latest\" go by the earlier of ``occurred_at`` and ``recorded_at``: a fact from the
        future is never the last." What still ties: the order of facts.
    """
    return sorted(facts, key=lambda fact: (given_at(fact), fact["order"]), reverse=True)


# Orders


def works_from(order: Fact) -> int:
    """When an order takes effect: "Without ``effective_at`` an order works from the moment it is given" (section 4)."""
    stated_time = order["event"].get("effective_at")
    return given_at(order) if stated_time is None else micros(stated_time)


def lifts_from(lift: Fact) -> int:
    """When a lift takes effect: "at its ``effective_at`` or when it is given, whichever is later" (section 4)."""
    stated_time = lift["event"].get("effective_at")
    return given_at(lift) if stated_time is None else max(given_at(lift), micros(stated_time))


def orders_of(facts: list[Fact]) -> list[dict]:
    """The orders that ever take effect, each with the moment at which it is lifted.

    Source:
        Section 4: "A lift applies to the orders of its id given no later than itself and takes effect at its
        ``effective_at`` or when it is given, whichever is later; of several the earliest counts. An order that is
        lifted before it takes effect, or at that moment, never does."
        Section 3: "each fact is an order, or a lift, of its own"; "A lift counts only for orders whose target its
        source may speak about."
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
    """Whether an order is in force.

    Source:
        Section 4: "from ``effective_at`` on"; "mode ``suspend``: only until it is lifted".
    """
    if order["mode"] == "suspend" and order["lifted_at"] is not None and order["lifted_at"] <= at:
        return False
    return order["effective_at"] <= at


def targets_by_name(view: View, order: dict, space: str, id_: str) -> bool:
    """Whether an order's target is the principal (or an alias of it), session or client so called."""
    kind, target = order["target"]
    return space_of(kind) == space and (same(view, target, id_) if space == "principal" else target == id_)


def hits(view: View, order: dict, element: Element) -> bool:
    """Whether an order hits an element.

    Source:
        Section 4: "the target is the element itself: always"; "the target is something that the element
        names: if its issue time is before ``issued_before`` (strictly; absent: any) and, in mode ``revoke``,
        before the moment the order was lifted (if it was)."
    """
    if order["target"] == element:
        return True
    grant = view["elements"].get(element)
    if grant is None or not any(targets_by_name(view, order, *named) for named in grant["names"]):
        return False
    if order["issued_before"] is not None and grant["issued"] >= order["issued_before"]:
        return False
    return not (order["mode"] == "revoke" and order["lifted_at"] is not None and grant["issued"] >= order["lifted_at"])


def needs_of(view: View, element: Element) -> set[Element]:
    """What an element directly depends on; of what nobody granted, nothing is known."""
    return view["elements"][element]["needs"] if element in view["elements"] else set()


def needs_at_any_depth(view: View, element: Element) -> set[Element]:
    """The transitive closure of the dependencies; of an element on a cycle, itself too."""
    closure: set[Element] = set()
    while True:
        larger = needs_of(view, element).union(*(needs_of(view, need) for need in closure), closure)
        if larger == closure:
            return closure
        closure = larger


def kills(view: View, order: dict, element: Element) -> bool:
    """The whole rule.

    Source:
        Section 4: "**An element is dead if an order hits it, or if an order that cascades hits anything it
        depends on, at any depth.**"
    """
    if hits(view, order, element):
        return True
    return order["cascade"] and any(hits(view, order, need) for need in needs_at_any_depth(view, element))


def counts(view: View, order: dict, element: Element, at: int) -> bool:
    """Whether an order counts for an element.

    Source:
        Section 4: "An order *counts* if it is in force at ``at``, kills the element (by itself or through
        what it depends on), and took effect before the element's ``expires_at``".
    """
    expires_at = view["elements"].get(element, {}).get("expires_at")
    in_time = expires_at is None or order["effective_at"] < expires_at
    return in_force(order, at) and in_time and kills(view, order, element)


def path_down(view: View, order: dict, element: Element) -> list[str]:
    """The shortest path from the target of an order that kills an element down to it.

    Source:
        Section 4: "with the shortest path down to the element (ties: the smallest list of ``KIND:ID``)".
        Section 6: "from the target to the element, both included".
    """
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
    """The state, its cause and its gaps."""
    if kind in ("token", "delegation"):
        state, because = state_of_element(view, (kind, id_), at)
        return {"state": state, "because": because, "gaps": gaps_of(view, (kind, id_))}
    state, because = state_of_name(view, kind, id_, at)
    return {"state": state, "because": because, "gaps": []}


def state_of_element(view: View, element: Element, at: int) -> tuple[str, dict | None]:
    """The state of a token or delegation: "The first that applies" of the seven in section 4.

    Source:
        Section 4, on ``because``: "of the counting orders of that mode the one that targets the element
        itself, else the earliest ``effective_at``, then the smallest order id". What still ties: the order of
        facts.
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
    """The state of a principal, workload, session or client.

    Source:
        Section 4: "is ``revoked``, else ``suspended``, while an order without ``issued_before`` that targets
        it (or an alias) is in force and not lifted (``because``: the earliest ``effective_at``, then the
        smallest order id), else ``active``."
    """
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
    """An order as the cause of a state."""
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
    """What is missing: the element itself, or something above it.

    Source:
        Section 6: "every dependency, at any depth, that nobody granted".
    """
    return sorted({element, *needs_at_any_depth(view, element)} - view["elements"].keys())


# Chains


def path_up(view: View, element: Element) -> list[Element]:
    """The path of an element, root first; empty if nobody granted it.

    Source:
        Section 4: "from a token up ``derived_from`` (roles subject, refresh, replaced), from a delegation up
        ``parents``, through what was granted. Of several, first one that fits (a token with the same subject;
        a delegation whose delegatee is this one's delegator), then the earliest issued, then the smallest id
        […] No element twice."
    """
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
    """The hops of an element's chain, root first, its tokens, its delegations; empty if nobody granted it.

    Source:
        Section 4, "The chain of a token or delegation, root first", rules 1 to 4.
    """
    path = path_up(view, element)
    if not path:
        return [], [], []
    if element[0] == "delegation":
        return collapse(view, delegations_say(view, path)), [], [id_ for _, id_ in path]

    # (2): the oldest token's subject, its prior actors, then each token's wielder down the path.
    oldest = view["elements"][path[0]]["facts"]
    subject = says(oldest, "subject", "token")
    by_tokens = [*subject, *says(oldest, "prior_actors", "asserted")]
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
    """What goes in front of what the delegations say.

    Source:
        Section 4: "In front goes what 2 says above the first delegator, if he stands there; if he does not,
        and he is not a human, and the oldest token's subject stands nowhere in 3, that subject."
    """
    first_delegator = hops[0]["principal"]
    for position, hop in enumerate(by_tokens):
        if same(view, hop["principal"], first_delegator):
            return by_tokens[:position]
    if kind_of(view, first_delegator) == "human" or stands(view, subject[0]["principal"], hops):
        return []
    return subject


def wielder_of(view: View, token: Element) -> list[dict]:
    """Who wields a token, or nobody.

    Source:
        Section 4: "its actor, else the actor or subject of the ``actor`` token that it was exchanged with (of
        several the earliest issued, then the smallest id)".
    """
    facts = view["elements"][token]["facts"]
    actor = says(facts, "actor", "token")
    if actor:
        return actor
    sources = [source for fact in facts for source in fact["event"].get("derived_from", [])]
    exchanged_with = {("token", source["token"]) for source in sources if source["role"] == "actor"}
    granted = [actor for actor in exchanged_with if actor in view["elements"]]
    if not granted:
        return []
    first = min(granted, key=lambda actor: (view["elements"][actor]["issued"], actor))
    facts = view["elements"][first]["facts"]
    return says(facts, "actor", "token") or says(facts, "subject", "token")


def delegations_say(view: View, path: list[Element]) -> list[dict]:
    """Down a delegation's path "each delegator and delegatee" (section 4)."""
    hops = []
    for delegation in path:
        facts = view["elements"][delegation]["facts"]
        hops += says(facts, "delegator", "delegation") + says(facts, "delegatee", "delegation")
    return hops


def says(facts: list[Fact], field: str, evidence: str) -> list[dict]:
    """The principals that a field states, as hops.

    Source:
        Section 4: "Each hop names its evidence […] and the source whose word it is."
    """
    value, source = stated(facts, field)
    return [{"principal": id_, "evidence": evidence, "source": source} for id_ in listed(value)]


def stands(view: View, principal: str, hops: list[dict]) -> bool:
    """Whether a principal stands among hops."""
    return any(same(view, hop["principal"], principal) for hop in hops)


def collapse(view: View, hops: list[dict]) -> list[dict]:
    """Hops without repetition.

    Source:
        Section 4: "Neighbours that are equal collapse (the first stands, ids are shown as stated)."
    """
    kept: list[dict] = []
    for hop in hops:
        if not kept or not same(view, kept[-1]["principal"], hop["principal"]):
            kept.append(hop)
    return kept


def answer(view: View, hops: list[dict], tokens: list[str], delegations: list[str]) -> dict:
    """What a chain says at its top.

    Source:
        Section 4: "The first is the **root**; it is the **human** if its kind is human; all of kind agent,
        the root included, are the **agents**." "If the root is not a human, ``accountable`` is its owner."
    """
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
    """What an action names: "its token, its delegation, its decision's token, its decision's delegation"."""
    told = told_of(view, "action", action)
    decided = told_of(view, "decision", stated(told, "decision")[0])
    named = [(kind, stated(facts, kind)[0]) for facts in (told, decided) for kind in ("token", "delegation")]
    return [(kind, id_) for kind, id_ in named if id_ is not None]


def who_acted(view: View, action: str) -> set[str]:
    """Everybody of whom a fact says that they did an action.

    Source:
        Section 2: "the principal that wields it (outermost ``act``); absent: the subject itself acts". Section 4: "each
        of the action, else of its decision". A workload acts as well; what anybody says of this counts.
    """
    told = told_of(view, "action", action)
    if not any("actor" in fact["event"] for fact in told):
        told = told + told_of(view, "decision", stated(told, "decision")[0])
    acted = {fact["event"].get("actor", fact["event"].get("on_behalf_of")) for fact in told}
    return acted | {fact["event"].get("workload") for fact in told}


def authority_of(view: View, action: str) -> Element | None:
    """The authority of an action: the first granted, else "the first element named, or none" (section 4)."""
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
    """What the orders of an id end, one line an element; None if there is no such order.

    Source:
        Section 7: "one line an element killed, with the path from the target, at any ``at`` / ``known_at``; late
        children included". "A receipt line: ``kind``, ``id``, ``state``, ``revocation``, ``effective_at``,
        ``path[]``, ``principals[]``, ``expires_at``, ``born_dead`` (issued after the order took effect),
        ``recorded_at`` (of what proved it)." It is the difference of the states without and with these orders,
        whatever others there are.
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
    """The states of the tokens that are said to stand at each place of a status list.

    Source:
        Section 3: "places in status lists are the **union** of all that is claimed". Section 7: "A token with
        ``status_list`` stands in the list that we serve at that ``uri`` (``VALID``, ``INVALID`` for revoked and
        cascaded, ``SUSPENDED``)."
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
    """The orders of an id."""
    orders = [fact for fact in facts if fact["event"]["type"] == "revocation.ordered"]
    return [fact for fact in orders if fact["event"]["revocation"] == revocation]


def known_when_ordered(view: View, order: dict, element: Element) -> list[Fact]:
    """The facts about an element that were recorded when an order was; of what came later the first.

    Source:
        ADR 0031: what nobody had stated of an element when an order was recorded counts as unstated for that order. Of
        an element that an order was aimed at before anybody had named it nothing was stated.
    """
    facts = view["elements"].get(element, {"facts": []})["facts"]
    ordered_at = order["fact"]["recorded_at"]
    known = [fact for fact in facts if fact["recorded_at"] <= ordered_at]
    if known or order["target"] == element or not facts:
        return known
    first = min(fact["recorded_at"] for fact in facts)
    return [fact for fact in facts if fact["recorded_at"] == first]


def end_for(view: View, orders: list[dict], element: Element) -> int | None:
    """When an element is over by itself, as it counts for what is enforced of some orders; None: never.

    Source:
        Section 3: "``expires_at`` is the latest stated"; ADR 0031.
    """
    for order in orders:
        if not any("expires_at" in fact["event"] for fact in known_when_ordered(view, order, element)):
            return None
    return view["elements"][element]["expires_at"]


def ending(view: View, element: Element, at: int) -> list[dict]:
    """The orders that count for an element in receipts, verdicts and deliveries.

    Source:
        Section 4: "An order *counts* if it is in force at ``at``, kills the element […], and took effect before the
        element's ``expires_at``"; ADR 0031.
    """
    found = []
    for order in view["orders"]:
        if in_force(order, at) and kills(view, order, element):
            end = end_for(view, [order], element)
            if end is None or order["effective_at"] < end:
                found.append(order)
    return found


def ended_by(view: View, element: Element, at: int) -> tuple[str, dict] | None:
    """What orders make of an element, and the one that it is because of; None: nothing.

    Source:
        Section 4, the states 1, 2 and 4 with their ``because``; a suspension of what has ended by itself is over.
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
    """The first moment at which what was recorded held the order and every link of a path."""
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
    """Is a revocation over; None if there is no such order. ``delivered``: (receiver, ``KIND:ID``) -> moment.

    Source:
        Section 7, verdict: "the first that applies: ``PARTIAL``: an element is open at a receiver that covers it,
        each named; ``UNKNOWN``: an element that no registered receiver covers, or whose state cannot be known;
        ``CLOSED``. An element is open until it is enforced or its ``expires_at`` has passed". "A success under a
        dead element at or after ``in_force_at`` is the finding ``used-after-revocation`` and reopens the verdict;
        one between ``effective_at`` and then is ``tainted-use``: listed, no reason to reopen."
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
            counting = [(name, said) for name in registered for said in in_force_since(facts, name, order["fact"])]
            covering_then = {name for name, registration in counting if covers(registration, element, then)}
            covering |= covering_then | {name for name, said in counting if covers(said, element, known)}
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
    """``in_force_at`` "is the order's ``recorded_at``, or its ``effective_at`` if later" (section 7)."""
    return max(order["recorded_at"], works_from(order))


def in_force_since(facts: list[Fact], receiver: str, order: Fact) -> list[dict]:
    """The registrations of a receiver that were in force at some moment since an order was given.

    Source:
        Section 7: "For an order count all registrations of a receiver that were in force at any moment since the order
        was given: a later one may widen what has to be enforced, none can take it back." So one that is recorded after
        the order replaces nothing for it, whatever its date (ADR 0030).
    """
    said = [fact for fact in facts if fact["event"]["type"] == "receiver.registered"]
    latest = latest_first([fact for fact in said if fact["event"]["receiver"] == receiver])
    counting = []
    for fact in latest:
        counting.append(fact["event"])
        if given_at(fact) <= given_at(order) and fact["recorded_at"] <= order["recorded_at"]:
            break
    return counting


def covers(receiver: dict, element: Element, facts: list[Fact]) -> bool:
    """Whether a receiver covers an element, by some of the facts that grant it.

    Source:
        Section 7: "A receiver covers a token by its issuer (the id up to the first ``#``; without one only receivers
        with empty ``issuers`` cover it), by an audience that they share (a token that states none is covered), and
        by kind." Section 3: "what it covers; empty: all"; "audiences […] are the **union** of all that is claimed".
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
    """What a receiver last said that speaks for an element, and the place of that among other words: first of all when.

    Source:
        Section 7: "a receiver says *enforced* or *rejected*; without ``token`` it speaks for what had been delivered
        to it before". Section 4: an acknowledgement "is *given* at the earlier of its ``occurred_at`` and
        ``recorded_at``". It speaks of "orders of its id that were given no later than itself".
        ``ordering`` are the orders of one id that end the element at the moment asked about. ADR 0019: of several
        it speaks only of those that were known to end the element when it was recorded. So does one without ``token``
        where orders of other ids end the element as well, for which alone it may have been delivered.
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


def speaks_for(said: Fact, element: Element, delivered: dict) -> bool:
    """Whether an acknowledgement speaks for an element: "without ``token`` […] for what had been delivered before"."""
    event = said["event"]
    if "token" in event:
        return element == ("token", event["token"])
    sent = delivered.get((event["receiver"], ":".join(element)))
    return sent is not None and sent <= given_at(said)


def enforced_elsewhere(view: View, revocation: str, receiver: str, element: Element, at: int, delivered: dict) -> tuple:
    """The place of a receiver's last word under other ids than one, if it enforced the end of an element.

    Source:
        Section 7: "an element that a receiver has enforced under one order counts as enforced there under every other
        order that ends it, unless it was alive in between." ADR 0042: a word speaks of an order of its id that was
        given and recorded no later than itself and of which it was known by then, or at least when the order was
        recorded, that it ends the element; of each id only its last word can count. The element must have been dead
        since at every moment, by what had been recorded by that moment (up to the record of the order: by then), and
        unused.
    """
    facts, orders = view["facts"], [order for order in view["orders"] if ends_in(view, order, element)]
    words = []
    for id_ in {order["revocation"] for order in orders} - {revocation}:
        of_id = [order for order in orders if order["revocation"] == id_]
        first = min(given_at(order["fact"]) for order in of_id)
        said = [
            fact
            for fact in facts
            if fact["event"]["type"] == "revocation.acknowledged"
            and (fact["event"]["revocation"], fact["event"]["receiver"]) == (id_, receiver)
            and first <= given_at(fact) <= at
            and speaks_for(fact, element, delivered)
        ]
        if not said:
            continue
        last_said = max(said, key=lambda fact: (given_at(fact), fact["order"]))
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
    """A view of what had been recorded by a moment."""
    facts = [fact for fact in view["facts"] if fact["recorded_at"] <= moment]
    views = view.setdefault("as_known", {})
    if len(facts) not in views:
        views[len(facts)] = view_of(facts)
    return views[len(facts)]


def ends_in(view: View, order: dict, element: Element) -> bool:
    """Whether an order that ever takes effect ends an element, with its lifts as given and all else as in a view."""
    known = any(fact["order"] == order["fact"]["order"] for fact in view["facts"])
    end = end_for(view, [order], element)
    return known and kills(view, order, element) and (end is None or order["effective_at"] < end)


def dead_since(view: View, orders: list[dict], element: Element, said_at: int, at: int, recorded_at: int) -> bool:
    """Whether at each moment from one to another some order ended an element, by what was known then and ever since."""
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
    """The successes under an element that the orders of an id had ended, and whether one of these was in force.

    Source:
        Section 7: "A success under a dead element at or after ``in_force_at`` […]; one between ``effective_at`` and
        then is ``tainted-use``". ADR 0031: what the facts about an action say together counts, and what each says by
        itself, and so with the facts about its decision. Of several the latest counts, first of all those in force.
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
    """Every success under an element, with when it was done, as the facts say it together or one by itself."""
    facts, found = view["facts"], []
    for action in {fact["event"]["action"] for fact in facts if fact["event"]["type"] == "action.performed"}:
        told = told_of(view, "action", action)
        for said in [told, *([fact] for fact in told)]:
            decided = told_of(view, "decision", stated(said, "decision")[0])
            moment = min(micros(fact["event"]["occurred_at"]) for fact in said)
            for decision in [decided, *([fact] for fact in decided)]:
                named = [(kind, stated(part, kind)[0]) for part in (said, decision) for kind in ("token", "delegation")]
                named = [(kind, id_) for kind, id_ in named if id_ is not None]
                authority = next(iter([key for key in named if key in view["elements"]] or named), None)
                if authority == element and stated(said, "outcome")[0] == "succeeded" and moment <= at:
                    found.append((action, moment))
    return found
