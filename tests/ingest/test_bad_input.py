"""Bad input: everything is quarantined with a reason and its position, or answered with one clear sentence.

Each bad line is between two good ones, which are accepted. No raw credential is anywhere in the bytes of the store.
"""

import base64
import contextlib
import gzip
import hashlib
import json
import os
import resource
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.codec import limits as bounds
from ingest.log.port import Entry
from ingest.opening import open_log
from ingest.projector import project
from ingest.sources.file_import import ingest_files
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import DECISIONS, ORDERS
from lineage.serve.cli.main import main
from lineage.serve.config.wiring import now
from lineage.store.plans import stored_plan
from lineage.store.store import open_store
from tests.support.places import ROOT
from tests.support.secrets import JWT

COUNTS = ["accepted", "duplicates", "conflicts", "unauthorised", "quarantined"]
DELEGRAPH = [sys.executable, "-c", "from lineage.serve.cli.main import main; main(prog_name='delegraph')"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def token(id: str, **fields: Any) -> dict[str, Any]:
    """Build a good event."""
    return {
        "type": "token.issued",
        "event_id": f"issue {id}",
        "source": "urn:idp",
        "occurred_at": "2024-05-01T09:00:00Z",
        "token": id,
        "subject": "human:alice",
        **fields,
    }


def without(field: str) -> dict[str, Any]:
    return {name: value for name, value in token("bad").items() if name != field}


def line(document: Any) -> bytes:
    return json.dumps(document).encode()


def raw(**fields: str) -> bytes:
    """Build the good event with members spelled as given."""
    stated = ", ".join(f'"{name}": {value}' for name, value in fields.items())
    return line(token("bad"))[:-1] + b", " + stated.encode() + b"}"


def invoke(url: str, *words: str, exit: int = 0) -> Any:
    """Run a command in this process; a traceback fails the test."""
    result = CliRunner().invoke(main, [*words, "--json", "--store", url], catch_exceptions=False)

    assert exit == result.exit_code, result.output
    return [json.loads(text) for text in result.stdout.split("\n") if text]


def counted(document: dict[str, Any]) -> int:
    return sum(document[key] for key in COUNTS)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return the URL of a store that may be created."""
    return f"sqlite:///{tmp_path}/delegraph.db"


@contextlib.contextmanager
def log_of(url: str) -> Iterator[Any]:
    log = open_log(url, create=True, clock=now)
    try:
        yield log
    finally:
        log.close()


# Lines


LINES: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"not json", "json"),
    "half an object": (line(token("bad"))[:-20], "json"),
    "two objects": (line(token("bad")) * 2, "json"),
    "a list": (b"[1, 2]", "not-an-object"),
    "a string": (b'"token.issued"', "not-an-object"),
    "null": (b"null", "not-an-object"),
    "no type": (line(without("type")), "missing-field"),
    "a type that is a number": (line(token("bad", type=1)), "wrong-kind"),
    "an unknown type": (line(token("bad", type="token.revoked")), "unknown-schema"),
    "an unknown field": (line(token("bad", colour="blue")), "unknown-field"),
    "an unknown field within": (
        line(token("bad", derived_from=[{"token": "t", "role": "subject", "x": 1}])),
        "unknown-field",
    ),
    "a field of another type": (line(token("bad", operation="read")), "unknown-field"),
    "no event id": (line(without("event_id")), "missing-field"),
    "no source": (line(without("source")), "missing-field"),
    "no time": (line(without("occurred_at")), "missing-field"),
    "no token": (line(without("token")), "missing-field"),
    "a token that is null": (line(token("bad", token=None)), "missing-field"),
    "no role": (line(token("bad", derived_from=[{"token": "t"}])), "missing-field"),
    "a key twice": (raw(token='"other"'), "duplicate-key"),
    "a key twice within": (raw(status_list='{"uri": "u", "idx": 1, "idx": 2}'), "duplicate-key"),
    "a key twice, once escaped": (raw(**{"tok\\u0065n": '"other"'}), "duplicate-key"),
    "an empty id": (line(token("")), "bad-id"),
    "a blank id": (line(token("   ")), "bad-id"),
    "an id padded on the left": (line(token(" bad")), "bad-id"),
    "an id padded on the right": (line(token("bad ")), "bad-id"),
    "an id padded with a no-break space": (line(token("bad\u00a0")), "bad-id"),
    "an id padded with an ideographic space": (line(token("\u3000bad")), "bad-id"),
    "an id of 513 bytes": (line(token("x" * 513)), "bad-id"),
    "an id of 257 letters of two bytes": (line(token("é" * 257)), "bad-id"),
    "an id with a tab": (line(token("a\tb")), "bad-id"),
    "an id with a newline": (line(token("a\nb")), "bad-id"),
    "an id with a null": (line(token("a\0b")), "bad-id"),
    "an id with a delete": (line(token("a\x7fb")), "bad-id"),
    "an id with an escape sequence": (line(token("\x1b[31mred")), "bad-id"),
    "an id with a bidi override": (line(token("a\u202eb")), "bad-id"),
    "an id with a zero width space": (line(token("a\u200bb")), "bad-id"),
    "an id with a line separator": (line(token("a\u2028b")), "bad-id"),
    "a lone surrogate": (line(token("bad\ud800")), "bad-id"),
    "a lone surrogate in a text": (line(token("bad", token_type="x\udfff")), "bad-text"),
    "a padded id in a list": (line(token("bad", prior_actors=["agent:a", "agent:b "])), "bad-id"),
    "an empty actor": (line(token("bad", actor="")), "bad-id"),
    "a padded event id": (line(token("bad", event_id=" e")), "bad-id"),
    "a time without offset": (line(token("bad", occurred_at="2024-05-01T09:00:00")), "bad-time"),
    "a time that is a date": (line(token("bad", occurred_at="2024-05-01")), "bad-time"),
    "a time that is a number": (line(token("bad", occurred_at=1714554000)), "wrong-kind"),
    "the thirtieth of February": (line(token("bad", expires_at="2024-02-30T09:00:00Z")), "bad-time"),
    "a time before 1970": (line(token("bad", occurred_at="1969-12-31T23:59:59Z")), "bad-time"),
    "a time before 1970 by its offset": (
        line(token("bad", occurred_at="1970-01-01T00:00:00+01:00")),
        "bad-time",
    ),
    "a time after 9999": (line(token("bad", occurred_at="9999-12-31T23:59:59-00:01")), "bad-time"),
    "an offset of a day": (line(token("bad", occurred_at="2024-05-01T09:00:00+24:00")), "bad-time"),
    "a time in other digits": (line(token("bad", occurred_at="٢٠٢٤-05-01T09:00:00Z")), "bad-time"),
    "a wrong word for a role": (
        line(token("bad", derived_from=[{"token": "t", "role": "parent"}])),
        "unknown-schema",
    ),
    "a wrong word for an exchange": (line(token("bad", exchange="theft")), "unknown-schema"),
    "a list that is a string": (line(token("bad", scopes="mail")), "wrong-kind"),
    "a string that is a list": (line(token("bad", actor=["agent:a"])), "wrong-kind"),
    "an object that is a string": (line(token("bad", derived_from=["t"])), "wrong-kind"),
    "a null in a list": (line(token("bad", scopes=[None])), "wrong-kind"),
    "a truth that is a number": (
        line({**token("bad"), "type": "decision.made", "decision": "q", "permitted": 1, "operation": "x"}),
        "unknown-field",
    ),
    "a list of 257": (line(token("bad", scopes=["s"] * 257)), "too-many"),
    "a list of 30,000": (line(token("bad", prior_actors=["a"] * 30_000)), "too-many"),
    "a text of 4,097 bytes": (line(token("bad", token_type="x" * 4097)), "bad-text"),
    "a fraction": (line(token("bad", sequence=1.5)), "wrong-kind"),
    "a number that is true": (line(token("bad", sequence=True)), "wrong-kind"),
    "a negative number": (line(token("bad", sequence=-1)), "out-of-range"),
    "a number above 2^53": (line(token("bad", sequence=2**53)), "out-of-range"),
    "a number of 5,000 digits": (raw(sequence="1" * 5000), "json"),
    "NaN": (raw(sequence="NaN"), "json"),
    "infinity": (raw(sequence="-Infinity"), "json"),
    "a record above the limit": (line(token("bad", token_type="x" * bounds.RECORD_BYTES)), "too-large"),
    "a record far above the limit": (b"x" * (3 * bounds.RECORD_BYTES), "too-large"),
    "invalid UTF-8": (line(token("bad"))[:-2] + b'\xff"}', "utf-8"),
    "UTF-8 of a surrogate": (line(token("bad"))[:-2] + b'\xed\xa0\x80"}', "utf-8"),
    "overlong UTF-8": (line(token("bad"))[:-2] + b'\xc0\xaf"}', "utf-8"),
    "a null byte": (b"\0", "json"),
    "deep nesting": (raw(scopes="[" * 17 + "]" * 17), "too-deep"),
    "very deep nesting": (b"[" * 100_000 + b"]" * 100_000, "too-deep"),
    "very deep objects": (b'{"a":' * 30_000 + b"1" + b"}" * 30_000, "too-deep"),
    "a raw token as an id": (line(token(JWT)), "credential"),
    "a raw token behind an issuer": (line(token(f"https://idp#{JWT}")), "credential"),
    "a raw token as a subject": (line(token("bad", subject=JWT)), "credential"),
    "a bearer in a text": (line(token("bad", token_type=f"Bearer {JWT}")), "credential"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LINES)
def test_a_bad_line_is_quarantined_and_its_neighbours_are_accepted(tmp_path: Path, url: str, what: str):
    """
    The line is kept with a reason and its position, and counted; the lines around it are accepted; the exit code is 0.
    """
    bad, reason = LINES[what]
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([line(token("t1")), b"", bad, line(token("t2")), b""]))

    [counts] = invoke(url, "ingest", str(file))

    assert (3, 2, 0, 0, 0, 1) == tuple(counts[key] for key in ["read", *COUNTS])
    assert ["active", "active"] == [found["state"] for found in invoke(url, "status", "token:t1", "token:t2")]
    [listed] = invoke(url, "quarantine")
    [item] = listed["items"]
    assert (reason, str(file), 3) == (item["reason"], item["origin"], item["position"])
    assert item["detail"]
    assert (hashlib.sha256(bad).hexdigest(), len(bad)) == (item["sha256"], item["size"])
    if reason == "credential":
        assert JWT not in json.dumps(item)
    else:
        assert bad == (item["value"].encode() if item["encoding"] == "utf-8" else base64.b64decode(item["value"]))


GOOD = {
    "an id of 512 bytes": token("x" * 512, event_id="e"),
    "a space within an id": token("a b"),
    "letters beyond ASCII": token("agent:é\U0001f680"),
    "the first instant": token("t", occurred_at="1970-01-01T00:00:00Z"),
    "the last instant": token("t", occurred_at="9999-12-31T23:59:59.999999Z"),
    "an offset": token("t", occurred_at="2024-05-01T09:00:00.1234567+14:00"),
    "a list of 256": token("t", scopes=["s"] * 256),
    "a text of 4,096 bytes": token("t", token_type="x" * 4096),
    "the largest number": token("t", sequence=2**53 - 1),
    "nulls and empty lists": token("t", actor=None, scopes=[], derived_from=None),
    "a public handle": token("aws#ASIAIOSFODNN7EXAMPLE"),
    "a digest": token("sha256:" + "0" * 64),
}


@pytest.mark.parametrize("what", GOOD)
def test_values_at_the_limits_are_accepted(tmp_path: Path, url: str, what: str):
    """
    The limits themselves are allowed.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(line(GOOD[what]))

    [counts] = invoke(url, "ingest", str(file))

    assert (1, 1) == (counts["read"], counts["accepted"])
    invoke(url, "status", f"token:{GOOD[what]['token']}")


def test_windows_line_ends_and_a_last_line_without_an_end_are_accepted(tmp_path: Path, url: str):
    """
    CR LF ends a line; the last line needs no end; blank lines are skipped.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(line(token("t1")) + b"\r\n\r\n \t\r\n" + line(token("t2")))

    [counts] = invoke(url, "ingest", str(file))

    assert (2, 2) == (counts["read"], counts["accepted"])


def test_an_empty_file_is_not_an_error(tmp_path: Path, url: str):
    """
    The output says that nothing was read.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"")

    assert 0 == invoke(url, "ingest", str(file))[0]["read"]


def test_a_file_of_all_bad_lines_is_quarantined_line_by_line(tmp_path: Path, url: str):
    """
    Each is quarantined with its line number, none is lost, and a second import adds no line twice.
    """
    file = tmp_path / "events.jsonl"
    bad = [bad for bad, _ in LINES.values()]
    file.write_bytes(b"\n".join(part for one in bad for part in (line(token("t1")), one)))

    first, second = invoke(url, "ingest", str(file))[0], invoke(url, "ingest", str(file))[0]

    items = invoke(url, "quarantine")[0]["items"]
    assert [2 * n for n in range(1, len(bad) + 1)] == [item["position"] for item in items]
    assert [reason for _, reason in LINES.values()] == [item["reason"] for item in items]
    assert (2 * len(bad), 1, len(bad) - 1, len(bad)) == (
        first["read"], first["accepted"], first["duplicates"], first["quarantined"],
    )  # fmt: skip
    assert (len(bad), len(bad)) == (second["duplicates"], second["quarantined"])


# Values of the log

FIRST, LAST = (codec.encode(codec.event_from_document(token(name))) for name in ("t1", "t2"))
BAD = codec.encode(codec.event_from_document(token("bad", scopes=["mail"])))
# A length or a count of 2^62, in Avro's zigzag.
HUGE = b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"
VALUES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "unknown-schema"),
    "one byte": (b"\xc3", "unknown-schema"),
    "a header alone": (BAD[:10], "avro"),
    "half a header": (BAD[:6], "unknown-schema"),
    "cut short": (BAD[:-1], "avro"),
    "cut in the middle": (BAD[: len(BAD) // 2], "avro"),
    "one byte too many": (BAD + b"\0", "avro"),
    "an unknown fingerprint": (BAD[:2] + struct.pack("<Q", 4711) + BAD[10:], "unknown-schema"),
    "Confluent framing": (b"\0" + struct.pack(">i", 1) + BAD[10:], "unknown-schema"),
    "a container file": (b"Obj\x01" + BAD, "unknown-schema"),
    "JSON": (line(token("bad")), "unknown-schema"),
    "a string of 2^62 bytes": (BAD[:10] + HUGE, "avro"),
    "a string of minus one byte": (BAD[:10] + b"\x01", "avro"),
    "a number without end": (BAD[:10] + b"\xff" * 20, "avro"),
    "ones": (BAD[:10] + b"\x02" * 300, ""),
    "zeros": (BAD[:10] + b"\0" * 300, ""),
    "a value above the limit": (BAD + b"\0" * bounds.RECORD_BYTES, "too-large"),
    "invalid UTF-8": (BAD.replace(b"human:alice", b"human:al\xffce"), ""),
    "a control character": (BAD.replace(b"human:alice", b"human:al\tce"), "bad-id"),
    "a padded id": (BAD.replace(b"human:alice", b"human:alic "), "bad-id"),
}


@pytest.mark.slow
@pytest.mark.parametrize("topic", [DECISIONS, ORDERS])
@pytest.mark.parametrize("what", VALUES)
def test_a_bad_value_of_the_log_is_quarantined_and_its_neighbours_are_projected(url: str, what: str, topic: str):
    """
    An unreadable record that somebody else wrote to the log has a reason and its offset; the rest is projected.
    """
    bad, reason = VALUES[what]
    with log_of(url) as log:
        log.append([Entry(topic, FIRST), Entry(topic, bad), Entry(topic, LAST)])

    [consumed] = invoke(url, "consume", "--drain")

    assert (3, 2, 1) == (
        consumed["records"], consumed["outcomes"]["accepted"], consumed["outcomes"]["quarantined"],
    )  # fmt: skip
    assert ["active", "active"] == [found["state"] for found in invoke(url, "status", "token:t1", "token:t2")]
    [item] = invoke(url, "quarantine")[0]["items"]
    assert (f"{topic}/0", 1, len(bad)) == (item["origin"], item["position"], item["size"])
    assert item["reason"] == reason if reason else item["reason"]
    assert bad == (item["value"].encode() if item["encoding"] == "utf-8" else base64.b64decode(item["value"]))
    assert invoke(url, "fsck")[0]["ok"]


def test_a_credential_in_the_log_is_not_copied_into_quarantine(url: str):
    """
    It cannot be removed from the log, but quarantine stores only its digest, and shows no more.
    """
    # As long as the id that it replaces, so that the lengths in the value stay right.
    value = codec.encode(codec.event_from_document(token("x" * len(JWT)))).replace(b"x" * len(JWT), JWT.encode())
    with log_of(url) as log:
        log.append([Entry(DECISIONS, FIRST), Entry(DECISIONS, value), Entry(DECISIONS, LAST)])

    [consumed] = invoke(url, "consume", "--drain")

    [item] = invoke(url, "quarantine")[0]["items"]
    kept = base64.b64decode(item["value"] or "") if item["encoding"] == "base64" else (item["value"] or "").encode()
    assert (2, 1) == (consumed["outcomes"]["accepted"], consumed["outcomes"]["quarantined"])
    assert ("credential", hashlib.sha256(value).hexdigest()) == (item["reason"], item["sha256"])
    assert JWT.encode() not in kept
    assert JWT not in json.dumps(item)


# Raw credentials

CREDENTIALS = {
    "a signed token": JWT,
    "an encrypted token": (
        "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJ"
        ".48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji.XFBoMYUZodetZdvT"
    ),
    "an unsigned token": "eyJhbGciOiJub25lIn0.eyJqdGkiOiI0NzExLTA4MTUifQ.",
    "one of GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "one of Vault": "hvs.CAESIJ1CzVYqkbqVaTGHbbZXaYxZzB9sPzWkVyM0vX",
    "one of Slack": "xoxb-263594206564-2343594206574-FGqddMF8t08v8N7Oq4i57vs1",
    "one of OpenAI": "sk-proj-Ab3dEf6hIj9kLmN0pQrStUvWxYz12345678",
    "a private key": "-----BEGIN PRIVATE KEY-----MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcw-----END PRIVATE KEY-----",
}


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


# A bad line with a credential in it, as JSON's own bytes.
PLACES: dict[str, Callable[[str], bytes]] = {
    "as a token": lambda secret: line(token(secret)),
    "behind an issuer": lambda secret: line(token(f"https://idp.example#{secret}")),
    "as a subject": lambda secret: line(token("bad", subject=secret)),
    "as an event id": lambda secret: line(token("bad", event_id=secret)),
    "as a source": lambda secret: line(token("bad", source=secret)),
    "among others": lambda secret: line(token("bad", prior_actors=["agent:a", secret])),
    "as an ancestor": lambda secret: line(token("bad", derived_from=[{"token": secret, "role": "subject"}])),
    "in a text": lambda secret: line(token("bad", token_type=f"it was {secret}, they say")),
    "as a type": lambda secret: line(token("bad", type=secret)),
    "as a word": lambda secret: line(token("bad", exchange=secret)),
    "as a time": lambda secret: line(token("bad", occurred_at=secret)),
    "in an unknown field": lambda secret: line(token("bad", password=secret)),
    "as the name of a field": lambda secret: line(token("bad", **{secret: "x"})),
    "deep in an unknown field": lambda secret: line(token("bad", extra={"a": [{"b": secret}]})),
    "in a context": lambda secret: line(
        {name: token("bad")[name] for name in ("event_id", "source", "occurred_at")}
        | {"type": "decision.made", "decision": "q", "permitted": True, "operation": "x"}
        | {"context": {"authorization": secret}}
    ),
    "in something that is not JSON": lambda secret: f"GET /?token={secret} HTTP/1.1".encode(),
    "in half an object": lambda secret: line(token(secret, event_id="bad"))[:-5],
    "in something that is not UTF-8": lambda secret: b"\xff" + line(token("bad", subject=secret)),
    "under a key that stands twice": lambda secret: raw(token=json.dumps(secret)),
    "in a record above the limit": lambda secret: line(token("bad", token_type=secret + "," * bounds.RECORD_BYTES)),
    "in escapes": lambda secret: raw(actor=f'"{escaped(secret)}"'),
    "in escapes in something that is not JSON": lambda secret: f'{{"token": "{escaped(secret)}"'.encode(),
    "with its dots escaped": lambda secret: raw(
        actor=json.dumps(secret).replace(".", "\\u002e").replace("-", "\\u002d")
    ),
    "in a nest": lambda secret: b"[" * 50 + json.dumps(secret).encode() + b"]" * 50,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_raw_credential_is_never_kept(tmp_path: Path, url: str, place: str):
    """
    Wherever it is, its bytes are nowhere in the files of the store, and no output shows it.
    """
    file = tmp_path / "events.jsonl"
    bad = [PLACES[place](secret) for secret in CREDENTIALS.values()]
    file.write_bytes(b"\n".join([line(token("t1")), *bad, line(token("t2"))]))

    emitted = CliRunner().invoke(main, ["emit", str(file), "--json", "--store", url])
    ingested = CliRunner().invoke(main, ["ingest", str(file), "--json", "--store", url])

    assert (2, 0) == (emitted.exit_code, ingested.exit_code)
    counts = json.loads(ingested.stdout)
    assert (len(bad), 2) == (counts["quarantined"], counts["duplicates"] + counts["accepted"])
    listed = invoke(url, "quarantine")[0]
    assert ["credential"] * len(bad) == [item["reason"] for item in listed["items"]]
    shown = emitted.output + ingested.output + json.dumps(listed)
    bytes_kept = [path.read_bytes() for path in tmp_path.glob("delegraph.db*")]
    with contextlib.closing(sqlite3.connect(tmp_path / "delegraph.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    bytes_kept += [path.read_bytes() for path in tmp_path.glob("delegraph.db*")]
    for kind, secret in CREDENTIALS.items():
        assert secret not in shown, kind
        for kept in bytes_kept:
            assert secret.encode() not in kept, kind
            assert escaped(secret).encode() not in kept, kind


def test_retry_does_not_import_a_line_whose_credential_was_replaced(tmp_path: Path, url: str):
    """
    `quarantine --retry` makes no fact of a line that nobody sent in this form, even if it can be read without the
    credential.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join([line(token(JWT)), line(token("t1", token_type=f"Bearer {JWT}"))]))
    invoke(url, "ingest", str(file))

    [document] = invoke(url, "quarantine", "--retry")

    assert (2, 0, 2) == (document["read"], document["taken_up"], document["waiting"])
    invoke(url, "status", "token:t1", exit=3)


@pytest.mark.parametrize(
    "words",
    [
        ["revoke", f"token:{JWT}", "--unseen", "--reason", "test", "--by", "human:ruth"],
        ["revoke", f"token:{JWT}", "--unseen", "--reason", "test", "--by", "human:ruth", "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", JWT, "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--note", JWT, "--execute"],
    ],
)
def test_a_raw_credential_on_the_command_line_is_refused_and_not_stored(tmp_path: Path, url: str, words: list[str]):
    """
    If the leaked token itself is pasted, the message asks for its id: exit code 2, and no plan or order contains it.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(line(token("t1")))
    invoke(url, "ingest", str(file))

    result = CliRunner().invoke(main, [*words, "--store", url])

    store = open_store(url, codec.read)
    with store.connection() as connection:
        digests = connection.execute(sa.text("SELECT digest FROM plan")).scalars().all()
    plans = [json.dumps(stored_plan(store, digest)) for digest in digests]
    store.close()
    assert not any(JWT in plan for plan in plans)
    assert 2 == result.exit_code
    assert JWT not in result.output


# Files


BROKEN_FILES: dict[str, bytes] = {
    "a gzip that is cut short": gzip.compress(line(token("t1")) + b"\n" + os.urandom(2000).hex().encode())[:-600],
    "a gzip with something behind it": gzip.compress(line(token("t1")) + b"\n") + b"something else",
    "a gzip with a wrong checksum": gzip.compress(line(token("t1")) + b"\n")[:-8] + b"\0" * 8,
    "two bytes of gzip": b"\x1f\x8b",
    "a header of gzip before anything": b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 100,
    "what only looks like gzip": b"\x1f\x8bgarbage",
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN_FILES)
def test_a_broken_gzip_is_accounted_for(tmp_path: Path, url: str, what: str):
    """
    The part that can be decompressed is imported; the output reports the rest, and never presents it as an empty file.
    """
    file = tmp_path / "events.jsonl.gz"
    file.write_bytes(BROKEN_FILES[what])

    result = CliRunner().invoke(main, ["ingest", str(file), "--json", "--store", url])

    matching = (
        json.loads(result.stdout)["quarantined"] if result.exit_code == 0 else result.stderr.startswith("delegraph: ")
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert matching
    if b"token.issued" in gzip_head(BROKEN_FILES[what]):
        assert "active" == invoke(url, "status", "token:t1")[0]["state"]


def gzip_head(raw_: bytes) -> bytes:
    """Decompress as much as possible."""
    import zlib

    try:
        return zlib.decompressobj(wbits=31).decompress(raw_)
    except zlib.error:
        return b""


@pytest.mark.parametrize("broken", [b"not json\n", line(token("t1")) + b"\n"])
def test_a_file_whose_name_is_not_utf_8_is_read_like_any_other(tmp_path: Path, url: str, broken: bytes):
    """
    No line of it is lost, good or bad.
    """
    file = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    try:
        file.write_bytes(broken + line(token("t2")))
    except OSError:
        pytest.skip("this file system takes no such name")

    [counts] = invoke(url, "ingest", str(file))

    assert 2 == counts["read"] == counted(counts)
    assert "active" == invoke(url, "status", "token:t2")[0]["state"]


@pytest.mark.parametrize(
    ("command", "name", "words"),
    [
        ("ingest", "none.jsonl", "there is no file"),
        ("ingest", ".", "folder"),
        ("ingest", "events.avro", "Avro"),
        ("emit", "none.jsonl", "there is no file"),
        ("emit", ".", "folder"),
    ],
)
def test_a_path_that_is_not_a_file_of_lines_is_reported_in_one_sentence(
    tmp_path: Path, url: str, command: str, name: str, words: str
):
    """
    The sentence names the file; exit code 2.
    """
    (tmp_path / "events.avro").write_bytes(BAD)
    invoke(url, "init")

    result = CliRunner().invoke(main, [command, str(tmp_path / name), "--store", url], catch_exceptions=False)

    assert 2 == result.exit_code
    one_sentence(result.stderr)
    assert words in result.stderr
    assert name.strip(".") in result.stderr


NO_UTF_8 = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "words",
    [
        ["search", NO_UTF_8],
        ["lift", NO_UTF_8, "--by", "human:ruth"],
        ["lift", "r1", "--by", NO_UTF_8],
        ["diff", f"token:{NO_UTF_8}", "--from", "now", "--to", "now"],
        ["revoke", f"token:{NO_UTF_8}", "--reason", "test", "--by", "human:ruth"],
        ["revoke", f"token:{NO_UTF_8}", "--reason", "test", "--by", "human:ruth", "--unseen", "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", NO_UTF_8, "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--note", NO_UTF_8, "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--source", NO_UTF_8, "--execute"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--plan-digest", NO_UTF_8, "--execute"],
        ["ingest", NO_UTF_8],
        ["search", "t", "--trust", NO_UTF_8],
        ["search", "t", "--log", f"sqlite:///{NO_UTF_8}"],
    ],
)
def test_an_argument_that_is_not_utf_8_never_crashes(tmp_path: Path, url: str, words: list[str]):
    """
    An argument of the command line that is not UTF-8 yields an answer, a refusal, or not found; never a traceback.
    """
    file = tmp_path / "events.jsonl"
    file.write_bytes(line(token("t1")))
    invoke(url, "ingest", str(file))

    result = CliRunner().invoke(main, [*words, "--store", url], catch_exceptions=False)

    assert result.exit_code in {0, 2, 3, 4, 5}


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "50%.db", "a#b.db", "a?b.db", "s.db?timeout=5", NO_UTF_8])
def test_store_and_log_are_one_file_whatever_its_name(tmp_path: Path, name: str):
    """
    The embedded log is inside the store: a usable name leads both to one file; an unusable one is refused.
    """
    folder = tmp_path / "store"
    folder.mkdir()
    (tmp_path / "events.jsonl").write_bytes(line(token("t1")))
    url = f"sqlite:///{folder}/{name}"

    result = CliRunner().invoke(
        main, ["ingest", str(tmp_path / "events.jsonl"), "--store", url], catch_exceptions=False
    )

    assert result.exit_code in {0, 2, 5}
    if result.exit_code == 0:
        assert 1 == len([path for path in folder.iterdir() if not path.name.endswith(("-wal", "-shm"))])
        [status] = invoke(url, "status", "token:t1")
        assert ("active", 0) == (status["state"], status["as_of"]["behind"])
    else:
        one_sentence(result.stderr)


# Stores


def one_sentence(stderr: str | bytes) -> None:
    text = stderr.decode() if isinstance(stderr, bytes) else stderr
    assert text.startswith("delegraph: ")
    assert 1 == len(text.strip().split("\n")), text
    assert 5 <= len(text.split())
    assert "Traceback" not in text


TOUCHING = {
    "status": ["status", "token:t1"],
    "reach": ["reach", "token:t1"],
    "revoke": ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--execute"],
    "lift": ["lift", "r1", "--by", "human:ruth"],
    "quarantine": ["quarantine", "--retry"],
    "init": ["init"],
    "ingest": ["ingest", "EVENTS"],
    "emit": ["emit", "EVENTS"],
    "consume": ["consume", "--drain"],
    "rebuild": ["rebuild"],
    "fsck": ["fsck"],
    "doctor": ["doctor"],
}


@pytest.fixture
def words_for(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return the arguments of a command, with a file of events."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(line(token("t1")))

    return lambda command: [str(events) if word == "EVENTS" else word for word in TOUCHING[command]]


@pytest.mark.parametrize("command", TOUCHING)
def test_a_text_file_is_not_a_store(tmp_path: Path, words_for: Callable[[str], list[str]], command: str):
    """
    A store URL of a text file: exit code 5, one sentence, and the text is unchanged.
    """
    file = tmp_path / "notes.txt"
    file.write_text("Dear diary,\n" * 200, encoding="utf-8")

    result = CliRunner().invoke(main, [*words_for(command), "--store", f"sqlite:///{file}"], catch_exceptions=False)

    assert 5 == result.exit_code, result.output
    if command != "doctor":
        one_sentence(result.stderr)
        assert "notes.txt" in result.stderr
    assert "Dear diary,\n" * 200 == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", TOUCHING)
def test_a_foreign_database_is_not_changed(tmp_path: Path, words_for: Callable[[str], list[str]], command: str):
    """
    A SQLite database of another application: exit code 5, one sentence, not a byte changed, and no table added.
    """
    file = tmp_path / "places.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript("CREATE TABLE visits (at TEXT); INSERT INTO visits VALUES ('monday')")
    before = file.read_bytes()

    result = CliRunner().invoke(main, [*words_for(command), "--store", f"sqlite:///{file}"], catch_exceptions=False)

    with contextlib.closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert [("visits",)] == tables
    assert 5 == result.exit_code, result.output
    if command != "doctor":
        one_sentence(result.stderr)
        assert "not a delegraph" in result.stderr
    assert before == file.read_bytes()


PLACES_OF_NO_STORE = {
    "nothing there": ("none.db", "there is no"),
    "a folder": (".", "folder"),
    "a folder that is not there": ("none/delegraph.db", "none"),
    "an empty file": ("empty.db", "delegraph init"),
}


@pytest.mark.parametrize("what", PLACES_OF_NO_STORE)
def test_a_query_without_a_store_is_told_what_to_do(tmp_path: Path, what: str):
    """
    No store, a folder, an empty file: exit code 5 and what to do; nothing is created.
    """
    (tmp_path / "empty.db").touch()
    place, words = PLACES_OF_NO_STORE[what]

    result = CliRunner().invoke(
        main, ["status", "token:t1", "--store", f"sqlite:///{tmp_path / place}"], catch_exceptions=False
    )

    assert 5 == result.exit_code
    one_sentence(result.stderr)
    assert words in result.stderr
    assert [tmp_path / "empty.db"] == list(tmp_path.iterdir())


def test_an_empty_file_may_become_a_store(tmp_path: Path, words_for: Callable[[str], list[str]]):
    """
    An empty file belongs to nobody: `ingest` creates a store in it.
    """
    (tmp_path / "empty.db").touch()

    [counts] = invoke(f"sqlite:///{tmp_path}/empty.db", *words_for("ingest"))

    assert 1 == counts["accepted"]


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", "sqlite:", "kafka://localhost:9092"])
@pytest.mark.parametrize("command", ["status", "ingest"])
def test_a_url_that_is_not_a_store_url_is_refused(url: str, command: str, words_for: Callable[[str], list[str]]):
    """
    An unusable URL: exit code 2 and an example of a usable one.
    """
    result = CliRunner().invoke(main, [*words_for(command), "--store", url], catch_exceptions=False)

    assert 2 == result.exit_code
    one_sentence(result.stderr)
    assert "sqlite:///" in result.stderr


@pytest.mark.parametrize("command", [command for command in TOUCHING if command != "emit"])
def test_a_store_of_a_newer_version_is_refused(
    tmp_path: Path, url: str, words_for: Callable[[str], list[str]], command: str
):
    """
    A store created by a newer delegraph: exit code 5, both versions named, nothing written.
    """
    file = tmp_path / "delegraph.db"
    invoke(url, *words_for("ingest"))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9001'")
        connection.commit()
        before = list(connection.iterdump())

    result = CliRunner().invoke(main, [*words_for(command), "--store", url], catch_exceptions=False)

    with contextlib.closing(sqlite3.connect(file)) as connection:
        after = list(connection.iterdump())
    assert 5 == result.exit_code, result.output
    if command != "doctor":
        one_sentence(result.stderr)
        assert "9001" in result.stderr
        assert "newer" in result.stderr
    assert before == after


@pytest.mark.slow
def test_a_writer_waits_for_a_locked_store_and_then_reports_it(
    tmp_path: Path, url: str, words_for: Callable[[str], list[str]]
):
    """
    While another process writes, queries are answered; a writer waits, and then reports it with exit code 5.
    """
    invoke(url, *words_for("ingest"))
    commands = {name: words_for(name) for name in ("ingest", "emit", "consume", "revoke", "init")}
    file = tmp_path / "delegraph.db"
    with log_of(url) as log:
        log.append([Entry(DECISIONS, LAST)])  # so that there is something to consume
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert "active" == invoke(url, "status", "token:t1")[0]["state"]
        runs = {
            name: subprocess.Popen(
                [*DELEGRAPH, *words, "--store", url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
            )
            for name, words in commands.items()
        }
        text = {name: (run.communicate(timeout=40)[1], run.returncode) for name, run in runs.items()}
        holder.execute("ROLLBACK")

    assert dict.fromkeys(runs, 5) == {name: code for name, (_, code) in text.items()}
    for stderr, _ in text.values():
        one_sentence(stderr)
        assert b"locked" in stderr
    assert 0 == invoke(url, "status", "token:t1")[0]["as_of"]["behind"] - 1


def test_a_writer_succeeds_if_the_lock_is_released_in_time(
    tmp_path: Path, url: str, words_for: Callable[[str], list[str]]
):
    """
    A lock that is released in time is not an error.
    """
    invoke(url, "init")
    holder = sqlite3.connect(tmp_path / "delegraph.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    giving_back = threading.Timer(0.5, lambda: holder.execute("ROLLBACK"))
    giving_back.start()

    [counts] = invoke(url, *words_for("ingest"))

    giving_back.join()
    holder.close()
    assert 1 == counts["accepted"]


# Runs a command without root's privileges, whoever runs the tests. All that a command imports on
# its way is imported before, by running each kind once, since the interpreter itself may be out of its sight then.
AS_NOBODY = """
import os, sys, tempfile
from click.testing import CliRunner
from lineage.serve.cli.main import main
with tempfile.TemporaryDirectory() as folder:
    for words in (
        ["ingest", "events.jsonl"],
        ["ingest", "events.jsonl", "--json"],
        ["status", "token:t1"],
        ["revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--execute"],
    ):
        result = CliRunner().invoke(main, [*words, "--store", f"sqlite:///{folder}/delegraph.db"])
        assert result.exit_code == 0, result.output
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
main(prog_name="delegraph")
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """Create a folder that other users may enter (pytest's own are for their owner only)."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "events.jsonl").write_bytes(line(token("t1")))
        yield place
        (place / "store").chmod(0o755)


def as_nobody(shared: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    given_ = [*words, "--json", "--store", f"sqlite:///{shared}/store/delegraph.db"]
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *given_], capture_output=True, env=ENVIRONMENT, cwd=shared, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["writable", "read-only"])
def test_a_read_only_store_answers_and_accepts_nothing(shared: Path, folder: str):
    """
    A store that cannot be written answers queries if it can; commands that would write say that it is read-only (5).
    """
    store = shared / "store"
    store.mkdir()
    invoke(f"sqlite:///{store}/delegraph.db", "ingest", str(shared / "events.jsonl"))
    (store / "delegraph.db").chmod(0o444)
    store.chmod(0o777 if folder == "writable" else 0o555)

    answered = as_nobody(shared, "status", "token:t1")
    ingested = as_nobody(shared, "ingest", "events.jsonl")
    ordered = as_nobody(shared, "revoke", "token:t1", "--reason", "test", "--by", "human:ruth", "--execute")

    for refused in (ingested, ordered):
        assert 5 == refused.returncode, refused.stderr
        one_sentence(refused.stderr)
        assert b"read-only" in refused.stderr
    if (
        folder == "read-only" and answered.returncode == 5
    ):  # SQLite needs to write the index of its WAL next to the store
        one_sentence(answered.stderr)
        return
    assert 0 == answered.returncode, answered.stderr
    assert "active" == json.loads(answered.stdout)["state"]
    assert b"" == answered.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["status", "token:t1"], ["ingest", "events.jsonl"]])
def test_a_store_in_an_inaccessible_folder_is_reported_in_one_sentence(shared: Path, command: list[str]):
    """
    A path that cannot even be looked up is unavailable: exit code 5, no traceback.
    """
    store = shared / "store"
    store.mkdir()
    invoke(f"sqlite:///{store}/delegraph.db", "init")
    store.chmod(0)

    result = as_nobody(shared, *command)

    assert 5 == result.returncode, result.stderr
    one_sentence(result.stderr)


def test_an_unreadable_file_is_reported_in_one_sentence(shared: Path):
    """
    Exit code 2, and the name of the file.
    """
    store = shared / "store"
    store.mkdir()
    invoke(f"sqlite:///{store}/delegraph.db", "init")
    store.chmod(0o777)
    for file in store.iterdir():
        file.chmod(0o666)
    (shared / "events.jsonl").chmod(0)

    result = as_nobody(shared, "ingest", "events.jsonl")

    assert 2 == result.returncode, result.stderr
    one_sentence(result.stderr)
    assert b"events.jsonl" in result.stderr


EVENTS = b"".join(line(token(f"t{n}", scopes=["mail"] * 5)) + b"\n" for n in range(3000))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [150_000, 400_000, 900_000])
def test_a_file_that_cannot_grow_loses_nothing(tmp_path: Path, url: str, limit: int):
    """
    If the file cannot grow, ingest reports it with exit code 5; with room again, the same command completes the import.
    """
    events = tmp_path / "many.jsonl"
    events.write_bytes(EVENTS)
    invoke(url, "init")

    def no_growth() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = subprocess.run(
        [*DELEGRAPH, "ingest", str(events), "--store", url],
        capture_output=True,
        env={**ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        preexec_fn=no_growth,
    )

    assert 5 == run.returncode, run.stderr
    one_sentence(run.stderr)
    [counts] = invoke(url, "ingest", str(events))
    assert 3000 == counts["read"] == counted(counts)
    [checked] = invoke(url, "fsck")
    assert (True, 3000) == (checked["ok"], checked["outcomes"]["accepted"])


@pytest.mark.parametrize("full", ["log", "store"])
def test_a_full_disk_is_reported_and_loses_nothing(tmp_path: Path, full: str):
    """
    A full disk is a temporary error: nothing of the part is written, and the next attempt completes it.
    """
    events = tmp_path / "many.jsonl"
    events.write_bytes(EVENTS)
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=now)
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)

    def pages_at_most(pages: int) -> None:
        if full == "log":
            log._connection.execute(f"PRAGMA max_page_count = {pages}")
        else:
            with store.connection() as connection:
                connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def attempt() -> int:
        intake = ingest_files([str(events)], log, store, format="jsonl", clock=now)
        project(log, store, None)
        return intake.read

    pages_at_most(60)
    with pytest.raises(UnavailableError, match="the disk is full"):
        attempt()
    in_part = (sum(log.ends().values()), sum(store.outcomes()))
    pages_at_most(100_000)
    read = attempt()

    outcomes = store.outcomes()
    assert in_part == ((0, 0) if full == "log" else (3000, 0))
    assert (3000, 3000) == (read, outcomes.accepted)
    assert sum(log.ends().values()) == sum(outcomes)
    log.close()
    store.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_answer_that_cannot_be_written_is_a_failure(url: str, words_for: Callable[[str], list[str]]):
    """
    If the disk of standard output is full, the exit code says so, without a traceback.
    """
    invoke(url, *words_for("ingest"))

    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(
            [*DELEGRAPH, "status", "token:t1", "--json", "--store", url],
            stdout=full,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=False,
        )

    assert 0 != run.returncode
    assert b"Traceback" not in run.stderr


# Fuzz


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with a store that ingests anything."""
    return tmp_path_factory.mktemp("fuzzed")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["2024-05-01T09:00:00Z", "human:alice", "t1", "subject", "revoke", JWT]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    *("type", "event_id", "source", "occurred_at", "token", "subject", "actor", "derived_from", "scopes"),
    *("expires_at", "sequence", "status_list", "delegation", "parents", "target", "revocation", "context"),
]


@st.composite
def nearly_good(draw: st.DrawFn) -> bytes:
    """Build a good event with some arbitrary members, or one that is cut or has a changed byte."""
    document = token("t1") | draw(st.dictionaries(st.sampled_from(FIELDS), values, max_size=3))
    for field in draw(st.lists(st.sampled_from(FIELDS), max_size=2)):
        document.pop(field, None)
    text = json.dumps(document).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return text


def lines_in(file: bytes) -> int:
    return sum(1 for part in file.split(b"\n") if part.rstrip(b"\r\n").strip())


@pytest.mark.slow
@settings(max_examples=60)
@given(lines=st.lists(nearly_good() | st.binary(max_size=60), min_size=1, max_size=12))
def test_every_fuzzed_line_is_accounted_for(fuzzed: Path, lines: list[bytes]):
    """
    Each line is read and counted once, whatever it contains, and the exit code is 0.
    """
    file = fuzzed / "lines.jsonl"
    file.write_bytes(
        b"\n" + b"\n".join(lines)
    )  # a blank line first: a file that begins like gzip is not a file of lines

    [counts] = invoke(f"sqlite:///{fuzzed}/lines.db", "ingest", "--format", "jsonl", str(file))

    assert lines_in(b"\n".join(lines)) == counts["read"] == counted(counts)
    assert 0 == counts["as_of"]["behind"]


@pytest.mark.slow
@settings(max_examples=60)
@given(file_bytes=st.binary(max_size=300) | st.lists(nearly_good(), max_size=3).map(b"\n".join))
@example(file_bytes=b"\xef\xbb\xbf" + line(token("t1")))
@example(file_bytes=line(token("t1")).decode().encode("utf-16"))
@example(file_bytes=b"\x1f\x8b\x08")
@example(file_bytes=b'{"Records": [')
@example(file_bytes=b'{"type": "request", "request": {}}\n' + line(token("t1")))
def test_no_file_causes_a_crash(fuzzed: Path, file_bytes: bytes):
    """
    Any file is counted (0), or refused in one sentence (2).
    """
    file = fuzzed / "anything"
    file.write_bytes(file_bytes)

    result = CliRunner().invoke(
        main, ["ingest", str(file), "--json", "--store", f"sqlite:///{fuzzed}/files.db"], catch_exceptions=False
    )

    if result.exit_code == 0:
        counts = json.loads(result.stdout)
        assert counts["read"] == counted(counts)
        assert counts["read"] or counts.get("skipped") or not file_bytes.strip()
    else:
        assert 2 == result.exit_code
        one_sentence(result.stderr)


@pytest.mark.slow
@settings(max_examples=60)
@given(
    appended=st.lists(
        st.tuples(
            st.sampled_from([DECISIONS, ORDERS]),
            st.binary(max_size=60)
            | st.binary(max_size=60).map(lambda tail: BAD[:10] + tail)
            | st.tuples(st.integers(10, len(BAD) - 1), st.binary(min_size=1, max_size=2)).map(
                lambda change: BAD[: change[0]] + change[1] + BAD[change[0] + len(change[1]) :]
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_fuzzed_value_of_the_log_is_accounted_for(fuzzed: Path, appended: list[tuple[str, bytes]]):
    """
    Whatever bytes the log contains, each record is accounted for once, and its neighbours are projected.
    """
    url = f"sqlite:///{fuzzed}/values.db"
    with log_of(url) as log:
        log.append(Entry(topic, value) for topic, value in appended)
        total = sum(log.ends().values())

    [consumed] = invoke(url, "consume", "--drain")

    assert len(appended) == consumed["records"]
    assert total == sum(consumed["outcomes"].values())
    assert 0 == consumed["as_of"]["behind"]


def test_a_fuzzed_store_is_consistent(fuzzed: Path):
    """
    Afterwards a fresh projection equals the stored one, and every report can be shown.
    """
    for name in ("lines", "files", "values"):
        url = f"sqlite:///{fuzzed}/{name}.db"
        invoke(url, "init")

        assert invoke(url, "fsck")[0]["ok"]
        for command in ("quarantine", "conflicts", "findings"):
            assert "items" in invoke(url, command)[0]


@pytest.mark.slow
@settings(max_examples=60)
@given(
    command=st.sampled_from(["who", "chain", "status", "reach", "uses", "timeline", "search"]), id=st.text(min_size=1)
)
def test_no_query_causes_a_crash(fuzzed: Path, command: str, id: str):
    """
    Any query yields an answer (0), a usage error (2), or nothing found (3).
    """
    url = f"sqlite:///{fuzzed}/questions.db"
    if not (fuzzed / "questions.db").exists():
        invoke(url, "init")

    for asked in (id, f"token:{id}", f"principal:{id}"):
        result = CliRunner().invoke(main, [command, "--json", "--store", url, "--", asked], catch_exceptions=False)

        assert result.exit_code in {0, 2, 3}, result.output
