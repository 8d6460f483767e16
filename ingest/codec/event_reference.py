"""Generate the event reference from the schema's documentation: ``python -m ingest.codec.event_reference``."""

import sys
from collections.abc import Iterable, Iterator
from typing import Final

import schemas
from ingest.codec import limits as bounds
from ingest.codec.schema_shape import Field, latest_shape

_KINDS: Final = {
    "id": "id",
    "text": "text",
    "time": "time",
    "integer": "whole number",
    "boolean": "true or false",
    "enum": "enum",
    "record": "object",
}
_HEAD: Final = """\
# Events

<!-- Generated from schemas/{file} by `python -m ingest.codec.event_reference`; a test checks that it is current. -->

{doc}
An event has two encodings:
one JSON object per line (`*.jsonl`), with the fields of envelope and body in the same object,
and Avro single-object encoding: `C3 01 {fingerprint}`, then the record.
Test vectors with both encodings and the digest of the content are in `schemas/vectors/`.

| kind | in JSON | limits |
|---|---|---|
| id | string | 1 to {id} bytes of UTF-8, compared byte for byte; not padded with white space \
(Unicode White_Space), no character of the categories Cc, Cf, Cs, Zl, Zp; never a credential |
| text | string | at most {text} KiB of UTF-8; not empty where it is required; never a credential |
| time | string, RFC 3339 with an offset: `2026-11-01T09:00:00Z` | the years 1970 to 9999; digits past the \
microsecond are cut off; in Avro microseconds since 1970 |
| whole number | number without fraction or exponent (not `1.0`) | 0 to 2^53 - 1 |
| enum | string | one of the values listed |
| list | array | at most {list} entries |
| map | object | at most {map} entries |

A record has at most {record} KiB and at most {depth} levels of nesting.
Fields marked `?`, lists and maps may be omitted. An absent field, `null`, an empty list or map, and the default mean \
the same.
An unknown field is refused, so that a misspelled field is not silently lost.

## Envelope
"""


def reference() -> str:
    """The content of ``docs/events.md``."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    shape = latest_shape()
    version = schemas.latest()
    yield _HEAD.format(
        file=version.file,
        doc=shape.doc,
        fingerprint=version.fingerprint.hex(" ").upper(),
        id=bounds.ID_BYTES,
        text=bounds.TEXT_BYTES // 1024,
        list=bounds.LIST_ENTRIES,
        map=bounds.MAP_ENTRIES,
        record=bounds.RECORD_BYTES // 1024,
        depth=bounds.JSON_DEPTH,
    )
    stated_type = Field("type", "text", version.definition["fields"][0]["doc"])
    yield from _table((stated_type, *shape.envelope.values()))
    for name, body in shape.bodies.items():
        doc = body.doc.partition(": ")[2]
        yield from ("", f"## `{name}`", "", doc[:1].upper() + doc[1:], "")
        yield from _table(body.fields)


def _table(fields: Iterable[Field]) -> Iterator[str]:
    yield "| field | kind | meaning |"
    yield "|---|---|---|"
    yield from _rows(fields, "")


def _rows(fields: Iterable[Field], prefix: str) -> Iterator[str]:
    for field in fields:
        yield f"| `{prefix}{field.name}`{_stated(field)} | {_kind(field)} | {_meaning(field)} |"
        if field.record is not None:
            yield from _rows(field.record.fields, f"{prefix}{field.name}{'[]' if field.many else ''}.")


def _stated(field: Field) -> str:
    return "" if field.required or field.many else "?"


def _kind(field: Field) -> str:
    kind = _KINDS[field.kind]
    return {"": kind, "list": f"list of {kind}s", "map": f"map of {kind}s"}[field.many]


def _meaning(field: Field) -> str:
    parts = [field.doc]
    if field.symbols:
        parts.append("One of " + ", ".join(f"`{symbol}`" for symbol in field.symbols) + ".")
    if field.has_default and not field.optional and not field.many:
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        parts.append(f"Default: `{default}`.")
    return " ".join(parts).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
