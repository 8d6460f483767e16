"""Children issued while an order is given: systems that mark revoked elements miss some of them."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from ingest.kafka.log import KafkaLog
from ingest.kafka.revocation_follower import Revocations
from lineage.core.model.events import Target
from lineage.core.model.times import format_instant
from lineage.core.revocation.reach import Proposal
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_service
from lineage.serve.queries.revocations.receipt import receipt
from tests.support.feed_desk import delivering
from tests.support.kafka_worlds import consuming, entries_of, made_log, wait_until
from tests.support.stores import KINDS, in_a_file

pytestmark = pytest.mark.kafka

PRODUCERS = 8
BATCHES = 12
ALONE = 3  # batches of each producer come before the order for sure, and as many behind it
CHILDREN = 3  # in each
PACE_SECONDS = 0.2


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the URL of a store, on either database."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_url")
    else:
        with in_a_file() as url:
            yield url


def child(token: str, parent: str) -> dict[str, Any]:
    """Build a token exchanged from another, issued now."""
    fields = {"type": "token.issued", "event_id": token, "source": "urn:idp", "occurred_at": format_instant(now())}
    derived = [] if not parent else [{"token": parent, "role": "subject"}]
    return {**fields, "token": token, "subject": "human:a", "derived_from": derived}


class Producer:
    """Issues children of the root, and children of those, from before an order until after it."""

    def __init__(self, url: str, number: int) -> None:
        self.url = url
        self.number = number
        self.begun = threading.Event()  # the first are on the log
        self.issued: list[str] = []

    def run(self, ordered: threading.Event) -> None:
        parent, behind_it = "root", 0
        log = KafkaLog(self.url)
        try:
            for batch in count():
                tokens = [f"p{self.number}-{batch}-{each}" for each in range(CHILDREN)]
                log.append(entries_of(child(token, parent) for token in tokens))
                self.issued += tokens
                parent = tokens[-1] if batch % 3 else "root"  # some of it is deep
                if batch == ALONE:
                    self.begun.set()
                behind_it += ordered.is_set()
                if behind_it > ALONE:
                    return
                ordered.wait(PACE_SECONDS)
        finally:
            log.close()


@pytest.mark.slow
def test_children_issued_while_the_order_is_given_are_all_dead(place: str, kafka_url: str):
    """
    Eight producers issue children of a token while it is revoked: each child is dead, whether it came before, during or
    after the order; each is in the receipt; a gateway that follows the feed knows all of them; siblings live. Repeating
    the order finds the same, and nothing is left to end.
    """
    producers = [Producer(kafka_url, number) for number in range(PRODUCERS)]
    ordered = threading.Event()
    request = OrderRequest(
        target=Target("token", "root"), reason="test", ordered_by="human:r", revocation="r1", max_kills=1_000_000
    )
    settings = Settings.of(env={}, store=place, log=kafka_url)
    with made_log(kafka_url) as log, opened_service(settings, create=True) as service:
        log.append(entries_of([child("root", ""), child("sibling", "")]))
        with (
            ThreadPoolExecutor(PRODUCERS) as pool,
            consuming(place, kafka_url),
            delivering(place, kafka_url),
            Revocations(kafka_url) as gateway,
        ):
            try:
                runs = [pool.submit(producer.run, ordered) for producer in producers]
                assert all(producer.begun.wait(60) for producer in producers)
                given = give_order(service, request)
            finally:
                ordered.set()
            for run in runs:
                run.result()
            issued = {"root"}.union(*(producer.issued for producer in producers))
            wait_until(lambda: service.as_of()["behind"] == 0)

            with receipt(service, "r1", at=now()) as found:
                lines = [json.loads(line) for line in found.lines]
            again = give_order(service, request)
            left = service.reach(Proposal(target=request.target, at=now()))
            assert issued == {line["id"] for line in lines}
            assert issued == set(again["kills"]["tokens"])
            assert 0 < sum(line["born_dead"] for line in lines) < len(issued)
            assert set(given["kills"]["tokens"]) < issued  # it was given in the middle
            assert ([], len(issued)) == (left["kills"]["tokens"], left["already_dead"]["tokens"])
            wait_until(lambda: gateway.dead() == issued)
            assert gateway.wait_until_current(60)
            assert gateway.is_dead("sibling") is False
