"""Avro single-object encoding: ``C3 01``, the eight-byte fingerprint of the writer's schema, the record (Avro 1.12).

The fast path is code generated from the schema. It either succeeds or raises without explanation; the record then
takes the slow path, which produces the error message: what is wrong, where, and how to fix it.
"""

import logging
from collections.abc import Iterable, Iterator
from functools import cache
from io import BytesIO
from typing import Final

import schemas
from ingest.codec import avro_fastavro, avro_generated, credentials, limits
from ingest.codec.avro_primitives import Coder
from ingest.codec.validation import check, refuse_credential, shown
from lineage.core.model.errors import BadRecordError, UnknownSchemaError
from lineage.core.model.events import Event
from lineage.core.model.grants import GrantParts

logger = logging.getLogger(__name__)

_MAGIC: Final = b"\xc3\x01"  # Avro 1.12, "Single-object encoding"
_HEADER_BYTES: Final = 10


def encode(event: Event) -> bytes:
    """Validate an event and write it in Avro single-object encoding.

    Raises:
        BadRecordError: The event is invalid, or larger than a record may be.
    """
    version, header = _latest()
    try:
        value = _coders()[header].encode(event)
    except Exception:  # noqa: BLE001  (the fast path does not explain: the slow path finds what is wrong)
        check(event)
        value = header + avro_fastavro.write_body(version, event)
    _refuse_large(value)
    return value


def decode(value: bytes | None) -> Event:
    """Decode and validate a value of the log.

    Raises:
        UnknownSchemaError: This version does not know the fingerprint.
        BadRecordError: The value is not a valid event.
    """
    if value is None:
        raise BadRecordError("no-value", "the record has no value: it is a tombstone, which the log of facts never has")
    try:
        if len(value) <= limits.RECORD_BYTES:
            return _coders()[value[:_HEADER_BYTES]].decode(value)
    except Exception:  # noqa: BLE001, S110  (the fast path does not explain: the slow path finds what is wrong)
        pass
    return _decode_slowly(value)


def read(value: bytes) -> Event:
    """Decode a value that the store has already accepted: like ``decode``, without validation.

    Raises:
        BadRecordError: The bytes cannot be decoded.
    """
    try:
        return _coders()[value[:_HEADER_BYTES]].read(value)
    except BadRecordError:
        raise
    except Exception as fault:  # hostile bytes may raise anything
        raise _unreadable(value, fault) from fault


def read_parts(values: Iterable[bytes]) -> list[Event | GrantParts]:
    """Decode very many values that the store has already accepted: like ``read``, but grants may stay in parts.

    Raises:
        BadRecordError: The bytes of one cannot be decoded.
    """
    coders = _coders()
    found: list[Event | GrantParts] = []
    value = b""
    try:
        for value in values:
            found.append(coders[value[:_HEADER_BYTES]].read_parts(value))
    except BadRecordError:
        raise
    except Exception as fault:  # hostile bytes may raise anything
        raise _unreadable(value, fault) from fault
    return found


def _unreadable(value: bytes, fault: Exception) -> BadRecordError:
    """Build the error of a value that cannot be decoded."""
    _refuse_unknown(value)
    return BadRecordError("avro", f"the value cannot be read: {type(fault).__name__}")


def split_values(values: bytes) -> Iterator[bytes]:
    """Split concatenated values into single ones.

    If a value cannot be read, the start of the next one is unknown: it is yielded last, with all bytes that follow.
    """
    stream, start = BytesIO(values), 0
    while start < len(values):
        end = _end(stream, start) or len(values)
        yield values[start:end]
        start = end


def _end(stream: BytesIO, start: int) -> int | None:
    stream.seek(start)
    header = stream.read(_HEADER_BYTES)
    version = schemas.by_fingerprint(header[len(_MAGIC) :]) if header.startswith(_MAGIC) else None
    if version is None:
        return None
    try:
        avro_fastavro.skip_body(version, stream)
    except Exception:  # noqa: BLE001  (hostile bytes may raise anything; `decode` will say what is wrong)
        return None
    return stream.tell()


@cache
def _coders() -> dict[bytes, Coder]:
    return {_MAGIC + version.fingerprint: _coder(version) for version in schemas.versions()}


@cache
def _latest() -> tuple[schemas.SchemaVersion, bytes]:
    """Return the version that events are written with, and the header of their values."""
    version = schemas.latest()
    return version, _MAGIC + version.fingerprint


def _coder(version: schemas.SchemaVersion) -> Coder:
    try:
        return avro_generated.coder(version)
    except Exception:  # fastavro can always read it
        logger.warning(
            "cannot generate a decoder for %s: falling back to fastavro, which is slower", version.file, exc_info=True
        )
        return avro_fastavro.coder(version)


def _decode_slowly(value: bytes) -> Event:
    try:
        _refuse_large(value)
        event = read(value)
        check(event)
        _refuse_contradiction(avro_fastavro.stated_type(value), event.type)
    except BadRecordError as fault:
        if fault.reason != "credential" and (secret := credentials.find_raw(value)):
            refuse_credential("the record", secret)
        raise
    return event


def _refuse_contradiction(stated: str, actual: str) -> None:
    if stated != actual:
        raise BadRecordError("type-mismatch", f"type is {shown(stated)}, but the body is that of {actual}")


def _refuse_unknown(value: bytes) -> None:
    if value[:1] == b"\0":
        raise UnknownSchemaError(
            "unknown-schema", "the value has Confluent framing, and no schema registry is configured for it"
        )
    if value[:2] != _MAGIC:
        raise UnknownSchemaError(
            "unknown-schema",
            "the value is not in Avro single-object encoding, which begins with the bytes C3 01",
        )
    fingerprint = value[2:_HEADER_BYTES]
    if schemas.by_fingerprint(fingerprint) is None:
        raise UnknownSchemaError("unknown-schema", f"no schema with the fingerprint {fingerprint.hex()} is known here")


def _refuse_large(value: bytes) -> None:
    if len(value) > limits.RECORD_BYTES:
        raise BadRecordError("too-large", f"the record has {len(value)} bytes, at most {limits.RECORD_BYTES}")
