"""The records of sources in the store besides their events, on either database."""

from collections.abc import Iterator

import pytest

from ingest.codec import api as codec
from lineage.store.source_records import SourceRecords
from lineage.store.store import open_store
from tests.support.stores import KINDS, Fresh, fresh_places

NOW = 1_750_000_000_000_000


@pytest.fixture(params=KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """Return URLs for new stores."""
    yield from fresh_places(request)


def test_the_memory_of_an_adapter_is_stored(fresh: Fresh):
    """
    Keys with any character are returned, in the order in which they were last stored; counts add up. A key that no
    index accepts is dropped without harm.
    """
    long = "".join(chr(0x4E00 + number * 7 % 20_000) for number in range(4_000))
    rather_long = long[:600]
    rows = [
        ("token", "b", '{"n":1}'),
        ("token", "a", "[1]"),
        ("token", "\x00\ud800'", '"\\u0000"'),
        ("token", long, "0"),
        ("token", rather_long, "2"),
    ]
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        records = SourceRecords(store)
        records.keep("bao", "vault", rows, {("record", ""): 3, ("skipped", "x"): 1}, came_at=NOW, latest=5)
        records.keep(
            "bao",
            "vault",
            [("token", "b", '"again"'), ("token", "a", None)],
            {("record", ""): 2},
            came_at=NOW + 1,
            latest=4,
        )
        records.keep("other", "vault", [("token", "b", "0")], {}, came_at=NOW, latest=None)
        kept = records.remembered("bao", "token")
        counts = {(one.outcome, one.reason): (one.records, one.came_at, one.latest) for one in records.counts()}
        store.close()
        again = open_store(url, codec.read, create=False)
        assert SourceRecords(again).remembered("bao", "token") == kept
        again.close()

    assert ["2", '"again"'] == [value for _, _, value in kept[-2:]]
    assert 3 == len(kept)
    assert {("record", ""): (5, NOW + 1, 5), ("skipped", "x"): (1, NOW, 5)} == counts
