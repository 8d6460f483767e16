"""The four questions of governance on random worlds, compared with answers assembled from single questions."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.model.times import parse_instant
from lineage.serve.queries.activity import governance
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support.finding_cases import Event, moment
from tests.support.hiding import renamed
from tests.support.honest_practices import PRACTICES
from tests.support.honest_worlds import Honest
from tests.support.store_histories import records_of, write

NEVER: Final = 10**18
_ORDERS: Final = ("revocation.ordered", "revocation.lifted")


def random_events(rng: random.Random) -> list[Event]:
    """Generate an honest world with some practices and more revocations, from which actors, ends
    and scopes were lost.
    """
    world = Honest(rng.randrange(1_000))
    events = world.make()
    for number, practice in enumerate(rng.sample(PRACTICES, 3)):
        practice(world, 100 * number)
    events = renamed([*events, *world.events], rng)
    for one in events:
        for field in ("actor", "expires_at", "scopes", "decision", "token", "workload"):
            lost = field in one and rng.random() < 0.1
            if lost and (one["type"] == "action.performed" or field in ("actor", "expires_at", "scopes")):
                del one[field]
    granted = [one for one in events if one["type"] in ("token.issued", "delegation.granted")]
    for number, one in enumerate(rng.sample(granted, min(4, len(granted)))):
        kind = "token" if one["type"] == "token.issued" else "delegation"
        target = {"kind": kind, "id": one[kind]}
        envelope = {"type": "revocation.ordered", "event_id": f"more {number}", "source": "https://ir.example"}
        at = {"occurred_at": moment(rng.randrange(0, 400)), "ordered_by": "human:ir", "reason": "test"}
        events.append({**envelope, **at, "revocation": f"more {number}", "target": target})
    return events


@pytest.fixture(params=range(8))
def asked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Service, list[Event], random.Random]]:
    rng = random.Random(request.param)
    events = random_events(rng)
    items = [
        {
            "event": one,
            "via": "orders" if one["type"] in _ORDERS else "decisions",
            "recorded_at": parse_instant(one["occurred_at"]),
        }
        for one in {repr(sorted(one.items(), key=str)): one for one in events}.values()
    ]
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write(store, records_of(items, rng))
    service = Service(store, None, Trust(table=None), lambda: parse_instant(moment(1_000)), source="urn:test")
    yield service, events, rng
    store.close()


def _place(one: Event) -> tuple[int, str, str]:
    return parse_instant(one["occurred_at"]), one["source"], one["event_id"]


class Naive:
    """Answers assembled from the status and the chain of one thing at a time, and from the events themselves."""

    def __init__(self, service: Service, events: list[Event]) -> None:
        self.service = service
        self.events = sorted(
            events, key=lambda one: (parse_instant(one["occurred_at"]), one["source"], one["event_id"])
        )
        self.aliases = {
            alias: one["principal"]
            for one in events
            if one["type"] == "principal.registered"
            for alias in one.get("aliases", ())
        }
        self.runs: dict[str, set[str]] = {}
        for one in events:
            if one["type"] == "workload.bound":
                self.runs.setdefault(one["workload"], set()).add(one["agent"])
        kinds = {"token.issued": "token", "delegation.granted": "delegation"}
        self.elements: dict[tuple[str, str], list[Event]] = {}
        for one in self.events:
            if (kind := kinds.get(one["type"])) is not None:
                self.elements.setdefault((kind, one[kind]), []).append(one)

    def party(self, id_: str) -> str:
        agents = self.runs.get(id_, set())
        id_ = next(iter(agents)) if len(agents) == 1 else id_
        while id_ in self.aliases:
            id_ = self.aliases[id_]
        return id_

    def holder(self, kind: str, id_: str) -> str:
        facts = self.elements[kind, id_]
        if kind == "delegation":
            return self.party(facts[0]["delegatee"])
        if (actor := self.first(facts, "actor")) is not None:
            return self.party(actor)
        shown = {one["token"] for fact in facts for one in fact.get("derived_from", ()) if one["role"] == "actor"}
        own = [one for one in shown if ("token", one) in self.elements]
        if own:
            return self.holder("token", min(own, key=lambda one: (self.issued("token", one), one)))
        return self.party(facts[0]["subject"])

    def issued(self, kind: str, id_: str) -> int:
        return min(parse_instant(one.get("issued_at") or one["occurred_at"]) for one in self.elements[kind, id_])

    def end(self, kind: str, id_: str) -> int:
        facts = self.elements.get((kind, id_))
        if facts is None:
            return NEVER
        own = max((parse_instant(one["expires_at"]) for one in facts if one.get("expires_at")), default=NEVER)
        above = {one["delegation"] for one in facts if kind == "token" and "delegation" in one}
        above |= {parent for one in facts for parent in one.get("parents", ())}
        return min([own, *(self.end("delegation", one) for one in above)])

    def first(self, facts: list[Event], field: str) -> Any:
        return next((one[field] for one in facts if one.get(field)), None)

    def state(self, kind: str, id_: str, at: int) -> str:
        answer = self.service.status(kind, id_, at=at)
        assert answer is not None
        return str(answer["state"])

    def held_by(self, agent: str) -> list[tuple[str, str]]:
        return [one for one in self.elements if self.holder(*one) == agent]

    def actors(self, action: str) -> set[str]:
        facts = [one for one in self.events if one.get("action") == action]
        decision = self.first(facts, "decision")
        asked = [one for one in self.events if one["type"] == "decision.made" and one["decision"] == decision]
        stated = [one["actor"] for one in facts if "actor" in one] or [one["actor"] for one in asked if "actor" in one]
        besides = [one["workload"] for one in facts if "workload" in one]
        if not stated:
            answer = self.service.who(action, at=0)
            assert answer is not None
            stated = [answer["chain"][-1]["principal"]] if answer["chain"] else []
        return {self.party(one) for one in (*stated, *besides)}

    def actions(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for one in self.events:
            if one["type"] == "action.performed":
                found.setdefault(one["action"], parse_instant(one["occurred_at"]))
        return found


@pytest.mark.slow
def test_the_answers_are_those_of_single_questions(asked: tuple[Service, list[Event], random.Random]):
    """
    Who was active, what an agent might do at an instant, what it held and what it did, each asked separately.
    """
    service, events, rng = asked
    naive = Naive(service, events)
    start, end = sorted(parse_instant(moment(rng.randrange(-60, 900))) for _ in range(2))
    agents = sorted({party for one in naive.elements if (party := naive.holder(*one)).startswith("agent:")})
    acted = {action: naive.actors(action) for action in naive.actions()}

    active = {one["known_as"]: one for one in governance.active(service, start=start, end=end)["items"]}
    expected = {
        agent: tuple(
            sum(one[0] == kind and start <= naive.issued(*one) < end for one in naive.held_by(agent))
            for kind in ("token", "delegation")
        )
        for agent in agents
    }
    assert {agent: counts for agent, counts in expected.items() if counts != (0, 0)} == {
        agent: (one["tokens"], one["delegations"])
        for agent, one in active.items()
        if (one["tokens"], one["delegations"]) != (0, 0)
    }
    for agent in agents:
        did = {action for action, at in naive.actions().items() if start <= at < end and agent in acted[action]}
        done = governance.done(service, agent, start=start, end=end)
        assert done is not None
        assert did == {one["action"] for one in done["items"]}
        assert len(did) == active.get(agent, {"actions": 0})["actions"]

        allowed = governance.allowed(service, agent, at=end)
        assert allowed is not None
        assert {
            one for one in naive.held_by(agent) if naive.state(*one, end) == "active" and naive.end(*one) > end
        } == {(one["kind"], one["id"]) for one in allowed["items"]}
        for item in allowed["items"]:
            hop = service.chain(item["kind"], item["id"], at=end)["chain"][-1]  # type: ignore[index]
            assert hop["effective_scopes"] == item["effective_scopes"]

        held = governance.held(service, agent, start=start, end=end)
        assert held is not None
        moments = sorted({parse_instant(one["occurred_at"]) for one in events if one["type"] == "revocation.ordered"})
        over = {
            one: min(
                naive.end(*one),
                next((at for at in moments if at <= end and naive.state(*one, at) in ("revoked", "cascaded")), NEVER),
            )
            for one in naive.held_by(agent)
        }
        assert {one for one, at in over.items() if naive.issued(*one) < end and at > start} == {
            (one["kind"], one["id"]) for one in held["items"]
        }
