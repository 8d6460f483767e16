"""The consumer on a real Kafka: what it projects, how it leaves, what it reports, and what it refuses."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from kafka.structs import TopicPartition

from ingest.kafka.log import KafkaLog
from ingest.log.port import Entry
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.model.records import DECISIONS
from lineage.serve.cli.main import main
from lineage.serve.commands import maintenance
from lineage.serve.commands.rebuild_workers import Workers
from lineage.serve.config.wiring import Settings, now
from lineage.serve.processes.consumer_process import consume
from lineage.serve.processes.live_graph import digest_of_store
from lineage.serve.queries.service import Service
from lineage.store.quarantine import quarantined
from tests.support import servers
from tests.support.kafka_worlds import (
    LINE,
    PARTITIONS,
    WITH_WORKER,
    Consuming,
    Event,
    account,
    administering,
    assert_whole,
    consuming,
    content_digest,
    drained,
    entries_of,
    facts_in,
    given_up,
    group_of,
    history,
    lag_of,
    made_log,
    opened,
    producing,
    recreate,
    started,
    unequal,
    wait_until,
)

pytestmark = pytest.mark.kafka

MANY = 1_500
AT = "2024-05-02T00:00:00Z"
HEADERS = [("traceparent", b"00-ab-cd-01"), ("raw", b"\xff\x00"), ("raw", b"again")]
NO_EVENT = b"no event at all"
INTEGRITY = 6


def asked(store: str, log: str, *words: str) -> list[Any]:
    """Return the output of a command."""
    result = CliRunner().invoke(main, [*words, "--json", "--store", store, "--log", log], catch_exceptions=False)

    assert result.exit_code in (0, 3), result.output
    return [json.loads(line) for line in result.stdout.split("\n") if line]


# One running consumer, on either database


@dataclass
class World:
    """A log, a store, and a running consumer that has projected the one into the other.

    Attributes:
        made: The events that were appended; half of them before the consumer started.
        misrouted: An order on the topic of decisions.
    """

    store: str
    url: str
    log: KafkaLog
    consumer: Consuming
    made: list[Event]
    misrouted: Event


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return a store on either database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('world')}/delegraph.db"
    else:
        with servers.fresh_database(request.getfixturevalue("postgres")) as url:
            yield url


@pytest.fixture(scope="module")
def world(store_url: str, kafka: str) -> Iterator[World]:
    """Append to the log before the consumer starts and while it runs; on PostgreSQL it gives batches to its worker."""
    url = f"kafka://{kafka}/world-{uuid4().hex}"
    made = history(MANY)
    half = len(made) // 2
    misrouted = next(event for event in made if event["type"] == "revocation.ordered")
    misrouted = {**misrouted, "event_id": "misrouted"}
    [order] = entries_of([misrouted])
    with made_log(url) as log:
        log.append(entries_of(made[:half]))
        code = LINE if store_url.startswith("sqlite") else WITH_WORKER
        with consuming(store_url, url, code=code) as consumer, producing(log.servers) as producer:
            wait_until(lambda: consumer.run.poll() is not None or _has_begun(store_url))
            producer.send(log.topic_name(DECISIONS), NO_EVENT, headers=HEADERS, partition=1).get(30)
            log.append([*entries_of(made[half:]), order._replace(topic=DECISIONS)])
            wait_until(lambda: lag_of(store_url, log) == 0 and same_graph(consumer, store_url))
            yield World(store_url, url, log, consumer, made, misrouted)


def _has_begun(store: str) -> bool:
    try:
        with opened(store) as found:
            return bool(found.positions())
    except Exception:  # noqa: BLE001 (it is being made)
        return False


@pytest.mark.slow
def test_records_from_before_and_during_the_run_are_projected_once(world: World, tmp_path: Path):
    """
    Every event is one fact, every record is accounted for, and the store equals an uninterrupted projection.
    """
    assert_whole(world.store, world.log, {content_digest(event) for event in [*world.made, world.misrouted]}, tmp_path)


@pytest.mark.slow
def test_a_quarantined_record_has_its_position_and_headers(world: World):
    """
    Topic, partition, offset, reason, the value and the headers, including bytes and repetitions.
    """
    [item] = asked(world.store, world.url, "quarantine")[0]["items"]
    with opened(world.store) as store:
        [row] = quarantined(store)
    [record] = world.log.read(DECISIONS, 1, row.record.place, limit=1).records

    assert NO_EVENT == record.value == row.record.value
    assert (record.number, "decisions/1", record.recorded_at) == (
        row.record.number,
        row.record.origin,
        row.record.recorded_at,
    )
    assert item["reason"] == row.record.reason
    assert [["traceparent", "00-ab-cd-01"], ["raw", "ff00"], ["raw", "again"]] == json.loads(row.record.headers or b"")


@pytest.mark.slow
def test_an_order_on_the_topic_of_decisions_has_no_effect(world: World):
    """
    It is kept as the only unauthorised fact; the same order on its own topic counts.
    """
    with opened(world.store) as store:
        misrouted = [stored.fact for stored in store.facts() if stored.fact.misrouted]
        outcomes = store.outcomes()

    assert ["misrouted"] == [fact.event.event_id for fact in misrouted]
    assert 1 == outcomes.unauthorised


@pytest.mark.slow
def test_the_consumer_commits_its_positions_to_the_group(world: World):
    """
    The group's offsets become the positions, for tools that show lag.
    """
    group, expected = group_of(world.url), {}
    with opened(world.store) as store:
        for (topic, partition), following in store.positions().items():
            expected[TopicPartition(world.log.topic_name(topic), partition)] = following

    def committed() -> dict[TopicPartition, int]:
        with administering(world.log.servers) as admin:
            offsets = admin.list_group_offsets(group)[group]
        return {place: found.offset for place, found in offsets.items() if place in expected}

    wait_until(lambda: committed() == expected)


@pytest.mark.slow
def test_the_consumer_reports_its_health_and_metrics(world: World):
    """
    `/healthz` and `/readyz` answer, and `/metrics` counts every record of the log.
    """
    wait_until(lambda: world.consumer.get("/readyz")[0] == 200)
    records = sum(world.log.ends().values())
    # A batch is counted when the next one is polled, and the quarantine every few seconds.
    wait_until(lambda: records == metric(world.consumer, "delegraph_records_total"))
    wait_until(lambda: metric(world.consumer, "delegraph_quarantine_waiting") == 1)

    assert (200, {"status": "ok"}) == world.consumer.get("/healthz")
    assert 2 * PARTITIONS == metric(world.consumer, "delegraph_partitions")
    with opened(world.store) as store:
        for outcome, count in store.outcomes()._asdict().items():
            assert count == metric(world.consumer, f'delegraph_events_total{{outcome="{outcome}"}}')


def metric(consumer: Consuming, name: str) -> float:
    """Return the value of a metric, whose name includes its labels."""
    status, metrics = consumer.get("/metrics")
    assert status == 200
    [value] = [line.rpartition(" ")[2] for line in metrics.splitlines() if line.rpartition(" ")[0] == name]
    return float(value)


def test_the_live_graph_answers_like_the_command_line(world: World):
    """
    `/status` and `/chain` return the documents of `delegraph status` and `delegraph chain`, except for findings about
    actions, which the live graph does not contain.
    """
    tokens = [f"token:{event['token']}" for event in world.made if event["type"] == "token.issued"][::40]
    names = ["principal:agent:a7", "principal:human:h3"]
    for command, ids in (("status", [*tokens, *names]), ("chain", tokens)):
        expected = asked(world.store, world.url, command, *ids, "--at", AT)
        for id_, document in zip(ids, expected, strict=True):
            status, found = world.consumer.get(f"/{command}?of={id_}&at={AT}")
            assert 200 == status
            assert document["as_of"]["recorded_at"] == found["as_of"]["recorded_at"]
            assert without_as_of(document) == without_as_of(found)

    assert 404 == world.consumer.get("/status?of=token:nobody-named-this")[0]
    assert 400 == world.consumer.get("/chain?of=principal:human:h3")[0]
    assert 400 == world.consumer.get("/status")[0]


def test_the_live_graph_equals_a_fresh_projection(world: World):
    """
    Its digest and positions are those of the store, which equals an uninterrupted projection.
    """
    wait_until(lambda: same_graph(world.consumer, world.store))


def without_as_of(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in ("as_of", "findings")}


def same_graph(consumer: Consuming, store: str) -> bool:
    """Whether a consumer's live graph equals the store, including positions; false while it is being loaded."""
    if not answers(consumer):
        return False
    status, document = consumer.get("/digest")
    if status == 503:
        return False
    assert status == 200
    with opened(store) as found:
        positions = {f"{topic}/{partition}": end for (topic, partition), end in found.positions().items()}
        return (document["digest"], document["positions"]) == (digest_of_store(found, None), positions)


# Joining and leaving


@pytest.mark.slow
def test_a_consumer_leaves_at_once_on_sigterm(kafka_url: str, tmp_path: Path):
    """
    In the middle of its work it finishes the batch and leaves, reports what it did, and the next one continues.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    made = history(6_000)
    with made_log(kafka_url) as log:
        entries = entries_of(made)
        log.append(entries[:2_000])
        with consuming(store, kafka_url) as consumer:
            wait_until(lambda: _has_begun(store))
            log.append(entries[2_000:])
            document, took = consumer.leave()
        left = account(store, log)
        rest = drained(store, kafka_url)

        assert took < 5, took
        assert document["records"] == left.moved == left.outcomes
        assert left.records == document["records"] + rest["records"]
        assert_whole(store, log, {content_digest(event) for event in made}, tmp_path)


@pytest.mark.slow
def test_a_leaving_consumer_commits_its_positions_to_the_group(kafka_url: str, tmp_path: Path):
    """
    Once it has left, the offsets of its group are its positions.
    """
    store, group = f"sqlite:///{tmp_path}/delegraph.db", group_of(kafka_url)
    with made_log(kafka_url) as log:
        log.append(entries_of(history(300)))
        with consuming(store, kafka_url) as consumer:
            wait_until(lambda: _has_begun(store) and lag_of(store, log) == 0)
            consumer.leave()
        with administering(log.servers) as admin:
            offsets = admin.list_group_offsets(group)[group]
        with opened(store) as found:
            positions = found.positions()

        assert {TopicPartition(log.topic_name(topic), n): end for (topic, n), end in positions.items() if end} == {
            place: offset.offset for place, offset in offsets.items() if offset.offset > 0
        }


@pytest.mark.slow
def test_consumers_that_join_and_leave_share_the_work(kafka_url: str, store_url: str, tmp_path: Path):
    """
    A second joins under load, the first leaves, a third joins: nothing is lost or repeated, and each has worked.
    """
    made = history(1_500, seed=7)
    entries = entries_of(made)
    slices = [entries[n : n + 50] for n in range(0, len(entries), 50)]
    store = store_url if store_url.startswith("postgresql") else f"sqlite:///{tmp_path}/delegraph.db"
    with fresh(store) as store, made_log(kafka_url, partitions=4) as log:
        enough = threading.Event()

        def load() -> None:
            """Send all events, and again from the beginning until every consumer has joined and worked."""
            for n, part in enumerate(cycle(slices), start=1):
                log.append(part)
                if enough.wait(0.1) and n >= len(slices):
                    return

        loader = threading.Thread(target=load)
        with consuming(store, kafka_url) as first, consuming(store, kafka_url) as second, has_begun(loader, enough):
            wait_until(lambda: has_worked(first, second))
            one, _ = first.leave()
            with consuming(store, kafka_url) as third:
                wait_until(lambda: has_worked(second, third))
                enough.set()
                loader.join()
                wait_until(lambda: lag_of(store, log) == 0)
                wait_until(lambda: same_graph(second, store) and same_graph(third, store))
                two, _ = second.leave()
                three, _ = third.leave()

        records = [document["records"] for document in (one, two, three)]
        assert all(records)
        assert sum(log.ends().values()) == sum(records)
        assert_whole(store, log, {content_digest(event) for event in made}, tmp_path)


@contextmanager
def has_begun(thread: threading.Thread, enough: threading.Event) -> Iterator[None]:
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


class fresh:  # noqa: N801 (a context)
    """A store for one test, as the module's store is shared."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._database: Any = None

    def __enter__(self) -> str:
        if self._url.startswith("sqlite"):
            return self._url
        self._database = servers.fresh_database(self._url)
        return str(self._database.__enter__())

    def __exit__(self, *fault: object) -> None:
        if self._database is not None:
            self._database.__exit__(*fault)


def has_worked(*consumers: Consuming) -> bool:
    """Whether each of two has half of the partitions, and has projected something."""
    return all(
        answers(consumer)
        and metric(consumer, "delegraph_partitions") == 4
        and metric(consumer, "delegraph_records_total") > 0
        for consumer in consumers
    )


def test_drain_stops_at_the_end_the_log_had_at_its_start(kafka_url: str, tmp_path: Path):
    """
    Records that arrive during a drain are left for the next one.
    """
    made = history(900)
    entries = entries_of(made)
    settings = Settings(store=f"sqlite:///{tmp_path}/delegraph.db", log=kafka_url)
    with made_log(kafka_url) as log:
        log.append(entries[:600])
        late = iter([entries[600:]])

        first, rest = (
            consume(settings, drain=True, progress=lambda _: nullcontext(lambda _: log.append(next(late, [])) and None))
            for _ in range(2)
        )

    assert (600, 300) == (first["records"], first["as_of"]["behind"])
    assert (300, 0) == (rest["records"], rest["as_of"]["behind"])
    assert {content_digest(event) for event in made} == set(facts_in(settings.store))


# Refusals


def append_some(log: KafkaLog, count: int, seed: int) -> None:
    log.append(entries_of(history(count, seed)))


def forced(name: str, log: KafkaLog) -> None:
    """Change the topics in a way that must be detected."""
    if name == "fewer":
        recreate(log)
        append_some(log, 20, 2)
    elif name == "more":
        recreate(log)
        append_some(log, 900, 2)
    else:
        append_some(log, 300, 2)
        with administering(log.servers) as admin:
            admin.delete_records(
                {
                    TopicPartition(log.topic_name(topic), partition): end
                    for (topic, partition), end in log.ends().items()
                }
            )


@pytest.mark.slow
@pytest.mark.parametrize("what", ["fewer", "more", "deleted"])
def test_a_replaced_or_truncated_log_is_refused(kafka_url: str, tmp_path: Path, what: str):
    """
    Topics were created again while no consumer ran, with fewer or more records, or records were deleted before they
    were projected: the next consumer reports it and exits with 6, and nothing is written.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url) as log:
        append_some(log, 300, 1)
        drained(store, kafka_url)
        held = facts_in(store)

        forced(what, log)

        for words in (["--group", group_of(kafka_url)], ["--drain"]):
            run = started("consume", *words, "--store", store, "--log", kafka_url)
            code, result = given_up(run)
            assert INTEGRITY == code, result
            assert "another log" in result or "deleted" in result or "no longer holds" in result
        assert held == facts_in(store)


OFTEN = f"""
import ingest.kafka.consumer
ingest.kafka.consumer._CHECK_SECONDS = 1.0
{LINE}
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["fewer", "more"])
def test_topics_created_again_during_a_run_are_noticed(kafka_url: str, tmp_path: Path, what: str):
    """
    The consumer exits with 6 at its next check.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url) as log:
        append_some(log, 300, 1)
        run = started("consume", "--store", store, "--log", kafka_url, "--group", group_of(kafka_url), code=OFTEN)
        try:
            wait_until(lambda: _has_begun(store) and lag_of(store, log) == 0)
            forced(what, log)
            code, result = given_up(run)
        finally:
            run.kill()
            run.communicate()

    assert INTEGRITY == code, result
    assert "another log" in result or "no longer holds" in result or "lost" in result


@pytest.mark.slow
def test_a_store_that_has_read_another_log_is_refused(kafka_url: str, tmp_path: Path):
    """
    Consuming another log into a store exits with 6 and leaves the store unchanged.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url) as log, made_log(f"{kafka_url}-other") as other:
        append_some(log, 100, 1)
        append_some(other, 500, 2)
        drained(store, kafka_url)
        held = facts_in(store)
        run = started("consume", "--store", store, "--log", f"{kafka_url}-other")
        code, result = given_up(run)

    assert (INTEGRITY, True) == (code, "another log" in result), result
    assert held == facts_in(store)


# Records that become readable after an upgrade


OLDER = f"""
import ingest.projector
from lineage.core.model.errors import UnknownSchemaError

class Older:
    def decode(value):
        event = decode(value)
        if event.source == "urn:source:3":
            raise UnknownSchemaError("unknown-schema", "a later version may know it")
        return event

decode = ingest.projector.codec.decode
ingest.projector.codec = Older
{LINE}
"""


@pytest.mark.slow
def test_records_unknown_to_an_older_version_are_imported_after_an_upgrade(kafka_url: str, tmp_path: Path):
    """
    They wait in quarantine without delaying the rest, `quarantine --retry` imports them, and the live graph of a
    running consumer has them too.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    made = history(1_000)
    later = sum(event["source"] == "urn:source:3" for event in made)
    with made_log(kafka_url) as log:
        log.append(entries_of(made))
        older = started("consume", "--drain", "--json", "--store", store, "--log", kafka_url, code=OLDER)
        stdout, stderr = older.communicate(timeout=60)
        assert older.returncode == 0, stderr.decode()
        outcomes = json.loads(stdout)["outcomes"]
        with consuming(store, kafka_url) as consumer:
            wait_until(lambda: answers(consumer) and same_graph(consumer, store))
            [document] = asked(store, kafka_url, "quarantine", "--retry")
            wait_until(lambda: same_graph(consumer, store))
            consumer.leave()

        assert (later, 1_000) == (outcomes["quarantined"], sum(outcomes.values()))
        assert (later, later, 0) == (document["read"], document["taken_up"], document["waiting"])
        assert_whole(store, log, {content_digest(event) for event in made}, tmp_path)


def answers(consumer: Consuming) -> bool:
    try:
        return consumer.get("/healthz")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_the_live_graph_follows_a_rebuild(kafka_url: str, tmp_path: Path):
    """
    After a store is rebuilt under a running consumer, the live graph soon equals it.
    """
    store = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url) as log:
        append_some(log, 600, 1)
        with consuming(store, kafka_url) as consumer:
            wait_until(lambda: answers(consumer) and lag_of(store, log) == 0)
            with opened(store) as found, found._write() as connection:
                for table in ("ref", "fact"):
                    connection.exec_driver_sql(f"DELETE FROM {table} WHERE n % 5 = 0")
                connection.exec_driver_sql("UPDATE meta SET value = x'00' WHERE name = 'edition'")
            asked(store, kafka_url, "rebuild")
            append_some(log, 100, 3)
            wait_until(lambda: lag_of(store, log) == 0 and same_graph(consumer, store))
            consumer.leave()
        assert [] == unequal(store, log, tmp_path)


@pytest.mark.slow
def test_a_rebuild_with_workers_equals_its_log(kafka_url: str, tmp_path: Path):
    """Each worker reads from the broker itself: many partitions, and records that cannot be read."""
    url = f"sqlite:///{tmp_path}/delegraph.db"
    with made_log(kafka_url) as log:
        append_some(log, 600, 1)
        log.append([Entry(DECISIONS, NO_EVENT)])
        asked(url, kafka_url, "consume", "--drain")
        opener = partial(open_log, kafka_url, create=False, clock=now)
        with opened(url) as store:
            before = store.outcomes()
            service = Service(store, log, Trust(), lambda: 0, source="urn:test")
            document = maintenance.rebuild(service, lambda _: None, Workers(opener, 2, 1))
            assert (before, document["records"]) == (store.outcomes(), sum(before))
        assert [] == unequal(url, log, tmp_path)
