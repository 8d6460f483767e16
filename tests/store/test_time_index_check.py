"""fsck of the index by time: any damage is named, a consistent index has none, and a rebuild repairs it."""

import random
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.log.port import Log, entry_of
from ingest.opening import open_log
from ingest.projector import project, read_records
from ingest.trust_file import Trust
from lineage.core.model.events import ActionPerformed, DecisionMade, DelegationGranted, Event, TokenIssued
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import ANY, COLUMNS
from lineage.store.database.tables import act, meta
from lineage.store.rebuild.time_index_check import time_index_differences
from lineage.store.store import Store, open_store
from tests.support import stores, worlds
from tests.support.store_histories import SEEDS, a_store, in_batches, records_of

START = 1_790_000_000_000_000
Part = dict[str, Any]


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


def event_of(number: int, body: Any) -> Event:
    return Event(f"e{number}", "urn:s", START + number, body)


def performed(action: str, tool: str) -> ActionPerformed:
    return ActionPerformed(action=action, operation="send", outcome="succeeded", tool=tool, token="t1")


EVENTS = [
    event_of(0, TokenIssued(token="t1", subject="human:x")),
    event_of(1, DelegationGranted(delegation="d1", delegator="human:x", delegatee="agent:y")),
    event_of(2, DecisionMade(decision="q1", permitted=True, operation="send")),
    event_of(3, performed("a1", "mail")),
    event_of(4, performed("a2", "mail")),
    event_of(5, performed("a2", "crm")),
    *(event_of(n, performed(f"a{n}", "mail")) for n in range(6, 30)),
]


@pytest.fixture
def service(fresh: stores.Fresh, tmp_path: Path) -> Iterator[Service]:
    """Create a service over some facts of every sort; two facts report one of the actions."""
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    log.append(map(entry_of, EVENTS))
    with fresh() as url:
        store = open_store(url, codec.read, create=True)
        project(log, store, None)
        yield Service(store, log, Trust(), lambda: START, source="urn:test")
        store.close()
    log.close()


def changed(store: Store, change: Callable[[Part], Part | None], sort: int = 0) -> None:
    """Replace one part of the index by another; None removes it."""
    with store.engine.begin() as connection:
        part = connection.execute(sa.select(act).where(act.c.sort == sort).limit(1)).one()._asdict()
        connection.execute(act.delete().where(act.c.part == part["part"]))
        if (other := change(part)) is not None:
            connection.execute(act.insert(), [other])


def numbers_of(part: Part, column: str) -> "array[int]":
    numbers = array("q")
    numbers.frombytes(part[column])
    return numbers


def with_number(column: str, value: int, row: int = 0) -> Callable[[Part], Part]:
    def change(part: Part) -> Part:
        numbers = numbers_of(part, column)
        numbers[row] = value
        return {**part, column: numbers.tobytes()}

    return change


def with_rows(change: Callable[[list[Any]], list[Any]]) -> Callable[[Part], Part]:
    def changed_rows(part: Part) -> Part:
        rows = change(list(zip(*(numbers_of(part, column) for column in COLUMNS), strict=True)))
        columns = zip(*rows, strict=True)
        return {**part, **{name: array("q", one).tobytes() for name, one in zip(COLUMNS, columns, strict=True)}}

    return changed_rows


DAMAGE: dict[str, tuple[Callable[[Part], Part | None], str]] = {
    "a part is gone": (lambda _: None, "is missing"),
    "a part begins earlier": (lambda part: {**part, "first_at": part["first_at"] - 1}, "'first_at'"),
    "a part ends later": (lambda part: {**part, "last_at": part["last_at"] + 1}, "'last_at'"),
    "a part is of another size": (lambda part: {**part, "size": part["size"] + 1}, "'size'"),
    "a part is of another partition": (lambda part: {**part, "lane": part["lane"] + 1}, "'lane'"),
    "a part is of another sort": (lambda part: {**part, "sort": 2}, "sort differs"),
    "a column is too short": (lambda part: {**part, "tool": part["tool"][:-8]}, "'tool' has another length"),
    "a column is cut within a number": (lambda part: {**part, "tool": part["tool"][:-3]}, "'tool' has another length"),
    "a part is empty": (lambda part: {**part, **dict.fromkeys(COLUMNS, b"")}, "is empty"),
    "rows are not in order": (with_rows(lambda rows: rows[::-1]), "not in the order of time"),
    "a row is gone": (with_rows(lambda rows: rows[1:-1] and [rows[0], *rows[2:]]), "is missing"),
    "a row for any value is gone": (
        with_rows(lambda rows: [row for row in rows if row[-1] != ANY]),
        "the row for any value",
    ),
    "a row stands twice": (with_rows(lambda rows: [rows[0], *rows]), "stands twice"),
    "a row is of no fact": (with_rows(lambda rows: [*rows, (rows[-1][0], 999, *rows[-1][2:])]), "is stray"),
    **{f"{column} is another": (with_number(column, 7), f"{column} differs") for column in COLUMNS if column != "n"},
    "n is another": (with_number("n", 999), "is missing"),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_repaired_by_rebuild(service: Service, damage: str):
    """Every column, and every kind of row, missing, stray or wrong."""
    change, result = DAMAGE[damage]
    assert [] == list(time_index_differences(service.store))

    changed(service.store, change)
    found = list(time_index_differences(service.store))
    document = maintenance.fsck(service, lambda _: None)
    maintenance.rebuild(service, lambda _: None)

    assert any(result in sentence for sentence in found), found
    assert all(sentence.startswith("time index: ") for sentence in found)
    assert (False, found) == (document["ok"], document["differences"])
    assert [] == list(time_index_differences(service.store))


@pytest.mark.parametrize("sort", [1, 2, 3])
def test_facts_of_every_sort_are_compared(service: Service, sort: int):
    """A token, a delegation and a decision that are not indexed are found, like an action."""
    changed(service.store, lambda _: None, sort)

    [found] = time_index_differences(service.store)
    assert f"({['action', 'token', 'delegation', 'other'][sort]}) is missing" in found


def test_an_action_reported_in_two_partitions_has_no_faults(fresh: stores.Fresh):
    """The first row of the second part is that of the earlier fact, which is in the other partition."""
    with a_store(fresh) as (store, _):
        for partition, event in enumerate((event_of(1, performed("a", "mail")), event_of(2, performed("a", "crm")))):
            number = Position(DECISIONS, partition, 0).number
            batch = Batch(advance={(DECISIONS, partition): (0, 1)})
            read_records([Record(number, START, codec.encode(event))], None, batch)
            store.write(batch)

        assert [] == list(time_index_differences(store))


def test_an_unused_index_has_no_faults(service: Service):
    """A store of an older version reads all facts until it is rebuilt, so its answers are right."""
    changed(service.store, lambda _: None)
    with service.store.engine.begin() as connection:
        connection.execute(meta.insert(), [{"name": "acts", "value": b"\1"}])

    assert [] == list(time_index_differences(service.store))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_a_written_index_has_no_differences(fresh: stores.Fresh, seed: int):
    """Batches of any size, repeated records, and actions that several facts report."""
    rng = random.Random(seed)
    items = worlds.world(rng) + worlds.world(rng)
    items += rng.sample(items, len(items) // 3)
    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        assert [] == list(time_index_differences(store))
        store.close()


@pytest.mark.slow
def test_an_index_of_merged_parts_has_no_differences(service: Service):
    """Many small batches become larger parts."""
    log: Log = service.require_log()
    for number in range(100, 400):
        log.append([entry_of(event_of(number, performed(f"a{number}", "mail")))])
        project(log, service.store, None)

    assert [] == list(time_index_differences(service.store))
