"""The quota of a source in quarantine: no source fills the store, or makes another lose its records."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.log.port import Entry, Log
from ingest.opening import open_log
from ingest.projector import project, read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import UnknownSchemaError
from lineage.core.model.events import Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record, RejectedRecord
from lineage.serve.commands import maintenance
from lineage.serve.queries.records import quarantine_and_conflicts
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain
from lineage.store.quarantine import beyond_quota, count_beyond_quota, quarantined
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store
from lineage.store.writing.quarantine_quota import Quota, size_kept
from tests.support import stores
from tests.support.desk import Desk, invoke
from tests.support.text import flat

START = 1_790_000_000_000_000
QUOTA = Quota(records=3, bytes=100)
EVENT = Event("e1", "urn:s", START, TokenIssued(token="t1", subject="human:alice"))


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def store(fresh: stores.Fresh) -> Iterator[Store]:
    with fresh() as url:
        opened = open_store(url, codec.read, create=True, quota=QUOTA)
        yield opened
        opened.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    opened = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    yield opened
    opened.close()


def line(place: int, origin: str = "file.jsonl", size: int = 1, **fields: Any) -> RejectedRecord:
    value = bytes([65 + place % 26]) * size
    digest = hashlib.sha256(value).hexdigest()
    plain = RejectedRecord(
        number=None,
        origin=origin,
        place=place,
        recorded_at=START,
        reason="bad",
        detail="why",
        sha256=digest,
        size=size,
        value=value,
        headers=b"[]",
    )
    return replace(plain, **fields)


def kept(store: Store) -> dict[tuple[str, int], bool]:
    """Return which records are kept whole, by origin and position."""
    return {(item.record.origin, item.record.place): not item.record.beyond_quota for item in quarantined(store)}


def expected(records: list[RejectedRecord], quota: Quota) -> dict[tuple[str, int], bool]:
    used: dict[str, tuple[int, int]] = {}
    whole = {}
    for record in records:
        source = record.charged_to or record.origin
        count, total = used.get(source, (0, 0))
        fits = count < quota.records and total + size_kept(record) <= quota.bytes
        if fits:
            used[source] = count + 1, total + size_kept(record)
        whole[record.origin, record.place] = fits
    return whole


@pytest.mark.slow
@settings(max_examples=25)
@given(
    sizes=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([1, 20, 60, 500])), max_size=25),
    cuts=st.lists(st.integers(1, 7), min_size=25, max_size=25),
    shared=st.booleans(),
)
def test_each_source_has_its_own_quota(
    fresh: stores.Fresh, sizes: list[tuple[str, int]], cuts: list[int], shared: bool
):
    """
    However the records are split into batches, the first that fit are whole, and the others have only digest and
    position.

    Several files of one source share a quota.
    """
    records = [
        line(place, origin, size, charged_to="source x" if shared else None)
        for place, (origin, size) in enumerate(sorted(sizes, key=lambda item: item[0]))
    ]
    with fresh() as url:
        store = open_store(url, codec.read, create=True, quota=QUOTA)
        rest = list(records)
        for cut in cuts:
            store.quarantine(rest[:cut])
            del rest[:cut]

        assert expected(records, QUOTA) == kept(store)
        found = {item.record.place: item.record for item in quarantined(store)}
        for record in records:
            stored = found[record.place]
            assert (record.sha256, record.size, record.reason) == (stored.sha256, stored.size, stored.reason)
            assert (stored.value, stored.headers) == ((None, None) if stored.beyond_quota else (record.value, b"[]"))
        beyond = [record for record in found.values() if record.beyond_quota]
        assert len(beyond) == count_beyond_quota(store) == sum(count for _, count in beyond_quota(store, limit=9))
        store.close()


def test_a_file_that_is_read_again_is_charged_once(store: Store):
    """A record that is in quarantine already takes nothing, also next to new records."""
    store.quarantine([line(1), line(2)])
    store.quarantine([line(1), line(2), line(2), line(3), line(4)])

    assert [True, True, True, False] == [kept(store)["file.jsonl", place] for place in (1, 2, 3, 4)]


def test_several_writers_together_get_one_quota(fresh: stores.Fresh):
    """Eight threads write records of one source concurrently, each with its own store: together they keep one quota."""
    with fresh() as url:
        open_store(url, codec.read, create=True).close()
        begin = threading.Barrier(8).wait

        def write(thread: int) -> None:
            mine = open_store(url, codec.read, quota=QUOTA)
            begin()
            for number in range(5):
                mine.quarantine([line(thread * 5 + number, "http mallory")])
            mine.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))
        store = open_store(url, codec.read)
        assert [3, 40] == [sum(kept(store).values()), len(kept(store))]
        store.close()


def batch_of(partition: int, start: int, values: list[bytes]) -> Batch:
    batch = Batch(advance={(DECISIONS, partition): (start, start + len(values))})
    records = [Record(Position(DECISIONS, partition, start + n).number, START, value) for n, value in enumerate(values)]
    read_records(records, None, batch)
    return batch


_garbage = st.binary(min_size=1, max_size=12).filter(lambda raw: raw[:2] != b"\xc3\x01")


@pytest.mark.slow
@settings(max_examples=15)
@given(
    partitions=st.lists(st.lists(_garbage, min_size=1, max_size=8), min_size=1, max_size=3),
    turns=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=20),
)
def test_consumers_in_any_order_keep_the_same_records(
    fresh: stores.Fresh, partitions: list[list[bytes]], turns: list[tuple[int, int]]
):
    """
    Two consumers share the partitions, in batches of any size and order: row by row the result is that of one consumer.

    The quota has room for three records of each partition, however many partitions a hostile producer fills.
    """
    turns = turns + [(partition, 8) for partition in range(len(partitions))]
    with fresh() as url, stores.in_a_file() as other:
        store = open_store(url, codec.read, create=True, quota=Quota(records=3, bytes=400))
        alone = twin(store, Path(other.removeprefix("sqlite:///")))
        for partition, values in enumerate(partitions):
            alone.write(batch_of(partition, 0, values))
        places = dict.fromkeys(range(len(partitions)), 0)
        for turn, size in turns:
            partition = turn % len(partitions)
            start = places[partition]
            if part := partitions[partition][start : start + size]:
                store.write(batch_of(partition, start, part))
                places[partition] += len(part)

        assert kept(store) == kept(alone)
        assert [] == list(differences(store, alone))
        for partition in places:
            assert 3 >= sum(whole for (origin, _), whole in kept(store).items() if origin == f"decisions/{partition}")
        alone.close()
        store.close()


def older(_value: bytes) -> Event:
    """Decode like a version that does not know the schema."""
    raise UnknownSchemaError("unknown-schema", "a later version may know it")


def test_a_record_beyond_the_quota_is_retried_from_the_log(store: Store, log: Log, monkeypatch: pytest.MonkeyPatch):
    """
    Nothing is lost: after an upgrade all records are facts at their positions, and the source has its quota back.
    """
    values = [codec.encode(EVENT._replace(event_id=f"e{number}")) for number in range(1_200)]
    with monkeypatch.context() as before:
        before.setattr(codec, "decode", older)
        log.append(Entry(DECISIONS, value) for value in values)
        project(log, store, None)
    service = Service(store, log, Trust(), lambda: START, source="urn:test")
    count = count_beyond_quota(store)
    assert count >= 1_197
    assert maintenance.fsck(service, lambda _: None)["differences"]  # the fresh projection can read them

    document = maintenance.retry(service)

    assert (1_200, 1_200, 0) == (document["read"], document["taken_up"], document["waiting"])
    assert (1_200, 0) == (store.sizes()["fact"], count_beyond_quota(store))
    assert maintenance.fsck(service, lambda _: None)["ok"]
    log.append([Entry(DECISIONS, b"?")])
    project(log, store, None)
    assert [True] == list(kept(store).values())


def test_a_rebuild_keeps_the_same_records(store: Store, log: Log):
    """Also next to lines that are not in the log, which stay unchanged."""
    store.quarantine([line(place) for place in range(5)])
    log.append(Entry(DECISIONS, b"?" * (1 + number % 40)) for number in range(30))
    project(log, store, None)
    service = Service(store, log, Trust(), lambda: START, source="urn:test")
    before = kept(store)
    assert maintenance.fsck(service, lambda _: None)["ok"]

    maintenance.rebuild(service, lambda _: None)

    assert before == kept(store)
    assert {True, False} == set(before.values())
    assert maintenance.fsck(service, lambda _: None)["ok"]
    with store._write() as connection:
        connection.exec_driver_sql("UPDATE quarantine SET value = NULL WHERE n IS NOT NULL AND kept IS NOT NULL")
    assert not maintenance.fsck(service, lambda _: None)["ok"]


def test_records_beyond_the_quota_are_reported(store: Store, log: Log):
    """The document and the text name the quota and the sources, the largest number first, and mark each record."""
    store.quarantine([line(place, "much") for place in range(9)])
    store.quarantine([line(place, "little") for place in range(3)])
    store.quarantine([line(place, "some") for place in range(4)])
    document = quarantine_and_conflicts.quarantine(Service(store, log, Trust(), lambda: START, source="urn:test"))
    text = flat(render_chain.quarantine(document))

    assert {
        "records": 7,
        "quota": {"records": 3, "bytes": 100},
        "sources": [{"source": "much", "records": 6}, {"source": "some", "records": 1}],
    } == document["beyond_quota"]
    assert 7 == sum(item["beyond_quota"] and item["value"] is None for item in document["items"])
    assert "Of 7 records only digest and place are kept" in text
    assert "much: 6 records" in text


def test_the_quota_is_a_setting(tmp_path: Path):
    """Through the environment, on the command line; doctor counts the records beyond it, and reports no fault."""
    desk = Desk(tmp_path)
    quota = {"DELEGRAPH_QUARANTINE_RECORDS": "2"}
    bad, worse = tmp_path / "bad.jsonl", tmp_path / "worse.jsonl"
    bad.write_text(json.dumps({"type": "token.issued", "event_id": "e"}) + "\n")
    worse.write_text("".join(f'{{"type": "token.issued", "event_id": "e{number}"}}\n' for number in range(50)))
    counted = invoke("ingest", str(worse), str(bad), "--json", "--store", desk.url, env=quota)
    listed = json.loads(invoke("quarantine", "--json", "--store", desk.url, env=quota).stdout)
    doctor = invoke("doctor", "--store", desk.url, env=quota).stdout

    assert 51 == json.loads(counted.stdout)["quarantined"] == listed["total"]
    assert [{"source": str(worse), "records": 48}] == listed["beyond_quota"]["sources"]
    assert [False] == [item["beyond_quota"] for item in listed["items"] if item["origin"] == str(bad)]
    assert "51 records in quarantine, of which 48 are kept only as digest and place" in flat(doctor)
    for name in ("RECORDS", "BYTES"):
        refused = invoke("quarantine", "--store", desk.url, env={f"DELEGRAPH_QUARANTINE_{name}": "many"})
        assert 2 == refused.exit_code
        assert f"quarantine_{name.lower()}" in refused.stderr
