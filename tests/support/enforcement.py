"""Random worlds of receivers, registrations and acknowledgements."""

import random
from typing import Any

from lineage.core.model.events import (
    Body,
    Event,
    Fact,
    RevocationAcknowledged,
)
from tests.support import model, worlds

RECEIVERS = ("urn:gw", "urn:mail", "urn:ghost")


def enforcement(rng: random.Random, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Generate receivers of every coverage, acknowledgements of every kind, and uses of possibly dead elements."""
    tokens = [record["event"]["token"] for record in records if record["event"]["type"] == "token.issued"]
    audiences = ("https://a", "https://b")
    events: list[dict[str, Any]] = []
    for receiver in RECEIVERS[:2]:
        for _ in range(rng.randint(0, 2)):
            kinds = rng.choice([[], [], ["token"], ["delegation"]])
            issuers = rng.choice([[], [], ["https://idp"], ["https://other"]])
            shared = rng.choice([[], [], ["https://a"], list(audiences)])
            fields = {"receiver": receiver, "kinds": kinds, "issuers": issuers, "audiences": shared}
            events.append({"type": "receiver.registered", **fields})
    for _ in range(rng.randint(0, 6)):
        fields = {"receiver": rng.choice(RECEIVERS), "outcome": rng.choice(["enforced", "enforced", "rejected"])}
        about = {"token": rng.choice(tokens)} if tokens and rng.random() < 0.6 else {}
        revocation = rng.choice(worlds.REVOCATIONS)
        events.append({"type": "revocation.acknowledged", "revocation": revocation, **fields, **about})
    for number in range(rng.randint(0, 3)):
        about = {"token": rng.choice(tokens)} if tokens else {}
        fields = {"action": f"late-{number}", "operation": "op", "outcome": rng.choice(["succeeded", "denied"])}
        events.append({"type": "action.performed", **fields, **about})
    for token in tokens:
        if rng.random() < 0.4:
            fields = {"token": token, "subject": "human:alice", "audience": rng.sample(audiences, rng.randint(0, 2))}
            events.append({"type": "token.issued", **fields})
    found = []
    for number, event in enumerate(events):
        moment = rng.choice(worlds.grid[1:-1])
        key = {"event_id": f"more-{number}", "source": "urn:gw", "occurred_at": model.rfc3339(moment)}
        recorded_at = moment if rng.random() < 0.6 else rng.choice(worlds.grid)
        found.append({"event": {**event, **key}, "recorded_at": recorded_at, "via": "decisions"})
    return found


START = model.micros("2026-11-01T09:00:00Z")
HALF_HOUR = 1_800_000_000
LAST = START + 16 * HALF_HOUR
IDS = ("r1", "r2", "r3")
ENDED = ("idp#t1", "idp#t2", "idp#t3")


def several_ids(rng: random.Random) -> list[dict[str, Any]]:
    """Generate orders of several ids that end the same few tokens in different ways, with lifts and uses.

    The evidence that an order ends a token often comes late: a link, a name, an alias, an earlier issue, a renewal.
    """
    events = [*_known_at_first(rng), *(_happening(rng) for _ in range(rng.randint(5, 16)))]
    found = []
    for number, event in enumerate(events):
        moment = START + rng.randint(1, 12) * HALF_HOUR
        if "recorded_first" in event:
            moment = START
            del event["recorded_first"]
        recorded_at = moment + rng.choice([0, 0, 0, 0, 0, -1, 2, 14]) * HALF_HOUR
        key = {"event_id": f"e-{number}", "source": "urn:gw", "occurred_at": model.rfc3339(moment)}
        via = "orders" if event["type"] in worlds.ORDERS else "decisions"
        found.append({"event": {**event, **key}, "recorded_at": recorded_at, "via": via})
    return found


def _known_at_first(rng: random.Random) -> list[dict[str, Any]]:
    end = {"expires_at": model.rfc3339(START + rng.randint(2, 14) * HALF_HOUR)} if rng.random() < 0.3 else {}
    link = {"derived_from": [{"token": "idp#t1", "role": "subject"}]} if rng.random() < 0.7 else {}
    issued = {"type": "token.issued", "recorded_first": True}
    return [
        {**issued, "token": "idp#t1", "subject": rng.choice(["human:alice", "okta|1"])},
        {**issued, "token": "idp#t2", "subject": "human:alice", **link, **end},
        {**issued, "token": "idp#t3", "subject": "human:bob", "session": "s1", **(end if rng.random() < 0.5 else {})},
        *({"type": "receiver.registered", "receiver": one, "recorded_first": True} for one in RECEIVERS[:2]),
    ]


def _happening(rng: random.Random) -> dict[str, Any]:
    revocation = {"revocation": rng.choice(IDS)}
    match rng.choice(["order", "order", "order", "lift", "word", "word", "word", "word", "use", "link"]):
        case "order":
            return {"type": "revocation.ordered", **revocation, **an_order(rng)}
        case "lift":
            late = {"effective_at": model.rfc3339(START + rng.randint(1, 14) * HALF_HOUR)}
            return {
                "type": "revocation.lifted",
                **revocation,
                "lifted_by": "human:ir",
                **(late if rng.random() < 0.2 else {}),
            }
        case "word":
            about = rng.choice([{}, *({"token": token} for token in ENDED)])
            outcome = rng.choice(["enforced", "enforced", "enforced", "rejected"])
            fields = {"receiver": rng.choice(RECEIVERS[:2]), "outcome": outcome, **about}
            return {"type": "revocation.acknowledged", **revocation, **fields}
        case "use":
            done = {"action": f"a{rng.randint(1, 3)}", "operation": "op", "outcome": "succeeded"}
            return {"type": "action.performed", **done, "token": rng.choice(ENDED)}
        case _:
            return late_fact(rng)


def late_fact(rng: random.Random) -> dict[str, Any]:
    """Build a fact because of which more orders end a token than was known before."""
    token = {"type": "token.issued", "token": rng.choice(ENDED), "subject": "human:alice"}
    match rng.choice(["link", "name", "alias", "issue", "renewal"]):
        case "link":
            return {**token, "derived_from": [{"token": rng.choice(ENDED), "role": "subject"}]}
        case "name":
            return {**token, "session": "s1"}
        case "alias":
            return {"type": "principal.registered", "principal": "human:alice", "kind": "human", "aliases": ["okta|1"]}
        case "issue":
            return {**token, "issued_at": model.rfc3339(START - HALF_HOUR)}
        case _:
            return {**token, "expires_at": model.rfc3339(START + rng.randint(6, 14) * HALF_HOUR)}


def an_order(rng: random.Random) -> dict[str, Any]:
    kind, id_ = rng.choice(
        [
            *(("token", "idp#t1"), ("token", "idp#t1"), ("token", "idp#t2"), ("token", "idp#t3")),
            *(("principal", "human:alice"), ("principal", "okta|1"), ("session", "s1")),
        ]
    )
    fields: dict[str, Any] = {"target": {"kind": kind, "id": id_}, "reason": "test", "ordered_by": "human:ir"}
    fields["mode"] = rng.choice(["suspend", "suspend", "revoke"])
    fields["cascade"] = rng.random() < 0.9
    if rng.random() < 0.15:
        fields["effective_at"] = model.rfc3339(START + rng.randint(1, 10) * HALF_HOUR)
    if rng.random() < 0.1:
        fields["issued_before"] = model.rfc3339(START)
    return fields


def fact(body: Body, occurred_at: int, recorded_at: int | None = None, *, named: str = "") -> Fact:
    event_id = named or f"{type(body).__name__}-{occurred_at}-{hash(body)}"
    return Fact(Event(event_id, "urn:test", occurred_at, body), occurred_at if recorded_at is None else recorded_at)


def ack(receiver: str, at: int, outcome: str = "enforced", token: str | None = "idp#t1") -> Fact:
    return fact(RevocationAcknowledged("r1", receiver, outcome, token), at)
