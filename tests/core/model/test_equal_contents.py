"""Contents are equal only if their types are, even if all their fields are equal."""

import json
import random
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from lineage.core.authority.elements import in_order
from lineage.core.model.events import BODIES, Event, Fact, digest
from tests.support import stores, worlds
from tests.support.desk import Desk, ordered, raw_event, token
from tests.support.store_histories import a_store, records_of, write

KEY = {"event_id": "3", "source": "https://soc.example", "occurred_at": "2026-11-01T11:00:00Z"}


def a_pair(seed: int, types: tuple[str, str]) -> list[worlds.Event]:
    """Return two events with one identity that differ only in their type and the names of their fields."""
    return [{**event, **KEY} for event in worlds.twins(worlds.Pool(random.Random(seed)), *types)]


def decoded(pair: list[worlds.Event]) -> tuple[Event, Event]:
    one, other = (codec.decode_line(json.dumps(event).encode()) for event in pair)
    return one, other


@pytest.mark.parametrize("types", worlds.TWINS, ids=" and ".join)
@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_contents_of_two_types_are_never_equal(types: tuple[str, str], seed: int):
    """
    Their tuples are equal, yet they are two contents: as values, as keys, as facts and by their digests.
    """
    one, other = decoded(a_pair(seed, types))

    assert tuple(one.body) == tuple(other.body)
    assert types == (one.type, other.type)
    assert one != other
    assert not one == other  # noqa: SIM201 (the two operators are two functions)
    assert one == decoded(a_pair(seed, types))[0]
    assert {one, other} == {other, one}
    assert 2 == len({one, other}) == len({digest(one), digest(other)})
    assert 2 == len(in_order([Fact(one, 0), Fact(other, 0)]))


def test_random_worlds_have_every_pair_that_can_be_equal():
    """
    Of all pairs of types with equally many fields, those that can be equal as tuples occur, and the others cannot.
    """
    found = set()
    for seed in range(400):
        by_key: dict[tuple[str, str], list[Event]] = {}
        for record in worlds.world(random.Random(seed)):
            event = codec.decode_line(json.dumps(record["event"]).encode())
            by_key.setdefault((event.source, event.event_id), []).append(event)
        for group in by_key.values():
            for one, other in combinations(group, 2):
                if one.type != other.type and tuple(one.body) == tuple(other.body):
                    found.add(frozenset((one.type, other.type)))

    assert {frozenset(types) for types in worlds.TWINS} == found
    assert ("revocation.lifted", "revocation.acknowledged") in worlds.TWINS
    for one, other in combinations(BODIES, 2):
        if len(BODIES[one]._fields) == len(BODIES[other]._fields) and (one, other) not in worlds.TWINS:
            fields = zip(BODIES[one]._fields, BODIES[other]._fields, strict=True)
            assert any(not worlds.shared((one, a), (other, b)) for a, b in fields), (one, other)


@pytest.mark.slow
@pytest.mark.parametrize(("types", "seed"), list(product(worlds.TWINS, range(3))))
def test_the_store_keeps_both(fresh: stores.Fresh, types: tuple[str, str], seed: int):
    """
    Neither of two such contents is a duplicate of the other: both are kept, in one batch and in two.
    """
    pair = a_pair(seed, types)
    vias = ["orders" if event["type"] in worlds.ORDERS else "decisions" for event in pair]
    items = [{"event": event, "via": via, "recorded_at": 1} for event, via in zip(pair, vias, strict=True)]
    records = records_of(items, random.Random(seed))
    for batches in ([records], [[record] for record in records]):
        with a_store(fresh) as (store, _):
            for batch in batches:
                write(store, batch)

            assert (1, 0, 1) == store.outcomes()[:3]
            assert [2] == [len(group) for group in store.conflicts()]


def test_a_lift_is_not_a_duplicate_of_an_acknowledgement(tmp_path):
    """
    The acknowledgement came first, the lift has its identity and its values: the suspension is lifted. Clause 2.10.
    """
    desk = Desk(tmp_path)
    lift = {"revocation": "r1", "lifted_by": "human:dana", "approved_by": "enforced"}
    word = {"revocation": "r1", "receiver": "human:dana", "outcome": "enforced"}
    counts = desk.take(
        token("t1"),
        ordered("r1", "token", "t1", mode="suspend"),
        raw_event("revocation.acknowledged", "3", "13:00", "urn:soc", **word),
        raw_event("revocation.lifted", "3", "13:00", "urn:soc", **lift),
    )

    assert (0, 1) == (counts["duplicates"], counts["conflicts"])
    assert ["suspended", "active"] == [
        desk.state("token:t1", "--at", f"2024-05-01T{at}:00Z") for at in ("12:59", "13:00")
    ]
