"""The feed on a real Kafka: followers know what orders did, whatever dies on the way."""

import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from compose.native.postgres import Postgres
from ingest.kafka import revocation_follower, revocation_topic
from ingest.kafka.log import READING
from ingest.kafka.revocation_follower import Revocations
from ingest.kafka.revocation_topic import HEARTBEAT, ElementStatus, RevocationTopic, element_status_of, value_of
from lineage.core.model.errors import FencedError, RefusedError, UnavailableError
from lineage.core.model.times import format_instant
from lineage.core.revocation.state_changes import GRACE
from lineage.deliver.outbox import kafka_feed
from lineage.deliver.outbox.kafka_feed import BEAT_SECONDS, Feed
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.config.wiring import now
from lineage.store.delivery.outbox import rows
from lineage.store.store import Store
from tests.support.feed_desk import NOW, Desk, Event, delivering, lift, order, token
from tests.support.kafka_worlds import administering, started, wait_until
from tests.support.stores import KINDS, in_a_file

pytestmark = pytest.mark.kafka

SECOND = 1_000_000


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Create a store on either database."""
    if request.param == "postgres":
        yield from _opened(request.getfixturevalue("postgres_url"))
    else:
        with in_a_file() as url:
            yield from _opened(url)


@pytest.fixture
def file_desk() -> Iterator[Desk]:
    """Create a store in a file."""
    with in_a_file() as url:
        yield from _opened(url)


def _opened(url: str) -> Iterator[Desk]:
    found = Desk(url)
    yield found
    found.store.close()


def suspension(revocation: str, token: str, at: int) -> Event:
    return order(revocation, f"token:{token}", mode="suspend", occurred_at=format_instant(at))


@contextmanager
def feeding(store: Store, url: str) -> Iterator[Callable[[int], None]]:
    """Run the outbox writer and the feed in this process, at given times."""
    topic = RevocationTopic(url)
    spread, feed = OutboxWriter(store, None), Feed(store, topic)
    feed.begin()

    def deliver(at: int) -> None:
        spread.round(lambda: at)
        feed.deliver(at)

    try:
        yield deliver
    finally:
        topic.close()


def in_topic(url: str) -> list[tuple[str, ElementStatus | None]]:
    """Return the content of the topic, in order, without heartbeats."""
    servers, _, prefix = url.removeprefix("kafka://").partition("/")
    place = TopicPartition(f"{prefix}.revocations", 0)
    consumer = KafkaConsumer(bootstrap_servers=servers.split(","), **READING)
    found = []
    try:
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        [end] = consumer.end_offsets([place]).values()
        while consumer.position(place) < end:
            found += [
                (record.key.decode(), None if record.value is None else element_status_of(record.value))
                for record in consumer.poll(timeout_ms=500).get(place, ())
                if record.key.decode() != HEARTBEAT
            ]
    finally:
        consumer.close()
    return found


def dead_in(store: Store) -> set[str]:
    """Return the tokens that must not be honoured according to the outbox."""
    last = {row.change.key: row.change.version.outcome for row in rows(store, after=0, limit=1_000_000)}
    return {key.removeprefix("token:") for key, outcome in last.items() if outcome.ended and key.startswith("token:")}


@pytest.mark.slow
def test_a_follower_knows_what_orders_do_and_what_lifts_undo(desk: Desk, kafka_url: str):
    """
    Dependents of the target are dead, siblings are not; a late child is never valid; a suspended element is reinstated,
    a revoked one is not; a future order has no effect before its time.
    """
    desk.add(token("root"), token("child", "root"), token("sibling"), token("held"), token("later"))
    desk.add(order("r1", "token:root"), order("r2", "token:held", mode="suspend"))
    desk.add(order("r3", "token:later", effective_at=format_instant(NOW + 3_600 * SECOND)))
    with feeding(desk.store, kafka_url) as deliver, Revocations(kafka_url) as revocations:
        deliver(NOW)
        wait_until(lambda: revocations.dead() == {"root", "child", "held"})
        assert revocations.status_of("token", "child") == ElementStatus(
            "cascaded", 1, revocations.status_of("token", "root").origin, "r1", format_instant(NOW), None
        )

        desk.add(token("late", "child"), lift("r1", NOW + 1), lift("r2", NOW + 1))
        deliver(NOW + SECOND)
        wait_until(lambda: revocations.dead() == {"root", "child", "late"})
        assert revocations.status_of("token", "held").state == "active"

        deliver(NOW + 3_600 * SECOND)
        wait_until(lambda: revocations.dead() == {"root", "child", "late", "later"})
        held = {token: revocations.status_of("token", token) for token in revocations.dead()}
        with Revocations(kafka_url) as restarted:
            wait_until(lambda: restarted.dead() == revocations.dead())
            assert {token: restarted.status_of("token", token) for token in restarted.dead()} == held


@pytest.mark.slow
def test_an_expired_token_leaves_the_feed(file_desk: Desk, kafka_url: str):
    """It leaves once clock skew cannot matter any more; a later end brings it back."""
    ends_at = NOW + 60 * SECOND
    file_desk.add(token("short", expires_at=format_instant(ends_at)), token("long"), order("r1", "principal:human:ana"))
    with feeding(file_desk.store, kafka_url) as deliver, Revocations(kafka_url) as revocations:
        deliver(NOW)
        wait_until(lambda: revocations.dead() == {"short", "long"})
        time.sleep(BEAT_SECONDS)  # the next heartbeat, with which tombstones come
        deliver(ends_at + GRACE - 1)
        assert ("token:short", None) not in in_topic(kafka_url)
        time.sleep(BEAT_SECONDS)
        deliver(ends_at + GRACE)
        wait_until(lambda: revocations.dead() == {"long"})

        file_desk.add(token("short", expires_at=format_instant(ends_at + 3_600 * SECOND)))
        deliver(ends_at + GRACE)
        wait_until(lambda: revocations.dead() == {"short", "long"})
    assert [record is None for key, record in in_topic(kafka_url) if key == "token:short"] == [False, True, False]


def test_a_clock_that_is_set_back_in_small_steps_hides_no_revoked_token(
    file_desk: Desk, kafka_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Each step is below the grace period, by which the feed notices that its clock was ahead."""
    monkeypatch.setattr(kafka_feed, "BEAT_SECONDS", 0.0)  # tombstones come with a heartbeat
    file_desk.add(token("t", expires_at=format_instant(NOW + 2 * GRACE)), order("r", "token:t"))
    with Revocations(kafka_url) as revocations, feeding(file_desk.store, kafka_url) as deliver:
        deliver(NOW)
        wait_until(lambda: revocations.dead() == {"t"})
        for step in range(10):
            deliver(NOW + 3 * GRACE - step * GRACE // 2)
        wait_until(lambda: revocations.dead() == {"t"})


@pytest.mark.slow
@pytest.mark.parametrize("restarted", [False, True])
def test_a_clock_that_was_ahead_hides_no_revoked_token(file_desk: Desk, kafka_url: str, restarted: bool):
    """While it is, revoked tokens seem to have expired; once it is set back, followers know them again."""
    ends_at = format_instant(NOW + 3_600 * SECOND)
    file_desk.add(token("first", expires_at=ends_at), token("second", expires_at=ends_at))
    file_desk.add(order("r1", "token:first"))
    with Revocations(kafka_url) as revocations:
        with feeding(file_desk.store, kafka_url) as deliver:
            deliver(NOW)
            wait_until(lambda: revocations.dead() == {"first"})
            time.sleep(BEAT_SECONDS)  # the next heartbeat, with which tombstones come
            file_desk.add(order("r2", "token:second"))
            deliver(NOW + 2 * 3_600 * SECOND)
            wait_until(lambda: revocations.dead() == set())
            if not restarted:
                deliver(NOW + 1)
                wait_until(lambda: revocations.dead() == {"first", "second"})
        with feeding(file_desk.store, kafka_url) as deliver:
            deliver(NOW + 2)
            wait_until(lambda: revocations.dead() == {"first", "second"})


@pytest.mark.slow
def test_answers_are_unknown_before_the_second_heartbeat_and_after_the_last(file_desk: Desk, kafka_url: str):
    """Without a feed every answer is unknown; with one it is known; when it falls silent it is unknown again."""
    file_desk.add(token("a"), token("b"), order("r1", "token:a"))
    with feeding(file_desk.store, kafka_url) as deliver:
        deliver(NOW)
    with Revocations(kafka_url, max_age_seconds=5) as revocations:
        wait_until(lambda: revocations.dead() == {"a"})
        assert not revocations.wait_until_current(timeout=2 * BEAT_SECONDS)
        assert revocations.is_dead("a") is None
        with delivering(file_desk.url, kafka_url) as run:
            assert revocations.wait_until_current(timeout=60)
            tokens = ("a", "b", "nobody's")
            wait_until(lambda: [revocations.is_dead(token) for token in tokens] == [True, False, False])
            run.leave()
        left = time.monotonic()
        wait_until(lambda: revocations.is_dead("a") is None)
        assert revocations._current_until <= left + 5
    assert revocations.is_dead("a") is None
    with pytest.raises(RefusedError):
        Revocations(kafka_url, max_age_seconds=float("nan"))


def test_an_unreadable_value_counts_as_dead(kafka_url: str):
    """A value that is not ours, or an unknown state."""
    topic = RevocationTopic(kafka_url)
    topic.ensure()
    topic.begin()
    topic.write([("token:a", b"{"), ("token:b", b"[]"), ("token:c", b"7"), ("token:d", b"\xff")])
    topic.write([("token:e", value_of("token:e", ElementStatus("sleeping", 1, "x"))), (HEARTBEAT, b"{}")])
    infinite = b'{"state": "active", "version": Infinity, "origin": "x"}'
    topic.write([("token:f", b"[" * 100_000), ("token:g", infinite)])
    topic.close()
    with Revocations(kafka_url) as revocations:
        wait_until(lambda: revocations.dead() == set("abcdefg"))


def test_a_follower_goes_on_after_an_internal_error(kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """If its thread ended, every answer would stay unknown; until it has read the topic again, it states the fault."""
    topic = RevocationTopic(kafka_url)
    topic.ensure()
    topic.begin()
    topic.write([("token:a", value_of("token:a", ElementStatus("revoked", 1, "x")))])
    apply, repaired = revocation_follower._apply, threading.Event()

    def fails_first(known: dict[str, ElementStatus], record: object) -> str:
        if not repaired.is_set():
            raise KeyError("an internal error")
        return apply(known, record)

    monkeypatch.setattr(revocation_follower, "_apply", fails_first)
    with Revocations(kafka_url) as revocations:
        wait_until(lambda: "an internal error" in str(revocations.fault))
        repaired.set()
        wait_until(lambda: revocations.dead() == {"a"})

        assert revocations.fault is None
    topic.close()


def test_a_fenced_writer_writes_nothing_more(kafka_url: str):
    """Of two writers the first to begin gets the error, and its messages are not in the topic."""
    first, second = RevocationTopic(kafka_url), RevocationTopic(kafka_url)
    try:
        first.ensure()
        first.begin()
        first.write([("token:a", value_of("token:a", ElementStatus("revoked", 1, "x")))])
        second.begin()
        with pytest.raises(FencedError):
            first.write([("token:a", value_of("token:a", ElementStatus("revoked", 2, "x")))])
        second.write([("token:a", value_of("token:a", ElementStatus("active", 3, "x")))])
    finally:
        first.close()
        second.close()
    assert [record.version for _, record in in_topic(kafka_url)] == [1, 3]


def test_a_writer_fenced_between_two_calls_gets_the_same_error(kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """The library's own thread may notice it first: the next call then only reports that something has failed."""
    first, second = RevocationTopic(kafka_url), RevocationTopic(kafka_url)
    commit = KafkaProducer.commit_transaction

    def commit_late(producer: KafkaProducer) -> None:
        wait_until(producer._transaction_manager.has_error)
        commit(producer)

    try:
        first.ensure()
        first.begin()
        second.begin()
        monkeypatch.setattr(KafkaProducer, "commit_transaction", commit_late)
        with pytest.raises(FencedError):
            first.write([("token:a", value_of("token:a", ElementStatus("revoked", 1, "x")))])
    finally:
        first.close()
        second.close()


@pytest.mark.slow
def test_a_compacted_topic_has_the_same_content(file_desk: Desk, kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """After the broker has removed earlier states, a new follower knows the same as the others."""
    fast = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "1000"}
    monkeypatch.setattr(revocation_topic, "TOPIC_SETTINGS", {**revocation_topic.TOPIC_SETTINGS, **fast})
    tokens = [f"t{n}" for n in range(50)]
    file_desk.add(token("root"), *(token(id_, "root") for id_ in tokens))
    with feeding(file_desk.store, kafka_url) as deliver, Revocations(kafka_url) as revocations:
        at = NOW
        for n in range(5):
            file_desk.add(suspension(f"r{n}", "root", at + 1))
            deliver(at + 1)
            file_desk.add(lift(f"r{n}", at + 2))
            deliver(at + 2)
            at += 2
        file_desk.add(order("r5", "token:t7"), suspension("r6", "t8", at))
        deliver(at)
        written = len(in_topic(kafka_url))

        def is_compacted() -> bool:
            deliver(at)  # heartbeats, so that a new segment begins and the old one can be compacted
            return len(in_topic(kafka_url)) < written / 2

        wait_until(is_compacted, seconds=90)
        assert revocations.dead() == {"t7", "t8"}
        with Revocations(kafka_url) as restarted:
            wait_until(lambda: restarted.status_of("token", "t49") is not None)
            assert restarted.dead() == {"t7", "t8"}


def test_another_store_replaces_the_states_of_the_previous_one(kafka_url: str, tmp_path: Path):
    """
    A new store starts its versions again: its states count anyway, and states that it does not have are removed.
    """
    first, second = Desk(f"sqlite:///{tmp_path}/first.db"), Desk(f"sqlite:///{tmp_path}/second.db")
    first.add(token("a"), token("b"), token("c"), order("r1", "token:a", mode="suspend"), order("r2", "token:b"))
    second.add(token("a"), token("b"), token("c"), order("r1", "token:a", mode="suspend"), order("r3", "token:c"))
    with Revocations(kafka_url) as revocations:
        with feeding(first.store, kafka_url) as deliver:
            deliver(NOW)
            first.add(lift("r1", NOW + 1))
            deliver(NOW + 1)
        wait_until(lambda: revocations.dead() == {"b"})
        with feeding(second.store, kafka_url) as deliver:
            deliver(NOW)
        wait_until(lambda: revocations.dead() == {"a", "c"})
    first.store.close()
    second.store.close()


def test_a_recreated_topic_gets_everything_again(file_desk: Desk, kafka_url: str):
    """Deleting the topic loses nothing."""
    servers, _, prefix = kafka_url.removeprefix("kafka://").partition("/")
    file_desk.add(token("a"), order("r1", "token:a"))
    with feeding(file_desk.store, kafka_url) as deliver:
        deliver(NOW)
    with administering(servers) as admin:
        admin.delete_topics([f"{prefix}.revocations"])
        wait_until(lambda: f"{prefix}.revocations" not in admin.list_topics())
    with feeding(file_desk.store, kafka_url) as deliver:
        deliver(NOW)
    assert [key for key, _ in in_topic(kafka_url)] == ["token:a"]


@pytest.mark.slow
def test_repeatedly_killed_deliveries_skip_nothing(desk: Desk, kafka_url: str):
    """
    Orders, lifts and late children while two deliveries run and are killed at any time: the topic has all versions of
    each element, none for the first time before its predecessor, and a follower knows the same as the store.
    """
    rng = random.Random(7)
    names = count()
    given: list[str] = []
    desk.add(*(token(f"root{n}") for n in range(20)))
    with Revocations(kafka_url) as revocations:
        for _ in range(6):
            with delivering(desk.url, kafka_url), delivering(desk.url, kafka_url):
                deadline = time.monotonic() + rng.uniform(1, 5)
                while time.monotonic() < deadline:
                    parent = f"root{rng.randrange(20)}"
                    desk.add(*(token(f"t{next(names)}", parent) for _ in range(20)))
                    if rng.random() < 0.5:
                        given.append(f"r{next(names)}")
                        desk.add(suspension(given[-1], parent, now()))
                    elif given:
                        desk.add(lift(given.pop(rng.randrange(len(given))), now()))
                    time.sleep(0.01)
        desk.add(suspension("last", "root0", now()))  # otherwise everything may have been lifted
        with delivering(desk.url, kafka_url) as run:
            spread = OutboxWriter(desk.store, None)
            assert revocations.wait_until_current(timeout=60)
            wait_until(lambda: spread.round(now) == 0 and revocations.dead() == dead_in(desk.store))
            run.leave()
        assert revocations.dead()
        assert revocations.dead() == dead_in(desk.store)

    seen: dict[str, int] = {}
    for key, record in in_topic(kafka_url):
        assert record.version <= seen.get(key, 0) + 1
        seen[key] = max(seen.get(key, 0), record.version)
    assert seen == {row.change.key: row.change.version.number for row in rows(desk.store, after=0, limit=1_000_000)}


@pytest.mark.slow
def test_the_second_delivery_takes_over(file_desk: Desk, kafka_url: str):
    """When the one that feeds dies, the other feeds within seconds, and the follower stays current."""
    file_desk.add(token("a"), token("b"))
    with delivering(file_desk.url, kafka_url) as first, Revocations(kafka_url) as revocations:
        assert revocations.wait_until_current(timeout=60)
        with delivering(file_desk.url, kafka_url) as second:
            # The one that began last feeds; it is the one that dies.
            wait_until(lambda: "another writer has taken over" in first.output())
            second.kill()
            file_desk.add(order("r1", "token:a"))
            wait_until(lambda: "a" in revocations.dead(), seconds=30)
            assert revocations.is_dead("a") is True
            assert revocations.is_dead("b") is False
            assert first.leave()["fed"] == 1


@pytest.mark.slow
def test_once_delivers_everything_and_exits(file_desk: Desk, kafka_url: str):
    """The command reports what it did; repeating it does nothing. Without Kafka it only writes the outbox."""
    file_desk.add(token("a"), token("b", "a"), order("r1", "token:a"))
    for log, expected in [
        (file_desk.url, {"spread": 2, "fed": None}),
        (kafka_url, {"spread": 0, "fed": 2}),
        (kafka_url, {"spread": 0, "fed": 0}),
    ]:
        run = started("deliver", "--once", "--json", "--store", file_desk.url, "--log", log)
        stdout, stderr = run.communicate(timeout=60)
        assert run.returncode == 0, stderr.decode()
        assert json.loads(stdout) == expected


@pytest.mark.slow
@pytest.mark.postgres
def test_a_delivery_that_starts_while_its_database_is_down_waits(
    own_postgres: Callable[[Path], Postgres], tmp_path: Path
):
    """It reports what is missing, and delivers once it is there; stopped before that it exits with code 5."""
    database, log = own_postgres(tmp_path / "database"), f"sqlite:///{tmp_path}/log.db"
    url = database.url()
    found = Desk(url)
    found.add(token("a"), order("r1", "token:a"))
    database.kill()
    with delivering(url, log) as run, delivering(url, log) as in_vain:
        wait_until(lambda: "trying again" in run.output() and "trying again" in in_vain.output())
        in_vain.run.send_signal(signal.SIGTERM)
        code = in_vain.run.wait(timeout=60)
        database.start()
        wait_until(lambda: told_of(found.store) == {"a"})
        found.store.close()

        assert (5, {"spread": 1, "fed": None}) == (code, run.leave())


def told_of(store: Store) -> set[str] | None:
    """Return what is dead by the outbox of a database that may be starting, or return connections from before."""
    try:
        return dead_in(store)
    except UnavailableError:
        return None


def test_an_answer_takes_less_than_a_microsecond(kafka_url: str):
    """A check on every call has negligible cost."""
    topic = RevocationTopic(kafka_url)
    topic.ensure()
    with Revocations(kafka_url) as revocations:
        revocations._dead = {f"t{n}" for n in range(100_000)}
        revocations._current_until = float("inf")
        best = min(_seconds(revocations, 2_000) for _ in range(250))  # some of so short ones nobody interrupts
        assert best < 1e-6


def _seconds(revocations: Revocations, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        revocations.is_dead("t77")
    return (time.perf_counter() - began) / times
