"""The table of formats, listing every adapter: used by ``--format``, ``--format auto`` and ``[[source]]``."""

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
# Members of our own envelope; no other log has two of them under these names by chance.
_OWN_MEMBERS: Final = ("event_id", "source", "occurred_at")
_OWN_SIGNS: Final = re.compile(rb'"(event_id|source|occurred_at)"\s*:')
_LEAST_OF_OURS: Final = 2
_OWN_TYPES: Final = frozenset(TYPES.values())


def detect(head: bytes, *, first: str | None = None) -> str | None:
    """Detect the format of a file: ``jsonl``, ``avro``, or a format of the table; None if it is unknown.

    Args:
        head: The beginning of the file, decompressed.
        first: The format that takes precedence if any record has its marks.

    Returns:
        The format of the first record that has one. A record that is almost one of ours, by two members of the
        envelope or by its type, counts as ours: its errors are reported in quarantine.
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
    head = head.replace(b"\\", b"")  # the record may be inside a string, where its quotes are escaped
    if len(set(_OWN_SIGNS.findall(head))) >= _LEAST_OF_OURS:
        return "jsonl"
    return next((format_.name for format_ in _ADAPTERS if format_.signs.search(head)), None)


def format_of(value: Any) -> str | None:
    """Return the format of a record, or of the first record in a wrapper; None if it is unknown."""
    if member(value, "event_id") is not None and member(value, "source") is not None:
        return "jsonl"  # the usual case
    for format_ in _ADAPTERS:
        if any(inner.is_record for inner in unwrapped(value, format_.marks, format_.unwrap)):
            return format_.name
    return "jsonl" if is_nearly_ours(value) else None


def is_nearly_ours(value: Any) -> bool:
    """Whether a record is meant to be one of our events, even if it is invalid."""
    if sum(member(value, name) is not None for name in _OWN_MEMBERS) >= _LEAST_OF_OURS:
        return True
    type_ = member(value, "type")
    return isinstance(type_, str) and type_ in _OWN_TYPES
