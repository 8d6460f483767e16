"""Secrets in the columns of a text table whose header names them: ``user,password,note``."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from ingest.codec.credentials.found import FoundCredential
from ingest.codec.credentials.named_text import style_of
from ingest.codec.credentials.names import SecretKind, is_secret, kind_of

_DELIMITERS: Final = ",;\t|"
_HEAD: Final = re.compile(r"\ufeff?\s*\"?[A-Za-z_@][\w .@#/()\"\-]*(?:[,;\t|]\s*\"?[A-Za-z_@][\w .@#/()\"\-]*)+\s*")
_LONGEST_HEAD: Final = 4096


class Columns(NamedTuple):
    """The columns of a table that hold secrets.

    Attributes:
        delimiter: The character between two columns.
        secret: Index, name and kind of each column with secrets.
    """

    delimiter: str
    secret: tuple[tuple[int, str, SecretKind], ...]


def columns_of(head: str) -> Columns | None:
    """The columns with secrets, if a line is a table header that names any; else None.

    Examples:
        >>> columns_of("user,password").secret[0][:2]
        (1, 'password')
        >>> columns_of("alice,hunter2")
    """
    if len(head) > _LONGEST_HEAD or not _HEAD.fullmatch(head):
        return None
    delimiter = max(_DELIMITERS, key=head.count)
    names = [name.strip().strip('"') for name in head.strip().split(delimiter)]
    kinds = [(number, name, kind_of(name)) for number, name in enumerate(names)]
    secret = tuple((number, name, kind) for number, name, kind in kinds if kind is not None)
    return Columns(delimiter, secret) if secret else None


def in_line(line: str, columns: Columns, start: int = 0) -> Iterator[FoundCredential]:
    """The secrets in a line of a table.

    Args:
        line: The line.
        columns: Which of its columns hold secrets.
        start: Offset of the line in the text that contains it; added to the result.
    """
    fields = list(_fields(line, columns.delimiter))
    for number, name, kind in columns.secret:
        if number < len(fields):
            at, end = fields[number]
            value = line[at:end]
            if is_secret(value, kind, name=name):
                yield FoundCredential(start + at, start + end, style_of(kind), value)


def in_text(text: str) -> Iterator[FoundCredential]:
    """The secrets in a text that is a table with a header."""
    head, newline, _ = text.partition("\n")
    columns = columns_of(head.rstrip("\r")) if newline else None
    if columns is None:
        return
    at = len(head) + 1
    for line in text[at:].splitlines(keepends=True):
        yield from in_line(line.rstrip("\r\n"), columns, at)
        at += len(line)


def _fields(line: str, delimiter: str) -> Iterator[tuple[int, int]]:
    """Start and end of each field, without its quotes (RFC 4180)."""
    at = 0
    while True:
        if line.startswith('"', at):
            end = at + 1
            while (end := line.find('"', end)) >= 0 and line.startswith('""', end):
                end += 2
            end = len(line) if end < 0 else end
            yield at + 1, end
            at = line.find(delimiter, end)
        else:
            end = line.find(delimiter, at)
            yield at, len(line) if end < 0 else end
            at = end
        if at < 0:
            return
        at += 1


class ColumnTable:
    """Remembers the header of a table that is read line by line."""

    def __init__(self) -> None:
        self._columns: Columns | None = None

    def columns(self, line: bytes) -> Columns | None:
        """Return the columns of a line that hold secrets; None if none do. A header applies to the lines after it."""
        found = columns_of(line.decode("latin-1").strip("\r\n"))
        if found is not None:
            self._columns = found
            return None
        return self._columns
