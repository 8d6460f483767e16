"""Copies of real logs with the same content in another form: other ids, other times, another order, other wrappers.

A run is a folder of logs and the known truth about them. Its ids are renamed, and its times moved, in logs and truth
alike; then the records are put into other orders, files and wrappers. Every query of the copy must be answered like
that of the original.
"""

import gzip
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ingest.sources.adapters import read_records

_MIXED: Final = r"(?=[A-Za-z0-9_-]*\d)(?=[A-Za-z0-9_-]*[a-z])(?=[A-Za-z0-9_-]*[A-Z])[A-Za-z0-9_-]{24}"
_IDS: Final = re.compile(
    r"(?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
    r"|(?P<hex>(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{16,}(?![0-9A-Za-z]))"
    r"|(?P<ulid>\b01[0-9A-HJKMNP-TV-Z]{24}\b)"
    rf"|(?P<mixed>(?<![\w-]){_MIXED}(?![\w-]))"
    r"|(?P<key>\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b)"
    r"|(?P<instance>\bi-[0-9a-f]{8,17}\b)"
    r"|(?P<account>(?<![\w.-])\d{12}(?![\w.-]))"
)
_HEX: Final = ("uuid", "hex", "instance")
_KEPT: Final = {"key": 4, "instance": 2, "ulid": 2}  # characters at the beginning that tell the kind of an id
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_SINCE_EPOCH: Final = re.compile(r"(?<![\w.-])(1[5-9]\d{8})(\d{3}|\d{6}|\d{9})?(?![\w-]|\.\d)")
_WRITTEN_OUT: Final = re.compile(r"[A-Z][a-z]{2} \d\d?, \d{4},? \d\d?:\d\d:\d\d [AP]M")


def records_of(file: Path) -> list[Any]:
    """Return the records of a file, without the list around them."""
    with file.open("rb") as stream:
        return [record.value for record in read_records(stream)]


def renamed(text: str, words: Mapping[str, str], salt: str) -> str:
    """Replace every id in a text by another one of the same form, consistently, and words by a table."""
    for word, other in words.items():
        text = re.sub(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", other, text)
    return _IDS.sub(lambda match: _other(match[0], str(match.lastgroup), salt), text)


def shifted(text: str, by: timedelta) -> str:
    """Move every time in a text."""

    def moved(match: re.Match[str]) -> str:
        return (datetime.fromisoformat(match[0]) + by).isoformat(sep=match[0][10])

    def written_out(match: re.Match[str]) -> str:
        form = "%b %d, %Y, %I:%M:%S %p" if match[0].count(",") > 1 else "%b %d, %Y %I:%M:%S %p"
        return (datetime.strptime(match[0], form).replace(tzinfo=UTC) + by).strftime(form)

    text = _TIME.sub(moved, text)
    text = _WRITTEN_OUT.sub(written_out, text)
    return _SINCE_EPOCH.sub(lambda match: f"{int(match[1]) + int(by.total_seconds())}{match[2] or ''}", text)


def _other(id_: str, kind: str, salt: str) -> str:
    kept = _KEPT.get(kind, 0)
    digits = hashlib.shake_256(f"{salt}{id_}".encode()).digest(len(id_))
    return id_[:kept] + "".join(
        _letter(character, digit, is_hex=kind in _HEX)
        for character, digit in zip(id_[kept:], digits[kept:], strict=True)
    )


def _letter(character: str, digit: int, *, is_hex: bool) -> str:
    if is_hex and character in "0123456789abcdef":
        return "0123456789abcdef"[digit % 16]
    if character.isdigit():
        return "0123456789"[digit % 10]
    if character.isascii() and character.isalpha():
        letters = "ABCDEFGHJKMNPQRSTVWXYZ"
        letter = letters[digit % len(letters)]
        return letter if character.isupper() else letter.lower()
    return character


def shuffled(records: Sequence[Any], seed: int) -> list[Any]:
    """Put the records in another order."""
    return random.Random(seed).sample(records, len(records))


def one_a_line(records: Iterable[Any]) -> bytes:
    """Write the records as JSON lines."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def _lines(wrap: Callable[[str], Any]) -> Callable[[list[Any]], bytes]:
    return lambda records: one_a_line(wrap(json.dumps(record)) for record in records)


WRAPPINGS: Final[dict[str, Callable[[list[Any]], bytes]]] = {
    "an array": lambda records: json.dumps(records, indent=1).encode(),
    "Records": lambda records: json.dumps({"Records": records}).encode(),
    "an EventList": lambda records: json.dumps({"kind": "EventList", "items": records}).encode(),
    "Elastic": _lines(lambda line: {"_index": "logs", "_source": {"event": {"original": line}, "message": line}}),
    "Splunk": _lines(lambda line: {"preview": False, "result": {"_raw": line, "sourcetype": "json"}}),
    "docker": _lines(lambda line: {"log": f"{line}\n", "stream": "stdout", "time": "2030-01-01T00:00:00Z"}),
    "CloudWatch": lambda records: json.dumps(
        {"logGroup": "g", "logEvents": [{"id": "7", "timestamp": 1, "message": json.dumps(one)} for one in records]}
    ).encode(),
    "Kafka": _lines(lambda line: {"topic": "t", "partition": 0, "offset": 7, "headers": {}, "value": line}),
    "syslog": lambda records: b"".join(
        b"<134>1 2030-01-01T00:00:00Z host app 7 - - " + json.dumps(record).encode() + b"\n" for record in records
    ),
    "several gzip members": lambda records: b"".join(gzip.compress(one_a_line([record])) for record in records),
}
"""The wrappers that collectors and people put around records."""

_TRACE: Final = (
    "2030-01-01 00:00:00,000 ERROR [org.keycloak.services] (executor-thread-9) Uncaught: java.lang.Error: {}",
    "\tat org.keycloak.Some.thing(Some.java:12)",
    "Caused by: java.lang.NullPointerException",
    "\t... 12 more",
)


def _console(record: Mapping[str, str]) -> str:
    """Format a line of Keycloak's console in its default form."""
    at = record["timestamp"].replace("T", " ")[:23].replace(".", ",")
    text = f"[{record['loggerName']}] ({record['threadName']}) {record['message']}"
    return f"{at} {record['level']:5} {text}"


def _text(front: Callable[[str], str]) -> Callable[[list[Any]], bytes]:
    return lambda records: "\n".join(map(front, [*_TRACE, *map(_console, records), *_TRACE])).encode() + b"\n"


KEYCLOAK_CONSOLES: Final[dict[str, Callable[[list[Any]], bytes]]] = {
    "the default": _text(lambda line: line),
    "in colour": _text(lambda line: line.replace(" INFO  [", " \x1b[32mINFO \x1b[39m [")),
    "of a container runtime": _text(lambda line: f"2030-01-01T00:00:00.123456789Z stdout F {line}"),
    "of docker": _text(lambda line: json.dumps({"log": f"{line}\n", "stream": "stdout"})),
    "of syslog": _text(lambda line: f"<134>1 2030-01-01T00:00:00Z host keycloak 7 - - {line}"),
    "ECS": lambda records: one_a_line(
        {"@timestamp": one["timestamp"], "log.logger": one["loggerName"], "message": one["message"]} for one in records
    ),
    "ECS, nested": lambda records: one_a_line(
        {"@timestamp": one["timestamp"], "log": {"logger": one["loggerName"]}, "message": one["message"]}
        for one in [{"timestamp": "2030-01-01T00:00:00Z", "loggerName": "io.quarkus", "message": "started"}, *records]
    ),
}
"""The lines of Keycloak's listener, given in JSON, in the forms of other settings and collectors."""
