"""Detect the format of each file of a command, before anything is ingested from any of them."""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from ingest.codec.credentials import scrubbed
from ingest.sources import adapters as foreign
from ingest.sources.adapters.raw_records import Plain
from ingest.sources.named import NamedSource
from lineage.core.model.errors import RefusedError

UNKNOWN: Final = "unknown"
"""The format of a file of unknown format."""

_MEMBERS_SHOWN: Final = 6
_MEMBER_CHARACTERS: Final = 40


class File(NamedTuple):
    """A file of known format, or one to be quarantined.

    Attributes:
        path: As given; ``-`` is standard input.
        name: The same in UTF-8, as stored and shown.
        format: ``jsonl``, the name of a foreign format, or UNKNOWN.
        stream: The reader of standard input, which can be read only once.
    """

    path: str
    name: str
    format: str
    stream: Plain | None


def recognised(paths: Iterable[str], format: str, named: NamedSource | None, *, quarantine_unknown: bool) -> list[File]:
    """Detect the format of every file.

    Args:
        paths: The files; ``-`` is standard input.
        format: ``auto``, or the stated format of all of them.
        named: The stated source of all of them.
        quarantine_unknown: Whether a file of unknown format is quarantined instead of refused.

    Raises:
        RefusedError: A file cannot be opened, is in Avro, or has another format than its source or an unknown one.
    """
    files: list[File] = []
    standard_input: Plain | None = None
    for path in paths:
        # A file's name may not be UTF-8, but its stored form must be.
        name = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
        with opened(path) as stream:
            reader = standard_input if path == "-" and standard_input is not None else foreign.plain(stream)
            found = _format_of(name, reader, format, named, quarantine_unknown=quarantine_unknown)
        if path == "-":
            standard_input = reader
        files.append(File(path, name, found, reader if path == "-" else None))
    return files


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input, which is left open.

    Raises:
        RefusedError: It cannot be opened.
    """
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(path).open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise RefusedError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise RefusedError(f"{path} is a folder; name the files in it") from error
    except PermissionError as error:
        raise RefusedError(not_allowed(path)) from error


def not_allowed(path: str) -> str:
    """Build the message that the user of this process may not read a file or a folder."""
    return f"{path} may not be read; let the user of this process read it (a folder also needs the right to enter)"


@contextmanager
def reading(file: File) -> Iterator[Plain]:
    """Open the decompressed bytes of a file."""
    if file.stream is not None:
        yield file.stream
        return
    with opened(file.path) as stream:
        yield foreign.plain(stream)


def _format_of(name: str, reader: Plain, format: str, named: NamedSource | None, *, quarantine_unknown: bool) -> str:
    head = foreign.first_bytes(reader)
    if format != "auto" and named is None:
        return format
    found = foreign.detect(head, first=None if named is None else named.format)
    if found == "avro":
        raise RefusedError(f"{name} is Avro, not lines of JSON; publish it to the log instead; nothing was ingested")
    if found is None:
        # Too little to detect a format: an empty file, or a gzip that ends at once, which is reported as such.
        if not head.strip() or reader.broken is not None:
            return "jsonl" if named is None else named.format
        if quarantine_unknown:
            return UNKNOWN
        raise RefusedError(_unknown(name, head, named))
    if named is not None and found != named.format:
        raise RefusedError(
            f"{name} holds {found} records, and the source {named.name!r} has the format {named.format}; "
            "nothing was ingested"
        )
    return found


def _unknown(name: str, head: bytes, named: NamedSource | None) -> str:
    return (
        f"{looked_for(name, head, named)}; nothing was ingested. Give --format "
        "if it is one of these anyway, convert it, or quarantine it unchanged with --quarantine-unknown"
    )


def looked_for_in(file: File) -> str:
    """Describe the formats that were tried for a file of unknown format, and its actual beginning."""
    with reading(file) as reader:
        return looked_for(file.name, foreign.first_bytes(reader))


def looked_for(name: str, head: bytes, named: NamedSource | None = None) -> str:
    """Describe the formats that were tried for the beginning of a file; for a named source only its own format."""
    formats: Sequence[str] = tuple(foreign.FORMATS) if named is None else (named.format,)
    *some, last = formats
    listed = f"{', '.join(some)} or {last}" if some else last
    return (
        f"{name} has no known format: it has neither events of delegraph (JSON with type, event_id and "
        f"source) nor records of {listed}, but {_apparent_format(head)}"
    )


def _apparent_format(head: bytes) -> str:
    for record in foreign.read_records(io.BytesIO(head)):
        if record.value:
            members = [scrubbed(member)[:_MEMBER_CHARACTERS] for member in list(record.value)[:_MEMBERS_SHOWN]]
            more = ", ..." if len(record.value) > _MEMBERS_SHOWN else ""
            return f"JSON with {', '.join(json.dumps(member) for member in members)}{more}"
    return "no JSON objects" if head.isascii() else "neither ASCII text nor JSON objects"
