"""Avro single-object encoding: ``C3 01``, the eight bytes of the writer's schema, the record (Avro 1.12).

The quick way is code generated from the schema, which only says yes or doubts. What it doubts goes the slow
way, which has the sentence: what is wrong, where, and what to do.
"""

import logging
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Final

import schemas
from ingest.codec import avro_fastavro, avro_generated, credentials, limits
from ingest.codec.avro_primitives import Coder
from ingest.codec.validation import check, refuse_credential, shown
from lineage.core.model.errors import BadRecordError, UnknownSchemaError
from lineage.core.model.events import Event

logger = logging.getLogger(__name__)

_MAGIC: Final = b"\xc3\x01"  # Avro 1.12, "Single-object encoding"
_HEADER_BYTES: Final = 10


def encode(event: Event) -> bytes:
    """Check an event and write it in Avro single-object encoding.

    Raises:
        BadRecordError: The event does not keep the contract, or is larger than a record may be.
    """
    version = schemas.latest()
    header = _MAGIC + version.fingerprint
    try:
        value = _coders()[header].encode(event)
    except Exception:  # noqa: BLE001  (a doubt, whatever it is: what is wrong is said by the slow way)
        check(event)
        value = header + avro_fastavro.write_body(version, event)
    _refuse_large(value)
    return value


def decode(value: bytes | None) -> Event:
    """Read a value of the log.

    Raises:
        UnknownSchemaError: No fingerprint that this version knows.
        BadRecordError: It is not an event that keeps the contract.
    """
    if value is None:
        raise BadRecordError("no-value", "the record has no value: it is a tombstone, which the log of facts has not")
    try:
        if len(value) <= limits.RECORD_BYTES:
            return _coders()[value[:_HEADER_BYTES]].decode(value)
    except Exception:  # noqa: BLE001, S110  (a doubt, whatever it is: what is wrong is said by the slow way)
        pass
    return _doubted(value)


def read(value: bytes) -> Event:
    """Read a value that the store has accepted: as ``decode``, without the checks.

    Raises:
        BadRecordError: The bytes are not such a value.
    """
    try:
        return _coders()[value[:_HEADER_BYTES]].read(value)
    except BadRecordError:
        raise
    except Exception as fault:  # hostile bytes may raise anything
        _refuse_unknown(value)
        raise BadRecordError("avro", f"the value cannot be read: {type(fault).__name__}") from fault


def apart(values: bytes) -> Iterator[bytes]:
    """Values that stand one after another, each by itself.

    Where one cannot be read nothing says where the next begins: it is the last, with all that follows.
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
    except Exception:  # noqa: BLE001  (hostile bytes may raise anything; what is wrong is said by `decode`)
        return None
    return stream.tell()


@cache
def _coders() -> dict[bytes, Coder]:
    return {_MAGIC + version.fingerprint: _coder(version) for version in schemas.versions()}


def _coder(version: schemas.Version) -> Coder:
    try:
        return avro_generated.coder(version)
    except Exception:  # the reference is always there
        logger.warning("no code could be generated from %s: reading it slowly", version.file, exc_info=True)
        return avro_fastavro.coder(version)


def _doubted(value: bytes) -> Event:
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


def _refuse_contradiction(stated: str, meant: str) -> None:
    if stated != meant:
        raise BadRecordError("type-mismatch", f"type is {shown(stated)}, but the body is that of {meant}")


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
