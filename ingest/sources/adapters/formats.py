"""The table of formats, every adapter once: ``--format``, ``--format auto`` and ``[[source]]`` read it."""

import io
import re
from typing import Any, Final

from ingest.sources.adapters import cerbos, cloudtrail, gcp, keycloak, kubernetes, mcp, opa, otlp, vault
from ingest.sources.adapters.kit import Format, member
from ingest.sources.adapters.raw_records import read_records
from ingest.sources.adapters.unwrapping import unwrapped
from lineage.core.model.events import TYPES

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
# Of our own envelope; no other log has two of them under these names by chance.
_OWN_MEMBERS: Final = ("event_id", "source", "occurred_at")
_OWN_SIGNS: Final = re.compile(rb'"(event_id|source|occurred_at)"\s*:')
_LEAST_OF_OURS: Final = 2
_OWN_TYPES: Final = frozenset(TYPES.values())


def detect(head: bytes, *, first: str | None = None) -> str | None:
    """The format of a file: ``jsonl``, ``avro``, or the name of a format of the table; None if it has none of these.

    Args:
        head: What the file begins with, its gzip taken off.
        first: The format that counts if any record has its marks.

    Returns:
        The format of the first record that has one. A record that is nearly ours, by two members of the envelope or
        by its type, has ours: what is wrong with it is said in quarantine.
    """
    if head.startswith(_AVRO):
        return "avro"
    if first is not None:
        format_ = FORMATS[first]
        for record in read_records(io.BytesIO(head)):
            if any(inner.is_record for inner in unwrapped(record.value, format_.marks, format_.unwrap)):
                return first
    is_any_whole = False
    for record in read_records(io.BytesIO(head)):
        if name := format_of(record.value):
            return name
        is_any_whole |= record.value is not None
    if is_any_whole:
        return None
    head = head.replace(b"\\", b"")  # the record may stand in a string, in which its quotes are escaped
    if len(set(_OWN_SIGNS.findall(head))) >= _LEAST_OF_OURS:
        return "jsonl"
    return next((format_.name for format_ in _ADAPTERS if format_.signs.search(head)), None)


def format_of(value: Any) -> str | None:
    """The format of a record, or of the first record in a wrapping; None if it has the marks of none."""
    if member(value, "event_id") is not None and member(value, "source") is not None:
        return "jsonl"  # nearly always
    for format_ in _ADAPTERS:
        if any(inner.is_record for inner in unwrapped(value, format_.marks, format_.unwrap)):
            return format_.name
    return "jsonl" if is_nearly_ours(value) else None


def is_nearly_ours(value: Any) -> bool:
    """Whether a record is meant to be an event of ours, whatever is wrong with it."""
    if sum(member(value, name) is not None for name in _OWN_MEMBERS) >= _LEAST_OF_OURS:
        return True
    type_ = member(value, "type")
    return isinstance(type_, str) and type_ in _OWN_TYPES
