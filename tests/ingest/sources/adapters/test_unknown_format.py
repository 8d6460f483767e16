"""A file of unknown format is refused as a whole, or quarantined on request; the format of each file is reported."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lineage.serve.cli.main import main

EVENT = {
    "type": "principal.registered",
    "event_id": "e1",
    "source": "urn:t",
    "occurred_at": "2026-11-02T08:00:00Z",
    "principal": "agent:a",
    "kind": "agent",
}
GOOD = json.dumps(EVENT).encode() + b"\n"
LINE = {"@timestamp": "2026-11-02T08:00:00Z", "message": "hello", "event_id": 7, "type": "request", "level": "info"}


def table() -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([["time", "user", "verb"], ["2026-11-02", "alice", "read"]])
    return text.getvalue().encode()


UNKNOWN: dict[str, Callable[[], bytes]] = {
    "JSON lines": lambda: b"".join(json.dumps(LINE | {"n": n}).encode() + b"\n" for n in range(50)),
    "pretty JSON": lambda: json.dumps([LINE, LINE], indent=2).encode(),
    "one object": lambda: json.dumps({"data": {"items": [LINE]}}).encode(),
    "compressed": lambda: gzip.compress(json.dumps(LINE).encode()),
    "a table": table,
    "text": lambda: b"Nov  2 08:00:00 host sshd[7]: Accepted publickey for alice\n" * 3,
    "XML": lambda: b"<?xml version='1.0'?><log><entry/></log>",
    "bytes": lambda: bytes(range(256)) * 4,
    "a list of numbers": lambda: b"[1, 2, 3]",
    "UTF-16": lambda: json.dumps(LINE).encode("utf-16"),
}


def ingest(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["ingest", *words, "--store", f"sqlite:///{folder}/store.db"])


@pytest.mark.parametrize("what", UNKNOWN)
@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_file_of_unknown_format_fails_the_whole_command(tmp_path: Path, what: str, order: str):
    """
    Exit code 2, nothing of any file ingested, and the message names the formats tried and the remedy.
    """
    good, unknown = tmp_path / "good.jsonl", tmp_path / "unknown"
    good.write_bytes(GOOD)
    unknown.write_bytes(UNKNOWN[what]())
    files = [str(unknown), str(good)] if order == "before" else [str(good), str(unknown)]

    result = ingest(tmp_path, *files, "--json")

    assert (2, "") == (result.exit_code, result.stdout)
    assert 1 == result.stderr.count("\n")
    for value in (str(unknown), "event_id", "vault", "cloudtrail", "nothing was ingested", "--quarantine-unknown"):
        assert value in result.stderr
    again = json.loads(ingest(tmp_path, str(good), "--json").stdout)
    assert (1, 0) == (again["accepted"], again["duplicates"])
    listed = CliRunner().invoke(main, ["quarantine", "--json", "--store", f"sqlite:///{tmp_path}/store.db"])
    assert [] == json.loads(listed.stdout)["items"]


@pytest.mark.parametrize("what", UNKNOWN)
def test_it_is_quarantined_on_request(tmp_path: Path, what: str):
    """
    Every record of it, and the other files are imported.
    """
    good, unknown = tmp_path / "good.jsonl", tmp_path / "unknown"
    good.write_bytes(GOOD)
    unknown.write_bytes(UNKNOWN[what]())

    result = ingest(tmp_path, str(unknown), str(good), "--json", "--quarantine-unknown")

    counts = json.loads(result.stdout)
    assert (0, 1, counts["read"] - 1) == (result.exit_code, counts["accepted"], counts["quarantined"])
    assert counts["quarantined"]
    assert ["unknown", "jsonl"] == [each["format"] for each in counts["files"]]
    listed = CliRunner().invoke(main, ["quarantine", "--json", "--store", f"sqlite:///{tmp_path}/store.db"])
    assert {"unknown-format"} == {item["reason"] for item in json.loads(listed.stdout)["items"]}


@pytest.mark.parametrize(
    "near",
    [
        {name: value for name, value in EVENT.items() if name != "type"},
        {name: value for name, value in EVENT.items() if name not in {"event_id", "source"}},
        EVENT | {"type": "principal.renamed"},
        EVENT | {"occurred_at": "yesterday"},
        {"type": "token.issued"},
    ],
    ids=["no type", "no identity", "another type", "no time", "a type alone"],
)
def test_a_record_that_is_nearly_ours_is_quarantined_with_its_fault(tmp_path: Path, near: dict[str, Any]):
    """
    It is not refused, so that a producer's mistake is visible and does not affect its neighbours.
    """
    file = tmp_path / "near.jsonl"
    file.write_bytes(json.dumps(near).encode() + b"\n")

    counts = json.loads(ingest(tmp_path, str(file), "--json").stdout)

    assert (1, 1) == (counts["read"], counts["quarantined"])


@pytest.mark.parametrize("blank", [b"", b"\n\n", b" \r\n"])
def test_a_blank_file_is_not_an_error(tmp_path: Path, blank: bytes):
    """
    It contains nothing that could be of another format.
    """
    file = tmp_path / "blank.jsonl"
    file.write_bytes(blank)

    result = ingest(tmp_path, str(file), "--json")

    assert (0, 0) == (result.exit_code, json.loads(result.stdout)["read"])


def test_a_stated_format_is_used(tmp_path: Path):
    """
    With `--format jsonl` the lines are read as such, and quarantined one by one.
    """
    file = tmp_path / "unknown"
    file.write_bytes(UNKNOWN["JSON lines"]())

    counts = json.loads(ingest(tmp_path, str(file), "--json", "--format", "jsonl").stdout)

    assert (50, 50) == (counts["read"], counts["quarantined"])
    assert "files" not in counts


def test_the_detected_format_of_each_file_is_reported(tmp_path: Path):
    """
    File by file; for more than ten, the number of files of each format.
    """
    call = {
        "eventVersion": "1.08",
        "eventID": "c1",
        "eventName": "X",
        "eventSource": "s3.amazonaws.com",
        "eventTime": "2026-11-02T08:00:00Z",
        "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/a"},
    }
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(GOOD)
    theirs.write_bytes(gzip.compress(json.dumps({"Records": [call]}).encode()))

    few = ingest(tmp_path, str(ours), str(theirs))
    many = ingest(tmp_path, *[str(ours)] * 10, str(theirs))

    shown = few.stdout.replace("\n", " ")
    assert "ours was read as jsonl." in shown
    assert "theirs was read as cloudtrail." in shown
    assert "Read as cloudtrail: 1 file, jsonl: 10 files." in many.stdout


def test_standard_input_is_recognised_and_read_once(tmp_path: Path):
    """
    The part examined to detect the format is imported too; a credential in the name of a member is not repeated.
    """
    words = ["ingest", "-", "--json", "--store", f"sqlite:///{tmp_path}/store.db"]

    good = CliRunner().invoke(main, words, input=GOOD * 3)
    unknown = CliRunner().invoke(main, words, input=json.dumps({"ghp_" + "a1B2" * 9: 1}).encode())

    assert (3, 0) == (json.loads(good.stdout)["read"], good.exit_code)
    assert 2 == unknown.exit_code
    assert "ghp_" not in unknown.stderr
