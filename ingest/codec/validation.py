"""Validation of events: types of values, limits, no raw credential.

Every event is validated here or by generated code that is tested to agree (``avro_generated``); if that code rejects
an event, this module produces the message. Pure.
"""

from functools import cache
from typing import Any, Final, NoReturn

from ingest.codec import credentials
from ingest.codec import limits as bounds
from ingest.codec.schema_shape import RECORDS, Field, RecordShape, latest_shape
from lineage.core.model.errors import BadRecordError, CredentialError, UnknownSchemaError
from lineage.core.model.events import TYPES, Event
from lineage.core.model.times import EARLIEST, LATEST

_SHOWN_CHARACTERS: Final = 60
_PYTHON: Final[dict[str, type[Any]]] = {
    "id": str,
    "text": str,
    "enum": str,
    "time": int,
    "integer": int,
    "boolean": bool,
}


def check(event: Event) -> None:
    """Validate an event.

    Raises:
        CredentialError: One of its strings contains a raw credential, whatever else is wrong.
        BadRecordError: A value has the wrong type or exceeds a limit; the detail names the field and the remedy.
    """
    try:
        _record(event, _envelope(), "")
        _record(event.body, _body(event.body), "")
    except CredentialError:
        raise
    except BadRecordError:
        refuse_credentials(event._asdict() | {"body": event.body})
        raise


def refuse_credentials(value: Any, path: str = "", depth: int = 0) -> None:
    """Search every string of a record for credentials, including the names of its fields.

    Raises:
        CredentialError: A string contains one; the detail names the field and the credential's digest.
        BadRecordError: The record is nested too deeply (reason ``too-deep``).
    """
    if isinstance(value, str):
        if secret := credentials.find(value):
            refuse_credential(path, secret)
    elif isinstance(value, dict):
        _refuse_deep(depth)
        for name, item in value.items():
            refuse_credentials(name, f"the name of a field in {path or 'the record'}", depth + 1)
            step = name if isinstance(name, str) and name.isidentifier() else shown(name)
            inner = f"{path}.{step}" if path else step
            if isinstance(name, str) and isinstance(item, str) and credentials.is_secret_of_ours(name, item):
                refuse_credential(inner, item)
            refuse_credentials(item, inner, depth + 1)
    elif isinstance(value, list | tuple):
        _refuse_deep(depth)
        names = getattr(value, "_fields", range(len(value)))
        for name, item in zip(names, value, strict=True):
            refuse_credentials(item, f"{path}.{name}".removeprefix("body."), depth + 1)


def refuse_credential(path: str, secret: str | bytes) -> NoReturn:
    """Report where a raw credential was found, with its digest unless that would reveal it, never the credential.

    Raises:
        CredentialError: Always.
    """
    raise CredentialError(
        "credential",
        f"{path} holds a raw credential ({credentials.speakable(secret)}): send its id instead, `<iss>#<jti>`, "
        "the provider's public handle, or `sha256:<hex>`; and treat the credential as leaked",
    )


def shown(value: object) -> str:
    """Format a value for a message: short, printable characters only, no credential."""
    text = value if isinstance(value, str) else repr(value)
    if credentials.find(text):
        return "a raw credential"
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}..."
    return ascii(text) if isinstance(value, str) else text


def _refuse_deep(depth: int) -> None:
    if depth >= bounds.JSON_DEPTH:
        raise BadRecordError("too-deep", f"the record is nested deeper than {bounds.JSON_DEPTH}: flatten it")


@cache
def _envelope() -> tuple[tuple[int, Field], ...]:
    shape = latest_shape()
    return tuple((Event._fields.index(name), field) for name, field in shape.envelope.items())


def _body(body: Any) -> tuple[tuple[int, Field], ...]:
    name = TYPES.get(type(body))
    if name is None:
        raise BadRecordError("wrong-kind", f"body is a {type(body).__name__}, which is not the body of an event")
    return _slots(latest_shape().bodies[name])


@cache
def _slots(record: RecordShape) -> tuple[tuple[int, Field], ...]:
    return tuple((RECORDS[record.name]._fields.index(field.name), field) for field in record.fields)


def _record(value: Any, slots: tuple[tuple[int, Field], ...], path: str) -> None:
    for slot, field in slots:
        item = value[slot]
        if field.many:
            _entries(item, field, path + field.name)
        elif item is None:
            if not field.optional:
                raise BadRecordError("missing-field", f"{path}{field.name} is missing: state it")
        else:
            _one(item, field, path + field.name)


def _entries(value: Any, field: Field, path: str) -> None:
    if type(value) is not tuple:
        raise BadRecordError("wrong-kind", f"{path} is a {type(value).__name__}: make it a tuple")
    limit = bounds.LIST_ENTRIES if field.many == "list" else bounds.MAP_ENTRIES
    if len(value) > limit:
        raise BadRecordError("too-many", f"{path} has {len(value)} entries, a {field.many} at most {limit}")
    for number, item in enumerate(value):
        if field.many == "list":
            _one(item, field, f"{path}[{number}]")
        else:
            _one(item[0], field, f"a key of {path}")
            _one(item[1], field, f"{path}.{shown(item[0])}")
            if credentials.is_secret_of_ours(*item):
                refuse_credential(f"{path}.{shown(item[0])}", item[1])
    if field.many == "map" and sorted({key for key, _ in value}) != [key for key, _ in value]:
        raise BadRecordError("wrong-kind", f"the keys of {path} are not sorted or not distinct: sort them")


def _one(value: Any, field: Field, path: str) -> None:
    if field.record is not None:
        if type(value) is not RECORDS[field.record.name]:
            raise BadRecordError("wrong-kind", f"{path} is a {type(value).__name__}, not a {field.record.name}")
        _record(value, _slots(field.record), f"{path}.")
        return
    expected = _PYTHON[field.kind]
    if type(value) is not expected:
        raise BadRecordError("wrong-kind", f"{path} is a {type(value).__name__}, not a {expected.__name__}")
    match field.kind:
        case "id" | "text":
            _string(value, field, path)
        case "enum" if value not in field.symbols:
            raise UnknownSchemaError(
                "unknown-schema",
                f"{path} is {shown(value)}, which is unknown: use one of {', '.join(field.symbols)}",
            )
        case "time" if not EARLIEST <= value <= LATEST:
            raise BadRecordError("bad-time", f"{path} is outside the years 1970 to 9999")
        case "integer" if not 0 <= value <= bounds.LARGEST_INTEGER:
            raise BadRecordError("out-of-range", f"{path} is {shown(value)}: use a whole number from 0 to 2^53 - 1")


def _string(value: str, field: Field, path: str) -> None:
    if field.kind == "id":
        if fault := bounds.fault_of_id(value):
            raise BadRecordError("bad-id", f"{path} {fault}")
    elif fault := bounds.fault_of_text(value):
        raise BadRecordError("bad-text", f"{path} {fault}")
    elif not value and field.required:
        raise BadRecordError("bad-text", f"{path} is empty: state it")
    if secret := credentials.find(value):
        refuse_credential(path, secret)
