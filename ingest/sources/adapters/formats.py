"""The table of formats, every adapter once: ``--format``, ``--format auto`` and ``[[source]]`` read it."""

import io
import re
from typing import Any, Final

from ingest.sources.adapters import cerbos, cloudtrail, gcp, keycloak, kubernetes, mcp, opa, otlp, vault
from ingest.sources.adapters.kit import Format, member
from ingest.sources.adapters.raw_records import read_records
from ingest.sources.adapters.unwrapping import unwrapped

_ADAPTERS: Final = (
    vault.FORMAT,
    cloudtrail.FORMAT,
    kubernetes.FORMAT,
    keycloak.FORMAT,
    gcp.FORMAT,
    cerbos.FORMAT,
    opa.FORMAT,
    otlp.FORMAT,
    mcp.FORMAT,
)
FORMATS: Final[dict[str, Format]] = {format_.name: format_ for format_ in _ADAPTERS}

_AVRO: Final = (b"\xc3\x01", b"Obj\x01")  # single-object encoding; a container file
_OWN_SIGNS: Final = re.compile(rb'"event_id"\s*:')


def detect(head: bytes, *, first: str | None = None) -> str:
    """The format of a file: ``jsonl``, ``avro``, or the name of a format of the table.

    Args:
        head: What the file begins with, its gzip taken off.
        first: The format that counts if any record has its marks.

    Returns:
        The format of the first record that has one; if none has, ``jsonl``, where bad lines are quarantined.
    """
    if head.startswith(_AVRO):
        return "avro"
    if first is not None:
        format_ = FORMATS[first]
        for record in read_records(io.BytesIO(head)):
            if any(inner.is_record for inner in unwrapped(record.value, format_.marks, format_.unwrap)):
                return first
    for record in read_records(io.BytesIO(head)):
        if name := format_of(record.value):
            return name
    if _OWN_SIGNS.search(head):
        return "jsonl"
    return next((format_.name for format_ in _ADAPTERS if format_.signs.search(head)), "jsonl")


def format_of(value: Any) -> str | None:
    """The format of a record, or of the first record in a wrapping; None if it has the marks of none."""
    if member(value, "event_id") is not None and member(value, "source") is not None:
        return "jsonl"
    for format_ in _ADAPTERS:
        if any(inner.is_record for inner in unwrapped(value, format_.marks, format_.unwrap)):
            return format_.name
    return None
