"""Findings page by page: each is on one page, and all pages together equal the whole list."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ingest.trust_file import Trust
from lineage.serve.queries.findings.findings import findings
from lineage.serve.queries.service import Service
from lineage.store.store import Store
from tests.support import compare, stores, worlds
from tests.support.desk import Desk, done, raw_event, token
from tests.support.http_worlds import api_over
from tests.support.kept_questions import in_order
from tests.support.store_histories import SEEDS, a_store, records_of, write


def pages(store: Store, trust: Any, at: int, **size: int) -> list[str]:
    """Return the findings of all pages, one after the other."""
    service = Service(store, None, Trust(table=trust), lambda: at, source="urn:test")
    after, items = None, []
    while True:
        page = findings(service, at=at, after=after, **size)
        items += page["items"]
        if page["next"] is None:
            return [json.dumps(item, sort_keys=True) for item in items]
        after = page["next"]


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=SEEDS)
def test_each_finding_is_on_exactly_one_page(fresh: stores.Fresh, seed: int):
    """
    Whatever the page size and the positions of facts, the pages have the same findings, each once, in order.
    """
    rng = random.Random(seed)
    items = worlds.world(rng) + worlds.world(rng)
    for number, item in enumerate(items):
        item["event"] = {**item["event"], "sequence": rng.randint(1, 9) if number % 7 == 0 else None}
    trust = compare.table_of(worlds.trust(rng)) if rng.random() < 0.4 else None
    at = rng.choice(worlds.grid)
    with a_store(fresh) as (store, _):
        write(store, records_of(items, rng))
        whole = pages(store, trust, at, limit=1_000_000)
        assert whole == pages(store, trust, at, limit=rng.randint(2, 9))

    assert len(whole) == len(set(whole))


def test_the_first_fact_about_a_thing_may_be_unauthorised(fresh: stores.Fresh):
    """
    A thing is examined on the page of the first authorised fact about it.
    """
    twice = [done("a1", tool="one"), {**done("a1", tool="two"), "event_id": "again"}]
    rogue = {**done("a1", tool="three"), "event_id": "rogue", "source": "urn:rogue"}
    events = [rogue, *(token(f"t{n}") for n in range(3)), *twice]
    items = [{"event": event, "via": "decisions", "recorded_at": 1} for event in events]
    trust = compare.table_of({event["source"]: {"types": ["*"], "ids": [""]} for event in events[1:]})
    with a_store(fresh) as (store, _):
        write(store, in_order(items))
        found = [json.loads(item) for item in pages(store, trust, 1, limit=1)]

    of_it = [(one["kind"], one["of"]) for one in found if one["of"] == "action:a1"]
    assert [("unauthorised", "action:a1"), ("disagreement", "action:a1")] == of_it


def test_over_http_there_are_as_many_as_on_the_command_line(tmp_path):
    """
    A thing with facts at both ends of the log, a cycle, and a status list entry that a later fact states: each once.
    """
    desk = Desk(tmp_path)
    place = {"uri": "https://idp/list", "idx": 7}
    desk.take(
        done("x", tool="one"),
        token("s1", status_list=place),
        token("s2"),
        token("c1", derived_from=[{"token": "c2", "role": "subject"}]),
        *(token(f"t{n}") for n in range(3_100)),
        token("c2", derived_from=[{"token": "c1", "role": "subject"}]),
        {**token("s2", status_list=place), "event_id": "later"},
        {**done("x", tool="two"), "event_id": "again"},
        raw_event("principal.registered", "r", principal="human:alice", kind="agent"),
    )
    listed = desk.one("findings")["items"]
    items: list[dict[str, Any]] = []
    with api_over(desk.url, tmp_path, log_inside=True) as api:
        after: dict[str, str] = {}
        while True:
            page = api.get("/v1/findings", params={"limit": 100, **after}).json()
            items += page["items"]
            if page["next"] is None:
                break
            after = {"after": page["next"]}

    kinds = ["cycle", "disagreement", "kind-contradiction", "shared-status-list", "shared-status-list"]
    assert kinds == sorted(item["kind"] for item in listed if item["kind"] in kinds)
    assert sorted(json.dumps(item) for item in listed) == sorted(json.dumps(item) for item in items)


@pytest.mark.parametrize("path", ["/v1/findings", "/v1/findings?severity=high", "/v1/posture", "/v1/findings/F-none"])
def test_a_request_that_would_evaluate_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str):
    """
    Without an index of findings, a log that would occupy a thread for long is refused at once, with the remedy.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as api:
        before = api.get(path).status_code
        monkeypatch.setattr(api.service, "most", 40)
        refused = api.get(path)

    assert before in {200, 404}
    assert 400 == refused.status_code
    assert "over 44 records" in refused.json()["detail"]
    assert "delegraph findings keep" in refused.json()["detail"]
