"""A long start of a delivery process: it says how far it is, and tells followers nothing that it does not know."""

import logging
from pathlib import Path

import pytest

from ingest.kafka.settings import KafkaSettings
from lineage.deliver.outbox import kafka_feed, outbox_writer
from lineage.serve.config.wiring import now
from lineage.serve.processes import delivery_process
from lineage.serve.processes.delivery_metrics import DeliveryMetrics
from lineage.serve.processes.delivery_process import OutboxDelivery
from lineage.serve.processes.health_server import Health
from lineage.store.server_clock import ServerClock
from lineage.store.store import Store
from tests.support.feed_desk import Desk, order, token
from tests.support.stores import in_a_file

TOKENS = [f"t{n}" for n in range(4)]


def delivery_of(store: Store, log: str) -> OutboxDelivery:
    return OutboxDelivery(store, None, log, KafkaSettings(), ServerClock(store, now))


def test_a_long_start_says_how_much_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """
    It is alive and not ready, with the number in the reason; once everything is examined it is ready.
    """
    for name in ("_LONG_SECONDS", "_REPORT_SECONDS"):
        monkeypatch.setattr(delivery_process, name, 0.0)
    monkeypatch.setattr(outbox_writer, "_ORDERS", 1)
    moment = [0.0]
    health = Health(lambda: moment[0], stalled_seconds=60)
    metrics = DeliveryMetrics(health, now, lambda: {"spread": 0, "fed": None}, lambda: 0.0)
    seen: list[tuple[list[str], str | None, bool]] = []
    with in_a_file() as url:
        desk = Desk(url)
        desk.add(*map(token, TOKENS), *(order(f"r-{id_}", f"token:{id_}") for id_ in TOKENS))
        delivery = delivery_of(desk.store, f"sqlite:///{tmp_path}/log.db")
        examination = delivery_process._Examination(metrics)

        def examined(left: int) -> None:
            examination.examined(left)
            text = metrics.exposition().decode()
            seen.append(
                (health.reasons(), health.stalled(), f"\ndelegraph_delivery_left_to_examine {left}.0\n" in text)
            )
            moment[0] += 59

        with caplog.at_level(logging.INFO):
            delivery.turn(examined)
        metrics.turned(1.0)
        desk.store.close()

    reasons = [f"{left} orders, other facts and rows of the outbox are left to examine" for left in (3, 2, 1)]
    assert reasons == [found[0] for found, _, _ in seen[:3]]
    assert all(stalled is None and is_shown for _, stalled, is_shown in seen)
    assert all(f"{reason}; until then followers get no heartbeat" in caplog.text for reason in reasons)
    assert [] == health.reasons()


@pytest.mark.kafka
def test_there_is_no_heartbeat_before_everything_is_examined(kafka_url: str, monkeypatch: pytest.MonkeyPatch):
    """
    It would claim that followers know every order. A process that has started goes on with its heartbeats while another
    one starts.
    """
    monkeypatch.setattr(kafka_feed, "BEAT_SECONDS", 0.0)
    monkeypatch.setattr(outbox_writer, "_ORDERS", 1)
    heartbeat, beats = kafka_feed.heartbeat, []

    def counted(seq: int, at: int) -> tuple[str, bytes]:
        beats.append(seq)
        return heartbeat(seq, at)

    monkeypatch.setattr(kafka_feed, "heartbeat", counted)
    during: dict[str, list[int]] = {"first": [], "second": []}
    with in_a_file() as url:
        desk = Desk(url)
        desk.add(*map(token, TOKENS), *(order(f"r-{id_}", f"token:{id_}") for id_ in TOKENS))
        first, second = delivery_of(desk.store, kafka_url), delivery_of(desk.store, kafka_url)

        def meanwhile(_left: int) -> None:
            first.turn()
            during["second"].append(len(beats))

        first.turn(lambda _left: during["first"].append(len(beats)))
        second.turn(meanwhile)
        first.close()
        second.close()
        desk.store.close()

    parts = len(during["second"])
    assert parts >= len(TOKENS)
    assert {0} == set(during["first"])
    assert list(range(2, parts + 2)) == during["second"]
    assert parts + 2 == len(beats)
