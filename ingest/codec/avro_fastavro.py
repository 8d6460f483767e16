"""Avro by fastavro: the reference implementation that the generated code is tested against, and the fallback.

The only module that imports fastavro. fastavro may raise any exception on hostile bytes; ``avro_form`` turns it into
a ``BadRecordError``.
"""

from functools import cache
from io import BytesIO
from typing import Any, Final, NoReturn

import fastavro

import schemas
from ingest.codec.avro_primitives import Coder, SlowPathError
from ingest.codec.schema_shape import RECORDS, Field, FieldShape, RecordShape, shape_of
from lineage.core.model.events import TYPES, Event

_HEADER_BYTES: Final = 10


def coder(version: schemas.SchemaVersion) -> Coder:
    """Build the fallback coder of a schema version.

    Its ``decode`` and ``encode`` always raise, so that every event takes the slow path, which validates it.
    """

    def refuse(_: object) -> NoReturn:
        raise SlowPathError

    def read(value: bytes) -> Event:
        return read_body(version, value[_HEADER_BYTES:])

    return Coder(read=read, read_parts=read, decode=refuse, encode=refuse)


def read_body(version: schemas.SchemaVersion, encoded: bytes) -> Event:
    """Read the Avro record that follows the fingerprint.

    Raises:
        ValueError: Bytes are left over.
        Exception: Whatever fastavro raises.
    """
    stream = BytesIO(encoded)
    # Return the record's name for a union of records (the body), but not for a nullable record.
    written: Any = fastavro.schemaless_reader(
        stream, _parsed(version.file), None, return_record_name=True, return_record_name_override=True
    )
    if stream.read(1):
        raise ValueError("bytes are left over after the record")
    shape = _shape(version.file)
    name, stated = written["body"]
    name = name.rpartition(".")[2]
    envelope = {key: _read(written[key], field) for key, field in shape.envelope.items()}
    return Event(body=_record(stated, shape.bodies[TYPES[RECORDS[name]]]), **envelope)


def skip_body(version: schemas.SchemaVersion, stream: BytesIO) -> None:
    """Skip the Avro record that follows the fingerprint.

    Raises:
        Exception: Whatever fastavro raises.
    """
    fastavro.schemaless_reader(stream, _parsed(version.file), None)


def fingerprint(definition: Any) -> bytes:
    """The eight-byte CRC-64-AVRO fingerprint of a schema (its parsed JSON), as used on the wire."""
    canonical = fastavro.schema.to_parsing_canonical_form(definition)
    return bytes.fromhex(fastavro.schema.fingerprint(canonical, "CRC-64-AVRO"))


def stated_type(value: bytes) -> str:
    """The ``type`` field of a value, which its body may contradict. It is the first field in every version.

    Raises:
        Exception: Whatever fastavro raises.
    """
    stated: Any = fastavro.schemaless_reader(BytesIO(value[_HEADER_BYTES:]), "bytes", None)
    return str(stated, errors="replace")


def write_body(version: schemas.SchemaVersion, event: Event) -> bytes:
    """Write the Avro record that follows the fingerprint.

    Raises:
        Exception: Whatever fastavro raises.
    """
    shape = _shape(version.file)
    fields = {key: _write(getattr(event, key), field) for key, field in shape.envelope.items()}
    body = shape.bodies[event.type]
    stated = {field.name: _write(getattr(event.body, field.name), field) for field in body.fields}
    stream = BytesIO()
    fastavro.schemaless_writer(
        stream,
        _parsed(version.file),
        {"type": event.type, "body": (f"delegraph.{body.name}", stated), **fields},
        strict_allow_default=True,
    )
    return stream.getvalue()


@cache
def _parsed(file: str) -> Any:
    definition = next(version.definition for version in schemas.versions() if version.file == file)
    return fastavro.parse_schema(_integers(definition))


@cache
def _shape(file: str) -> FieldShape:
    return shape_of(next(version.definition for version in schemas.versions() if version.file == file))


def _integers(node: Any) -> Any:
    # Without the logical type, instants stay integers: converting them to datetime costs 20 % and gains nothing.
    if isinstance(node, dict):
        return {key: _integers(child) for key, child in node.items() if key != "logicalType"}
    return [_integers(child) for child in node] if isinstance(node, list) else node


def _record(stated: dict[str, Any], record: RecordShape) -> Any:
    return RECORDS[record.name](**{field.name: _read(stated[field.name], field) for field in record.fields})


def _read(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.many == "map":
        return tuple(sorted(value.items()))
    if field.many == "list":
        return tuple(_record(item, field.record) if field.record else item for item in value)
    return _record(value, field.record) if field.record else value


def _write(value: Any, field: Field) -> Any:
    if value is None:
        return None
    if field.many == "map":
        return dict(value)
    if field.many == "list":
        return [item._asdict() if field.record else item for item in value]
    return value._asdict() if field.record else value
