"""The JSONL encoding: an event is one JSON object that holds the fields of envelope and body, with times in RFC 3339.

Pure. An absent field and null mean the same. Numbers are integers: 1.0 and every other float is refused, so that no
reader has to guess which integer was meant. Booleans are not numbers.
"""

import json
from collections.abc import Callable, Container, Mapping
from functools import cache
from operator import itemgetter
from typing import Any, Final, NamedTuple, NoReturn

from ingest.codec import credentials
from ingest.codec import limits as bounds
from ingest.codec.avro_form import encode
from ingest.codec.schema_shape import RECORDS, Field, RecordShape, latest_shape
from ingest.codec.validation import refuse_credential, refuse_credentials, shown
from lineage.core.model.errors import BadRecordError, CredentialError, UnknownSchemaError
from lineage.core.model.events import Event, document
from lineage.core.model.times import parse_instant

_JSON_NAMES: Final = {
    dict: "an object",
    list: "an array",
    tuple: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number with a fraction or an exponent",
    type(None): "null",
}
_EXPECTED: Final[dict[str, type[Any]]] = {
    "id": str,
    "text": str,
    "enum": str,
    "time": str,
    "integer": int,
    "boolean": bool,
}
_WORDS: Final = {
    "id": "a string",
    "text": "a string",
    "enum": "a string",
    "time": "a string, such as 2026-11-01T09:00:00Z",
    "integer": "a whole number",
    "boolean": "true or false",
}


def decode_line(line: bytes) -> Event:
    """Read one line of JSONL.

    Raises:
        CredentialError: It contains a raw credential, whether the line is valid or not.
        UnknownSchemaError: It has a type, field or enum symbol that this version does not know.
        BadRecordError: It is invalid; the detail names the field and the remedy.
    """
    try:
        return _decoded(line)
    except CredentialError:
        raise
    except BadRecordError:
        if secret := credentials.find_raw(line):
            refuse_credential("the record", secret)
        raise


def event_from_document(document: Mapping[str, object]) -> Event:
    """Read an event from parsed JSON, such as an adapter produces.

    Raises:
        BadRecordError: As for ``decode_line``.
    """
    event, _ = encoded_from_document(document)
    return event


def encoded_from_document(document: Mapping[str, object]) -> tuple[Event, bytes]:
    """Convert like ``event_from_document``, and also return the encoded value.

    Raises:
        BadRecordError: As for ``decode_line``.
    """
    try:
        event = _event(document)
        return event, encode(event)  # validates every field, and that the log will accept the value
    except CredentialError:
        raise
    except BadRecordError:
        refuse_credentials(dict(document))
        raise


def encode_line(event: Event) -> bytes:
    """Write a validated event as one line of JSONL, without a newline and without absent fields."""
    return json.dumps(document(event), ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(line: bytes) -> Event:
    if len(line) > bounds.RECORD_BYTES:
        raise BadRecordError("too-large", f"the record has {len(line)} bytes, at most {bounds.RECORD_BYTES}")
    try:
        text = line.decode()
        parsed = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise BadRecordError("utf-8", f"the record is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise BadRecordError("too-deep", f"the record is nested deeper than {bounds.JSON_DEPTH}: flatten it") from None
    except json.JSONDecodeError as error:
        raise BadRecordError("json", f"the record is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:  # an integer of thousands of digits
        raise BadRecordError("json", "the record holds a number that is too long to read") from None
    if not isinstance(parsed, dict):
        raise BadRecordError("not-an-object", f"the record is {_json_name(parsed)}: make it an object")
    return event_from_document(parsed)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadRecordError("duplicate-key", f"{shown(twice)} occurs twice in one object: state it once")
    return unique


def _constant(name: str) -> NoReturn:
    raise BadRecordError("json", f"{name} is not JSON: leave it out")


def _event(stated: Mapping[str, object]) -> Event:
    name = stated.get("type")
    if name is None:
        raise BadRecordError("missing-field", "type is missing: state it, such as token.issued")
    if not isinstance(name, str):
        raise BadRecordError("wrong-kind", f"type is {_json_name(name)}: make it a string")
    shape = latest_shape()
    body = shape.bodies.get(name)
    if body is None:
        known = ", ".join(shape.bodies)
        raise UnknownSchemaError("unknown-schema", f"type is {shown(name)}, which is unknown: use one of {known}")
    layout = _layout(name)
    plain, slots, values = layout.plain, layout.slots, layout.absent.copy()
    for key, value in stated.items():
        if type(value) is plain.get(key):  # the usual case
            values[slots[key]] = value
            continue
        field = layout.fields.get(key)
        if field is not None:
            if value is not None:
                values[slots[key]] = _value(value, field, key)
        elif key != "type":
            _refuse_unknown(key, name)
    if None in layout.required(values):
        _refuse_missing(layout.fields, {key for key, slot in slots.items() if values[slot] is not None}, "")
    size = len(layout.body._fields)
    values[layout.slot_of_body] = _NEW(layout.body, values[:size])
    event: Event = _NEW(Event, values[size:])
    return event


_NEW: Final[Any] = tuple.__new__  # as the constructor of a NamedTuple does, without looking up names


class _Layout(NamedTuple):
    """The conversion of the fields of a type to an event.

    Attributes:
        body: The type of its body.
        fields: The fields of the envelope and the body.
        plain: The required type of each field whose value is used unchanged.
        slots: The position of each field's value: first those of the body, then those of the event.
        absent: The values of fields that are absent.
        required: Selects the values that must be present.
        slot_of_body: The position of the body.
    """

    body: Any
    fields: dict[str, Field]
    plain: dict[str, type[Any]]
    slots: dict[str, int]
    absent: list[Any]
    required: Callable[[list[Any]], tuple[Any, ...]]
    slot_of_body: int


@cache
def _layout(name: str) -> _Layout:
    shape = latest_shape()
    body = RECORDS[shape.bodies[name].name]
    own = {field.name: field for field in shape.bodies[name].fields}
    slots = {key: body._fields.index(key) for key in own}
    slots |= {key: len(body._fields) + Event._fields.index(key) for key in shape.envelope}
    fields = shape.envelope | own
    return _Layout(
        body=body,
        fields=fields,
        plain=_plain(fields),
        slots=slots,
        absent=[record._field_defaults.get(key) for record in (body, Event) for key in record._fields],
        required=itemgetter(*(slots[key] for key, field in fields.items() if field.required)),
        slot_of_body=len(body._fields) + Event._fields.index("body"),
    )


def _plain(fields: Mapping[str, Field]) -> dict[str, type[Any]]:
    return {
        key: _EXPECTED[field.kind]
        for key, field in fields.items()
        if not field.many and field.record is None and field.kind != "time"
    }


def _value(value: object, field: Field, path: str) -> Any:
    if field.many == "list":
        if not isinstance(value, list | tuple):
            raise BadRecordError("wrong-kind", f"{path} is {_json_name(value)}: make it an array")
        return tuple(_one(item, field, f"{path}[{number}]") for number, item in enumerate(value))
    if field.many == "map":
        if not isinstance(value, Mapping):
            raise BadRecordError("wrong-kind", f"{path} is {_json_name(value)}: make it an object")
        for key in value:
            if not isinstance(key, str):
                raise BadRecordError("wrong-kind", f"a key of {path} is {_json_name(key)}: make it a string")
        return tuple((key, _one(value[key], field, f"{path}.{shown(key)}")) for key in sorted(value))
    return _one(value, field, path)


def _one(value: object, field: Field, path: str) -> Any:
    if field.record is not None:
        return _part(value, field.record, path)
    expected = _EXPECTED[field.kind]
    if type(value) is not expected:
        raise BadRecordError("wrong-kind", f"{path} is {_json_name(value)}: make it {_WORDS[field.kind]}")
    if field.kind == "time":
        try:
            return parse_instant(str(value))
        except ValueError as fault:
            raise BadRecordError("bad-time", f"{path} is {shown(value)}: {fault}") from None
    return value


def _part(value: object, record: RecordShape, path: str) -> Any:
    if not isinstance(value, Mapping):
        raise BadRecordError("wrong-kind", f"{path} is {_json_name(value)}: make it an object")
    fields, plain = _fields_of(record)
    values = {}
    for key, item in value.items():
        if type(item) is plain.get(key):
            values[key] = item
            continue
        if key not in fields:
            _refuse_unknown(key, path)
        if item is not None:
            values[key] = _one(item, fields[key], f"{path}.{key}")
    _refuse_missing(fields, values, f"{path}.")
    return RECORDS[record.name](**values)


@cache
def _fields_of(record: RecordShape) -> tuple[dict[str, Field], dict[str, type[Any]]]:
    fields = {field.name: field for field in record.fields}
    return fields, _plain(fields)


def _refuse_unknown(name: object, where: str) -> NoReturn:
    raise UnknownSchemaError("unknown-field", f"{shown(name)} is not a field of {where}: remove it")


def _refuse_missing(fields: Mapping[str, Field], stated: Container[str], path: str) -> None:
    for name, field in fields.items():
        if field.required and name not in stated:
            raise BadRecordError("missing-field", f"{path}{name} is missing: state it")


def _json_name(value: object) -> str:
    return _JSON_NAMES.get(type(value), f"a {type(value).__name__}")
