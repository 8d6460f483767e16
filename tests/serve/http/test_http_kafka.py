"""`delegraph serve` with the log on Kafka: writes over HTTP reach the topics, also after an outage of the broker."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from compose.native.kafka import Kafka
from lineage.core.model.records import DECISIONS, ORDERS, TOPICS
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.http_writes import KILLED, ORDER, counts, event
from tests.support.kafka_worlds import entries_of, made_log, wait_until
from tests.support.web_pages import EVERY, OF, Pages

pytestmark = pytest.mark.kafka

KEY = {"Idempotency-Key": "retry-1"}
QUESTIONS = (
    "/v1/who?action=mail-7",
    f"/v1/chain?of={OF}",
    f"/v1/status?of={OF}",
    f"/v1/uses?of={OF}",
    f"/v1/timeline?of={OF}",
    "/v1/search?q=mail",
    "/v1/findings",
    "/v1/quarantine",
    "/v1/conflicts",
    "/v1/revocations",
)


def in_topics(world: World) -> dict[str, int]:
    """Return the number of records of each topic."""
    ends = world.service.require_log().ends()
    return {topic: sum(end for (name, _), end in ends.items() if name == topic) for topic in TOPICS}


def test_what_is_written_over_http_is_on_the_topics(kafka_url: str, tmp_path: Path):
    """
    Events are on the topic of decisions, orders on theirs and projected before the answer; a record of another producer
    is reported as not yet projected until the next write projects it.
    """
    with (
        made_log(kafka_url) as others,
        api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, log_url=kafka_url) as world,
    ):
        before = in_topics(world)
        first, again = (world.post("/v1/events", "producer", json=[event(1), event(2)]) for _ in range(2))
        others.append(entries_of([event(3)]))
        behind = world.get("/v1/status", params={"of": LEAKED}).json()["as_of"]["behind"]
        order = world.post("/v1/revocations", json=ORDER, headers=KEY)
        repeated = world.post("/v1/revocations", json=ORDER, headers=KEY)
        status = world.get("/v1/status", params={"of": LEAKED}).json()
        after = in_topics(world)
        [partition] = [place for (topic, place), end in others.ends().items() if topic == ORDERS and end]
        [record] = others.read(ORDERS, partition, 0, limit=10).records
        fresh = others.ends()

    assert ([2, 2, 0, 0, 0, 0], [2, 0, 2, 0, 0, 0]) == (counts(first), counts(again))
    assert (1, 0) == (behind, status["as_of"]["behind"])
    assert (201, 201, KILLED + 3) == (order.status_code, repeated.status_code, len(order.json()["kills"]["tokens"]))
    assert ("revoked", order.json()["revocation"]) == (status["state"], status["because"]["revocation"])
    assert {DECISIONS: before[DECISIONS] + 5, ORDERS: before[ORDERS] + 1} == after
    assert record.value is not None
    assert sum(fresh.values()) == sum(after.values())


@pytest.mark.slow
def test_an_outage_of_the_broker_is_reported_and_ends(own_kafka: Callable[[Path], Kafka], tmp_path: Path):
    """
    Meanwhile questions are answered from what is projected, writes and plans get 503, and nothing answers 500; an order
    that got 503 is given once when it is sent again.
    """
    broker = own_kafka(tmp_path / "kafka")
    url = f"kafka://{broker.servers}/test"
    with made_log(url):
        pass
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, log_url=url) as world:
        pages = Pages(world)
        digest = world.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]
        body = ORDER | {"plan_digest": digest}
        broker.stop()
        put_off = [
            world.post("/v1/events", "producer", json=[event(1)]),
            world.post("/v1/revocations", json=body, headers=KEY),
            world.get("/v1/reach", params={"of": LEAKED}),
            world.post("/v1/revocations/rev-1/lift"),
            world.post("/v1/revocations/rev-1/acknowledgements", "receiver", json={"outcome": "enforced"}),
        ]
        answered = [world.get(path) for path in QUESTIONS]
        shown = {path: pages.get(path) for path in EVERY}
        ready = world.get("/readyz")
        broker.start()
        wait_until(lambda: world.get("/readyz").json()["log"] == "there")
        events = world.post("/v1/events", "producer", json=[event(1)])
        plan = world.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]
        orders = [world.post("/v1/revocations", json=ORDER | {"plan_digest": plan}, headers=KEY) for _ in range(2)]
        health = pages.get("/health")

    assert [(503, "unavailable", "5")] * len(put_off) == [said_of(one) for one in put_off]
    assert [(200, None)] * len(answered) == [(one.status_code, one.json()["as_of"]["behind"]) for one in answered]
    assert {200, 404, 503} >= {page.status_code for page in shown.values()}
    plans = {f"/reach?of={OF}", "/reach?of=principal:agent:planner&mode=suspend&cascade=false"}
    assert plans | {"/retention/plan?before=now"} == {
        path for path, page in shown.items() if page.status_code == 503 and "retry-after" in page.headers
    }
    assert "the log cannot be asked for more" in shown[f"/chain?of={OF}"].text
    assert "The log does not answer" in shown["/health"].text
    assert (200, "ready", "away") == (ready.status_code, ready.json()["status"], ready.json()["log"])
    assert [1, 1, 0, 0, 0, 0] == counts(events)
    assert [(201, False), (201, True)] == [(one.status_code, one.json()["repeated"]) for one in orders]
    assert "Data is current" in health.text


def said_of(response: httpx.Response) -> tuple[int, str, str]:
    return response.status_code, problem_type(response), response.headers["retry-after"]
