"""What is read differently for very many elements: the answers are those of the core, at any size."""

import random

import pytest
from hypothesis import given, settings

from lineage.core.authority.world import World
from lineage.core.model.keys import key_of
from lineage.store.reading import reader as reading
from lineage.store.reading.acted import count_acted
from lineage.store.reading.descendants import load_below
from tests.support import compare, stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of


@pytest.mark.slow
@settings(max_examples=20)
@given(seed=SEEDS)
def test_a_reach_that_reads_very_many_elements_is_that_of_the_core(fresh: stores.Fresh, seed: int):
    """
    The elements are read before what they depend on, and only those that an order targets are searched for orders:
    it misses none on an element, on what it depends on, or on something that no event granted.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    trust = compare.table_of(worlds.trust(rng)) if rng.random() < 0.2 else None
    whole = World(compare.facts_of(items), trust=trust, known_at=known_at)

    with a_store(fresh) as (empty, url), pytest.MonkeyPatch.context() as limits:
        limits.setattr(reading, "_MANY", 1)
        store = in_batches(empty, url, records_of(items, rng), rng)
        for kind, id_ in worlds.questions(items):
            at = rng.choice(worlds.grid)
            with store.reader(trust=trust, known_at=known_at) as reader:
                below = reader.world()
                load_below(reader, below, key_of(kind, id_), at)
                acted = count_acted(reader, key_of(kind, id_))
            expected = compare.reach(whole, kind, id_, at)
            assert expected == compare.reach(below, kind, id_, at, acted=acted), (kind, id_, at)
        store.close()
