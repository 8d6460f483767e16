"""Concurrent writers on one PostgreSQL store, compared with a projection by one writer on SQLite.

The worlds are full of collisions: children and parents, renewals and late edges, duplicates and conflicts, all spread
over the partitions, so that one writer reads what another is about to write.
"""

import multiprocessing
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.errors import FencedError
from lineage.core.model.events import ActionPerformed, Body, DelegationGranted, Derivation, Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Outcomes, Position, Record
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store
from tests.support import stores

WRITERS = 8
SPAN = 1 << 32  # microseconds; bounds are counted in these
START = 1_790_000_000_000_000


@pytest.fixture(scope="module", params=[pytest.param("postgres", marks=pytest.mark.postgres)])
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def colliding(rng: random.Random, count: int) -> list[bytes]:
    """Generate events about few elements: each is granted several times, with different parents and ends."""
    tokens = [f"t{number}" for number in range(rng.choice([6, 30, 200]))]
    delegations = [f"d{number}" for number in range(3)]

    def ends_at() -> int | None:
        return START + rng.randrange(1, 60) * SPAN if rng.random() < 0.9 else None

    def issued() -> Body:
        own = rng.randrange(len(tokens))
        parents = rng.sample(tokens[:own], min(own, rng.randint(0, 2)))
        return TokenIssued(
            token=tokens[own],
            subject="human:a",
            derived_from=tuple(Derivation(parent, "subject") for parent in parents),
            delegation=rng.choice(delegations) if rng.random() < 0.3 else None,
            expires_at=ends_at(),
        )

    def granted() -> Body:
        own = rng.randrange(len(delegations))
        return DelegationGranted(
            delegation=delegations[own],
            delegator="human:a",
            delegatee="agent:b",
            parents=tuple(delegations[:own][-1:]),
            expires_at=ends_at(),
        )

    def performed() -> Body:
        return ActionPerformed(
            action=f"a{rng.randrange(count)}", operation="op", outcome="succeeded", token=rng.choice(tokens)
        )

    values: list[bytes] = []
    for number in range(count):
        if values and rng.random() < 0.1:
            values.append(rng.choice(values))  # a duplicate, as a rule in another partition
            continue
        identity = number if rng.random() < 0.9 else rng.randrange(count)  # otherwise in conflict with another
        body = rng.choices([issued, granted, performed], weights=[6, 1, 3])[0]()
        values.append(codec.encode(Event(event_id=f"e{identity}", source="urn:s", occurred_at=START, body=body)))
    return values


def batches(rng: random.Random, values: list[bytes]) -> list[list[Batch]]:
    """Return the batches of each partition, in order."""
    parts: list[list[bytes]] = [[] for _ in range(WRITERS)]
    for value in values:
        rng.choice(parts).append(value)
    return [list(_in_batches(rng, partition, part)) for partition, part in enumerate(parts)]


def _in_batches(rng: random.Random, partition: int, values: list[bytes]) -> Iterator[Batch]:
    start = 0
    while start < len(values):
        end = min(len(values), start + rng.randint(1, 12))
        batch = Batch(advance={(DECISIONS, partition): (start, end)})
        records = [
            Record(Position(DECISIONS, partition, offset).number, START + offset, values[offset])
            for offset in range(start, end)
        ]
        read_records(records, None, batch)
        yield batch
        start = end


def write_all(url: str, part: list[Batch], begin: Callable[[], object]) -> Outcomes:
    """Write all batches of one writer, each in a separate transaction."""
    store = open_store(url, codec.read)
    try:
        begin()
        became = [store.write(batch) for batch in part]
    finally:
        store.close()
    return Outcomes(*map(sum, zip(*became, strict=True))) if became else Outcomes(0, 0, 0, 0, 0)


def unequal(store: Store, parts: list[list[Batch]], file: Path) -> list[str]:
    """Find where a store differs from a projection of the same records by one writer on SQLite."""
    alone = twin(store, file)
    for part in parts:
        for batch in part:
            alone.write(batch)
    found = list(differences(store, alone))
    alone.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_concurrent_writers_write_the_same_as_one(fresh: stores.Fresh, tmp_path: Path, seed: int):
    """
    Eight threads, each with a partition, whose children depend on the others' parents: no deadlock, nothing lost,
    nothing twice, and every bound is as high as it must be.
    """
    rng = random.Random(seed)
    values = colliding(rng, 240)
    parts = batches(rng, values)
    with fresh() as url, ThreadPoolExecutor(WRITERS) as pool:
        store = open_store(url, codec.read, create=True)
        begin = threading.Barrier(WRITERS).wait
        became = list(pool.map(lambda part: write_all(url, part, begin), parts))

        assert len(values) == sum(sum(outcomes) for outcomes in became)
        assert Outcomes(*map(sum, zip(*became, strict=True))) == store.outcomes()
        assert [] == unequal(store, parts, tmp_path / "alone.db")
        store.close()


def test_an_event_written_concurrently_by_two_is_a_fact_once(fresh: stores.Fresh):
    """The same events in two partitions at the same time: each is a fact once, and a duplicate once."""
    rng = random.Random(3)
    values = list(dict.fromkeys(colliding(rng, 2_000)))
    with fresh() as url, ThreadPoolExecutor(2) as pool:
        open_store(url, codec.read, create=True).close()
        begin = threading.Barrier(2).wait
        parts = []
        for partition in range(2):
            batch = Batch(advance={(DECISIONS, partition): (0, len(values))})
            records = [
                Record(Position(DECISIONS, partition, offset).number, START, value)
                for offset, value in enumerate(values)
            ]
            read_records(records, None, batch)
            parts.append([batch])
        became = list(pool.map(lambda part: write_all(url, part, begin), parts))

        assert len(values) == sum(outcomes.duplicates for outcomes in became)
        assert len(values) == sum(outcomes.accepted + outcomes.conflicts for outcomes in became)


def _a_process(url: str, part: list[Batch], barrier: object) -> None:
    write_all(url, part, barrier.wait)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_writers_in_separate_processes_write_the_same_as_one(fresh: stores.Fresh, tmp_path: Path):
    """The same with eight processes, like consumers."""
    rng = random.Random(99)
    parts = batches(rng, colliding(rng, 600))
    spawn = multiprocessing.get_context("spawn")
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        barrier = spawn.Barrier(WRITERS)
        processes = [spawn.Process(target=_a_process, args=(url, part, barrier)) for part in parts]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

        assert [0] * WRITERS == [process.exitcode for process in processes]
        assert [] == unequal(store, parts, tmp_path / "alone.db")
        store.close()


@pytest.mark.parametrize("first", [True, False], ids=["that nobody has read", "that was read before"])
def test_one_of_two_consumers_of_a_partition_is_fenced(fresh: stores.Fresh, first: bool):
    """Two write the same batch of a partition at the same time: one succeeds, the other is fenced."""
    rng = random.Random(7)
    part = list(_in_batches(rng, 3, colliding(rng, 40)))
    with fresh() as url, ThreadPoolExecutor(2) as pool:
        store = open_store(url, codec.read, create=True)
        contested = part[0]
        if not first:
            store.write(part[0])
            contested = part[1]
        begin = threading.Barrier(2).wait

        def attempt(_number: int) -> str:
            try:
                write_all(url, [contested], begin)
            except FencedError:
                return "fenced"
            return "written"

        assert ["fenced", "written"] == sorted(pool.map(attempt, range(2)))
        ((_start, end),) = contested.advance.values()
        assert end == store.positions()[DECISIONS, 3]
        assert end == sum(store.outcomes())
        store.close()


def test_consumers_that_start_together_bind_the_same_log(fresh: stores.Fresh):
    """On an empty store they agree on the log that it belongs to."""
    with fresh() as url, ThreadPoolExecutor(WRITERS) as pool:

        def bind(_number: int) -> bytes | None:
            store = open_store(url, codec.read, create=True)  # and all of them try to create it
            store.bind(b"the log")
            found = store.log
            store.close()
            return found

        assert [b"the log"] * WRITERS == list(pool.map(bind, range(WRITERS)))
