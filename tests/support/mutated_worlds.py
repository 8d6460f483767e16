"""Honest worlds with one fault: the change, and the rule that must find it, with its subject."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from tests.support.finding_cases import Event

Wrong = tuple[str, str]  # the rule, and its subject
Mutation = Callable[[list[Event], random.Random], Wrong | None]


def pick(events: list[Event], rng: random.Random, type_: str, **having: Any) -> Event | None:
    """Remove and return one event of a type with some field values, with its duplicates, so that it can be changed."""

    def fits(one: Event) -> bool:
        return one["type"] == type_ and all(
            one.get(name) if filters is True else one.get(name) == filters for name, filters in having.items()
        )

    found = sorted({one["event_id"] for one in events if fits(one)})
    if not found:
        return None
    event_id = rng.choice(found)
    alike = [one for one in events if one["event_id"] == event_id]
    events[:] = [one for one in events if one is alike[0] or one["event_id"] != event_id]
    return alike[0]


def later(stated: str, minutes: float) -> str:
    return (datetime.fromisoformat(stated) + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def success(events: list[Event], rng: random.Random) -> Event | None:
    return pick(events, rng, "action.performed", outcome="succeeded")


def wider(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "delegation.granted", parents=True)
    if one is None:
        return None
    one["scopes"] = [*one["scopes"], "pay:out"]
    return "scope-exceeds-parent", f"delegation:{one['delegation']}"


def longer(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "delegation.granted", parents=True)
    if one is None:
        return None
    one["expires_at"] = later(one["expires_at"], 60)
    return "outlives-parent", f"delegation:{one['delegation']}"


def deeper(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "delegation.granted", parents=True)
    if one is None:
        return None
    parent = pick(events, rng, "delegation.granted", delegation=one["parents"][0])
    assert parent is not None
    parent["max_depth"] = 0
    return "delegation-depth-exceeded", f"delegation:{one['delegation']}"


def approving_itself(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "delegation.granted")
    assert one is not None
    one["approved_by"] = one["delegatee"]
    return "self-approval", f"delegation:{one['delegation']}"


def beyond(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["required_scopes"] = ["pay:out"]
    return "action-outside-scope", f"action:{one['action']}"


def denied(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    decision = pick(events, rng, "decision.made", decision=one["decision"]) if one else None
    if one is None or decision is None:
        return None
    decision["permitted"] = False
    return "action-after-deny", f"action:{one['action']}"


def otherwise(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["resource"] = {"id": "something else"}
    return "decision-mismatch", f"action:{one['action']}"


def stolen(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["workload"] = "spiffe://evil/thief"
    return "wielder-mismatch", f"action:{one['action']}"


def forged(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["token"] = "https://idp.example#forged"
    decision = pick(events, rng, "decision.made", decision=one["decision"])
    assert decision is not None
    del decision["token"]
    one["actor"] = "agent:a0"
    return "unattributed-action", f"action:{one['action']}"


def too_late(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["occurred_at"] = later(one["occurred_at"], 120)
    return "used-after-expiry", f"action:{one['action']}"


def after_the_end(events: list[Event], rng: random.Random) -> Wrong | None:
    order, one = pick(events, rng, "revocation.ordered"), success(events, rng)
    if order is None or one is None:
        return None
    order["target"] = {"kind": "token", "id": one["token"]}
    order["occurred_at"] = later(one["occurred_at"], -0.5)
    return "used-after-revocation", f"action:{one['action']}"


def for_another(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "token.issued", exchange="delegation")
    if one is None:
        return None
    events[:] = [
        other for other in events if other["event_id"] != f"seen {one['token']}"
    ]  # no other fact states another
    one["subject"] = "human:stranger"
    return "subject-change", f"token:{one['token']}"


def granted_too_late(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "delegation.granted", parents=True)
    if one is None:
        return None
    one["occurred_at"] = later(one["expires_at"], 10)
    return "granted-after-expiry", f"delegation:{one['delegation']}"


def never_valid(events: list[Event], rng: random.Random) -> Wrong | None:
    order = pick(events, rng, "revocation.ordered")
    one = pick(events, rng, "token.issued", delegation=order["target"]["id"]) if order else None
    if order is None or one is None:
        return None
    events[:] = [other for other in events if other["event_id"] != f"seen {one['token']}"]
    one["occurred_at"] = later(order["occurred_at"], 1)
    return "granted-after-revocation", f"token:{one['token']}"


def replayed(events: list[Event], rng: random.Random) -> Wrong | None:
    one = pick(events, rng, "token.issued", exchange="delegation")
    if one is None:
        return None
    events.append({**one, "event_id": "replayed", "occurred_at": later(one["occurred_at"], 1)})
    return "credential-replay", f"token:{one['token']}"


def reused(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    token = {"token": "https://idp.example#next", "subject": "human:p0", "actor": one["actor"]}
    token |= {"derived_from": [{"token": one["token"], "role": "replaced"}], "expires_at": later(one["occurred_at"], 9)}
    envelope = {"type": "token.issued", "event_id": "replaces", "source": "https://idp.example"}
    events.append({**envelope, "occurred_at": later(one["occurred_at"], -1), **token})
    return "refresh-token-reuse", f"token:{one['token']}"


def shared(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    events.append({**one, "action": "stolen", "event_id": "stolen", "workload": "spiffe://evil/thief"})
    return "credential-shared", f"token:{one['token']}"


def on_behalf_of_another(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["on_behalf_of"] = "human:stranger"
    return "subject-mismatch", f"action:{one['action']}"


def under_another(events: list[Event], rng: random.Random) -> Wrong | None:
    one = success(events, rng)
    if one is None:
        return None
    one["delegation"] = "another"
    return "delegation-mismatch", f"action:{one['action']}"


MUTATIONS: tuple[Mutation, ...] = (
    wider,
    longer,
    deeper,
    approving_itself,
    beyond,
    denied,
    otherwise,
    stolen,
    forged,
    too_late,
    after_the_end,
    for_another,
    granted_too_late,
    never_valid,
    replayed,
    reused,
    shared,
    on_behalf_of_another,
    under_another,
)
