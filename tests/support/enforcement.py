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
    """Receivers of every coverage, acknowledgements of every kind, and successes under what may be dead."""
    tokens = [record["event"]["token"] for record in records if record["event"]["type"] == "token.issued"]
    audiences = ("https://a", "https://b")
    events: list[dict[str, Any]] = []
    for receiver in RECEIVERS[:2]:
        for _ in range(rng.randint(0, 2)):
            kinds = rng.choice([[], [], ["token"], ["delegation"]])
            issuers = rng.choice([[], [], ["https://idp"], ["https://other"]])
            shared = rng.choice([[], [], ["https://a"], list(audiences)])
            said = {"receiver": receiver, "kinds": kinds, "issuers": issuers, "audiences": shared}
            events.append({"type": "receiver.registered", **said})
    for _ in range(rng.randint(0, 6)):
        said = {"receiver": rng.choice(RECEIVERS), "outcome": rng.choice(["enforced", "enforced", "rejected"])}
        about = {"token": rng.choice(tokens)} if tokens and rng.random() < 0.6 else {}
        revocation = rng.choice(worlds.REVOCATIONS)
        events.append({"type": "revocation.acknowledged", "revocation": revocation, **said, **about})
    for number in range(rng.randint(0, 3)):
        about = {"token": rng.choice(tokens)} if tokens else {}
        said = {"action": f"late-{number}", "operation": "op", "outcome": rng.choice(["succeeded", "denied"])}
        events.append({"type": "action.performed", **said, **about})
    for token in tokens:
        if rng.random() < 0.4:
            said = {"token": token, "subject": "human:alice", "audience": rng.sample(audiences, rng.randint(0, 2))}
            events.append({"type": "token.issued", **said})
    found = []
    for number, event in enumerate(events):
        moment = rng.choice(worlds.grid[1:-1])
        key = {"event_id": f"more-{number}", "source": "urn:gw", "occurred_at": model.rfc3339(moment)}
        recorded_at = moment if rng.random() < 0.6 else rng.choice(worlds.grid)
        found.append({"event": {**event, **key}, "recorded_at": recorded_at, "via": "decisions"})
    return found


def fact(body: Body, occurred_at: int, recorded_at: int | None = None, *, named: str = "") -> Fact:
    event_id = named or f"{type(body).__name__}-{occurred_at}-{hash(body)}"
    return Fact(Event(event_id, "urn:test", occurred_at, body), occurred_at if recorded_at is None else recorded_at)


def said(receiver: str, at: int, outcome: str = "enforced", token: str | None = "idp#t1") -> Fact:
    return fact(RevocationAcknowledged("r1", receiver, outcome, token), at)
