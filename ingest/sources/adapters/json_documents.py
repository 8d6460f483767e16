"""Split JSON documents into records: consecutive objects, arrays, ``{"Records": [...]}``.

Only brackets and strings are examined, so an invalid record does not affect others as long as its brackets close.
Memory: one record and two blocks, however long the array is.
"""

import io
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# A Vault response that lists a hundred thousand keys has a few megabytes; a CloudTrail event has far less.
RECORD_BYTES: Final = 16 * 1024 * 1024
BLOCK_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 1024  # bytes of a record that is too large: enough to identify it
SPACE: Final = b" \t\r\n"

_LIST: Final = re.compile(rb'\[|\{\s*"Records"\s*:\s*\[')
_LIST_BYTES: Final = 256  # more white space than any file has before "Records"
_ANOTHER: Final = re.compile(rb'\}\s*\{\s*"')  # no string of a log contains this: its quotes would be escaped
# Outside strings, only these change the depth. A whole string is skipped at once; a lone quote opens one that
# continues in the next block.
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_STRING: Final = rb'"' + _INSIDE.pattern + rb'"'
_MARKS: Final = re.compile(_STRING + rb'|["{}\[\]]', re.DOTALL)
_MARKS_AND_COMMA: Final = re.compile(_STRING + rb'|["{}\[\],]', re.DOTALL)


class Cut(NamedTuple):
    """The bytes of one record; if it is too large or truncated, as many as there are."""

    raw: bytes
    reason: str = ""  # too-large or truncated
    detail: str = ""


def is_document(head: bytes, *, first_line_is_whole: bool) -> bool:
    """Whether a file with this beginning contains documents instead of JSON lines.

    A broken first line does not make JSON lines a document: their second line opens an object, as no second line of a
    document does.
    """
    head = head.lstrip(SPACE)
    if _LIST.match(head):
        return True
    line, newline, rest = head.partition(b"\n")
    if not newline:
        return _ANOTHER.search(line) is not None
    return head.startswith(b"{") and not first_line_is_whole and not rest.lstrip(SPACE).startswith(b"{")


def cut(reader: io.BufferedReader) -> Iterator[Cut]:
    """Yield the records of a file of documents, in order."""
    text = _Text(reader)
    while text.next_byte(SPACE):
        text.look_ahead(_LIST_BYTES)
        opening = _LIST.match(text.buffer)
        if opening is None:
            yield text.value(listed=False) if text.buffer.startswith(b"{") else text.rest_of_line()
            continue
        object_around = len(opening.group()) > 1
        text.take(opening.end())
        while (byte := text.next_byte(SPACE + b",")) != b"]":
            if not byte:
                yield Cut(b"", "truncated", "the file ends within a list of records")
                return
            if byte == b"}":  # no list closes like this: skip it, to avoid an endless loop
                text.take(1)
                continue
            record = text.value(listed=True)
            yield record
            if record.reason == "truncated":
                return
        text.take(1)
        if object_around:
            text.buffer[:0] = b"{"  # skip the rest of the object
            text.value(listed=False)


class _Text:
    """The part of a document that was read but not used yet."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self.buffer = bytearray()
        self._reader = reader
        self._kept = b""  # the beginning of the current value, if it is too large to be kept
        self._passed = 0  # the number of its bytes that were dropped

    def more(self) -> bool:
        block = self._reader.read1(BLOCK_BYTES)
        self.buffer += block
        return bool(block)

    def look_ahead(self, size: int) -> None:
        while len(self.buffer) < size and self.more():
            pass

    def take(self, size: int) -> bytes:
        text_ = bytes(self.buffer[:size])
        del self.buffer[:size]
        return text_

    def next_byte(self, passed_over: bytes) -> bytes:
        """Return the next byte that is none of these, without consuming it; empty at the end."""
        while True:
            while self.buffer and self.buffer[0] in passed_over:
                del self.buffer[0]
            if self.buffer or not self.more():
                return bytes(self.buffer[:1])

    def rest_of_line(self) -> Cut:
        while b"\n" not in self.buffer and len(self.buffer) < RECORD_BYTES and self.more():
            pass
        end = self.buffer.find(b"\n")
        return Cut(self.take(end if end >= 0 else len(self.buffer)).strip(SPACE))

    def value(self, *, listed: bool) -> Cut:
        """Return the next value: in a list up to the comma or the bracket after it, else to its end."""
        self._kept, self._passed = b"", 0
        depth, at = 0, 0
        while at >= 0:
            mark = (_MARKS if depth else _MARKS_AND_COMMA).search(self.buffer, at)
            if mark is None:
                at = self._further(len(self.buffer))
                continue
            at = mark.end()
            match mark.group():
                case b'"':  # the string continues in the next block
                    at = self._end_of_string(at)
                case b"{" | b"[":
                    depth += 1
                case b"," if listed:
                    return self._cut(at - 1)
                case b"}" | b"]" if depth == 0:
                    return self._cut(at - 1)
                case b"}" | b"]":
                    depth -= 1
                    if depth == 0 and not listed:
                        return self._cut(at)
        return self._cut(len(self.buffer), "truncated", "the file ends within it")

    def _end_of_string(self, at: int) -> int:
        while at >= 0:
            inside = _INSIDE.match(self.buffer, at)
            at = inside.end() if inside else at
            if self.buffer[at : at + 1] == b'"':
                return at + 1
            at = self._further(at)
        return at

    def _further(self, at: int) -> int:
        """Read more, and return where to continue, or -1 at the end. The examined part of a large value is dropped."""
        if self._passed + at > RECORD_BYTES:
            self._kept = self._kept or bytes(self.buffer[:KEPT_BYTES])
            self._passed += len(self.take(at))
            at = 0
        return at if self.more() else -1

    def _cut(self, end: int, reason: str = "", detail: str = "") -> Cut:
        document = self.take(end).strip(SPACE)
        if self._passed + end > RECORD_BYTES:
            return too_large(self._kept or document)
        return Cut(document, reason, detail)


def too_large(raw: bytes) -> Cut:
    """Build a record that exceeds the size limit."""
    detail = f"it has more than {RECORD_BYTES} bytes; the first {KEPT_BYTES} are kept: write a long list as JSON lines"
    return Cut(raw[:KEPT_BYTES], "too-large", detail)
