"""``delegraph prove --ready`` over real ways to an enforcement point: how fast each denies a canary."""

import threading
from pathlib import Path
from typing import Any

import pytest

from compose.native.processes import free_port
from ingest.revocations import answering
from tests.support.desk import LATER, Desk, token
from tests.support.gateways import Gateway
from tests.support.kafka_worlds import started
from tests.support.proving import SECRET, Following, configure
from tests.support.receivers import receiver
from tests.support.signing_keys import file_of

CANARY = "token:https://idp.example#canary"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A canary, and two enforcement points that cover it."""
    desk = Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(tmp_path / "delegraph.toml")})
    configure(desk)
    desk.take(token("https://idp.example#canary", expires_at=LATER), receiver("urn:called"), receiver("urn:fed"))
    return desk


def ready(desk: Desk) -> dict[str, dict[str, Any]]:
    said = desk.one("prove", "--ready", CANARY, "--by", "human:ruth", "--wait", "60")["proof"]
    return {one["receiver"]: one for one in said["points"]} | {"verdict": said["verdict"]}


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


def _deny_once_revoked(called: Gateway, following: Following) -> None:
    """The follower hears of it half a second after the endpoint was called."""
    while not called.revoked:
        threading.Event().wait(0.05)
    threading.Event().wait(0.5)
    following.dead.add("https://idp.example#canary")
