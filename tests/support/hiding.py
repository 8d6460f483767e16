"""How an adversary hides: splits facts, sends them late, twice, by another source, and under other names of a party."""

import random
from collections.abc import Callable
from typing import Any
from zlib import crc32

from lineage.core.model.events import Fact
from tests.support.finding_cases import Event, bound, registered

_MUST = {
    "action.performed": {"action", "operation", "outcome"},
    "decision.made": {"decision", "permitted", "operation"},
    "delegation.granted": {"delegation", "delegator", "delegatee"},
    "token.issued": {"token", "subject"},
}
_ENVELOPE = {"type", "event_id", "source", "occurred_at"}
_PARTIES = ("delegator", "delegatee", "actor", "subject", "approved_by", "on_behalf_of")
_HOUR = 3_600_000_000


def split(stated: Event, choose: Callable[[list[str]], set[str]]) -> list[Event]:
    """Split an event in two: each states the required fields, and a part of the rest."""
    must = _MUST.get(stated["type"])
    if must is None:
        return [stated]
    rest = sorted(stated.keys() - must - _ENVELOPE)
    second = choose(rest)
    common = {name: value for name, value in stated.items() if name in must | _ENVELOPE}
    one = common | {name: stated[name] for name in rest if name not in second}
    other = common | {name: stated[name] for name in second} | {"event_id": f"{stated['event_id']} too"}
    return [one, other]


def all_split(events: list[Event], rng: random.Random) -> list[Event]:
    """Split every event in two."""
    return [part for one in events for part in split(one, lambda rest: set(rng.sample(rest, len(rest) // 2)))]


def by_another_source(events: list[Event], _: random.Random) -> list[Event]:
    """Split every event in two, the second from another source, which always states the same fields."""
    return [
        {**part, "source": f"{part['source']}/besides"} if part["event_id"].endswith(" too") else part
        for one in events
        for part in split(one, lambda rest: {field for field in rest if crc32(field.encode()) % 2})
    ]


def doubled(events: list[Event], rng: random.Random) -> list[Event]:
    """Repeat some events exactly."""
    return [*events, *(dict(one) for one in rng.sample(events, len(events) // 2))]


def renamed(events: list[Event], rng: random.Random) -> list[Event]:
    """Replace some parties by aliases, which are registered."""
    ids = sorted({value for one in events for field in _PARTIES if _is_party(value := one.get(field))})

    def other(value: Any) -> Any:
        return f"alias|{value}" if value in ids and rng.random() < 0.5 else value

    changed = [{name: other(value) if name in _PARTIES else value for name, value in one.items()} for one in events]
    return [*changed, *(registered(id_, event_id=f"alias {id_}", aliases=[f"alias|{id_}"]) for id_ in ids)]


def as_workloads(events: list[Event], rng: random.Random) -> list[Event]:
    """Let agents act as a workload that is bound to them and to nobody else."""
    ids = sorted({one["actor"] for one in events if one["type"] in _ACTING and _is_agent(one.get("actor"))})
    names = {id_: f"spiffe://hidden/{id_.removeprefix('agent:')}" for id_ in ids}
    changed = [
        {**one, "actor": names[one["actor"]]}
        if one["type"] in _ACTING and one.get("actor") in names and rng.random() < 0.5
        else one
        for one in events
    ]
    return [*changed, *(bound(id_, name) for id_, name in names.items())]


def looking_alike(events: list[Event], rng: random.Random) -> list[Event]:
    """Spell the thief's own scopes and operations with similar letters, or in another case."""
    alike = rng.choice([{"e": "\u0435"}, {"a": "\u0430"}, {"c": "C"}])

    def other(word: str) -> str:
        return "".join(alike.get(letter, letter) for letter in word)

    last = events[-1]
    scopes = {
        field: [other(scope) for scope in last[field]] for field in ("scopes", "required_scopes") if last.get(field)
    }
    return [*events[:-1], {**last, **scopes}]


def delayed(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """Delay facts; orders are recorded at once, since a party that gives one hides nothing."""
    return [
        fact
        if fact.event.is_order or rng.random() < 0.3
        else fact._replace(recorded_at=fact.recorded_at + rng.randrange(1, 10) * _HOUR)
        for fact in facts
    ]


def reordered(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """Put facts in another order."""
    return rng.sample(facts, len(facts))


def _is_party(value: object) -> bool:
    return isinstance(value, str) and value.startswith(("agent:", "human:"))


def _is_agent(value: object) -> bool:
    return isinstance(value, str) and value.startswith("agent:")


_ACTING = frozenset({"action.performed", "decision.made"})
OF_EVENTS: dict[str, Callable[[list[Event], random.Random], list[Event]]] = {
    "renamed": renamed,
    "as workloads": as_workloads,
    "looking alike": looking_alike,
    "split": all_split,
    "by another source": by_another_source,
    "doubled": doubled,
}
OF_FACTS: dict[str, Callable[[list[Fact], random.Random], list[Fact]]] = {"delayed": delayed, "reordered": reordered}
EVERYTHING = ("renamed", "as workloads", "by another source", "doubled")
