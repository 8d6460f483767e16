"""The memory of a process that collects and projects does not depend on the number of records that it has processed."""

import gc
import json
import tracemalloc
from collections import deque
from contextlib import closing
from itertools import chain

from ingest.codec import api as codec
from ingest.codec.avro_primitives import Memo
from ingest.codec.credentials.door import CLEAN
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.inputs.intake import SourceIntake
from ingest.sources.inputs.request_bodies import records_of
from ingest.sources.named import NamedSource
from lineage.core.model.times import Instant
from lineage.store.database.tables import Hashes, Keys
from lineage.store.source_records import SourceRecords
from lineage.store.store import open_store
from tests.support.collecting import decision

BATCH, RECORDS = 500, 2_000
NOW: Instant = 1_772_359_200_000_000
BOUND = 32_768  # entries of each cache of strings


def sizes() -> dict[int, tuple[object, int]]:
    """Return every container of this process with its length, except for caches whose bound is tested separately.

    The garbage collector does not track a dictionary of plain values, so it is found through what refers to it.
    """
    tracked = gc.get_objects()
    found = chain(tracked, *(gc.get_referents(one) for one in tracked if isinstance(one, dict | list | tuple)))
    return {
        id(one): (one, len(one))
        for one in found
        if isinstance(one, dict | set | list | deque) and not isinstance(one, Memo | Hashes) and one is not CLEAN
    }


def test_nothing_grows_with_the_records_that_are_collected(tmp_path):
    """
    No list, set or dictionary gains more than one entry for every fourth record, except for bounded caches.
    """
    url = f"sqlite:///{tmp_path / 'store.db'}"
    named = NamedSource(name="opa-eu", format="opa")
    with (
        closing(open_store(url, codec.read, create=True)) as store,
        closing(open_log(url, create=True, clock=lambda: NOW)) as log,
    ):
        intake = SourceIntake(named, log=log, aside=store, keeper=SourceRecords(store), clock=lambda: NOW)

        def take(start: int) -> None:
            for first in range(start, start + RECORDS, BATCH):
                body = json.dumps([decision(number) for number in range(first, first + BATCH)]).encode()
                intake.take("http", records_of(body, named, media_type="application/json", encoding=""))
                project(log, store, None)

        take(0)
        before = sizes()  # keeps them all alive, so that none takes the place of another
        take(RECORDS)
        grown = [
            (type(one).__name__, size, str(one)[:200])
            for place, (one, size) in sizes().items()
            if place in before and one is not before and size - before[place][1] > RECORDS / 4
        ]

    assert [] == grown


def test_the_cached_hashes_of_ids_are_bounded():
    """
    However many ids of a kind are hashed, the cache keeps its bound; several times as many ids cost no more memory.
    """
    hashes = Keys(b"secret")["token"]

    def fill(rounds: range) -> int:
        for number in rounds:
            hashes[f"id-{number}"]
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        full = fill(range(BOUND))
        assert len(hashes) == BOUND
        again = fill(range(BOUND, 3 * BOUND))
    finally:
        tracemalloc.stop()

    assert len(hashes) == BOUND
    assert again < 1.02 * full
