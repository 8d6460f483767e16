"""No byte of a credential is stored or shown: of any kind, in any wrapper, through any input."""

import contextlib
import io
import json
import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.codec.credentials import kept, scrubbed
from ingest.projector import project
from lineage.core.model.records import DECISIONS, Headers, Record, Slice
from lineage.serve.cli.main import main
from lineage.serve.processes.logs import LogSettings, logging_to
from lineage.store.quarantine import count_quarantined
from lineage.store.store import open_store
from tests.support.http_worlds import api_over
from tests.support.wrapped_secrets import KINDS, ONE_LINE, WRAPPINGS, Secret, secret, traces

SEEDS = st.integers(0, 2**32).map(random.Random)


@given(SEEDS, st.sampled_from(sorted(KINDS)), st.sampled_from(sorted(WRAPPINGS)))
@settings(max_examples=500)
def test_the_scrubber_leaves_nothing_of_a_credential(rng, kind, wrapping):
    """
    Neither the credential nor a part of it, in any spelling; scrubbing again changes nothing.
    """
    found = secret(kind, rng)

    left = kept(WRAPPINGS[wrapping](found))

    assert left is None or not any(trace in left for trace in traces(found.needle)), left
    assert left is None or left == kept(left)


@pytest.mark.parametrize("wrapping", sorted(WRAPPINGS))
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_in_every_wrapper(kind, wrapping):
    """
    One of each, plain and in bytes that are marked as Avro.
    """
    found = secret(kind, random.Random(f"{kind} {wrapping}"))

    for before in (b"", b"\xc3\x01"):
        left = kept(before + WRAPPINGS[wrapping](found))

        assert left is None or not any(trace in left for trace in traces(found.needle)), left


SENTENCES = (
    "a sentence",
    "a .netrc",
    "curl with a header",
    "curl with a user",
    "sshpass",
    "a line of key=value",
    "a URL",
)


@pytest.mark.parametrize("wrapping", SENTENCES)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_messages_do_not_repeat_the_input(kind, wrapping):
    """
    The input of a caller is part of messages and of the process log, which are scrubbed like our own texts.
    """
    found = secret(kind, random.Random(f"{kind} {wrapping}"))

    result = scrubbed(WRAPPINGS[wrapping](found).decode())

    assert not any(trace in result.encode() for trace in traces(found.needle)), result


# Every way in


def one_of_each(rng: random.Random, wrappings: Iterable[str]) -> list[tuple[Secret, bytes]]:
    """Generate a credential of each kind, in each wrapper."""
    return [
        (each, WRAPPINGS[name](each)) for each in (secret(kind, rng) for kind in sorted(KINDS)) for name in wrappings
    ]


def bytes_of(folder: Path) -> bytes:
    """Return everything that a store has on disk."""
    for path in folder.glob("*.db"):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return b"".join(path.read_bytes() for path in sorted(folder.glob("*.db*")))


def leaked(records: list[tuple[Secret, bytes]], *places: bytes | str) -> list[tuple[Secret, bytes]]:
    """Return the records of which something was left, with that part."""
    everything = b"\n".join(place if isinstance(place, bytes) else place.encode() for place in places)
    found = sorted({each for each, _ in records})
    return [(each, trace) for each in found for trace in traces(each.needle) if trace in everything]


def looked_at(url: str) -> str:
    """Return everything that is shown of a quarantine, in every form."""
    runner = CliRunner()
    shown = [runner.invoke(main, ["quarantine", *more, "--limit", "2000", "--store", url]) for more in ([], ["--json"])]
    shown.append(runner.invoke(main, ["quarantine", "--retry", "--json", "--store", url]))
    return "".join(each.output for each in shown)


@pytest.mark.slow
@given(SEEDS)
@settings(max_examples=3)
def test_a_file_leaks_nothing(tmp_path_factory, rng):
    """
    A line of each kind in each wrapper, after one of our lines: nothing in store, log, output or the output of `emit`.
    """
    folder = tmp_path_factory.mktemp("file")
    url = f"sqlite:///{folder}/store.db"
    records = one_of_each(rng, ONE_LINE)
    events = folder / "events.jsonl"
    good = {"type": "principal.registered", "event_id": "p", "source": "urn:t", "occurred_at": "2026-11-02T08:00:00Z"}
    first = json.dumps(good | {"principal": "agent:a", "kind": "agent"}).encode()
    events.write_bytes(b"\n".join([first, *(raw for _, raw in records)]))

    ingested = CliRunner().invoke(main, ["ingest", str(events), "--json", "--store", url])
    emitted = CliRunner().invoke(main, ["emit", str(events), "--json", "--store", f"sqlite:///{folder}/other.db"])

    counts = json.loads(ingested.stdout)
    assert (1, len(records)) == (counts["accepted"], counts["quarantined"])
    assert [] == leaked(records, bytes_of(folder), ingested.output, emitted.output, looked_at(url))


@given(SEEDS)
@settings(max_examples=3)
def test_a_table_leaks_nothing(tmp_path_factory, rng):
    """
    A table whose header names its columns, one line each: none of its secrets is left.
    """
    folder = tmp_path_factory.mktemp("table")
    url = f"sqlite:///{folder}/store.db"
    found = [each for kind in sorted(KINDS) if "\n" not in (each := secret(kind, rng)).value]
    records = [(each, b"") for each in found]
    lines = [[each.value for each in found], [f'"{each.value}"' for each in found]]
    events = folder / "events.jsonl"
    events.write_text(
        "\n".join(
            ["{}", ",".join(["user", *(each.name for each in found)]), *("alice," + ",".join(line) for line in lines)]
        )
    )

    ingested = CliRunner().invoke(main, ["ingest", str(events), "--format", "jsonl", "--json", "--store", url])

    assert 4 == json.loads(ingested.stdout)["quarantined"]
    assert [] == leaked(records, bytes_of(folder), ingested.output, looked_at(url))


@pytest.mark.slow
@given(SEEDS)
@settings(max_examples=2)
def test_http_leaks_nothing(tmp_path_factory, rng):
    """
    As lines, as an array and as Avro; a refused record is not repeated in the response, nor in the process log.
    """
    folder = tmp_path_factory.mktemp("http")
    url = f"sqlite:///{folder}/store.db"
    records = one_of_each(rng, WRAPPINGS)
    lines = [raw for _, raw in records if b"\n" not in raw]
    result = io.StringIO()
    answers = []
    with logging_to(result, LogSettings("json", "debug")), api_over(url, folder) as api:
        for media_type, body in (
            ("application/x-ndjson", b"\n".join(lines)),
            ("application/json", b"[" + b",".join(json.dumps(raw.decode("latin-1")).encode() for raw in lines) + b"]"),
            *(("application/avro", b"\xc3\x01" + raw) for _, raw in records[::7]),
            *(("application/json", raw) for _, raw in records[::7]),
            *(("text/plain", raw) for _, raw in records[::40]),
        ):
            response = api.post("/v1/events", "producer", content=body, headers={"Content-Type": media_type})
            answers.append(response.text)
        for _, raw in records[::7]:
            headers = {"Content-Type": "application/json"}
            answers += (api.post(path, "responder", content=raw, headers=headers).text for path in PATHS)
            answers.append(api.get("/v1/status", params={"of": raw.decode("latin-1")}).text)
        answers.append(api.get("/v1/quarantine", params={"limit": 1000}).text)

    assert [] == leaked(records, bytes_of(folder), result.getvalue(), *answers, looked_at(url))


PATHS = ("/v1/revocations", "/v1/revocations/r1/lift")


class RecordsWithHeaders:
    """A log with the content of a Kafka topic: any value, with any headers."""

    identity = b"records-with-headers"

    def __init__(self, records: list[tuple[bytes, Headers]]) -> None:
        self._records = records

    def ends(self) -> dict[tuple[str, int], int]:
        return {(DECISIONS, 0): len(self._records)}

    def read(self, topic: str, partition: int, offset: int, *, limit: int) -> Slice:
        part = self._records[offset : offset + limit]
        return Slice(
            [Record(offset + at, 1_790_000_000_000_000, *each) for at, each in enumerate(part)], offset + len(part)
        )


@pytest.mark.slow
@given(SEEDS, st.booleans())
@settings(max_examples=3)
def test_kafka_leaks_nothing(tmp_path_factory, rng, in_headers):
    """
    As the value of a record, and as a header of it, under its own name and wrapped under another one.
    """
    folder = tmp_path_factory.mktemp("kafka")
    url = f"sqlite:///{folder}/store.db"
    records = one_of_each(rng, WRAPPINGS)
    if in_headers:
        own = [(b"no event", ((each.name, each.value.encode()),)) for each, _ in records]
        held = own + [(b"no event", (("trace", raw), ("x", b"1"))) for _, raw in records]
    else:
        held = [(raw, ()) for _, raw in records] + [(b"\xc3\x01" + raw, ()) for _, raw in records]
    result = io.StringIO()
    with (
        logging_to(result, LogSettings("json", "debug")),
        contextlib.closing(open_store(url, codec.read, create=True)) as store,
    ):
        project(RecordsWithHeaders(held), store, None)
        assert len(held) == count_quarantined(store)

    assert [] == leaked(records, bytes_of(folder), result.getvalue(), looked_at(url))
