"""Records of foreign files, gzipped or not. An invalid record does not affect others.

Supported forms:

- JSON lines, one record per line; blank lines are skipped;
- consecutive JSON documents, on one line or many: an object is a record, an array is a list of
  records, and so is ``{"Records": [...]}``, the form in which CloudTrail delivers its files;
- traces in protobuf (OTLP), one export request or several as the Collector writes them;
- ``{"title": ..., "event": {...}}``, as in AWS's documentation: the record is the inner object;
- lines with a prefix before the object: a syslog header, or the ``prefix`` of an audit device;
- lines of Keycloak's console, which are not JSON.

Memory: one record and two blocks, whatever the size of the file. A record may have 16 MiB; a larger one is
skipped and reported.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

import orjson

from ingest.codec.credentials import handle
from ingest.sources.adapters import otlp_protobuf
from ingest.sources.adapters.console_lines import console_entry
from ingest.sources.adapters.json_documents import (
    BLOCK_BYTES,
    RECORD_BYTES,
    SPACE,
    Cut,
    cut,
    is_document,
    too_large,
)
from ingest.sources.gzip_reader import MAGIC, Gzipped
from lineage.core.model.errors import BadRecordError

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# A syslog header may have structured data, which has brackets and quotes, but no brace before a name.
_IN_FRONT: Final = re.compile(rb'[^{\[](?:[^{]|\{(?!\s*")){0,1023}(?=\{\s*")', re.DOTALL)


class RawRecord(NamedTuple):
    """One record as read.

    Attributes:
        position: 1-based: the number of the line, or of the record in a document.
        raw: Its bytes in the file. They may contain credentials: store only the output of the scrubber.
        value: The parsed object, without its wrapper.
        fault: The error, if it could not be read.
    """

    position: int
    raw: bytes
    value: dict[str, Any] | None = None
    fault: BadRecordError | None = None


class Plain(io.BufferedReader):
    """A decompressed stream."""

    def __init__(self, raw: io.RawIOBase, packed: Gzipped | None = None, around: "Plain | None" = None) -> None:
        """Keep the plain bytes, and the streams they come from."""
        super().__init__(raw, BLOCK_BYTES)
        self._packed, self._around = packed, around

    @property
    def broken(self) -> BadRecordError | None:
        """The error that ended the stream early; to be called after the last byte."""
        if self._packed is not None and self._packed.fault is not None:
            return BadRecordError("broken-gzip", f"the file ends here: {self._packed.fault}")
        return None if self._around is None else self._around.broken


def plain(stream: BinaryIO) -> Plain:
    """Decompress a stream if its first bytes are gzip. The stream is not closed."""
    reader = stream if isinstance(stream, Plain) else Plain(_Unowned(stream))
    if reader.peek(2)[:2] != MAGIC:
        return reader
    packed = Gzipped(reader)
    return Plain(packed, packed, reader)


def first_bytes(reader: io.BufferedReader) -> bytes:
    """Return the first bytes of a plain stream, at most 64 KiB, without consuming them."""
    return reader.peek(BLOCK_BYTES)


def read_records(stream: BinaryIO) -> Iterator[RawRecord]:
    """Yield the records of a file in order; unreadable ones with their error.

    If the gzip is truncated, the record it cuts through is yielded last, with that error, unless it was complete.
    """
    reader = plain(stream)
    last: RawRecord | None = None
    for record in _records(reader):
        if last is not None:
            yield last
        last = record
    if (broken := reader.broken) is None:
        if last is not None:
            yield last
        return
    if last is None or last.fault is None:
        if last is not None:
            yield last
        last = RawRecord(1 if last is None else last.position + 1, b"")
    yield last._replace(fault=broken)


def _records(reader: Plain) -> Iterator[RawRecord]:
    if reader.peek(3)[:3] == _BYTE_ORDER_MARK:
        reader.read(3)
    head = first_bytes(reader)
    if otlp_protobuf.begins(head):
        yield from _exported(reader)
        return
    first = _record(1, Cut(head.lstrip(SPACE).partition(b"\n")[0]))
    if is_document(head, first_line_is_whole=first.fault is None):
        numbered = enumerate(cut(reader), start=1)
    else:
        numbered = enumerate(_lines(reader), start=1)
    for position, piece in numbered:
        if piece.raw or piece.reason:
            yield _record(position, piece)


def _exported(reader: io.BufferedReader) -> Iterator[RawRecord]:
    """Yield traces in protobuf, converted to the JSON form."""
    for position, (raw, fault) in enumerate(otlp_protobuf.requests(reader, RECORD_BYTES), start=1):
        try:
            if fault is not None:
                raise fault
            value = otlp_protobuf.decoded(raw)
            yield RawRecord(position, json.dumps(value, separators=(",", ":")).encode(), value)
        except BadRecordError as error:  # names and values cannot be distinguished in it, so none of it is stored
            yield RawRecord(position, json.dumps({"bytes": len(raw), "digest": handle(raw)}).encode(), None, error)


def holds_lines(head: bytes) -> bool:
    """Whether a file with this beginning has one record per line, and so can be continued where it ended."""
    head = head.removeprefix(_BYTE_ORDER_MARK)
    if otlp_protobuf.begins(head):
        return False
    first = _record(1, Cut(head.lstrip(SPACE).partition(b"\n")[0]))
    return not is_document(head, first_line_is_whole=first.fault is None)


def line_records(lines: bytes, *, after: int) -> Iterator[RawRecord]:
    """Yield the records of complete lines; the line before the first has the number ``after``."""
    for position, line in enumerate(lines.split(b"\n"), start=after + 1):
        if raw := line.removeprefix(_BYTE_ORDER_MARK if position == 1 else b"").strip(SPACE):
            yield _record(position, Cut(raw) if len(raw) <= RECORD_BYTES else too_large(raw))


def parse(raw: bytes) -> Any:
    """Parse one JSON value: UTF-8, no repeated name in an object, no NaN.

    Raises:
        BadRecordError: ``utf-8``, ``json``, ``duplicate-key`` or ``too-deep``.
    """
    try:
        value = orjson.loads(raw)
        if _is_equal_json(raw, orjson.dumps(value)):  # the usual case
            return value
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        pass  # for this and every other rare case, let the standard decoder decide, and report what is wrong
    try:
        return _DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise BadRecordError("utf-8", f"it is not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise BadRecordError("too-deep", "its objects and lists are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadRecordError("json", f"{error.msg} at character {error.pos}") from None
    except ValueError:  # an integer of thousands of digits
        raise BadRecordError("json", "it holds a number that is too long to read") from None


def _is_equal_json(raw: bytes, written: bytes) -> bool:
    """Whether JSON equals its parsed value written again, except for white space: then no name was repeated."""
    return raw == written or raw.translate(None, SPACE) == written.translate(None, SPACE)


class _Unowned(io.RawIOBase):
    """Reads from a stream without owning it, and so leaves it open."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = self._stream.read(len(buffer))
        buffer[: len(read)] = read
        return len(read)


def _lines(reader: io.BufferedReader) -> Iterator[Cut]:
    """Yield each line stripped of white space, including blank ones, which are numbered too."""
    while line := reader.readline(RECORD_BYTES + 1):
        if len(line) <= RECORD_BYTES:
            yield Cut(line.strip(SPACE))
            continue
        yield too_large(line)
        while line and not line.endswith(b"\n"):
            line = reader.readline(BLOCK_BYTES)


def _record(position: int, piece: Cut) -> RawRecord:
    try:
        return RawRecord(position, piece.raw, _value(piece))
    except BadRecordError as fault:
        entry = console_entry(piece.raw.decode(errors="replace")) if fault.reason == "json" else None
        return RawRecord(position, piece.raw, entry, None if entry else fault)


def _value(piece: Cut) -> dict[str, Any]:
    if piece.reason:
        raise BadRecordError(piece.reason, piece.detail)
    value = _parsed(piece.raw)
    if isinstance(value, dict) and "title" in value and isinstance(value.get("event"), dict):
        value = value["event"]
    if not isinstance(value, dict):
        raise BadRecordError("not-an-object", f"it is a {type(value).__name__} and no object")
    return value


def _parsed(raw: bytes) -> Any:
    front = _IN_FRONT.match(raw)
    if front is None:  # the usual case
        return parse(raw)
    try:
        return parse(raw[front.end() :])
    except BadRecordError:
        return parse(raw)  # raises with the error of the original line


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise BadRecordError("duplicate-key", "an object has a name twice: it may say two things")
    return read


def _refuse(constant: str) -> NoReturn:
    raise BadRecordError("json", f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
