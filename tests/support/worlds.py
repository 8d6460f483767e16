"""Small worlds full of collisions: a few ids, a few instants, and every special case.

Each world is a list of records as ``model`` takes them, in an order in which a log could have recorded them
(``recorded_at`` never decreases). All randomness comes from the ``random.Random`` that is passed in, so a world is its
seed. Events that no producer may send (a bad id, a missing field) do not occur: these are for other tests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import combinations
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import schemas
from lineage.core.model.events import BODIES, TIME_FIELDS

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Record = dict[str, Any]
Event = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2026, 11, 1, 9, tzinfo=UTC)
STEP = timedelta(minutes=10)

grid: list[int] = [(START + n * STEP - EPOCH) // timedelta(microseconds=1) for n in range(8)]
"""The interesting instants in microseconds; facts use all except the first and the last."""

# Ids that sort unlike their numbers, that exist in several namespaces, or that have no kind.
TOKENS = ("t1", "t2", "t10", "https://idp#j1", "t3", "s1")
DELEGATIONS = ("d1", "d2", "d10", "t1", "d3")
PRINCIPALS = (
    *("human:alice", "human:bob", "agent:p", "agent:q", "agent:é", "service:s"),
    *("spiffe://x/w1", "okta|1", "okta|2", "zed"),
)
SESSIONS = ("s1", "idp#s2", "t1")
CLIENTS = ("c1", "s1")
REVOCATIONS = ("r1", "r2", "r10")
DECISIONS = ("q1", "q2", "q3")
ACTIONS = ("x1", "x2", "x3")
SOURCES = ("urn:idp", "urn:gw", "urn:ir")
ROLES = ("subject", "actor", "refresh", "replaced")
KINDS = ("human", "agent", "service", "workload")
REASONS = ("compromise", "offboarding", "superseded", "test", "other")
ORDERS = (
    *("revocation.ordered", "revocation.lifted", "finding.judged", "case.changed"),
    *("hold.changed", "records.deleted", "checkpoint.key_rotated"),
)

# Values that state nothing: sometimes written out, so that they must be distinguished from a difference.
EMPTY = {
    "principal.registered": {"aliases": [], "owner": None, "display_name": None},
    "workload.bound": {"key_thumbprint": None, "expires_at": None},
    "delegation.granted": {"parents": [], "scopes": [], "task": None, "expires_at": None},
    "token.issued": {
        "derived_from": [],
        "prior_actors": None,
        "actor": None,
        "delegation": None,
        "issued_at": None,
    },
    "decision.made": {"context": {}, "reasons": [], "token": None, "policy": None},
    "action.performed": {"prior_actors": [], "resource": None, "actor": None, "tool": None},
    "revocation.ordered": {"mode": "revoke", "cascade": True, "issued_before": None, "note": None},
    "revocation.lifted": {"effective_at": None, "note": None},
    "revocation.acknowledged": {"token": None, "note": None},
    "receiver.registered": {"issuers": [], "kinds": None, "deadline_seconds": None},
    "finding.judged": {"until": None},
    "case.changed": {"title": None, "items": []},
    "hold.changed": {"principal": None, "ends_at": None},
}


class Pool:
    """The few ids of one world, and its random generator."""

    def __init__(self, rng: random.Random) -> None:
        """Draw the ids of this world."""
        self.rng = rng
        self.tokens = rng.sample(TOKENS, rng.randint(2, 5))
        self.delegations = rng.sample(DELEGATIONS, rng.randint(1, 4))
        self.principals = rng.sample(PRINCIPALS, rng.randint(2, 7))
        self.sessions = rng.sample(SESSIONS, rng.randint(1, 2))
        self.clients = rng.sample(CLIENTS, 1)
        self.revocations = rng.sample(REVOCATIONS, rng.randint(1, 3))
        self.decisions = rng.sample(DECISIONS, rng.randint(1, 2))
        self.actions = rng.sample(ACTIONS, rng.randint(1, 3))

    def chance(self, probability: float) -> bool:
        """Whether an event with this probability happens."""
        return self.rng.random() < probability

    def instant(self) -> str:
        """Return an instant of the grid, in one of its possible spellings."""
        return written(self.rng, self.rng.choice(grid[1:-1]))

    def early(self) -> str:
        """Return usually one of the first instants: most grants come before most orders."""
        return written(self.rng, self.rng.choice(grid[1:4])) if self.chance(0.7) else self.instant()

    def late(self) -> str:
        """Return usually one of the last instants: most lifts come after most orders."""
        return written(self.rng, self.rng.choice(grid[4:-1])) if self.chance(0.6) else self.instant()

    def others(self, ids: list[str], own: str) -> list[str]:
        """Return the ids from which a parent is drawn; rarely the child itself is one of them."""
        return ids if self.chance(0.1) else [id_ for id_ in ids if id_ != own]

    def some(self, ids: list[str], most: int) -> list[str]:
        """Return a few ids, occasionally one of them twice."""
        found = self.rng.sample(ids, min(len(ids), self.rng.randint(1, most)))
        return [*found, found[0]] if self.chance(0.05) else found

    def maybe(self, **fields: tuple[float, Callable[[], Any]]) -> Event:
        """Return the fields that happen to be stated, each with its probability."""
        return {field: value() for field, (probability, value) in fields.items() if self.chance(probability)}

    def principal(self) -> str:
        """Return a principal."""
        return self.rng.choice(self.principals)


def written(rng: random.Random, moment: int) -> str:
    """Format an instant in one of its spellings: an offset, digits, digits past the microsecond."""
    time = EPOCH + timedelta(microseconds=moment)
    style = rng.randrange(12)
    if style == 0:
        return time.astimezone(timezone(timedelta(hours=2))).isoformat()
    if style == 1:
        return time.astimezone(timezone(-timedelta(hours=3, minutes=30))).isoformat(timespec="microseconds")
    if style == 2:
        return time.strftime("%Y-%m-%dT%H:%M:%S.0000009Z")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def moment_of(text: str) -> int:
    """Return the instant of the grid that a time of this module denotes."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


# One builder for each event type


def registered(pool: Pool) -> Event:
    """Build a registration: aliases in chains, kinds that contradict the prefix, owners that change."""
    return {
        "principal": pool.principal(),
        "kind": pool.rng.choice(KINDS),
        **pool.maybe(
            aliases=(0.5, lambda: pool.some(pool.principals, 2)),
            owner=(0.4, pool.principal),
            display_name=(0.1, lambda: "A name"),
        ),
    }


def bound(pool: Pool) -> Event:
    """Build a binding, which is not a dependency."""
    return {"agent": pool.principal(), "workload": pool.principal()}


def granted(pool: Pool) -> Event:
    """Build a delegation with no parent, several, itself, or one that nobody granted."""
    delegation = pool.rng.choice(pool.delegations)
    return {
        "delegation": delegation,
        "delegator": pool.principal(),
        "delegatee": pool.principal(),
        **pool.maybe(
            parents=(0.6, lambda: pool.some([*pool.others(pool.delegations, delegation), "d-ghost"], 3)),
            not_before=(0.15, pool.instant),
            expires_at=(0.3, pool.instant),
            scopes=(0.1, lambda: ["mail.read"]),
            approved_by=(0.1, pool.principal),
            single_use=(0.1, lambda: pool.chance(0.5)),
            no_scopes=(0.1, lambda: pool.chance(0.5)),
        ),
    }


def issued(pool: Pool) -> Event:
    """Build a token with every kind of parent, stated in full or sparsely."""
    token = pool.rng.choice(pool.tokens)

    def derived_from() -> list[Event]:
        parents = pool.some([*2 * pool.others(pool.tokens, token), "t-ghost"], 3)
        usual = pool.rng.choice(ROLES)
        return [{"token": parent, "role": usual if pool.chance(0.4) else pool.rng.choice(ROLES)} for parent in parents]

    return {
        "token": token,
        "subject": pool.principal() if pool.chance(0.5) else pool.principals[0],
        **pool.maybe(
            actor=(0.4, pool.principal),
            prior_actors=(0.2, lambda: pool.some(pool.principals, 3)),
            derived_from=(0.6, derived_from),
            delegation=(0.35, lambda: pool.rng.choice([*pool.delegations, *pool.delegations, "d-ghost"])),
            workload=(0.15, pool.principal),
            session=(0.2, lambda: pool.rng.choice(pool.sessions)),
            client=(0.2, lambda: pool.rng.choice(pool.clients)),
            issued_at=(0.2, pool.instant),
            not_before=(0.15, pool.instant),
            expires_at=(0.35, pool.instant),
            exchange=(
                0.1,
                lambda: pool.rng.choice(["delegation", "impersonation", "refresh", "replacement"]),
            ),
        ),
    }


def decided(pool: Pool) -> Event:
    """Build a decision with or without a token."""
    return {
        "decision": pool.rng.choice(pool.decisions),
        "permitted": pool.chance(0.8),
        "operation": "op",
        **pool.maybe(
            token=(0.5, lambda: pool.rng.choice([*pool.tokens, "t-ghost"])),
            delegation=(0.4, lambda: pool.rng.choice([*pool.delegations, "d-ghost"])),
            actor=(0.4, pool.principal),
            on_behalf_of=(0.4, pool.principal),
            prior_actors=(0.3, lambda: pool.some(pool.principals, 3)),
            context=(0.1, lambda: {"ip": "192.0.2.1"}),
            required_scopes=(0.1, lambda: ["mail.read"]),
        ),
    }


def performed(pool: Pool) -> Event:
    """Build an action under a token, a delegation, a decision, or only asserted."""
    return {
        "action": pool.rng.choice(pool.actions),
        "operation": "op",
        "outcome": pool.rng.choice(["succeeded", "failed", "denied"]),
        **pool.maybe(
            token=(0.4, lambda: pool.rng.choice([*pool.tokens, "t-ghost"])),
            delegation=(0.3, lambda: pool.rng.choice([*pool.delegations, "d-ghost"])),
            decision=(0.5, lambda: pool.rng.choice([*pool.decisions, "q-ghost"])),
            actor=(0.4, pool.principal),
            on_behalf_of=(0.35, pool.principal),
            prior_actors=(0.3, lambda: pool.some(pool.principals, 3)),
            workload=(0.1, pool.principal),
            session=(0.1, lambda: pool.rng.choice(pool.sessions)),
            tool=(0.1, lambda: "mail"),
        ),
    }


def ordered(pool: Pool) -> Event:
    """Build an order of any mode on anything, now, later or back-dated, with a reused id."""
    ids = {
        "token": [*pool.tokens, "t-ghost"],
        "delegation": [*pool.delegations, "d-ghost"],
        "principal": pool.principals,
        "workload": pool.principals,
        "session": pool.sessions,
        "client": pool.clients,
    }
    kind = pool.rng.choices(list(ids), weights=[4, 3, 4, 1, 1, 1])[0]
    return {
        "revocation": pool.rng.choice(pool.revocations),
        "target": {"kind": kind, "id": pool.rng.choice(ids[kind])},
        "reason": pool.rng.choice(REASONS),
        "ordered_by": pool.principal() if pool.chance(0.2) else "human:ir",
        **pool.maybe(
            mode=(0.5, lambda: pool.rng.choice(["suspend", "suspend", "revoke"])),
            cascade=(0.3, lambda: pool.chance(0.25)),
            effective_at=(0.35, pool.instant),
            issued_before=(0.25, pool.instant),
        ),
    }


def lifted(pool: Pool) -> Event:
    """Build a lift before, at or after the time at which its order takes effect, or of no order."""
    return {
        "revocation": pool.rng.choice([*pool.revocations, *pool.revocations, "r-ghost"]),
        "lifted_by": "human:ir",
        **pool.maybe(effective_at=(0.4, pool.instant), approved_by=(0.1, pool.principal)),
    }


def acknowledged(pool: Pool) -> Event:
    """Build an acknowledgement of a receiver, which changes no state."""
    return {
        "revocation": pool.rng.choice(pool.revocations),
        "receiver": "urn:receiver",
        "outcome": pool.rng.choice(["enforced", "rejected"]),
        **pool.maybe(token=(0.5, lambda: pool.rng.choice(pool.tokens))),
    }


def received(pool: Pool) -> Event:
    """Build a registration of a receiver, which changes no state either."""
    return {"receiver": "urn:receiver", **pool.maybe(kinds=(0.3, lambda: ["token"]))}


def judged(pool: Pool) -> Event:
    """Build a judgement of a finding, which changes no state."""
    return {
        "finding": pool.rng.choice(["F-00000000000000000001", "F-00000000000000000002"]),
        "judgement": pool.rng.choice(["acknowledged", "suppressed", "reopened"]),
        "by": pool.principal(),
        "reason": "seen",
        **pool.maybe(until=(0.3, pool.instant)),
    }


def case_changed(pool: Pool) -> Event:
    """A change of a case, which changes no state."""
    token = {"kind": "token", "id": pool.rng.choice(pool.tokens)}
    return {
        "case": pool.rng.choice(["INC-1", "INC-2"]),
        "change": pool.rng.choice(["opened", "added", "removed", "noted", "closed"]),
        "by": pool.principal(),
        **pool.maybe(items=(0.5, lambda: [token]), note=(0.3, lambda: "seen")),
    }


def hold_changed(pool: Pool) -> Event:
    """A change of a legal hold, which changes no state."""
    return {
        "hold": pool.rng.choice(["LIT-1", "LIT-2"]),
        "change": pool.rng.choice(["placed", "placed", "released"]),
        "by": pool.principal(),
        "reason": "a lawsuit",
        **pool.maybe(
            principal=(0.5, pool.principal),
            case=(0.2, lambda: "INC-1"),
            starts_at=(0.2, pool.instant),
            ends_at=(0.2, pool.instant),
        ),
    }


MAKERS: dict[str, tuple[Callable[[Pool], Event], int]] = {
    "token.issued": (issued, 10),
    "delegation.granted": (granted, 6),
    "revocation.ordered": (ordered, 7),
    "revocation.lifted": (lifted, 4),
    "principal.registered": (registered, 4),
    "action.performed": (performed, 4),
    "decision.made": (decided, 2),
    "workload.bound": (bound, 1),
    "revocation.acknowledged": (acknowledged, 1),
    "receiver.registered": (received, 1),
    "finding.judged": (judged, 1),
    "case.changed": (case_changed, 1),
    "hold.changed": (hold_changed, 1),
}
"""Each event type with its builder and its usual weight."""


# Contents of two types whose tuples are equal, field by field


def symbols() -> dict[tuple[str, str], list[str]]:
    """Return the values that a field of a type may have, if the schema lists them."""
    definition = json.loads(schemas.text_of(schemas.latest()))
    enums: dict[str, list[str]] = {}
    found: dict[tuple[str, str], list[str]] = {}

    def values_of(schema: Any) -> list[str]:
        if isinstance(schema, str):
            return enums.get(schema, [])
        if isinstance(schema, list):
            return [value for branch in schema for value in values_of(branch)]
        if schema["type"] == "enum":
            enums[schema["name"]] = [value for value in schema["symbols"] if value != "unknown"]
            return enums[schema["name"]]
        return []

    [bodies] = [field["type"] for field in definition["fields"] if field["name"] == "body"]
    records = {body["name"]: body for body in bodies}
    for type_, body in BODIES.items():
        for field in records[body.__name__]["fields"]:
            found[type_, field["name"]] = values_of(field["type"])
    return found


SYMBOLS = symbols()
HINTS = {type_: get_type_hints(body) for type_, body in BODIES.items()}


def sorts(type_: str, field: str) -> set[type]:
    """Return the types that a field's value can have in Python; ``NoneType`` if it may be absent."""
    hint = HINTS[type_][field]
    return {get_origin(one) or one for one in (get_args(hint) if isinstance(hint, UnionType) else (hint,))}


def shared(one: tuple[str, str], other: tuple[str, str]) -> list[str] | set[type]:
    """Return what two fields can have in common: the values of an enumeration, else the types; empty if nothing."""
    both = sorts(*one) & sorts(*other)
    listed = [SYMBOLS[each] for each in (one, other) if SYMBOLS[each]]
    if str in both and listed:
        values = [value for value in listed[0] if all(value in values for values in listed)]
        return values or both - {str}
    return both


def fields_of(type_: str) -> tuple[str, ...]:
    """Return the fields of a type, in the order of its tuple."""
    return BODIES[type_]._fields


TWINS = [
    (one, other)
    for one, other in combinations(BODIES, 2)
    if len(fields_of(one)) == len(fields_of(other))
    and all(shared((one, a), (other, b)) for a, b in zip(fields_of(one), fields_of(other), strict=True))
]
"""Every pair of types whose contents can be equal as tuples: equally many fields, each with a common value."""


def twins(pool: Pool, one: str, other: str) -> tuple[Event, Event]:
    """Build two events of a pair of ``TWINS``, equal except for their type and the names of their fields."""
    ids: dict[str, Callable[[], str]] = {
        "revocation": lambda: pool.rng.choice(pool.revocations),
        "token": lambda: pool.rng.choice(pool.tokens),
        "delegation": lambda: pool.rng.choice(pool.delegations),
    }
    left: Event = {}
    right: Event = {}
    for a, b in zip(fields_of(one), fields_of(other), strict=True):
        both = shared((one, a), (other, b))
        value: Any
        if isinstance(both, list):
            value = pool.rng.choice(both)
        elif NoneType in both and (len(both) == 1 or pool.chance(0.5)):
            continue
        elif str in both:
            value = ids.get(a, ids.get(b, pool.principal))()
        elif bool in both:
            value = pool.chance(0.5)
        elif tuple in both:
            value = []
        elif int in both:
            value = 1 if a not in TIME_FIELDS else pool.instant()
        else:
            raise AssertionError(f"say how to make {one}.{a} and {other}.{b} alike")
        left[a], right[b] = value, value
    return {"type": one, **left}, {"type": other, **right}


# Worlds


def world(rng: random.Random) -> list[Record]:
    """Generate a world of 5 to 25 records, with duplicates, conflicts and wrong topics among them."""
    pool = Pool(rng)
    types = list(MAKERS)
    weights = [MAKERS[type_][1] * rng.choice([0.3, 1, 1, 3]) for type_ in types]
    size = rng.randint(5, 25)
    records = [recorded(rng, event) for event in orderly(pool)[: size - 3]] if rng.random() < 0.5 else []
    for number in range(len(records), size):
        dice = rng.random()
        if records and dice < 0.08:
            records.append(duplicate(rng, rng.choice(records)))
            continue
        type_ = rng.choices(types, weights=weights)[0]
        moments = {
            "token.issued": pool.early,
            "delegation.granted": pool.early,
            "revocation.lifted": pool.late,
        }
        occurred_at = moments.get(type_, pool.instant)()
        key = {"event_id": f"e{number}", "source": rng.choice(SOURCES), "occurred_at": occurred_at}
        if dice > 0.97:
            pair = twins(pool, *rng.choice(TWINS))
            records += [recorded(rng, {**event, **key}) for event in rng.sample(pair, 2)]
            continue
        if records and dice < 0.16:
            type_, key = conflicting(rng, rng.choice(records)["event"], type_, key)
        event = {"type": type_, **key, **MAKERS[type_][0](pool)}
        records.append(recorded(rng, spelled(rng, event) if pool.chance(0.15) else event))
    return sorted(records, key=lambda record: record["recorded_at"])


def orderly(pool: Pool) -> list[Event]:
    """Generate the events of a well-behaved issuer about a long chain, to which the rest is added."""
    rng, events = pool.rng, []
    for number, delegation in enumerate(pool.delegations):
        event = {"delegation": delegation, "delegatee": pool.principal(), "delegator": pool.principal()}
        if number:
            event |= {"parents": [events[-1]["delegation"]], "delegator": events[-1]["delegatee"]}
        events.append({"type": "delegation.granted", **event})
    for number, token in enumerate(pool.tokens):
        event = {"token": token, "subject": pool.principals[0], **pool.maybe(actor=(0.6, pool.principal))}
        if number:
            role = rng.choice(["subject", "subject", *ROLES])
            event |= {"derived_from": [{"token": pool.tokens[number - 1], "role": role}]}
        if pool.chance(0.3):
            event |= {"delegation": rng.choice(pool.delegations)}
        events.append({"type": "token.issued", **event})
    return [
        {"event_id": f"e{number}", "source": rng.choice(SOURCES), "occurred_at": pool.early(), **event}
        for number, event in enumerate(events)
    ]


def recorded(rng: random.Random, event: Event) -> Record:
    """Record an event, immediately or later; occasionally an order or a lift on the wrong topic."""
    rightly = event["type"] in ORDERS and rng.random() > 0.06
    recorded_at = moment_of(event["occurred_at"]) if rng.random() < 0.5 else rng.choice(grid)
    return {"event": event, "recorded_at": recorded_at, "via": "orders" if rightly else "decisions"}


def duplicate(rng: random.Random, record: Record) -> Record:
    """Build the same content under the same key, written differently, recorded later, rarely on another topic."""
    event = spelled(rng, record["event"])
    for field, value in event.items():
        if (field.endswith("_at") or field in ("not_before", "issued_before")) and value is not None:
            event[field] = written(rng, moment_of(value))
    later = [moment for moment in grid if moment >= record["recorded_at"]]
    copy = {**record, "event": event, "recorded_at": rng.choice(later)}
    return recorded(rng, event) if rng.random() < 0.3 else copy


def spelled(rng: random.Random, event: Event) -> Event:
    """Return the same event with some absent fields as null, empty or the default; keys in any order."""
    values = {key: value for key, value in EMPTY[event["type"]].items() if rng.random() < 0.5} | event
    keys = rng.sample(list(values), len(values))
    return {key: values[key] for key in keys}


def conflicting(rng: random.Random, other: Event, type_: str, key: Event) -> tuple[str, Event]:
    """Return the type and the key of an event that contradicts another, usually of its type and its instant."""
    if rng.random() < 0.8:
        type_ = other["type"]
    occurred_at = other["occurred_at"] if rng.random() < 0.8 else key["occurred_at"]
    return type_, {"event_id": other["event_id"], "source": other["source"], "occurred_at": occurred_at}


def trust(rng: random.Random) -> dict[str, dict[str, list[str]]]:
    """Build a trust table in which most sources may state most things, some a few, and some nothing."""
    prefixes = ("t", "d", "https://idp#", "human:", "agent:", "okta|", "spiffe://", "s")
    table = {}
    for source in SOURCES:
        some = rng.sample(list(MAKERS), rng.randint(3, len(MAKERS)))
        types = ["*"] if rng.random() < 0.5 else some
        ids = [""] if rng.random() < 0.5 else rng.sample(prefixes, rng.randint(0, 6))
        if rng.random() < 0.9:
            table[source] = {"types": types, "ids": ids}
    return table


def questions(records: list[Record]) -> list[tuple[str, str]]:
    """Return every (kind, id) worth querying in a world, and one of each kind that nothing names; sorted."""
    kinds = {
        **dict.fromkeys(("token",), "token"),
        **dict.fromkeys(("delegation", "parents"), "delegation"),
        **dict.fromkeys(("principal", "aliases", "owner", "agent", "delegator", "delegatee"), "principal"),
        **dict.fromkeys(("subject", "actor", "prior_actors", "on_behalf_of"), "principal"),
        **dict.fromkeys(("ordered_by", "lifted_by", "approved_by"), "principal"),
        **{kind: kind for kind in ("workload", "session", "client")},
    }
    asked = {(kind, "nobody-named-this") for kind in kinds.values()}
    for record in records:
        event = record["event"]
        for field, kind in kinds.items():
            value = event.get(field)
            asked |= {(kind, id_) for id_ in (value if isinstance(value, list) else [value]) if id_ is not None}
        asked |= {("token", source["token"]) for source in event.get("derived_from") or []}
        if event["type"] == "revocation.ordered":
            asked.add((event["target"]["kind"], event["target"]["id"]))
    return sorted(asked)


def actions(records: list[Record]) -> list[str]:
    """Return every action that a world's events perform, and one that none does; sorted."""
    found = {record["event"]["action"] for record in records if record["event"]["type"] == "action.performed"}
    return sorted({*found, "nobody-did-this"})


def worlds() -> SearchStrategy[list[Record]]:
    """Return worlds for hypothesis: a seed each, so that a failure is one number."""
    from hypothesis import strategies as st

    return st.integers(0, 2**32 - 1).map(lambda seed: world(random.Random(seed)))
