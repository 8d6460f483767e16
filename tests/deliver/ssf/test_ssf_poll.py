"""Polled streams: whatever is lost on the way, every event is delivered, in order, and with one meaning."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from lineage.core.model.times import format_instant
from lineage.deliver.ssf.polling import poll
from lineage.deliver.ssf.push_request import Accepted
from lineage.deliver.ssf.stream_pusher import PushBackoff, StreamPusher
from lineage.deliver.ssf.stream_requests import PollRequest
from lineage.serve.config.wiring import now
from lineage.store.database.tables import accepted
from tests.support.feed_desk import Desk, lift, order, token
from tests.support.ssf_worlds import (
    ELEMENT_STATE,
    POLL,
    SESSION_REVOKED,
    UPDATED,
    VERIFICATION,
    World,
    claims_in,
    key_in,
    serving,
    versions_in,
)
from tests.support.stores import KINDS, in_a_file


@pytest.fixture(params=KINDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Serve a world on either database."""
    if request.param == "postgres":
        yield from _served(request.getfixturevalue("postgres_url"), tmp_path)
    else:
        with in_a_file() as url:
            yield from _served(url, tmp_path)


def _served(url: str, folder: Path) -> Iterator[World]:
    desk = Desk(url)
    with serving(World(desk, folder)) as world:
        yield world
    desk.store.close()


def ledger(world: World, receiver: str) -> list[int]:
    with world.store.connection() as connection:
        query = sa.select(accepted.c.seq).where(accepted.c.receiver == receiver).order_by(accepted.c.seq)
        return list(connection.execute(query).scalars())


@pytest.mark.slow
def test_unacknowledged_events_are_repeated_and_nothing_is_skipped(world: World):
    """
    A receiver loses responses and acknowledgements, acknowledges in any order and events it never got, and starts over:
    it gets every row, in order, each with one id and one meaning, until it has acknowledged it.
    """
    rng = random.Random(7)
    gateway = world.client("gateway")
    gateway.create()
    received = []
    acknowledged: set[str] = set()
    lost: set[str] = set()
    for number in range(12):
        world.end(*(f"t-{number}-{each}" for each in range(rng.randint(0, 4))))
        events, _ = gateway.poll(maxEvents=rng.randint(1, 6), ack=sorted(acknowledged | {"never-told"}))
        received += events
        acknowledged = {each["jti"] for each in events if rng.random() < 0.7}
        if rng.random() < 0.3:
            lost |= acknowledged
            acknowledged = set()
    while True:
        events, more = gateway.poll(ack=sorted(acknowledged))
        received += events
        acknowledged = {each["jti"] for each in events}
        if not events:
            break

    assert lost
    assert not more
    assert sorted(world.rows()) == sorted(versions_in(received))
    assert [seq for seq, _ in enumerate(world.rows(), start=1)] == ledger(world, "gateway")
    gateway.close()


def test_a_security_event_token_has_the_required_claims(world: World):
    """
    One event, no ``sub`` and no ``exp``, ``txn`` is the order; a token of an issuer is a ``jwt_id``, any other element
    is identified by its id; permanent ends use CAEP's type, a suspension and its end use ours, with increasing
    versions.
    """
    at = now()
    gateway = world.client("gateway")
    gateway.create()
    world.tell(
        token("https://idp.example#t-1", expires_at="2100-01-01T00:00:00Z"),
        token("sha256:" + "ab" * 32, "https://idp.example#t-1"),
        {"type": "delegation.granted", "delegation": "d-1", "delegator": "human:ana", "delegatee": "agent:a"},
    )
    world.tell(order("r-1", "token:https://idp.example#t-1", occurred_at=format_instant(at)))
    world.tell(order("r-2", "delegation:d-1", mode="suspend", ordered_by="agent:watch", reason="policy_violation"))
    world.tell(lift("r-2", now()))
    events, more = gateway.poll()

    assert not more
    by_key = {
        (key_in(each), event["version"]): (each, type_, event)
        for each in events
        for type_, event in each["events"].items()
    }
    leaf, type_, event = by_key["token:https://idp.example#t-1", 1]
    assert {"iss", "jti", "iat", "aud", "txn", "sub_id", "events"} == leaf.keys()
    assert (world.issuer, "gateway", "r-1") == (leaf["iss"], leaf["aud"], leaf["txn"])
    assert {"format": "jwt_id", "iss": "https://idp.example", "jti": "t-1"} == leaf["sub_id"]
    assert (SESSION_REVOKED, "revoked", 4_102_444_800) == (type_, event["state"], event["expires_at"])
    assert ("admin", {"en": "compromise"}) == (event["initiating_entity"], event["reason_admin"])
    assert at // 1_000_000 == event["event_timestamp"] <= leaf["iat"]
    child, type_, event = by_key["token:sha256:" + "ab" * 32, 1]
    assert ({"format": "opaque", "id": "sha256:" + "ab" * 32}, "r-1") == (child["sub_id"], child["txn"])
    assert (SESSION_REVOKED, "cascaded") == (type_, event["state"])
    suspended, type_, event = by_key["delegation:d-1", 1]
    assert {"format": "opaque", "id": "delegation:d-1"} == suspended["sub_id"]
    assert (ELEMENT_STATE, "suspended", "policy") == (type_, event["state"], event["initiating_entity"])
    again, type_, event = by_key["delegation:d-1", 2]
    assert (ELEMENT_STATE, "active", False) == (type_, event["state"], "txn" in again)
    gateway.close()


@pytest.mark.slow
def test_nobody_sees_or_changes_the_stream_of_another(world: World):
    """
    For another receiver the stream does not exist; a caller without the role or without a name gets an error; a second
    stream is refused.
    """
    gateway, stranger, other = (world.client(name) for name in ("gateway", "stranger", "other"))
    made = gateway.create(description="ours")
    world.end("t-1")
    stream_id = made["stream_id"]
    for method, endpoint, body in [
        ("GET", "configuration", None),
        ("GET", "status", None),
        ("DELETE", "configuration", None),
        ("PATCH", "configuration", {"description": "theirs"}),
        ("PUT", "configuration", {"description": "theirs"}),
        ("POST", "status", {"status": "disabled"}),
        ("POST", "verification", {"state": "x"}),
    ]:
        result = None if body is None else {"stream_id": stream_id, **body}
        query = {"stream_id": stream_id} if body is None else {}
        assert 404 == stranger.ask(method, endpoint, result, **query).status_code, (method, endpoint)
        for name, status in [("gateway/producer", 403), ("", 401)]:
            other.http.headers["Authorization"] = f"Bearer {name}".strip()
            assert status == other.ask(method, endpoint, result, **query).status_code
    assert 404 == stranger.http.post(made["delivery"]["endpoint_url"], json={}).status_code
    assert [] == stranger.ask("GET", "configuration").json()
    assert 409 == gateway.ask("POST", "configuration", {}).status_code

    assert made == gateway.ask("GET", "configuration", stream_id=stream_id).json()
    assert 1 == len(gateway.poll()[0])
    for client in (gateway, stranger, other):
        client.close()


@pytest.mark.slow
def test_events_kept_while_paused_are_delivered_in_order_afterwards(world: World):
    """
    A paused stream delivers nothing and loses nothing; a disabled one keeps nothing, and gets the latest state of every
    element once it is enabled.
    """
    gateway = world.client("gateway")
    gateway.create()
    world.end("t-1")
    assert "paused" == gateway.status("paused", reason="upgrade")["status"]
    world.end("t-2")
    assert ([], False) == gateway.poll()
    assert {"status": "enabled", "stream_id": gateway.id} == gateway.status("enabled")
    events, _ = gateway.poll()
    assert [UPDATED] == list(events[0]["events"])
    assert world.rows() == versions_in(events)
    assert ([], False) == gateway.poll(ack=[each["jti"] for each in events])

    gateway.status("disabled")
    at = now()
    world.tell(token("t-3"), order("s-3", "token:t-3", mode="suspend"))
    world.tell(lift("s-3", at))
    world.tell(order("r-3", "token:t-3"))
    gateway.status("enabled")
    restarted, _ = gateway.poll()

    first = {each["jti"] for each in events if key_in(each) in {"token:t-1", "token:t-2"}}
    assert first < {each["jti"] for each in restarted}
    assert [("token:t-1", 1), ("token:t-2", 1), ("token:t-3", 3)] == versions_in(restarted)
    gateway.close()


@pytest.mark.slow
def test_only_the_last_of_repeated_status_updates_is_pending(world: World):
    """
    A receiver that changes its status endlessly and reads nothing does not fill the store.
    """
    gateway = world.client("gateway")
    gateway.create()
    for number in range(3):
        gateway.status("paused")
        gateway.status("enabled", reason=f"number {number}")
    events, _ = gateway.poll()

    assert [{UPDATED: {"status": "enabled", "reason": "number 2"}}] == [each["events"] for each in events]
    gateway.close()


@pytest.mark.slow
def test_a_verification_comes_through_the_stream_with_its_state(world: World):
    """
    It precedes other events, is removed once it is acknowledged, and the number of pending ones is limited.
    """
    gateway = world.client("gateway")
    gateway.create()
    world.end("t-1")
    gateway.verify("are you there?")
    events, _ = gateway.poll(maxEvents=1)

    assert {VERIFICATION: {"state": "are you there?"}} == events[0]["events"]
    assert {"format": "opaque", "id": gateway.id} == events[0]["sub_id"]
    rest, _ = gateway.poll(ack=[events[0]["jti"]])
    assert [("token:t-1", 1)] == versions_in(rest)
    asked = [gateway.ask("POST", "verification", {"stream_id": gateway.id}).status_code for _ in range(20)]
    assert {204, 429} == set(asked)
    gateway.close()


def test_a_receiver_gets_what_it_covers_and_everything_missed_once_it_covers_more(world: World):
    """
    By the issuers, audiences and kinds of its registration; when these grow, it gets what it missed.
    """
    registration = {"type": "receiver.registered", "receiver": "gateway", "issuers": ["https://idp.example"]}
    world.tell(registration)
    gateway = world.client("gateway")
    gateway.create()
    world.end("https://idp.example#t-1", "https://other.example#t-2", "https://other.example#t-3")
    events, _ = gateway.poll()
    assert [("token:https://idp.example#t-1", 1)] == versions_in(events)
    assert ([], False) == gateway.poll(ack=[each["jti"] for each in events])

    later = {"issuers": ["https://idp.example", "https://other.example"], "occurred_at": "2100-01-01T00:00:00Z"}
    world.tell({**registration, **later})
    events, _ = gateway.poll()

    assert world.rows() == versions_in(events)
    gateway.close()


def test_a_narrowed_receiver_still_gets_earlier_orders(world: World):
    """
    Also elements that become known only afterwards, by whatever order they are ended now, and that they are active
    again; not later orders.
    """
    gateway = world.client("gateway")
    wide, narrow = (
        {"type": "receiver.registered", "receiver": "gateway", "kinds": kinds} for kinds in ([], ["delegation"])
    )
    world.tell({**wide, "occurred_at": day(1)})
    gateway.create()
    before = [
        {**order("r-1", "token:t-1"), "occurred_at": day(2)},
        {**order("r-2", "token:t-2", mode="suspend"), "occurred_at": day(2)},
        {**order("r-0", "principal:human:ana", effective_at=day(3)), "occurred_at": day(2)},
    ]
    after = [
        {**order("r-4", "token:t-4"), "occurred_at": day(5)},
        {**order("r-3", "token:t-3", effective_at=day(2)), "occurred_at": day(5)},  # r-0 ends it as well
    ]
    tokens = [token("t-1"), token("t-2", subject="human:bo"), token("t-3"), token("t-4", subject="human:bo")]
    world.tell(*tokens, *before, *after, {**narrow, "occurred_at": day(4)})
    events, _ = gateway.poll()
    assert {("token:t-1", 1), ("token:t-2", 1), ("token:t-3", 1)} == {*versions_in(events)}

    world.tell({"type": "revocation.lifted", "revocation": "r-2", "lifted_by": "human:bo", "occurred_at": day(6)})
    rest, _ = gateway.poll(ack=[each["jti"] for each in events])
    assert [("token:t-2", 2)] == versions_in(rest)
    gateway.close()


def day(number: int) -> str:
    return f"2026-11-{number:02}T00:00:00Z"


def test_refused_events_are_kept_and_reported_and_the_stream_continues(world: World):
    """
    An event with a permanent error is a dead letter; one with a temporary error is repeated. Neither is in the ledger.
    """
    gateway = world.client("gateway")
    gateway.create()
    world.end("t-1", "t-2", "t-3")
    events, _ = gateway.poll()
    bad, passing, good = (each["jti"] for each in events)
    error = {"err": "invalid_request", "description": "no such thing"}
    rest, _ = gateway.poll(ack=[good], setErrs={bad: error, passing: {"err": "invalid_key", "description": "?"}})

    assert [passing] == [each["jti"] for each in rest]
    letters = gateway.http.get(f"{world.issuer}/ssf/dead-letters").json()
    assert (1, True) == (letters["total"], letters["complete"])
    assert (bad, "invalid_request", "no such thing") == tuple(
        letters["items"][0][name] for name in ("jti", "err", "description")
    )
    for name, expected in [("bo/responder", letters["items"]), ("stranger", [])]:
        answer = gateway.http.get(f"{world.issuer}/ssf/dead-letters", headers={"Authorization": f"Bearer {name}"})
        assert expected == answer.json()["items"]
    assert [3] == ledger(world, "gateway")
    gateway.close()


@pytest.mark.slow
def test_a_poll_waits_for_events(world: World):
    """
    On request it waits up to a limit, and returns events that come in the meantime.
    """
    import threading

    gateway = world.client("gateway")
    gateway.create()
    assert ([], False) == gateway.poll(returnImmediately=False)
    late = threading.Timer(0.1, world.end, ["t-1"])
    late.start()
    received: list[tuple[str, int]] = []
    while not received:
        received = versions_in(gateway.poll(returnImmediately=False)[0])
    late.join()

    assert [("token:t-1", 1)] == received
    gateway.close()


def test_a_stream_has_the_configuration_of_its_receiver(world: World):
    """
    Created, updated in part, replaced and deleted; members set by the transmitter cannot be changed by anybody.
    """
    gateway = world.client("gateway")
    made = gateway.create(events_requested=[SESSION_REVOKED, "urn:unheard-of"], unknown={"is": "ignored"})
    assert {"method": POLL, "endpoint_url": made["delivery"]["endpoint_url"]} == made["delivery"]
    assert [SESSION_REVOKED] == made["events_delivered"]
    assert {SESSION_REVOKED, ELEMENT_STATE} == set(made["events_supported"])

    changed = gateway.ask("PATCH", "configuration", {"stream_id": gateway.id, "description": "at the gate"}).json()
    assert {**made, "description": "at the gate"} == changed
    assert 400 == gateway.ask("PATCH", "configuration", {"stream_id": gateway.id, "aud": "me"}).status_code
    replaced = gateway.ask("PUT", "configuration", {**changed, "events_requested": [ELEMENT_STATE]}).json()
    assert [ELEMENT_STATE] == replaced["events_delivered"]
    assert 204 == gateway.ask("DELETE", "configuration", stream_id=gateway.id).status_code

    assert [] == gateway.ask("GET", "configuration").json()
    gateway.close()


@pytest.mark.parametrize("method", ["poll", "push"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_was_ahead_hides_no_event(world: World, method: str, restarted: bool):
    """
    While it is, the event about a token that seems to have expired is omitted; once a clock is right it is delivered.
    """
    at = now()
    world.transmitter.clock = lambda: at
    fields = {"delivery": {"method": "urn:ietf:rfc:8935", "endpoint_url": "http://127.0.0.1:9"}}
    stream = world.transmitter.create("gateway", fields if method == "push" else {})["stream_id"]
    received: list[str] = []

    def deliver(at: int) -> None:
        transmitter = world.restarted() if restarted else world.transmitter
        transmitter.clock = lambda: at
        if method == "push":
            pusher = StreamPusher(transmitter, stream, PushBackoff(), threading.Event())

            def accepts(_endpoint: str, _authorization: str | None, token: str, *, at: int) -> Accepted:
                received.append(key_in(claims_in(token)))
                return Accepted()

            pusher._post.close()
            pusher._post = SimpleNamespace(send=accepts, close=lambda: None)  # type: ignore[assignment]
            pusher.push()
            return
        sets = poll(transmitter, "gateway", stream, PollRequest(10, True, frozenset(), {}))["sets"]
        received.extend(key_in(claims_in(token)) for token in sets.values())
        poll(transmitter, "gateway", stream, PollRequest(0, True, frozenset(sets), {}))

    world.tell(*(token(id_, expires_at=format_instant(at + 3_600_000_000)) for id_ in ("t-1", "t-2")))
    world.tell(order("r-1", "token:t-1"))
    deliver(at)
    world.tell(order("r-2", "token:t-2"))
    deliver(at + 7_200_000_000)
    assert ["token:t-1"] == received
    deliver(at + 1)
    deliver(at + 2)

    assert ["token:t-1", "token:t-1", "token:t-2"] == received


def test_processes_whose_clocks_differ_by_little_restart_no_stream(world: World):
    """
    A token is over by the clock of one server and not by that of the other, to which the receiver turns in turns.
    """
    second = 1_000_000
    at = now() + 320 * second
    world.transmitter.clock = lambda: at
    stream = world.transmitter.create("gateway", {})["stream_id"]
    servers = [world.restarted(), world.restarted()]
    servers[0].clock = lambda: at
    servers[1].clock = lambda: at + 100 * second
    world.tell(token("short", expires_at=format_instant(at - 250 * second)), order("r-short", "token:short"))
    world.end(*(f"t-{number}" for number in range(100)))
    received: list[str] = []
    acknowledged: frozenset[str] = frozenset()
    for turn in range(20):
        answer = poll(servers[(turn + 1) % 2], "gateway", stream, PollRequest(10, True, acknowledged, {}))
        received += [key_in(claims_in(each)) for each in answer["sets"].values()]
        acknowledged = frozenset(answer["sets"])

    assert sorted(f"token:t-{number}" for number in range(100)) == sorted(received)
