"""The facts that a store of either database provides to the rules of findings."""

import random
from collections.abc import Iterator

import pytest

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.events import Event, RevocationOrdered, Target, TokenIssued
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Position, Record
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.serve.queries.findings.finding_facts import Noticed, gathered
from lineage.store.store import Store, open_store
from tests.support import stores

START = 1_790_000_000_000_000


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def store(fresh: stores.Fresh) -> Iterator[Store]:
    with fresh() as url:
        opened = open_store(url, codec.read, create=True)
        yield opened
        opened.close()


def write(store: Store, offset: int, source: str, sequence: int) -> None:
    """Write an event with a sequence number, recorded a second after the previous one."""
    issued = TokenIssued(token=f"t{offset}", subject="human:alice", expires_at=START * 2)
    event = Event(f"e{offset}", source, START, issued)._replace(sequence=sequence)
    batch = Batch(advance={(DECISIONS, 0): (offset, offset + 1)})
    record = Record(Position(DECISIONS, 0, offset).number, START + offset * 1_000_000, codec.encode(event))
    read_records([record], None, batch)
    store.write(batch)


def holes(store: Store, known_at: int | None = None) -> list[tuple[int | None, int | None]]:
    found = gathered(store, None, known_at).intake.holes
    return [(before.event.sequence, after.event.sequence) for before, after in found]


def test_a_hole_in_a_sequence_is_known_at_once_and_closed_at_once(store: Store):
    """The next answer after a write shows a new hole, or that an old one was filled."""
    seen = []
    for offset, (source, sequence) in enumerate([("urn:a", 1), ("urn:b", 7), ("urn:a", 4), ("urn:a", 2), ("urn:a", 3)]):
        write(store, offset, source, sequence)
        seen.append(holes(store))

    assert [[], [], [(1, 4)], [(2, 4)], []] == seen


def test_a_hole_is_per_source_and_as_known(store: Store):
    """Numbers of two sources leave no hole in each other, and no hole is reported before both its ends were known."""
    for offset, (source, sequence) in enumerate([("urn:a", 1), ("urn:b", 2), ("urn:a", 3), ("urn:b", 5)]):
        write(store, offset, source, sequence)

    assert [(1, 3), (2, 5)] == holes(store)
    assert [[], [(1, 3)], [(1, 3), (2, 5)]] == [holes(store, START + seconds * 1_000_000) for seconds in (1, 2, 3)]


@pytest.mark.parametrize("seed", range(3))
def test_conflicts_are_noticed_as_facts_arrive(store: Store, seed: int):
    """
    Contents that share an identity arrive in any order and partition, repeated, unauthorised or on the wrong topic: the
    conflicts noticed batch by batch are those that an examination of everything finds.
    """
    rng = random.Random(seed)
    trust = TrustTable(
        {"urn:a": SourceGrant(frozenset({"*"}), ("",)), "urn:b": SourceGrant(frozenset({"token.issued"}), ("t1",))}
    )
    noticed, positions = Noticed(store, trust), {}
    offsets = {(DECISIONS, 0): 0, (DECISIONS, 1): 0, (ORDERS, 0): 0}
    for _ in range(12):
        batch = Batch()
        for _ in range(rng.randint(1, 4)):
            place = rng.choice(list(offsets))
            offset = offsets[place]
            offsets[place] = offset + 1
            batch.advance[place] = (batch.advance.get(place, (offset, 0))[0], offset + 1)
            value = codec.encode(contradicting(rng))
            record = Record(Position(*place, offset).number, START + rng.randrange(9), value)
            read_records([record], trust, batch)
        store.write(batch)
        stored = list(store.stored_after(positions))
        positions = store.positions()
        noticed.more(store, stored, START)
        assert noticed.intake(store).conflicts == gathered(store, trust).intake.conflicts
    assert noticed.intake(store).conflicts


def contradicting(rng: random.Random) -> Event:
    """Return one of a few events with one of two identities, from a source that may send it or one that may not."""
    order = RevocationOrdered(f"r{rng.randrange(2)}", Target("token", "t"), "test", "human:alice")
    token = TokenIssued(token=f"t{rng.randrange(2)}", subject="human:alice", expires_at=START * 2)
    return Event(f"e{rng.randrange(2)}", rng.choice(["urn:a", "urn:b"]), START, rng.choice([order, token]))
