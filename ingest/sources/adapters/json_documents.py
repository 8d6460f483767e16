"""JSON documents cut into records: objects one after the other, arrays, ``{"Records": [...]}``.

Only brackets and strings are looked at, so that a record which is no good JSON spoils no other as long as its
brackets close. Memory: one record and two blocks, however long the array is.
"""

import io
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

# A Vault answer that lists a hundred thousand keys has some megabytes; a CloudTrail event far less.
RECORD_BYTES: Final = 16 * 1024 * 1024
BLOCK_BYTES: Final = 64 * 1024
KEPT_BYTES: Final = 1024  # of a record that is too large: enough to recognise it by
SPACE: Final = b" \t\r\n"

_LIST: Final = re.compile(rb'\[|\{\s*"Records"\s*:\s*\[')
_LIST_BYTES: Final = 256  # as much white space as anyone will put before "Records"
_ANOTHER: Final = re.compile(rb'\}\s*\{\s*"')  # no string of a log has this: its quotes would be escaped
# Outside of strings only these move the depth. A whole string is passed over at once; a lone quote opens one
# that goes on in the next block.
_INSIDE: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_STRING: Final = rb'"' + _INSIDE.pattern + rb'"'
_MARKS: Final = re.compile(_STRING + rb'|["{}\[\]]', re.DOTALL)
_MARKS_AND_COMMA: Final = re.compile(_STRING + rb'|["{}\[\],]', re.DOTALL)


class Cut(NamedTuple):
    """The bytes of one record; of one that is too large, or that the file breaks off, as much as there is."""

    raw: bytes
    reason: str = ""  # too-large or truncated
    detail: str = ""


def is_document(head: bytes, *, first_line_is_whole: bool) -> bool:
    """Whether a file that begins so holds documents rather than JSON lines.

    A broken first line does not make a document of JSON lines: the second one opens an object, as no second
    line of a document does.
    """
    head = head.lstrip(SPACE)
    if _LIST.match(head):
        return True
    line, newline, rest = head.partition(b"\n")
    if not newline:
        return _ANOTHER.search(line) is not None
    return head.startswith(b"{") and not first_line_is_whole and not rest.lstrip(SPACE).startswith(b"{")


def cut(reader: io.BufferedReader) -> Iterator[Cut]:
    """The records of a file of documents, in the order in which they stand."""
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
            if byte == b"}":  # no list closes so: pass it over, or it would be met for ever
                text.take(1)
                continue
            record = text.value(listed=True)
            yield record
            if record.reason == "truncated":
                return
        text.take(1)
        if object_around:
            text.buffer[:0] = b"{"  # what is left of the object, passed over
            text.value(listed=False)


class _Text:
    """What was read of a document and not yet used."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self.buffer = bytearray()
        self._reader = reader
        self._kept = b""  # the beginning of the value at hand, if it is too large to be kept
        self._passed = 0  # how many bytes of it are gone

    def more(self) -> bool:
        block = self._reader.read1(BLOCK_BYTES)
        self.buffer += block
        return bool(block)

    def look_ahead(self, size: int) -> None:
        while len(self.buffer) < size and self.more():
            pass

    def take(self, size: int) -> bytes:
        taken = bytes(self.buffer[:size])
        del self.buffer[:size]
        return taken

    def next_byte(self, passed_over: bytes) -> bytes:
        """The next byte that is none of those, not taken; empty at the end."""
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
        """The next value: in a list up to the comma or the bracket after it, else to the end of it."""
        self._kept, self._passed = b"", 0
        depth, at = 0, 0
        while at >= 0:
            mark = (_MARKS if depth else _MARKS_AND_COMMA).search(self.buffer, at)
            if mark is None:
                at = self._further(len(self.buffer))
                continue
            at = mark.end()
            match mark.group():
                case b'"':  # the string goes on in the next block
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
        """Read on, and where to look on: -1 if there is no more. What is seen of a large value is dropped."""
        if self._passed + at > RECORD_BYTES:
            self._kept = self._kept or bytes(self.buffer[:KEPT_BYTES])
            self._passed += len(self.take(at))
            at = 0
        return at if self.more() else -1

    def _cut(self, end: int, reason: str = "", detail: str = "") -> Cut:
        taken = self.take(end).strip(SPACE)
        if self._passed + end > RECORD_BYTES:
            return too_large(self._kept or taken)
        return Cut(taken, reason, detail)


def too_large(raw: bytes) -> Cut:
    """A record that has more bytes than a record may have."""
    detail = f"it has more than {RECORD_BYTES} bytes; the first {KEPT_BYTES} are kept"
    return Cut(raw[:KEPT_BYTES], "too-large", detail)
