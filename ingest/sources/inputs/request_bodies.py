"""Parse the records in a request body.

An array, JSON lines, documents or protobuf, compressed or not, with size limits.
"""

import io
import json
import zlib
from http import HTTPStatus
from typing import Final

from ingest.sources.adapters import RawRecord, format_of, read_records
from ingest.sources.adapters.formats import FORMATS
from ingest.sources.adapters.otlp_protobuf import decoded
from ingest.sources.adapters.unwrapping import unwrapped
from ingest.sources.named import NamedSource
from lineage.core.model.errors import BadRecordError, DelegraphError

BODY_BYTES: Final = 16 * 1024 * 1024
PLAIN_BYTES: Final = 64 * 1024 * 1024  # bytes of a decompressed body
PROTOBUF: Final = "application/x-protobuf"
_ZLIB: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_LISTS: Final = ("items", "resourceSpans", "Records")


class BodyError(DelegraphError):
    """A body that is refused as a whole.

    Attributes:
        status: The HTTP status of the refusal.
    """

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """Keep the status as an attribute."""
        super().__init__(detail)
        self.status = status


def records_of(body: bytes, named: NamedSource, *, media_type: str, encoding: str) -> list[RawRecord]:
    """Parse the records of a body; an unreadable one is returned with its error, if at least one other is readable.

    Args:
        body: The body as received.
        named: The source.
        media_type: ``application/x-protobuf``, or anything else for JSON.
        encoding: The content encoding: ``gzip``, ``deflate``, or none.

    Raises:
        BodyError: It is too large, cannot be decompressed, or has no record of the source's format.
    """
    plain = _unpacked(body, encoding, named.name)
    if media_type == PROTOBUF:
        return _of_protobuf(plain, named.name)
    records = list(read_records(io.BytesIO(plain)))
    readable = [record for record in records if record.value is not None]
    if records and not readable:
        fault = records[0].fault
        raise BodyError(
            HTTPStatus.BAD_REQUEST,
            f"the body for the source {named.name!r} cannot be read: {fault}; nothing of it was ingested; send JSON: "
            "an array, or objects one after the other",
        )
    if readable and not any(_is_of(named.format, record) for record in readable):
        if all(_is_empty(record) for record in readable):
            return []
        other = next((found for record in readable if (found := format_of(record.value))), None)
        what = f"holds records of {other}" if other else "holds no record of a format that is known here"
        raise BodyError(
            HTTPStatus.BAD_REQUEST,
            f"the body {what}, and the source {named.name!r} has the format {named.format}; nothing of it was ingested",
        )
    return records


def _is_of(name: str, record: RawRecord) -> bool:
    format_ = FORMATS[name]
    return any(inner.is_record for inner in unwrapped(record.value, format_.marks, format_.unwrap))


def _is_empty(record: RawRecord) -> bool:
    """Whether a record is an empty list."""
    value = record.value or {}
    return not value or any(value.get(name) == [] for name in _LISTS)


def _of_protobuf(plain: bytes, name: str) -> list[RawRecord]:
    try:
        value = decoded(plain)
    except BadRecordError as fault:
        raise BodyError(
            HTTPStatus.BAD_REQUEST,
            f"the body for the source {name!r} cannot be read as protobuf: {fault}; nothing of it was ingested; send "
            "an ExportTraceServiceRequest, or JSON as application/json",
        ) from None
    return [RawRecord(1, json.dumps(value, separators=(",", ":")).encode(), value)] if plain else []


def _unpacked(body: bytes, encoding: str, name: str) -> bytes:
    if encoding in {"", "identity"}:
        return body
    window = _ZLIB.get(encoding)
    if window is None:
        raise BodyError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"a body in {encoding[:40]!a} for the source {name!r} is not read; send gzip, deflate or none",
        )
    found, rest = bytearray(), body
    try:
        while rest:
            member = zlib.decompressobj(window)
            found += member.decompress(rest, PLAIN_BYTES + 1 - len(found))
            if len(found) > PLAIN_BYTES:
                raise BodyError(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"the body for the source {name!r} has more than {PLAIN_BYTES:,} bytes unpacked; send it in parts",
                )
            if not member.eof:
                raise BodyError(
                    HTTPStatus.BAD_REQUEST,
                    f"the {encoding} of the body for the source {name!r} is truncated; nothing of it was ingested; "
                    "send all of it again",
                )
            rest = member.unused_data.lstrip(b"\0")
    except zlib.error:
        raise BodyError(
            HTTPStatus.BAD_REQUEST,
            f"the body for the source {name!r} is not {encoding}, although Content-Encoding says so; leave that header "
            "out, or compress the body",
        ) from None
    return bytes(found)
