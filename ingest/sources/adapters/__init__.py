"""Adapters: other people's logs read as events. docs/foreign-logs.md says what comes of what.

An adapter claims what a record says in clear and nothing else: what a log does not say is a gap in the
answer. Pure functions of the bytes: no clock, no I/O besides the stream. Every record gives events, or is
skipped under a stable reason, or comes with its fault: none vanishes.

    reader = plain(stream)
    format = detect(first_bytes(reader))
    for record, translation in translations(read_records(reader), format):
        ...
"""

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ingest.sources.adapters import cloudtrail, vault_request_pairs
from ingest.sources.adapters.raw_records import RawRecord, first_bytes, plain, read_records
from ingest.sources.adapters.redaction import safe_raw
from ingest.sources.adapters.translation import Translation, member

FORMATS: Final = ("vault", "cloudtrail")

_TRANSLATIONS: Final = {"vault": vault_request_pairs.translations, "cloudtrail": cloudtrail.translations}
_AVRO: Final = (b"\xc3\x01", b"Obj\x01")  # single-object encoding; a container file
# For a first record that is longer than what is looked at.
_NAMES: Final = {
    "jsonl": re.compile(rb'"event_id"\s*:'),
    "vault": re.compile(rb'"type"\s*:\s*"re(?:quest|sponse)"'),
    "cloudtrail": re.compile(rb'"event(?:Source|Version|ID)"\s*:'),
}


def detect(head: bytes) -> str:
    """The format of a file: ``jsonl``, ``avro``, ``vault`` or ``cloudtrail``.

    Args:
        head: What the file begins with, its gzip taken off.

    Returns:
        The format of the first record that has one; if none has, ``jsonl``, where bad lines are quarantined.
    """
    if head.startswith(_AVRO):
        return "avro"
    for record in read_records(io.BytesIO(head)):
        if format_ := _format_of(record.value):
            return format_
    return next((format_ for format_, names in _NAMES.items() if names.search(head)), "jsonl")


def translations(records: Iterable[RawRecord], format: str) -> Iterator[tuple[RawRecord, Translation]]:
    """Every record once, with what became of it; in the order in which that is known.

    Args:
        records: As ``read_records`` gives them.
        format: One of ``FORMATS``.
    """
    return _TRANSLATIONS[format](records)


def _format_of(value: Any) -> str | None:
    if member(value, "event_id") is not None and member(value, "source") is not None:
        return "jsonl"
    if member(value, "type") in ("request", "response") and isinstance(member(value, "request"), dict):
        return "vault"
    if member(value, "eventID") is not None and member(value, "eventName") is not None:
        return "cloudtrail"
    return None


__all__ = [
    "FORMATS",
    "RawRecord",
    "Translation",
    "detect",
    "first_bytes",
    "plain",
    "read_records",
    "safe_raw",
    "translations",
]
