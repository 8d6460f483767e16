"""How far a followed file was read, and whether a file is the one that was read so far: by what it holds.

A log is rotated by rename, by a copy and truncation, or into a gzip; inodes are used again. So a place keeps samples of
what was read, the beginning and what stands before the place, and a file continues it only if it holds both. A file
that continues no place is read from its beginning: that gives duplicates at worst, which the log tells apart.
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
    """How far a file was read.

    Attributes:
        path: Where it stood.
        file: Its device and inode.
        size: Of the file, when all that it held was taken; 0: it was not yet.
        changed: When it had been changed last, then.
        lines: Whether it holds a record a line.
        offset: Bytes taken, of the plain text; of a document none.
        records: Lines or records taken.
        skipping: Whether the place stands within a line that is too long to be a record.
        head: The digest of the beginning, and of how many bytes.
        tail: The same of what stands before the place.
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
        """The place as JSON holds it."""
        return asdict(self)

    @classmethod
    def of(cls, kept: Any) -> "FilePlace | None":
        """The place that was kept; None if it is none of ours."""
        try:
            known = {one.name for one in fields(cls)}
            said = {name: value for name, value in kept.items() if name in known}
            return cls(**said | {name: (str(said[name][0]), int(said[name][1])) for name in ("head", "tail")})
        except (AttributeError, KeyError, TypeError, ValueError, IndexError):
            return None


def sample(taken: bytes) -> tuple[str, int]:
    """A digest of some bytes, and how many they are."""
    return hashlib.sha256(taken).hexdigest(), len(taken)


def beginning(head: bytes) -> bytes:
    """What of a file's first bytes tells it from others, and stays the same while it grows."""
    head = head[:SAMPLE_BYTES]
    return head.split(b"\n", 1)[0].rstrip(b"\r") if holds_lines(head) else head


class Places:
    """The places of one source, by what the files begin with."""

    def __init__(self, kept: dict[str, Any]) -> None:
        """Take what was kept, by key."""
        self._by_key: dict[str, FilePlace] = {}
        self._by_head: dict[str, list[str]] = {}
        self._by_file: dict[str, str] = {}
        for key, value in kept.items():
            place = FilePlace.of(value)
            if place is not None:
                self.put(key, place)

    def put(self, key: str, place: FilePlace) -> None:
        """Keep a place in mind."""
        if key not in self._by_key:
            self._by_head.setdefault(place.head[0], []).append(key)
        self._by_key[key] = place
        self._by_file[place.file] = key

    def drop(self, key: str) -> None:
        """Forget a place."""
        place = self._by_key.pop(key)
        self._by_head[place.head[0]].remove(key)
        if self._by_file.get(place.file) == key:
            del self._by_file[place.file]

    def get(self, key: str) -> FilePlace:
        """The place under a key."""
        return self._by_key[key]

    def of_file(self, file: str) -> FilePlace | None:
        """How far a file was read, by its device and inode."""
        key = self._by_file.get(file)
        return None if key is None else self._by_key[key]

    def new_key(self, head: tuple[str, int]) -> str:
        """A key for a file that begins so, and continues no place."""
        others = set(self._by_head.get(head[0], []))
        return next(key for number in count() if (key := f"{head[0][:40]}/{number}") not in others)

    def continued(
        self, head: tuple[str, int], file: str, holds: Callable[[FilePlace], bool], taken: Collection[str]
    ) -> str | None:
        """The key of the place that a file continues: of those whose samples it holds the farthest.

        Args:
            head: What it begins with.
            file: Its device and inode.
            holds: Whether it holds what stands before a place.
            taken: Keys of other files that are followed already: they are the last to be chosen.
        """

        def rank(key: str) -> tuple[bool, bool, int, int]:
            place = self._by_key[key]
            return key not in taken, place.file == file, place.offset, place.records

        named = self._by_file.get(file)
        of_file = [named] if named is not None and not self._by_key[named].lines else []  # a document that has grown
        found = sorted([*self._by_head.get(head[0], []), *of_file], key=rank, reverse=True)
        return next((key for key in found if holds(self._by_key[key])), None)

    def unchanged(self, file: str, size: int, changed: int) -> str | None:
        """The key of a file that was read to its end, and has not changed since."""
        key = self._by_file.get(file)
        place = None if key is None else self._by_key[key]
        return key if place is not None and (place.size, place.changed) == (size, changed) and size else None

    def __iter__(self) -> Iterator[FilePlace]:
        return iter(self._by_key.values())
