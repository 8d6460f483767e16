"""
Streams pushed to a receiver process that was written from the specifications alone, whatever dies on the way.
"""

import json
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from lineage.deliver.ssf.push_supervisor import PUSHER, Pusher
from lineage.deliver.ssf.stream_pusher import PushBackoff
from lineage.store.database.tables import accepted
from lineage.store.delivery.outbox import cursor_of
from tests.support.feed_desk import Desk
from tests.support.kafka_worlds import wait_until
from tests.support.ssf_worlds import (
    ED,
    HEADER,
    RSA,
    UPDATED,
    VERIFICATION,
    Receiver,
    World,
    receiving,
    serving,
    versions_in,
)
from tests.support.stores import KINDS, in_a_file

QUICK = PushBackoff(first_seconds=0.05, longest_seconds=0.3)


@contextmanager
def a_world(url: str, folder: Path) -> Iterator[World]:
    desk = Desk(url)
    with serving(World(desk, folder)) as world:
        yield world
    desk.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Serve a world in a file."""
    with in_a_file() as url, a_world(url, tmp_path) as world:
        yield world


@contextmanager
def pushing(world: World, pace: PushBackoff = QUICK) -> Iterator[Pusher]:
    """Push in this process, in threads, like ``delegraph deliver``."""
    pusher, stopped = Pusher(world.restarted(), pace), threading.Event()
    thread = threading.Thread(target=pusher.run, args=(stopped,))
    thread.start()
    try:
        yield pusher
    finally:
        stopped.set()
        thread.join()


def received_events(receiver: Receiver) -> list[tuple[str, int]]:
    """Return the events that a receiver accepted; check that repetitions are equal."""
    return versions_in(receiver.claims())


def kept(world: World, receiver: str) -> list[int]:
    with world.store.connection() as connection:
        query = sa.select(accepted.c.seq).where(accepted.c.receiver == receiver).order_by(accepted.c.seq)
        return list(connection.execute(query).scalars())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_delivered_in_order_whatever_dies(kind: str, request: pytest.FixtureRequest, tmp_path: Path):
    """
    The delivering process is killed at random times and so is the receiver, which also answers late, requests a wait
    with 503 and Retry-After, and refuses one event permanently: only that one is skipped, no event precedes an earlier
    one, and none is repeated with another meaning.
    """
    rng = random.Random(3)
    with ExitStack() as stack:
        url = request.getfixturevalue("postgres_url") if kind == "postgres" else stack.enter_context(in_a_file())
        world = stack.enter_context(a_world(url, tmp_path))
        receiver = stack.enter_context(receiving(world, "gateway"))
        gateway = world.client("gateway")
        stack.callback(gateway.close)
        gateway.push_to(receiver.url)
        trouble = [
            {"status": 503, "headers": {"Retry-After": "1"}, "times": 1, "refuse": "t-1-7"},
            {"wait_seconds": 0.05, "refuse": "t-1-7"},
            {"status": 429, "times": 2, "refuse": "t-1-7"},
        ]
        for number, behaviour in enumerate(trouble):
            receiver.behave(**behaviour)
            world.end(*(f"t-{number}-{each}" for each in range(20)))
            run = world.delivering()
            before = len(receiver.lines())
            wait_until(lambda: len(receiver.lines()) > before)  # noqa: B023 (called at once)
            time.sleep(rng.random() * 0.4)
            run.kill()
            run.communicate()
            if number == 1:
                receiver.kill()
                receiver.start()
        run = world.delivering()
        stack.callback(run.kill)
        wait_until(lambda: len(kept(world, "gateway")) == len(world.rows()) - 1)
        run.send_signal(signal.SIGTERM)
        stdout, stderr = run.communicate(timeout=60)
        assert 0 == run.returncode, stderr.decode()
        assert {"spread": 0, "fed": None, "refused": 1}.items() <= json.loads(stdout).items()

        rows = world.rows()
        refused = rows.index(("token:t-1-7", 1))
        assert [row for row in rows if row != rows[refused]] == received_events(receiver)
        assert [seq for seq in range(1, len(rows) + 1) if seq != refused + 1] == kept(world, "gateway")
        letters = gateway.http.get(f"{world.issuer}/ssf/dead-letters").json()
        assert [("invalid_request", "not for me: invalid_request")] == [
            (letter["err"], letter["description"]) for letter in letters["items"]
        ]


@pytest.mark.slow
def test_one_of_two_processes_pushes_and_the_other_takes_over(world: World):
    """
    The second fences off the first, and when it is killed the first continues.
    """
    with receiving(world, "gateway") as receiver:
        gateway = world.client("gateway")
        gateway.push_to(receiver.url)
        first = world.delivering()
        second: subprocess.Popen[bytes] | None = None
        try:
            world.end("t-1")
            wait_until(lambda: kept(world, "gateway") == [1])
            name = cursor_of(world.store, PUSHER).place
            second = world.delivering()
            wait_until(lambda: cursor_of(world.store, PUSHER).place != name)
            world.end("t-2")
            wait_until(lambda: kept(world, "gateway") == [1, 2])
            second.kill()
            world.end("t-3")
            wait_until(lambda: kept(world, "gateway") == [1, 2, 3])
            wait_until(lambda: cursor_of(world.store, PUSHER).place == name)
            assert world.rows() == received_events(receiver)
        finally:
            for run in filter(None, (first, second)):
                run.kill()
                run.communicate()
        gateway.close()


def test_a_slow_or_unavailable_receiver_delays_no_other(world: World):
    """
    While one does not answer, and another is down, a third gets everything. They get everything once they answer, and
    in the meantime the stream of the one that is down reports the fault.
    """
    with ExitStack() as stack:
        slow, down, quick = (stack.enter_context(receiving(world, name)) for name in ("slow", "down", "quick"))
        clients = [world.client(receiver.name) for receiver in (slow, down, quick)]
        for client, receiver in zip(clients, (slow, down, quick), strict=True):
            stack.callback(client.close)
            client.push_to(receiver.url)
        slow.behave(hold=True)
        down.kill()
        stack.enter_context(pushing(world))
        world.end("t-1", "t-2", "t-3", "t-4")
        wait_until(lambda: len(kept(world, "quick")) == 4)
        assert [] == kept(world, "slow")
        fault = lambda: clients[1].ask("GET", "status", stream_id=clients[1].id).json().get("fault")  # noqa: E731
        wait_until(lambda: fault() is not None)
        assert "the receiver does not answer (ConnectError)" == fault()
        down.start()
        wait_until(lambda: len(kept(world, "down")) == 4)
        wait_until(lambda: fault() is None)
        slow.behave()
        wait_until(lambda: len(kept(world, "slow")) == 4)

        assert world.rows() == received_events(quick) == received_events(down) == received_events(slow)


def test_a_pause_keeps_events_and_a_verification_has_its_state(world: World):
    """
    Events that came while paused are delivered in order afterwards, after the status update; a changed URL takes effect
    at once.
    """
    with receiving(world, "gateway") as receiver, pushing(world):
        gateway = world.client("gateway")
        gateway.push_to(receiver.url.replace("/events", "/nowhere"))
        gateway.verify("nonce")
        wait_until(receiver.claims)
        assert {VERIFICATION: {"state": "nonce"}} == receiver.claims()[0]["events"]
        gateway.status("paused")
        world.end("t-1")
        world.end("t-2")
        delivery = {"method": gateway.stream["delivery"]["method"], "endpoint_url": receiver.url}
        fields = {"stream_id": gateway.id, "delivery": {**delivery, "authorization_header": HEADER}}
        assert delivery == gateway.ask("PATCH", "configuration", fields).json()["delivery"]
        assert [] == received_events(receiver)
        gateway.status("enabled")
        wait_until(lambda: len(kept(world, "gateway")) == 2)

        # A change of the stream may fence off the record of an acceptance, and then the event is pushed again.
        distinct = list({claims["jti"]: claims for claims in receiver.claims()}.values())
        assert [VERIFICATION, UPDATED] == [type_ for claims in distinct[:2] for type_ in claims["events"]]
        assert world.rows() == received_events(receiver)
        gateway.close()


def test_the_sealed_header_of_a_receiver_survives_a_key_rotation(world: World):
    """
    The new key is published, then it signs; the header is nowhere in the store unsealed, in no response, and is sealed
    again, so that the old key may be removed. If the key was removed too early the stream is paused, and says why.
    """
    with receiving(world, "gateway") as receiver:
        gateway = world.client("gateway")
        made = gateway.push_to(receiver.url)
        assert not any(b"of-the-receiver" in path.read_bytes() for path in world.store.file.parent.iterdir())
        assert "of-the-receiver" not in str(made) + str(gateway.ask("GET", "configuration").json())
        for number, keys in enumerate([(RSA, ED), (ED, RSA), (ED,)], start=1):
            world.rotate(*keys)
            world.end(f"t-{number}")
            pusher = Pusher(world.restarted(), QUICK)
            pusher.once()
            assert pusher.accepted == 1
        assert ["RS256", "EdDSA", "EdDSA"] == [line["header"]["alg"] for line in receiver.lines()]
        world.rotate(RSA)
        world.end("t-4")
        Pusher(world.restarted(), QUICK).once()
        status = gateway.ask("GET", "status", stream_id=gateway.id).json()

        assert ("paused", True) == (status["status"], "key" in status["reason"])
        gateway.close()
