"""``delegraph prove --ready`` over real connections to enforcement points measures how fast each denies a canary."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from compose.native.processes import free_port
from ingest.codec import api as codec
from ingest.log.port import Entry
from ingest.revocations import Revocations, answering
from lineage.core.model.records import DECISIONS
from tests.support.desk import LATER, Desk, token
from tests.support.feed_desk import Desk as FeedDesk
from tests.support.feed_desk import delivering
from tests.support.gateways import Gateway
from tests.support.introspecting import Introspecting, introspecting
from tests.support.kafka_worlds import consuming, made_log, opened, started, wait_until
from tests.support.proving import SECRET, Following, configure
from tests.support.receivers import receiver
from tests.support.signing_keys import file_of
from tests.support.ssf_worlds import Receiver as SsfReceiver
from tests.support.ssf_worlds import World, receiving, serving, versions_in

CANARY = "token:https://idp.example#canary"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create a canary, and two enforcement points that cover it."""
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    configure(desk)
    desk.take(token("https://idp.example#canary", expires_at=LATER), receiver("urn:called"), receiver("urn:fed"))
    return desk


def ready(desk: Desk) -> dict[str, Any]:
    result = desk.one("prove", "--ready", CANARY, "--by", "human:ruth", "--wait", "60")["proof"]
    return {one["receiver"]: one for one in result["points"]} | {"verdict": result["verdict"]}


@pytest.mark.slow
def test_a_revocation_endpoint_and_a_follower_show_how_fast_they_enforce(desk: Desk):
    """One is called by ``delegraph deliver`` (RFC 7009) and introspected; the other follows, half a second late."""
    called, following = Gateway(free_port()), Following()
    with called.up(), answering(following, SECRET) as url:
        probes = {
            "urn:called": {"kind": "introspection", "url": f"{called.address}/introspect"},
            "urn:fed": {"kind": "answers", "url": url, "secret_file": "secret"},
        }
        configure(desk, **probes)
        file_of(desk.folder, "word", name="word")
        with (desk.folder / "delegraph.toml").open("a", encoding="utf-8") as settings:
            settings.write(f'\n[receivers."urn:called"]\nurl = "{called.address}/revoke"\n')
            settings.write('issuers = ["https://idp.example"]\nauth = "bearer"\nsecret_file = "word"\n')
        log = (desk.folder / "deliver.log").open("wb")
        with log, started("deliver", stderr=log, config=str(desk.folder / "delegraph.toml"), store=desk.url) as deliver:
            late = threading.Thread(target=_deny_once_revoked, args=(called, following))
            late.start()
            points = ready(desk)
            late.join()
            deliver.kill()

    assert ("CLOSED", "accepted", "accepted") == (
        points["verdict"], points["urn:called"]["before"], points["urn:fed"]["before"],
    )  # fmt: skip
    assert points["urn:called"]["would_enforce"]
    assert points["urn:fed"]["would_enforce"]
    assert 0 < points["urn:called"]["milliseconds"] < points["urn:fed"]["milliseconds"]


@pytest.mark.slow
@pytest.mark.kafka
def test_a_follower_of_the_feed_on_kafka_shows_how_fast_it_enforces(kafka_url: str, tmp_path: Path):
    """The order goes through Kafka, the consumer, ``delegraph deliver`` and the feed to ``Revocations``."""
    configured = str(tmp_path / "delegraph.toml")
    desk = Desk(tmp_path, options=("--log", kafka_url), env={"DELEGRAPH_CONFIG": configured})
    with (
        made_log(kafka_url) as log,
        opened(desk.url, create=True),
        consuming(desk.url, kafka_url),
        delivering(desk.url, kafka_url),
        Revocations(kafka_url) as follower,
        answering(follower, SECRET) as url,
    ):
        known = [token("https://idp.example#canary", expires_at=LATER), receiver("urn:fed")]
        log.append(Entry(DECISIONS, codec.encode(codec.decode_line(json.dumps(one).encode()))) for one in known)
        configure(desk, **{"urn:fed": {"kind": "answers", "url": url, "secret_file": "secret"}})
        assert follower.wait_until_current(60)
        wait_until(lambda: desk.state(CANARY) == "active")
        points = ready(desk)

    assert ("CLOSED", "accepted", True) == (
        points["verdict"], points["urn:fed"]["before"], points["urn:fed"]["would_enforce"],
    )  # fmt: skip
    assert 0 < points["urn:fed"]["milliseconds"] < 60_000


@pytest.mark.slow
def test_a_receiver_of_shared_signals_shows_how_fast_it_enforces(tmp_path: Path):
    """``delegraph deliver`` pushes a signed event (RFC 8935); the receiver is introspected."""
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    configure(desk)
    desk.take(token("https://idp.example#canary", expires_at=LATER), receiver("urn:pushed"))
    feed = FeedDesk(desk.url)
    with (
        closing(feed.store),
        serving(World(feed, tmp_path)) as world,
        receiving(world, "urn:pushed") as pushed,
        closing(world.client("urn:pushed")) as client,
        introspecting() as point,
        delivered(world),
    ):
        client.push_to(pushed.url)
        configure(desk, **{"urn:pushed": {"kind": "introspection", "url": point.url}})
        point.active.add("canary")
        hears = threading.Thread(target=_deny_once_pushed, args=(pushed, point))
        hears.start()
        points = ready(desk)
        hears.join()

    assert ("CLOSED", "accepted", True) == (
        points["verdict"], points["urn:pushed"]["before"], points["urn:pushed"]["would_enforce"],
    )  # fmt: skip
    assert 0 < points["urn:pushed"]["milliseconds"] < 60_000


@contextmanager
def delivered(world: World) -> Iterator[None]:
    """Run ``delegraph deliver`` within the block."""
    run = world.delivering()
    try:
        yield
    finally:
        run.kill()
        run.communicate()


def _deny_once_pushed(pushed: SsfReceiver, point: Introspecting) -> None:
    """Let the receiver deny what was pushed to it."""
    wait_until(lambda: "token:https://idp.example#canary" in {key for key, _ in versions_in(pushed.claims())})
    point.active.discard("canary")


def _deny_once_revoked(called: Gateway, following: Following) -> None:
    """Let the follower learn of the revocation half a second after the endpoint was called."""
    while not called.revoked:
        threading.Event().wait(0.05)
    threading.Event().wait(0.5)
    following.dead.add("https://idp.example#canary")
