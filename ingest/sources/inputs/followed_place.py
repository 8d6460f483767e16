"""The read position of a followed file, and the check by content whether a file continues it.

A log is rotated by rename, by copy and truncation, or into a gzip, and inodes are reused. So a position stores
two samples of the content, its beginning and the bytes before the position, and a file continues it only if it
contains both. A file that continues no position is read from its beginning, which at worst makes duplicates that the
log recognises.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import count
from typing import Any, Final

from ingest.sources.adapters.raw_records import holds_lines

SAMPLE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """A read position.

    Attributes:
        path: The path of the file.
        file: Its device and inode.
        size: Its size when all of it had been ingested; 0 if that has not happened.
        changed: Its modification time then.
        lines: Whether it has one record per line.
        offset: The ingested bytes of the plain text; 0 for a document.
        records: The ingested lines or records.
        skipping: Whether the position is within a line that is too long to be a record.
        head: The digest of the beginning, and its length.
        tail: The same for the bytes before the position.
    """

    path: str
    file: str
    size: int = 0
    changed: int = 0
    lines: bool = True
    offset: int = 0
    records: int = 0
    skipping: bool = False
    head: tuple[str, int] = ("", 0)
    tail: tuple[str, int] = ("", 0)

    def kept(self) -> dict[str, Any]:
        """Convert the position to JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, kept: Any) -> "FilePlace | None":
        """Parse a stored position; None if it is not valid."""
        try:
            known = {one.name for one in fields(cls)}
            values = {name: value for name, value in kept.items() if name in known}
            return cls(**values | {name: (str(values[name][0]), int(values[name][1])) for name in ("head", "tail")})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            return None


def sample(raw: bytes) -> tuple[str, int]:
    """Return a digest of some bytes, and their number."""
    return hashlib.sha256(raw).hexdigest(), len(raw)


def beginning(head: bytes) -> bytes:
    """Return the part of a file's first bytes that identifies it, and stays the same while it grows."""
    head = head[:SAMPLE_BYTES]
    return head.split(b"\n", 1)[0].rstrip(b"\r") if holds_lines(head) else head


class Places:
    """The positions of one source, by the beginnings of the files."""

    def __init__(self, kept: dict[str, Any]) -> None:
        """Load stored positions, by key."""
        self._by_key: dict[str, FilePlace] = {}
        self._by_head: dict[str, list[str]] = {}
        self._by_file: dict[str, str] = {}
        for key, value in kept.items():
            place = FilePlace.of(value)
            if place is not None:
                self.put(key, place)

    def put(self, key: str, place: FilePlace) -> None:
        """Store a position."""
        if key not in self._by_key:
            self._by_head.setdefault(place.head[0], []).append(key)
        self._by_key[key] = place
        self._by_file[place.file] = key

    def drop(self, key: str) -> None:
        """Delete a position."""
        place = self._by_key.pop(key)
        self._by_head[place.head[0]].remove(key)
        if self._by_file.get(place.file) == key:
            del self._by_file[place.file]

    def get(self, key: str) -> FilePlace:
        """Return the position with a key."""
        return self._by_key[key]

    def of_file(self, file: str) -> FilePlace | None:
        """Return how far a file was read, by its device and inode."""
        key = self._by_file.get(file)
        return None if key is None else self._by_key[key]

    def new_key(self, head: tuple[str, int]) -> str:
        """Return a key for a new file with this beginning."""
        others = set(self._by_head.get(head[0], []))
        return next(key for number in count() if (key := f"{head[0][:40]}/{number}") not in others)

    def continued(
        self, head: tuple[str, int], file: str, holds: Callable[[FilePlace], bool], in_use: Collection[str]
    ) -> str | None:
        """Return the key of the position that a file continues: of those whose samples it contains, the farthest.

        Args:
            head: The digest of its beginning.
            file: Its device and inode.
            holds: Whether it contains the sample before a position.
            in_use: Keys of other followed files, which are chosen last.
        """

        def rank(key: str) -> tuple[bool, bool, int, int]:
            place = self._by_key[key]
            return key not in in_use, place.file == file, place.offset, place.records

        named = self._by_file.get(file)
        of_file = [named] if named is not None and not self._by_key[named].lines else []  # a document that has grown
        found = sorted([*self._by_head.get(head[0], []), *of_file], key=rank, reverse=True)
        return next((key for key in found if holds(self._by_key[key])), None)

    def unchanged(self, file: str, size: int, changed: int) -> str | None:
        """Return the key of a file that was read to its end and has not changed since; None otherwise."""
        key = self._by_file.get(file)
        place = None if key is None else self._by_key[key]
        return key if place is not None and (place.size, place.changed) == (size, changed) and size else None

    def __iter__(self) -> Iterator[FilePlace]:
        return iter(self._by_key.values())
