"""Properties of every stream, whatever its receiver does and whatever orders do in the meantime."""

import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.deliver.ssf.polling import poll
from lineage.deliver.ssf.stream_requests import PollRequest
from lineage.serve.config.wiring import now
from tests.support.feed_desk import Desk, lift, order, token
from tests.support.ssf_worlds import ED, World, claims_in, key_in
from tests.support.stores import KINDS, Fresh, fresh_places

Json = dict[str, Any]
TOKENS = [f"https://idp.example#t-{number}" for number in range(4)]


@pytest.fixture(params=KINDS, scope="module")
def fresh(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """Return URLs for stores on either database."""
    yield from fresh_places(request)


class Gateway:
    """A receiver that polls, loses responses and acknowledgements, and changes its stream."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng
        self.id = world.transmitter.create("gateway", {})["stream_id"]
        self.heard: dict[str, Json] = {}
        self.versions: dict[str, int] = {}
        self.acknowledging: set[str] = set()

    def poll(self, *, most: int = 100, loses: float = 0.0) -> int:
        asked = PollRequest(most, at_once=True, acknowledged=frozenset(self.acknowledging), refused={})
        sets = poll(self.world.transmitter, "gateway", self.id, asked)["sets"]
        if self.rng.random() < loses:
            return len(sets)  # the answer is lost; whether the acknowledgement is, nobody knows
        self.acknowledging = set()
        for jti, value in sets.items():
            self.hear(jti, claims_in(value))
            if self.rng.random() >= loses:
                self.acknowledging.add(jti)
        return len(sets)

    def hear(self, jti: str, claims: Json) -> None:
        assert self.heard.get(jti, claims) == claims
        if jti not in self.heard:
            self.heard[jti] = claims
            for event in claims["events"].values():
                if "version" in event:
                    key = key_in(claims)
                    assert self.versions.get(key, 0) < event["version"]
                    self.versions[key] = event["version"]

    def set_status(self) -> None:
        status = self.rng.choice(["enabled", "enabled", "paused", "disabled"])
        self.world.transmitter.set_status("gateway", {"stream_id": self.id, "status": status})

    def verify(self) -> None:
        self.world.transmitter.verify("gateway", {"stream_id": self.id, "state": "x"})

    def ask_for(self) -> None:
        types = self.rng.choice([[], ["urn:delegraph:secevent:event-type:element-state"]])
        self.world.transmitter.update("gateway", {"stream_id": self.id, "events_requested": types}, whole=False)


def history(rng: random.Random) -> list[Callable[[World], None]]:
    """Generate orders: suspensions with their lifts, and occasionally a revocation."""
    numbers = iter(range(1_000))

    def suspend(world: World) -> None:
        world.tell(order(f"s-{next(numbers)}", f"token:{rng.choice(TOKENS)}", mode="suspend"))

    def lift_one(world: World) -> None:
        world.tell(lift(f"s-{rng.randrange(8)}", now()))

    def revoke(world: World) -> None:
        world.tell(order(f"r-{next(numbers)}", f"token:{rng.choice(TOKENS)}"))

    def cover(world: World) -> None:
        issuers = rng.choice([["https://idp.example"], ["https://other.example"], []])
        registration = {"type": "receiver.registered", "receiver": "gateway", "issuers": issuers}
        world.tell({**registration, "occurred_at": f"21{next(numbers):02}-01-01T00:00:00Z"})

    return rng.choices([suspend, lift_one, revoke, cover], weights=[4, 4, 1, 1], k=rng.randint(1, 14))


@pytest.mark.slow
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_in_the_end_a_receiver_knows_the_latest_state_of_everything(fresh: Fresh, seed: int):
    """
    Whatever it loses, pauses, disables and requests, and whatever it covers in the meantime: no version comes after a
    higher one except as a repetition, no id has two meanings, and the last event about each element is its last
    published state.
    """
    rng = random.Random(seed)
    with fresh() as url, tempfile.TemporaryDirectory() as folder:
        desk = Desk(url)
        world = World(desk, Path(folder), ED)
        world.listening.close()
        world.tell(*map(token, TOKENS))
        for act in history(rng)[:3]:
            act(world)
        gateway = Gateway(world, rng)
        for act in history(rng):
            act(world)
            rng.choice([gateway.set_status, gateway.verify, gateway.ask_for, lambda: None])()
            gateway.poll(most=rng.randint(0, 3), loses=0.3)
        everything = {"type": "receiver.registered", "receiver": "gateway", "occurred_at": "2999-01-01T00:00:00Z"}
        world.tell(everything)
        world.transmitter.update("gateway", {"stream_id": gateway.id, "events_requested": []}, whole=False)
        world.transmitter.set_status("gateway", {"stream_id": gateway.id, "status": "enabled"})
        while gateway.poll():
            pass
        expected = dict(world.rows())
        desk.store.close()

    assert expected == gateway.versions
