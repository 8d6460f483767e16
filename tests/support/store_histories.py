"""Random histories of a store, written in batches."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.projector import read_record
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact
from lineage.core.model.records import Batch, DecodedRecord, Position, Record, position_of
from lineage.store.store import Store, open_store
from tests.support import stores, worlds

SEEDS = st.integers(0, 2**32)


@contextmanager
def a_store(fresh: stores.Fresh) -> Iterator[tuple[Store, str]]:
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        try:
            yield store, url
        finally:
            store.close()


def records_of(world: list[dict[str, Any]], rng: random.Random) -> list[Record]:
    """Build records of a log in any order: each takes the next position of its topic, and keeps its recording time."""
    return next_records(rng.sample(world, len(world)), {"decisions": 0, "orders": 0})


def next_records(items: list[dict[str, Any]], offsets: dict[str, int]) -> list[Record]:
    """Build the next records of a log in order, and advance the offsets of its topics."""
    records = []
    for item in items:
        value = codec.encode(codec.decode_line(json.dumps(item["event"]).encode()))
        records.append(Record(Position(item["via"], 0, offsets[item["via"]]).number, item["recorded_at"], value))
        offsets[item["via"]] += 1
    return records


def write(store: Store, records: list[Record]) -> None:
    """Write one batch, with the positions of both topics."""
    places: dict[tuple[str, int], tuple[int, int]] = {}
    for record in records:
        topic, partition, offset = position_of(record.number)
        start = places.get((topic, partition), (offset, 0))[0]
        places[topic, partition] = (start, offset + 1)
    results = [read_record(record, None) for record in records]
    assert all(isinstance(result, DecodedRecord) for result in results)
    store.write(Batch(readable=results, advance=places))


def write_facts(store: Store, facts: list[Fact]) -> None:
    """Write facts in one batch, each on the topic for its type."""
    offsets = {"decisions": 0, "orders": 0}
    records = []
    for fact in facts:
        via = "orders" if fact.event.type in worlds.ORDERS else "decisions"
        records.append(Record(Position(via, 0, offsets[via]).number, fact.recorded_at, codec.encode(fact.event)))
        offsets[via] += 1
    write(store, records)


def in_batches(store: Store, url: str, records: list[Record], rng: random.Random) -> Store:
    """Write the records in batches of any size, occasionally as a new process or a batch twice."""
    rest = list(records)
    while rest:
        size = rng.randint(1, 8)
        batch, rest = rest[:size], rest[size:]
        write(store, batch)
        if rng.random() < 0.3:
            store.close()
            store = open_store(url, codec.read)
        if rng.random() < 0.3:
            try:
                write(store, batch)
            except FencedError:
                continue
            raise AssertionError("a batch was written twice")
    return store
