"""Truncated gzip: the readable part is imported, the cut is one record in quarantine, other files are unaffected."""

import gzip
import io
import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.adapters import first_bytes, plain, read_records
from ingest.sources.file_import import FORMATS
from lineage.serve.cli.main import main

RNG = random.Random(1)
COUNT = 300
OWN = [
    {
        "type": "principal.registered",
        "event_id": f"e{number}",
        "source": "urn:t",
        "occurred_at": "2026-11-02T08:00:00Z",
        "principal": f"agent:a{number}",
        "kind": "agent",
        "display_name": RNG.randbytes(20).hex(),
    }
    for number in range(COUNT)
]
CALLS = [
    {
        "eventVersion": "1.08",
        "eventID": f"c{number}",
        "eventName": "X",
        "eventSource": "s3.amazonaws.com",
        "eventTime": "2026-11-02T08:00:00Z",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/a"},
        "requestID": RNG.randbytes(20).hex(),
    }
    for number in range(COUNT)
]
BODIES = {
    "lines": b"\n".join(json.dumps(each).encode() for each in CALLS),
    "Records": json.dumps({"Records": CALLS}).encode(),
    "pretty": json.dumps(CALLS, indent=1).replace('"\n }', '"}').encode(),
}
FORM = st.sampled_from(sorted(BODIES))


def unpacked(packed: bytes) -> bytes:
    """Decompress a gzip stream as far as possible."""
    result, member = b"", zlib.decompressobj(31)
    for at in range(len(packed)):
        try:
            result += member.decompress(packed[at : at + 1])
        except zlib.error:
            break
    return result


def whole(raw: bytes) -> int:
    """Count the records that end within the decompressed part."""
    return sum(f'"{call["requestID"]}"}}'.encode() in raw for call in CALLS)


@given(FORM, st.floats(0, 1, exclude_max=True))
def test_every_complete_record_is_read_wherever_the_file_is_cut(form, at):
    """
    One further record reports that the file was cut, with the bytes that are left of it.
    """
    packed = gzip.compress(BODIES[form], mtime=0)
    packed = packed[: max(2, int(len(packed) * at))]
    reader = plain(io.BytesIO(packed))
    first_bytes(reader)

    *good, last = list(read_records(reader))

    result = unpacked(packed)
    assert whole(result) == len(good) == sum(record.value is not None for record in good)
    assert "broken-gzip" == last.fault.reason
    assert last.raw in result
    assert [record.position for record in [*good, last]] == sorted({record.position for record in [*good, last]})


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize(
    "end",
    [
        lambda packed: packed + b"something else",
        lambda packed: packed[:-8] + b"\0" * 8,
        lambda packed: packed[:-4] + b"\xff" * 4,
        lambda packed: packed[:-1],
        lambda packed: packed + gzip.compress(b"more", mtime=0)[:15],
    ],
    ids=[
        "something behind it",
        "a wrong checksum",
        "a wrong size",
        "an end that is cut off",
        "half a member behind it",
    ],
)
def test_a_fault_at_the_end_loses_no_record(form, end):
    """
    All records were decompressed before it.
    """
    *good, last = list(read_records(io.BytesIO(end(gzip.compress(BODIES[form] + b"\n", mtime=0)))))

    assert COUNT == len(good) == sum(record.value is not None for record in good)
    assert "broken-gzip" == last.fault.reason


@pytest.mark.parametrize("form", BODIES)
def test_several_members_are_one_file(form):
    """
    As `cat a.gz b.gz` creates it, cut anywhere, with padding between the members.
    """
    body = BODIES[form]
    packed = b"\0\0".join(gzip.compress(body[at : at + 1000], mtime=0) for at in range(0, len(body), 1000))

    found = list(read_records(io.BytesIO(packed)))

    assert COUNT == len(found) == sum(record.value is not None for record in found)


def ingest(folder: Path, files: list[Path], *more: str) -> dict[str, Any]:
    words = ["ingest", *map(str, files), "--json", "--store", f"sqlite:///{folder}/store.db", *more]
    result = CliRunner().invoke(main, words)
    assert 0 == result.exit_code, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


OWN_LINES = b"".join(json.dumps(each).encode() + b"\n" for each in OWN)


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["auto", *(each for each in FORMATS if each != "auto")])
@pytest.mark.parametrize("size", [2, 3, 12, 20, 4000, -1])
def test_a_broken_file_does_not_stop_the_import(tmp_path: Path, format_: str, size: int):
    """
    Whatever format is given, and however short the file is: the other files are imported, and the cut is accounted for.
    """
    broken, good = tmp_path / "broken.gz", tmp_path / "good.jsonl"
    broken.write_bytes(gzip.compress(OWN_LINES, mtime=0)[:size])
    good.write_bytes(json.dumps(OWN[0] | {"event_id": "last"}).encode() + b"\n")

    first = ingest(tmp_path, [broken], "--format", format_)
    second = ingest(tmp_path, [broken, good], "--format", "auto")

    assert first["quarantined"]
    read = unpacked(broken.read_bytes()).count(b"\n")
    assert read + 2 == second["read"]
    assert 1 == second["quarantined"]
    assert read + 1 == second["accepted"] + second["duplicates"]
    listed = CliRunner().invoke(main, ["quarantine", "--json", "--store", f"sqlite:///{tmp_path}/store.db"])
    assert "broken-gzip" in {item["reason"] for item in json.loads(listed.stdout)["items"]}


def test_emit_publishes_everything_that_can_be_decompressed(tmp_path: Path):
    """
    It reports the cut by file name, with exit code 2.
    """
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(OWN_LINES, mtime=0)[:4000])

    result = CliRunner().invoke(main, ["emit", str(broken), "--json", "--store", f"sqlite:///{tmp_path}/store.db"])

    document = json.loads(result.stdout)
    assert (2, 1) == (result.exit_code, len(document["refused"]))
    assert unpacked(broken.read_bytes()).count(b"\n") == document["published"]
