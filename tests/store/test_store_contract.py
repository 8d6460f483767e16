"""The contract of a store on either database: one suite, run on both."""

import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from ingest.projector import project, read_records
from ingest.trust_file import Trust
from lineage.core.model.errors import FencedError, UnavailableError
from lineage.core.model.events import Derivation, Event, TokenIssued
from lineage.core.model.records import DECISIONS, ORDERS, Batch, Outcomes, Position, Record, RejectedRecord
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store.database import engine as store_engine
from lineage.store.database.dialects import backend_of
from lineage.store.database.tables import name
from lineage.store.plans import stored_plan
from lineage.store.quarantine import count_quarantined, quarantined
from lineage.store.reading.survivors import count_others, first_others, some_others
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store
from tests.support import stores, worlds

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


def event(number: int, **fields: object) -> Event:
    body = TokenIssued(token=f"t{number}", subject="human:alice", expires_at=START * 2)
    return Event(event_id=f"e{number}", source="urn:s", occurred_at=START, body=body)._replace(**fields)


def batch_of(values: list[bytes], *, start: int = 0, trust: TrustTable | None = None) -> Batch:
    batch = Batch(advance={(DECISIONS, 0): (start, start + len(values))})
    records = [Record(Position(DECISIONS, 0, start + n).number, START, value) for n, value in enumerate(values)]
    read_records(records, trust, batch)
    return batch


def line(place: int, **fields: object) -> RejectedRecord:
    plain = RejectedRecord(
        number=None,
        origin="file.jsonl",
        place=place,
        recorded_at=START,
        reason="bad",
        detail="a detail",
        sha256="00" * 32,
        size=3,
        value=b"raw",
    )
    return replace(plain, **fields)


def test_a_batch_reports_the_outcome_of_each_record(store: Store):
    """Each record is accepted, a duplicate, in conflict, unauthorised or quarantined, in the order in which it came."""
    trust = TrustTable({"urn:s": SourceGrant(frozenset({"token.issued"}), ("t",))})
    one = codec.encode(event(1))
    other = codec.encode(event(1, occurred_at=START + 1))
    foreign = codec.encode(event(2, source="urn:nobody"))

    assert Outcomes(1, 2, 1, 1, 1) == store.write(batch_of([one, one, other, foreign, b"?", other], trust=trust))
    assert Outcomes(1, 2, 1, 1, 1) == store.outcomes()
    assert Outcomes(1, 1, 0, 0, 0) == store.write(batch_of([one, codec.encode(event(3))], start=6, trust=trust))
    assert Outcomes(2, 3, 1, 1, 1) == store.outcomes()


def test_a_batch_at_a_moved_position_writes_nothing(store: Store):
    """A batch is only written from the current position."""
    store.write(batch_of([codec.encode(event(1))]))

    for start in (0, 2):
        with pytest.raises(FencedError, match="another consumer has moved it"):
            store.write(batch_of([codec.encode(event(2))], start=start))
    assert {(DECISIONS, 0): 1} == store.positions()
    assert 1 == store.sizes()["fact"]


HOSTILE = st.text(st.characters(blacklist_categories=()), max_size=50) | st.sampled_from(
    ["\0", "\ud800", "a\0b", "%s", "'; DROP TABLE fact", "x" * 5_000, "é" * 2_000 + "/file.jsonl", "\\x00"]
)


@pytest.mark.slow
@settings(max_examples=40)
@given(origin=HOSTILE, detail=HOSTILE, value=st.none() | st.binary(max_size=20))
def test_any_unreadable_record_is_quarantined(fresh: stores.Fresh, origin: str, detail: str, value: bytes | None):
    """Any origin, any detail: NUL, an unpaired surrogate, too long for an index; once, however often it comes."""
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        record = line(1, origin=origin, detail=detail, value=value, headers=b'[["h","v"]]')
        store.quarantine([record, record])
        store.quarantine([record, replace(record, place=2)])

        found = [item.record for item in quarantined(store)]
        assert [1, 2] == [item.place for item in found]
        assert [(value, b'[["h","v"]]')] * 2 == [(item.value, item.headers) for item in found]
        if origin.isprintable() and len(origin.encode()) < 2_000:
            assert origin == found[0].origin
        if detail.isprintable():
            assert detail == found[0].detail
        store.close()


def test_origins_too_long_for_an_index_stay_distinct(store: Store):
    """Two files whose long names differ at the beginning are two files."""
    names = [letter + "/" + "x" * 4_000 for letter in "ab"]
    store.quarantine(line(1, origin=one) for one in names)

    assert 2 == count_quarantined(store)


IDS = st.text(st.sampled_from("aAzZéÉß\u0130\u0131%_/\\0"), min_size=1, max_size=6)


@pytest.mark.slow
@settings(max_examples=25)
@given(
    ids=st.lists(IDS, min_size=1, max_size=12, unique=True),
    text=IDS | st.sampled_from(["", "\0", "\ud800", "token:"]),
    other=IDS | st.just("\0"),
)
def test_a_search_finds_keys_that_contain_the_text(fresh: stores.Fresh, ids: list[str], text: str, other: str):
    """The case of ASCII letters is ignored, any other character matches itself; the result is in byte order."""

    def lower(key: str) -> str:
        return "".join(chr(ord(letter) + 32) if "A" <= letter <= "Z" else letter for letter in key)

    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        body = TokenIssued(token="t", subject="human:x")
        values = [
            codec.encode(Event(event_id=f"e{n}", source="urn:s", occurred_at=START, body=body._replace(token=id_)))
            for n, id_ in enumerate(ids)
        ]
        store.write(batch_of(values))
        keys = [f"token:{id_}" for id_ in ids] + ["principal:human:x"]
        with store.engine.begin() as connection:  # like separate processes
            connection.execute(name.insert(), [{"key": key} for key in keys for _ in range(1 + len(key) % 5)])

        expected = sorted((key for key in keys if lower(text) in lower(key)), key=str.encode)
        assert expected == store.search(text, limit=100)
        assert expected[:2] == store.search(text, limit=2)
        assert expected[1:2] == store.search(text, limit=1, start=expected[1] if expected[1:] else "z")
        either = sorted((key for key in keys if any(lower(one) in lower(key) for one in (text, other))), key=str.encode)
        assert either == store.search_either([text, other], limit=1_000)
        assert [either, None if either else []] == [store.search_rare([text, other], most=most) for most in (1_000, 0)]
        store.close()


def test_an_unstorable_digest_finds_no_plan(store: Store):
    """A digest of any characters is looked up, and does not exist."""
    assert [None, None] == [stored_plan(store, digest) for digest in ("a\0", "\ud800")]


def test_a_record_is_released_from_quarantine_once(store: Store):
    """Two processes that release the same records concurrently write them once: every record stays accounted for."""
    values = [codec.encode(event(number)) for number in range(50)]
    batch = batch_of(values)
    rejected = [
        line(n, number=readable.number, origin="decisions/0", value=readable.value)
        for n, readable in enumerate(batch.readable)
    ]
    store.write(Batch(unreadable=rejected, advance=batch.advance))
    waiting = [(item.id, batch.readable[item.record.place]) for item in quarantined(store)]
    begin = threading.Barrier(2).wait

    def project_released(_number: int) -> None:
        begin()
        store.project_released(waiting, START)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(project_released, range(2)))
    assert Outcomes(50, 0, 0, 0, 0) == store.outcomes()


def test_a_store_of_the_first_version_is_upgraded(fresh: stores.Fresh):
    """The data of an older delegraph is read after an upgrade, and until then the message says what to do."""
    with fresh() as url:
        engine = store_engine.connect(url, create=True)
        with backend_of(engine.dialect).writing(engine).begin() as connection:
            for table in sa.inspect(connection).get_table_names():
                connection.exec_driver_sql(f'DROP TABLE "{table}" CASCADE')
            config = Config()
            config.set_main_option("script_location", str(store_engine._MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "0001")
            tables = sa.MetaData()
            tables.reflect(connection)
            add = {name: table.insert() for name, table in tables.tables.items()}
            secrets = [{"name": name, "value": name.encode().ljust(16)} for name in ("id", "secret")]
            connection.execute(add["meta"], secrets)
            row = {"n": None, "origin": "f", "place": 1, "recorded_at": 1, "reason": "bad", "detail": "d", "size": 1}
            connection.execute(add["quarantine"], [{**row, "sha256": "0", "value": b"x"}])
        engine.dispose()

        with pytest.raises(UnavailableError, match="has version 0001, this delegraph needs"):
            open_store(url, codec.read)
        store = open_store(url, codec.read, create=True)
        assert [("f", b"x", None)] == [
            (item.record.origin, item.record.value, item.record.headers) for item in quarantined(store)
        ]
        store.write(batch_of([codec.encode(event(1)), b"?"]))
        assert ["token:t1"] == store.search("t1", limit=1)
        assert 2 == count_quarantined(store)
        assert store.indexes_actors()  # it had no facts
        store.close()


def test_a_store_that_has_facts_is_marked_until_it_is_rebuilt(fresh: stores.Fresh, tmp_path: Path):
    """An older version did not index actors, which the migration marks and a rebuild repairs."""
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    log.append([entry_of(event(1))])
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        project(log, store, None)
        stores.downgrade(store.engine, "0019")
        with store._write() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0008'")
            for table in (
                "act",
                "finding",
                "api_token",
                "api_token_end",
                "tree",
                "tile",
                "checkpoint",
                "deletion",
                "deleted_tile",
                "deleted_key",
                "deleted_sequence",
            ):  # added by later versions
                connection.exec_driver_sql(f"DROP TABLE {table}")
            for index in ("name_principal", "name_called", "name_case", "name_hold"):
                connection.exec_driver_sql(f"DROP INDEX {index}")
        store.close()
        store = open_store(url, codec.read, create=True)
        marked = store.indexes_actors()
        maintenance.rebuild(Service(store, log, Trust(), lambda: START, source="urn:test"), lambda _: None)
        assert (False, True) == (marked, store.indexes_actors())
        store.close()
    log.close()


def test_a_snapshot_does_not_change(store: Store):
    """Whatever is written in the meantime, queries of one snapshot are answered as of that snapshot."""
    store.write(batch_of([codec.encode(event(1))]))
    with store.snapshot() as still:
        store.write(batch_of([codec.encode(event(2))], start=1))
        assert (1, {(DECISIONS, 0): 1}) == (still.sizes()["fact"], still.positions())
        assert 2 == store.sizes()["fact"]


@pytest.mark.slow
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_a_projection_equals_a_fresh_one(fresh: stores.Fresh, seed: int):
    """However a world was split into batches: row by row it equals a projection on SQLite; a missing row is found."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    with fresh() as url, stores.in_a_file() as other:
        store = open_store(url, codec.read, create=True)
        alone = twin(store, Path(other.removeprefix("sqlite:///")))
        for via in (DECISIONS, ORDERS):
            values = [
                codec.encode(codec.decode_line(json.dumps(item["event"]).encode()))
                for item in items
                if item["via"] == via
            ]
            records = [Record(Position(via, 0, n).number, START + n, value) for n, value in enumerate(values)]
            for written, size in ((store, rng.randint(1, 5)), (alone, 100)):
                for start in range(0, len(records), size):
                    part = records[start : start + size]
                    batch = Batch(advance={(via, 0): (start, start + len(part))})
                    read_records(part, None, batch)
                    written.write(batch)

        assert [] == list(differences(store, alone))
        with alone._write() as connection:
            connection.exec_driver_sql("DELETE FROM fact WHERE n = (SELECT max(n) FROM fact)")
        assert any(found.startswith("fact: ") for found in differences(store, alone))
        alone.close()
        store.close()


def test_a_rebuilt_store_is_never_behind_the_old_one(store: Store, tmp_path: Path):
    """Records that others projected during the rebuild are in the store as soon as it is exchanged."""
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    log.append(entry_of(event(number)) for number in range(20))
    project(log, store, None)
    store.quarantine([line(1)])
    seen = []

    def progress(records: int) -> None:
        """Let others project further records each time that some are projected again."""
        first = sum(seen, start=records)
        seen.append(records)
        log.append(entry_of(event(number)) for number in range(first, first + 10))
        project(log, store, None)

    service = Service(store, log, Trust(), lambda: START, source="urn:test")
    assert 40 == maintenance.rebuild(service, progress)["records"]
    assert [20, 10] == seen
    assert 40 == store.sizes()["fact"]
    assert 1 == count_quarantined(store)
    assert maintenance.fsck(service, lambda _: None)["ok"]
    log.close()


def test_many_elements_are_read_with_everything_they_depend_on(store: Store):
    """Elements that are read at once bring the same facts as fewer at a time: all their ancestors, too."""
    tokens = [event(number) for number in range(40)]
    for number in range(40, 1_400):
        parents = tuple(Derivation(f"t{above}", "subject") for above in (number % 37, number // 2))
        tokens.append(event(number, body=tokens[0].body._replace(token=f"t{number}", derived_from=parents)))
    store.write(batch_of([codec.encode(one) for one in tokens]))
    keys = [f"token:t{number}" for number in range(200, 1_399)] + ["token:t1399", "token:unknown"]

    with store.reader(trust=None) as reader:
        apart = {fact for part in (keys[:600], keys[600:]) for fact in reader.facts_above(part)}
        at_once = reader.facts_above(keys)

    assert apart == set(at_once)
    assert any(fact.event.body.token == "t3" for fact in at_once)


def test_each_other_user_of_a_client_is_counted_once(store: Store):
    """The tokens of a client are counted once, however many facts each has, without those that are killed or ended."""
    ends = {1: 2, 2: 3, 3: 4, 4: 5, 5: 6}
    rows = [
        event(number, event_id=f"e{number}-{again}", body=body._replace(expires_at=START * end + again))
        for number, end in ends.items()
        for body in [TokenIssued(token=f"t{number}", subject="human:alice", client="app")]
        for again in (0, 1 << 33, 1 << 34)
    ]
    store.write(batch_of([codec.encode(one) for one in rows]))
    names, kills, at = {"client:app", "client:unknown"}, {"token:t5", "token:t6"}, START * 2 + (1 << 35)
    left = sorted(store.keys(f"token:t{number}") for number in (2, 3, 4))

    with store.reader(trust=None) as reader:
        counts = count_others(reader, names, kills, at, 100)
        some = [count_others(reader, names, kills, at, most)["client:app"] for most in (1, 2)]
        longest = [some_others(reader, "client:app", kills, at, most) for most in (1, 2, 100)]
        first = [first_others(reader, names, kills, at, most) for most in (1, 2, 3, 100)]

    by_end = [store.keys(f"token:t{number}") for number in (4, 3, 2)]
    assert {"client:app": 3} == counts
    assert [1, True] == [some[0], 0 < some[1] <= 2]
    assert [by_end[:1], by_end[:2], by_end] == longest
    assert [left[:1], left[:2], left, left] == first
