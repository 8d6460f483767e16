"""Events over HTTP: a JSON array, lines of JSON, or Avro, from producers without Kafka.

Unreadable records are quarantined, as with ``ingest``. If a caller sends anything that it may not send (orders, lifts,
acknowledgements, judgements, events of other sources), the whole body is refused before any of it reaches the log.

Avro (``application/avro``) is records in single-object encoding, one after another, or as an Avro array of bytes,
each item one such record: the way in which any Avro library writes ``{"type": "array", "items": "bytes"}``.
"""

import io
import json
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice
from typing import Final

from starlette.exceptions import HTTPException

from ingest.codec import api as codec
from ingest.codec import credentials
from ingest.log.port import Entry, entry_of
from ingest.projector import unreadable
from lineage.core.model.errors import BadRecordError
from lineage.core.model.records import RejectedRecord
from lineage.deliver.http.callers import Caller, ForbiddenError, LacksRoleError, Role
from lineage.serve.commands import submission_policy
from lineage.serve.commands.intake import ingest_records
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import ParameterError

MEDIA_TYPES: Final = ("application/json", "application/x-ndjson", "application/avro")
_BLANK: Final = b" \t\r\n"
_VARINT_BYTES: Final = 5  # bytes of a length
_GOES_ON: Final = 0x80  # the bit of a number's byte that says that another follows


def take(site: AppContext, caller: Caller, media_type: str, raw: bytes) -> Document:
    """Append events to the log and project them; return the counts of outcomes, as ``ingest`` prints them.

    Args:
        site: The application context.
        caller: The sender.
        media_type: One of MEDIA_TYPES.
        raw: The events.

    Raises:
        BadRecordError: A registration of a receiver cannot be read; nothing was ingested.
        ForbiddenError: The caller may not send one of them; nothing was ingested.
        HTTPException: The media type is not supported, or there are too many events; nothing was ingested.
        ParameterError: The body as a whole cannot be read; nothing was ingested.
    """
    records = _records(site, caller, media_type, raw)
    with site.one_batch:
        return ingest_records(site.service, records)


def _records(site: AppContext, caller: Caller, media_type: str, raw: bytes) -> list[tuple[Entry | RejectedRecord, int]]:
    """Return the records of a body, each with its size, if the caller may send all of them."""
    sources = submission_policy.kept(caller.sources)
    is_producer = Role.PRODUCER in caller.roles
    table = credentials.ColumnTable()
    try:
        parts = _bounded(_parts(media_type, raw), site.limits.events)
        records = [
            (_read(site, caller, sources, table, number, part), len(part)) for number, part in enumerate(parts, 1)
        ]
    except (HTTPException, ParameterError):
        if is_producer:
            raise
        records = []
    if not records and not is_producer:  # whatever it is, it is not a registration
        raise LacksRoleError(caller, [Role.PRODUCER])
    return records


def _read(
    site: AppContext, caller: Caller, sources: tuple[str, ...], table: credentials.ColumnTable, number: int, raw: bytes
) -> Entry | RejectedRecord:
    try:
        event = submission_policy.read(raw)
        entry = entry_of(event)
    except BadRecordError as fault:
        if _refuse_smuggled(caller, number, raw):  # whether the sender may send it could not be checked later
            raise BadRecordError(fault.reason, f"event {number}: {fault.detail}; nothing was ingested") from fault
        if Role.PRODUCER not in caller.roles:
            raise LacksRoleError(caller, [Role.PRODUCER]) from None
        return unreadable(
            raw,
            fault,
            number=None,
            origin=f"http {caller.name}",
            place=number,
            recorded_at=site.now,
            sources=sources,
            columns=table.columns(raw),
        )
    submission_policy.refuse_event(caller, number, event)
    return entry


def _refuse_smuggled(caller: Caller, number: int, raw: bytes) -> bool:
    """Refuse what another version could read as an order, or as an event of another source, once released.

    Returns:
        Whether it is a registration of a receiver, which is not quarantined.
    """
    try:
        parsed = json.loads(raw)
    except (ValueError, RecursionError):
        return False
    if not isinstance(parsed, dict):
        return False
    type_ = str(parsed.get("type"))
    if type_.startswith(("revocation.", "finding.")):
        raise ForbiddenError(
            f"event {number} is about a revocation or a finding, which is not accepted here; nothing was ingested"
        )
    if type_ == submission_policy.REGISTRATION:
        submission_policy.refuse_registration(caller, number, None)
        return True
    source = parsed.get("source")  # not repeated: its content has not been checked
    if isinstance(source, str) and not submission_policy.may_use(caller.sources, source):
        raise ForbiddenError(f"event {number} belongs to a source that is not {caller.name}'s; nothing was ingested")
    return False


def _bounded(parts: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Yield the parts, if they are not too many: small ones take a hundred times their size in memory."""
    yield from islice(parts, most)
    if next(parts, None) is not None:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {most:,} events; send it in parts"
        )


def _parts(media_type: str, raw: bytes) -> Iterator[bytes]:
    match media_type:
        case "application/x-ndjson" | "application/ndjson" | "application/jsonl":
            return (line for line in (line.rstrip(b"\r\n") for line in io.BytesIO(raw)) if line.strip())
        case "application/json":
            return _of_array(raw)
        case "application/avro" | "avro/binary":
            return codec.split_values(raw) if raw.startswith(submission_policy.SINGLE_OBJECT) else _of_avro_array(raw)
        case _:
            remedy = "send application/json (an array), application/x-ndjson or application/avro"
            raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, remedy)


def _of_array(raw: bytes) -> Iterator[bytes]:
    """Yield the items of a JSON array as they were written, so that each is read as strictly as a line."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ParameterError("body", f"is not UTF-8 at byte {error.start}") from error
    skip, scan = json.decoder.WHITESPACE.match, json.JSONDecoder(parse_int=str).raw_decode  # type: ignore[attr-defined]
    place = skip(text, 0).end()
    if text[place : place + 1] != "[":
        raise ParameterError("body", "is not a JSON array; for one event per line use application/x-ndjson")
    place = skip(text, place + 1).end()
    if text[place : place + 1] == "]":
        _refuse_rest(text, skip(text, place + 1).end())
        return
    while True:
        try:
            _, end = scan(text, place)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ParameterError("body", f"is not JSON behind character {place}") from error
        yield text[place:end].encode()
        place = skip(text, end).end()
        if text[place : place + 1] == "]":
            _refuse_rest(text, skip(text, place + 1).end())
            return
        if text[place : place + 1] != ",":
            raise ParameterError("body", f"is not JSON at character {place}: a comma or ] is missing")
        place = skip(text, place + 1).end()


def _refuse_rest(text: str, place: int) -> None:
    if place < len(text):
        raise ParameterError("body", f"continues after the array, at character {place}")


def _of_avro_array(raw: bytes) -> Iterator[bytes]:
    place = 0
    while True:
        count, place = _long(raw, place)
        if count == 0:
            break
        if count < 0:  # a block that states its size in bytes
            count = -count
            _, place = _long(raw, place)
        for _ in range(count):
            size, place = _long(raw, place)
            if not 0 <= size <= len(raw) - place:
                raise ParameterError("body", f"is no Avro array of bytes: an item at byte {place} is cut off")
            yield raw[place : place + size]
            place += size
    if place < len(raw):
        raise ParameterError("body", f"continues after the array, at byte {place}")


def _long(raw: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift, byte in enumerate(raw[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * shift
        if byte < _GOES_ON:
            return (number >> 1) ^ -(number & 1), place + shift + 1
    raise ParameterError("body", f"is no Avro array of bytes: no length at byte {place}")
