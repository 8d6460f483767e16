"""The test kit for adapters: a table of records and events, and the rules that apply to every adapter.

    ROWS = [
        Row("a login", [{"product": "acme", ...}], [{"type": "token.issued", ...}]),
        Row("a heartbeat", [{"product": "acme", "kind": "ping"}], [], skipped=["heartbeat"]),
    ]

    @pytest.mark.parametrize("row", ROWS, ids=str)
    def test_rows(row):
        check(FORMATS["acme"], row)

``check`` compares the events (those fields that the row states; ``type`` and order of the events matter) and then
checks the rules of the kit: every record is accounted for; every event passes the codec; the same records in any
order, twice, or with a restart between any two of them yield the same events; and a record in which any one value has
another type raises nothing.
"""

import io
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ingest.codec.api import event_from_document
from ingest.codec.credentials import find
from ingest.sources.adapters import Format, Memory, Reading, Source, detect, read_records
from lineage.core.model.events import document as written

_ORDERS = 12  # how many orders are tried if there are too many records for all of them
_OTHERS: tuple[Any, ...] = ([], [{}], {}, {"a": []}, 7, -0.5, True, None, "", "x")
_OF_THE_RECORD = ("event_id", "occurred_at")


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        about: What it shows.
        records: The records, as in a log.
        events: The stated fields of the events, in the order in which they come.
        skipped: The reasons for which records are skipped, in any order.
        faults: The reasons for which records are quarantined, in any order.
        source: The source of the log; None for one without settings.
    """

    about: str
    records: Sequence[Any]
    events: Sequence[dict[str, Any]] = ()
    skipped: Sequence[str] = ()
    faults: Sequence[str] = ()
    source: Source | None = None

    def __str__(self) -> str:
        return self.about


class Read(NamedTuple):
    """The result of an adapter for some records."""

    events: list[dict[str, Any]]
    skipped: list[str]
    faults: list[str]
    records: int
    held: int


def read(
    format_: Format, records: Iterable[Any], source: Source | None = None, *, restarts: bool = False, end: bool = True
) -> Read:
    """Return what an adapter yields for records, like those of a file of JSON lines.

    Args:
        format_: The adapter.
        records: Objects, or lines as they are.
        source: The source of the log.
        restarts: Whether the memory is stored and loaded again between any two records.
        end: Whether there are no more records, so that defaults are due.
    """
    reading = Reading(format_, source, Memory())
    kept: dict[tuple[str, str], Any] = {}
    found = Read([], [], [], 0, 0)
    records_read = held = 0
    for record in records:
        raw = record if isinstance(record, bytes) else json.dumps(record).encode()
        for outcome in itertools.chain.from_iterable(map(reading.outcomes, read_records(io.BytesIO(raw)))):
            translation = outcome.translation
            records_read += 1
            held += not (translation.events or translation.skipped or translation.fault)
            _add(found, translation)
        if restarts:
            for row in reading.memory.changes():
                kept.pop((row.topic, row.key), None)
                kept[row.topic, row.key] = row
            reading = Reading(format_, reading.source, Memory(kept.values()))
    if end:
        for outcome in reading.settled(end=True):
            _add(found, outcome.translation)
    return found._replace(records=records_read, held=held)


def check(format_: Format, row: Row) -> None:
    """Compare a row with the result of the adapter, and check the rules of the kit."""
    found = read(format_, row.records, row.source)

    stated = [
        {name: event.get(name) for name in expected}
        for event, expected in itertools.zip_longest(found.events, row.events, fillvalue={})
    ]
    assert list(row.events) == stated, json.dumps(found.events, indent=1)
    assert sorted(row.skipped) == sorted(found.skipped)
    assert sorted(row.faults) == sorted(found.faults)
    assert_rules(format_, row.records, row.source)


def assert_rules(format_: Format, records: Sequence[Any], source: Source | None = None) -> None:
    """Check the rules of the kit for an adapter with these records."""
    found = read(format_, records, source)
    facts = _facts(found)

    contents = {json.dumps(event, sort_keys=True) for event in found.events}
    assert len(contents) == len({json.loads(event)["event_id"] for event in contents}), "an id has two contents"
    for event in found.events:
        text = json.dumps(event)
        assert find(text) is None, f"a raw credential is in {text}"
    assert facts == _facts(read(format_, records, source, restarts=True)), "a restart changes the events"
    assert facts == _facts(read(format_, [*records, *records], source)), "reading twice changes the events"
    for order in _orders(records):
        assert facts == _facts(read(format_, order, source)), f"the order changes the events: {json.dumps(order)}"
    for record in records:
        for misshapen in _misshapen(record):
            detect(json.dumps(misshapen).encode())
            read(format_, [misshapen], source)  # must not raise


def _add(found: Read, translation: Any) -> None:
    found.events.extend(translation.events)
    found.skipped.extend(reason for reason in (translation.skipped, *translation.also_skipped) if reason)
    found.faults.extend([translation.fault.reason] if translation.fault is not None else [])


def _facts(found: Read) -> set[str]:
    """Return the events; for a registration, which comes with the first record to name the party, only its content."""
    documents = [written(event_from_document(event)) for event in found.events]
    return {
        json.dumps(
            {name: value for name, value in document.items() if name not in _OF_THE_RECORD}
            if document["type"] == "principal.registered"
            else document,
            sort_keys=True,
        )
        for document in documents
    }


def _misshapen(record: Any) -> Iterator[Any]:
    """Yield a record with each of its values, in turn, replaced by a value of another type."""
    if not isinstance(record, dict | list):
        return
    for name in record if isinstance(record, dict) else range(len(record)):
        for other in _OTHERS:
            changed = record.copy()
            changed[name] = other
            yield changed
        for inner in _misshapen(record[name]):
            changed = record.copy()
            changed[name] = inner
            yield changed


def _orders(records: Sequence[Any]) -> Iterable[list[Any]]:
    if len(records) <= 4:
        yield from map(list, itertools.permutations(records))
        return
    shuffler = random.Random(13)
    for _ in range(_ORDERS):
        yield shuffler.sample(list(records), len(records))
