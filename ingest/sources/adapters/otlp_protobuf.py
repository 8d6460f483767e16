"""OTLP in protobuf, as exporters post it to ``/v1/traces`` and the Collector writes it, decoded to the JSON form.

Only the fields that the adapter reads are decoded; others are skipped, as protobuf intends. It is implemented here
because the messages are few and stable, and a library would be an extra dependency of every installation. Pure.

Source:
    opentelemetry/proto/trace/v1/trace.proto; https://protobuf.dev/programming-guides/encoding/
"""

import io
import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from lineage.core.model.errors import BadRecordError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_VARINT_BITS: Final = 64
_SIZE_BYTES: Final = 4  # bytes of the size before each request in a file of the Collector
_DEEPEST: Final = 16  # a value may contain values
# The beginning of an export request: resource spans, a resource, an attribute, its key.
_LENGTH: Final = rb"[\x80-\xff]{0,4}[\x01-\x7f]"
BEGINNING: Final = re.compile(
    rb"\x0a" + _LENGTH + rb"\x0a" + _LENGTH + rb"\x0a" + _LENGTH + rb"\x0a[\x01-\x7f][a-z][a-z0-9_]*\.[a-z]", re.DOTALL
)


class _ProtobufField(NamedTuple):
    name: str
    kind: str  # text, hex, number, boolean, or a message of _MESSAGES
    repeated: bool = False


_MESSAGES: Final[dict[str, dict[int, _ProtobufField]]] = {
    "request": {1: _ProtobufField("resourceSpans", "resource spans", repeated=True)},
    "resource spans": {2: _ProtobufField("scopeSpans", "scope spans", repeated=True)},
    "scope spans": {2: _ProtobufField("spans", "span", repeated=True)},
    "span": {
        1: _ProtobufField("traceId", "hex"),
        2: _ProtobufField("spanId", "hex"),
        4: _ProtobufField("parentSpanId", "hex"),
        5: _ProtobufField("name", "text"),
        7: _ProtobufField("startTimeUnixNano", "number"),
        8: _ProtobufField("endTimeUnixNano", "number"),
        9: _ProtobufField("attributes", "attribute", repeated=True),
        15: _ProtobufField("status", "status"),
    },
    "status": {2: _ProtobufField("message", "text"), 3: _ProtobufField("code", "number")},
    "attribute": {1: _ProtobufField("key", "text"), 2: _ProtobufField("value", "value")},
    "value": {
        1: _ProtobufField("stringValue", "text"),
        2: _ProtobufField("boolValue", "boolean"),
        3: _ProtobufField("intValue", "number"),
        5: _ProtobufField("arrayValue", "values"),
        6: _ProtobufField("kvlistValue", "attributes"),
    },
    "values": {1: _ProtobufField("values", "value", repeated=True)},
    "attributes": {1: _ProtobufField("values", "attribute", repeated=True)},
}


def begins(head: bytes) -> bool:
    """Whether a file or a body with this beginning contains export requests in protobuf."""
    return BEGINNING.match(head) is not None or BEGINNING.match(head, _SIZE_BYTES) is not None


def requests(reader: io.BufferedReader, most_bytes: int) -> Iterator[tuple[bytes, BadRecordError | None]]:
    """Yield the export requests of a file: a single one, or as the Collector writes them, each preceded by its size.

    One that is too large or truncated is returned with its error and the bytes that were read.
    """
    if BEGINNING.match(reader.peek(_SIZE_BYTES)) is not None:
        raw = reader.read(most_bytes + 1)
        yield raw, _too_large(most_bytes) if len(raw) > most_bytes else None
        return
    while head := reader.read(_SIZE_BYTES):
        size = int.from_bytes(head, "big")
        if size > most_bytes:
            yield b"", _too_large(most_bytes)
            return
        raw = reader.read(size)
        short = len(head) < _SIZE_BYTES or len(raw) < size
        yield raw, BadRecordError("truncated", "the file ends within it") if short else None


def _too_large(most_bytes: int) -> BadRecordError:
    return BadRecordError("too-large", f"it has more than {most_bytes} bytes; let the exporter send smaller batches")


def decoded(raw: bytes) -> dict[str, Any]:
    """Decode an export request to the form of OTLP/JSON.

    Raises:
        BadRecordError: ``protobuf``: it is not one, or is truncated.
    """
    return _message(raw, "request", _DEEPEST)


def _message(raw: bytes, kind: str, depth: int) -> dict[str, Any]:
    if not depth:
        raise BadRecordError("protobuf", "its values are nested too deeply")
    fields, found = _MESSAGES[kind], dict[str, Any]()
    for number, wire, value in _fields(raw):
        field = fields.get(number)
        if field is None:
            continue
        if (wire == _BYTES) != (field.kind not in {"number", "boolean"}):
            raise BadRecordError("protobuf", f"field {number} of a {kind} has another type than {field.kind}")
        read = _value(value, field.kind, depth)
        if field.repeated:
            found.setdefault(field.name, []).append(read)
        else:
            found[field.name] = read  # of a repeated field, the last value counts
    return found


def _value(value: Any, kind: str, depth: int) -> Any:
    match kind:
        case "text":
            return value.decode(errors="replace")
        case "hex":
            return value.hex()
        case "number":
            return value
        case "boolean":
            return bool(value)
    return _message(value, kind, depth - 1)


def _fields(raw: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of each field: an integer, or bytes."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(raw, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise BadRecordError("protobuf", f"wire type {wire} at byte {at} is not one of OTLP")
        payload = raw[at : at + size]
        if len(payload) < size:
            raise BadRecordError("protobuf", f"it ends within field {number}, {size - len(payload)} bytes short")
        at += size
        yield number, wire, payload if wire == _BYTES else int.from_bytes(payload, "little")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < _VARINT_BITS:
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:  # noqa: PLR2004
            return value, at
    raise BadRecordError("protobuf", f"a number at byte {at} does not end")
