"""Queries of activity compared with the slow model: changes, mentions of a thing, actions, and ids.

Random worlds in a SQLite file, queried as in production; the expected answers are built from ``model`` alone.
"""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.history.diff import diff as diff_of
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.inventory.search import search as search_of
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support import model, worlds
from tests.support.store_histories import records_of, write

SEEDS = st.integers(0, 2**32)
Items = list[dict[str, Any]]


@contextmanager
def asking(items: Items, rng: random.Random) -> Iterator[Service]:
    """Build a service over the records of a world."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/store.db", codec.read, create=True)
        try:
            write(store, records_of(items, rng))
            yield Service(store, None, Trust(), lambda: worlds.grid[4], source="urn:test")
        finally:
            store.close()


def hanging_on(view: model.View, kind: str, id_: str) -> set[model.Element]:
    """Return a token or delegation, or everything that names a party, session or client; and all their dependents."""
    space = model.space_of(kind)

    def is_it(named: model.Element) -> bool:
        return named[0] == space and (named[1] == id_ or (space == "principal" and model.same(view, named[1], id_)))

    hit = {(kind, id_)} if kind in ELEMENT_KINDS else set()
    if not hit:
        hit = {element for element, grant in view["elements"].items() if any(map(is_it, grant["names"]))}
    return hit | {element for element in view["elements"] if model.needs_at_any_depth(view, element) & hit}


def changed(view: model.View, kind: str, id_: str, start: int, end: int) -> list[dict[str, Any]] | None:
    """Return what ``diff`` must list; None if nothing names the id."""
    if not model.is_named(view, kind, id_):
        return None
    elements = sorted(hanging_on(view, kind, id_), key=":".join)
    changes = elements if kind in ELEMENT_KINDS else [(kind, id_), *elements]
    items = [(of, verdict(view, of, start), verdict(view, of, end)) for of in changes]
    return [{"kind": of[0], "id": of[1], "from": was, "to": is_} for of, was, is_ in items if was != is_]


def verdict(view: model.View, of: model.Element, at: int) -> dict[str, Any]:
    found = model.status_in(view, *of, at)
    because = found["because"]
    if because is not None:
        because = {**because, "effective_at": model.rfc3339(because["effective_at"])}
    return {"state": found["state"], "because": because}


def mentioning(view: model.View, kind: str, id_: str) -> list[dict[str, Any]]:
    return [fact["event"] for fact in view["facts"] if (model.space_of(kind), id_) in model.named_by([fact])]


def listed(document: dict[str, Any] | None) -> list[dict[str, Any]] | None:
    return None if document is None else document["items"]


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=SEEDS)
def test_a_diff_equals_the_difference_of_the_model_at_two_instants(seed: int):
    """It is the difference of two states of every dependent of a thing: nothing more, nothing missing."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    view = model.view_of(model.visible(items, known_at, None))

    with asking(items, rng) as service:
        for kind, id_ in worlds.questions(items):
            start, end = rng.choice(worlds.grid), rng.choice(worlds.grid)
            expected = changed(view, kind, id_, start, end)
            found = diff_of(service, kind, id_, start=start, end=end, known_at=known_at)
            assert expected == listed(found), (kind, id_, start, end)


@pytest.mark.slow
@settings(max_examples=8)
@given(seed=SEEDS)
def test_every_mention_of_a_thing_is_listed(seed: int):
    """The timeline has every fact that names an id, the actions are those among them, and a search finds the id."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    view = model.view_of(model.visible(items, known_at, None))

    everything = model.view_of(model.visible(items, None, None))
    with asking(items, rng) as service:
        for kind, id_ in worlds.questions(items):
            events = mentioning(view, kind, id_)
            listed_items = listed(timeline(service, kind, id_, known_at=known_at)) or []
            assert sorted(e["event_id"] for e in events) == sorted(item["event"]["event_id"] for item in listed_items)
            done = listed(actions(service, ActionFilter(of=f"{kind}:{id_}"), at=0, known_at=known_at, limit=99)) or []
            expected = {event["action"] for event in events if event["type"] == "action.performed"}
            assert sorted(expected) == sorted(item["action"] for item in done)
            if mentioning(everything, kind, id_):
                key = {"kind": model.space_of(kind), "id": id_}
                items = search_of(service, id_[: rng.randint(1, len(id_))])["items"]
                assert key in [{name: item[name] for name in key} for item in items]


def test_a_party_that_holds_nothing_changes_with_its_alias():
    """
    An order on one name of a party is in the diff of another name, whether or not anything names that one. Clause 4.3.
    """
    at, later = worlds.grid[1], worlds.grid[5]
    fields = {"event_id": "e1", "source": "urn:idp", "occurred_at": "2026-11-01T09:10:00Z"}
    registered = {"type": "principal.registered", **fields, "principal": "agent:p", "kind": "agent"}
    registered |= {"aliases": ["okta|1"]}
    target = {"kind": "principal", "id": "agent:p"}
    ordered = {"type": "revocation.ordered", **fields, "event_id": "e2", "revocation": "r1", "target": target}
    ordered |= {"occurred_at": "2026-11-01T09:20:00Z", "reason": "test", "ordered_by": "human:ir"}
    items = [{"event": registered, "recorded_at": at, "via": "decisions"}]
    items.append({"event": ordered, "recorded_at": worlds.grid[2], "via": "orders"})

    with asking(items, random.Random(0)) as service:
        found = diff_of(service, "principal", "okta|1", start=at, end=later)

    assert [("okta|1", "active", "revoked")] == [
        (item["id"], item["from"]["state"], item["to"]["state"]) for item in listed(found) or []
    ]
