"""A followed file and its read position.

A line is ingested once it is complete. Data after the last line end is ingested when it is a complete JSON object, or
when the file has not changed for a minute. The position in a document (an array, pretty-printed JSON, protobuf)
is the number of its records: when it changes, it is read again from its beginning, skipping those that were ingested.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from ingest.sources.adapters import RawRecord, detect, read_records
from ingest.sources.adapters.json_documents import RECORD_BYTES
from ingest.sources.adapters.raw_records import holds_lines, line_records, parse
from ingest.sources.inputs.followed_file import OpenFile
from ingest.sources.inputs.followed_paths import FollowedFile
from ingest.sources.inputs.followed_place import SAMPLE_BYTES, FilePlace, Places, beginning, sample
from ingest.sources.inputs.intake import ReadPosition, SourceIntake
from lineage.core.model.errors import BadRecordError, RefusedError
from lineage.core.model.times import SECOND, Instant

# A file that has not changed for this long is read as it is.
STILL_SECONDS: Final = 60
_BLOCK_BYTES: Final = 2 * 1024 * 1024
_JUDGED_BYTES: Final = 4 * 1024 * 1024  # how many bytes are searched for a record of the source's format
_TOGETHER: Final = 2_000
_CUT: Final = frozenset({"truncated", "broken-gzip"})


class RefusedFile(NamedTuple):
    """The reason why a file is refused, and its state at that time."""

    why: str
    size: int
    changed: int
    head: tuple[str, int]


class Followed:
    """A followed file. Single-threaded."""

    def __init__(
        self,
        found: FollowedFile,
        intake: SourceIntake,
        places: Places,
        *,
        clock: Callable[[], Instant],
        topic: str,
        origin: Callable[[str], str],
        is_judged: bool = True,
    ) -> None:
        """Track a file that was found; nothing is opened yet."""
        self.found = found
        self.key: str | None = None
        """The key of its stored position; None if it is not known yet."""
        self.refused: RefusedFile | None = None
        self.gone_at: Instant | None = None
        """Since when it is not found under any name."""
        self._intake, self._places, self._clock = intake, places, clock
        self._topic, self._origin, self._is_judged = topic, origin, is_judged
        self._open: OpenFile | None = None
        self._place = FilePlace(path=found.path, file=found.file)
        self._tried: tuple[int, int, bool] | None = None  # the rest of the file, if it ends in the middle of a record

    # Discovery

    def seen(self, found: FollowedFile) -> None:
        """Note that it was found under this name."""
        self.found, self.gone_at = found, None

    def lost(self) -> bool:
        """Note that it was not found under any name. Returns whether it can still be read, because it is open."""
        if self._open is None or self.refused is not None:
            self.close()
            return False
        self.gone_at = self.gone_at or self._clock()
        self.found = self.found._replace(size=self._open.size)
        return True

    def refuse(self, why: str) -> None:
        """Refuse it."""
        head = b"" if self._open is None else self._open.read(0, SAMPLE_BYTES)
        self.refused = RefusedFile(why, self.found.size, self.found.changed, sample(head[: self.found.size]))
        self.close()

    def _stays_refused(self) -> bool:
        """Whether it is still the refused file, without enough new content to decide again."""
        if self.refused is None:
            return False
        size, changed, head = self.refused[1:]
        if (size, changed) == (self.found.size, self.found.changed):
            return True
        opened = OpenFile(self.found.path)
        try:
            is_the_same = sample(opened.read(0, head[1])) == head
        finally:
            opened.close()
        if is_the_same and self.found.size < 2 * size:
            self.refused = self.refused._replace(changed=self.found.changed)
            return True
        self.refused = None
        return False

    @property
    def is_open(self) -> bool:
        """Whether it has an open handle."""
        return self._open is not None

    def close(self) -> None:
        """Close the handle."""
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def behind(self) -> int:
        """The number of bytes not ingested yet; a document or a gzip counts as a whole until it is finished."""
        if self._is_read_up:
            return 0
        plain = self._place.lines and (self._open is None or not self._open.packed)
        return max(0, self.found.size - self._place.offset) if plain else self.found.size

    @property
    def _is_read_up(self) -> bool:
        return (self._place.size, self._place.changed) == (self.found.size, self.found.changed)

    @property
    def _as_found(self) -> tuple[int, int, bool]:
        return self.found.size, self.found.changed, self._is_still

    @property
    def _is_still(self) -> bool:
        return self.gone_at is not None or self._clock() - self.found.changed // 1_000 > STILL_SECONDS * SECOND

    # Opening and positioning

    def is_ready(self, others: Collection[str]) -> bool:
        """Whether there is something to ingest, from a known position.

        Args:
            others: The position keys of other followed files.

        Raises:
            OSError: It cannot be opened.
            RefusedError: It has another format than the source.
        """
        if self._is_read_up or not self.found.size or self._tried == self._as_found or self._stays_refused():
            return False
        if self._open is None:
            key = self._places.unchanged(self.found.file, self.found.size, self.found.changed)
            if key is not None and self.key is None:
                self.key, self._place = key, self._places.get(key)
                return False
            opened = OpenFile(self.found.path)
            if opened.file != self.found.file:  # another file has this name now
                opened.close()
                return False
            self._open = opened
        if self.key is not None and self._continues(self._open):
            return True
        return self._begins(self._open, others)

    def _continues(self, file: OpenFile) -> bool:
        """Whether it still contains the bytes that were read, unlike a file that was truncated or overwritten."""
        file.again()
        is_the_same = sample(file.read(0, self._place.head[1])) == self._place.head
        return is_the_same and (file.packed or file.holds(self._place))

    def _begins(self, file: OpenFile, others: Collection[str]) -> bool:
        """Find the stored position that it continues, or start from the beginning.

        Returns False while the file has too few bytes to decide.
        """
        head = file.read(0, SAMPLE_BYTES)
        first = beginning(head)
        lines = not self._is_judged or holds_lines(head)
        if lines and len(first) == len(head) < SAMPLE_BYTES and not is_whole(first) and not self._is_still:
            return False
        first_sample = sample(first)
        key = self._places.continued(first_sample, self.found.file, file.holds, others)
        if key is not None:
            self._place = replace(self._places.get(key), size=0)
            self.key = self._places.new_key(first_sample) if key in others else key
            return True
        if self._is_judged and not self._is_of_the_format(file):
            return False
        self.key = self._places.new_key(first_sample)
        self._place = FilePlace(path=self.found.path, file=self.found.file, head=first_sample, lines=lines)
        return True

    def _is_of_the_format(self, file: OpenFile) -> bool:
        """Whether it has a record of the source's format; False while that cannot be determined.

        Raises:
            RefusedError: It has another format; the message names the remedy.
        """
        head, named = file.read(0, _JUDGED_BYTES), self._intake.named
        found = detect(head, first=named.format)
        if found == named.format:
            return True
        if found is None and b"\n" not in head and len(head) < _JUDGED_BYTES and not self._is_still:
            return False
        if not head.strip():
            return True
        what = f"it holds {found} records" if found else "it is of no format that is known here"
        raise RefusedError(
            f"{what}, and the source has the format {named.format}; nothing of it was ingested. "
            "Move it away, or name a [[source]] of its own for it"
        )

    # Ingestion

    def step(self) -> int:
        """Ingest part of it, and return how much; 0 if there is no more for now.

        Raises:
            UnavailableError: The log or the store is unavailable.
        """
        assert self._open is not None  # noqa: S101 (it is ready)
        return self._some_lines(self._open) if self._place.lines else self._document(self._open)

    def _some_lines(self, file: OpenFile) -> int:
        place, block = self._place, self._block(file)
        if block is None:
            return 0
        if place.skipping:
            end = block.find(b"\n") + 1
            return self._take((), block[: end or None], skipping=not end) if block else self._read_up()
        end = block.rfind(b"\n") + 1
        if not end and len(block) == _BLOCK_BYTES:
            block += file.read(place.offset + len(block), RECORD_BYTES + 2 - len(block))
            end = block.rfind(b"\n") + 1
            if not end and len(block) > RECORD_BYTES:  # a line that is too long: keep its beginning and skip the rest
                return self._take(list(line_records(block, after=place.records)), block, lines=1, skipping=True)
        if end:
            lines = block[:end]
            records = list(line_records(lines.removesuffix(b"\n"), after=place.records))
            return self._take(records, lines, lines=lines.count(b"\n"))
        return self._last(block, file)

    def _block(self, file: OpenFile) -> bytes | None:
        """Return the bytes after the position; None if the file has been truncated since it was checked."""
        place = self._place
        if file.packed:
            return file.read(place.offset, _BLOCK_BYTES)
        before = place.tail[1]
        read = file.read(place.offset - before, before + _BLOCK_BYTES)
        known, at = (place.tail, before) if place.offset else (place.head, place.head[1])
        return read[before:] if sample(read[:at]) == known else None

    def _last(self, block: bytes, file: OpenFile) -> int:
        """Ingest the bytes after the last line end."""
        broken = file.broken if file.packed else None
        is_cut = broken is not None or (block.strip() and not is_whole(block))
        if is_cut and not self._is_still:  # it is still being written
            self._tried = self._as_found
            return 0
        if broken is not None:
            self._take([RawRecord(self._place.records + 1, block, None, broken)], block, lines=1)
        elif block:
            self._take(list(line_records(block, after=self._place.records)), block)
        return self._read_up(keep=file.packed)

    def _document(self, file: OpenFile) -> int:
        """Ingest the complete part of a document."""
        records = self._whole(islice(read_records(file.stream()), self._place.records, None))
        while part := list(islice(records, _TOGETHER)):
            following = replace(self._following(), records=self._place.records + len(part), tail=self._place.head)
            self._commit(part, following)
        return 0 if self._tried == self._as_found else self._read_up(keep=True)

    def _whole(self, records: Iterator[RawRecord]) -> Iterator[RawRecord]:
        """Yield records up to the end of a file that is still being written."""
        for record in records:
            if record.fault is not None and record.fault.reason in _CUT and not self._is_still:
                self._tried = self._as_found
                return
            yield record

    def _take(self, records: Sequence[RawRecord], raw: bytes, *, lines: int = 0, skipping: bool = False) -> int:
        following = replace(
            self._following(),
            offset=self._place.offset + len(raw),
            records=self._place.records + lines,
            skipping=skipping,
            tail=sample(raw[-SAMPLE_BYTES:]),
        )
        self._commit(records, following)
        return len(raw)

    def _following(self) -> FilePlace:
        return replace(self._place, path=self.found.path, file=self.found.file, size=0, changed=0)

    def _read_up(self, *, keep: bool = False) -> int:
        """Note that the whole file was ingested; stored if determining that again would take long."""
        following = replace(self._following(), size=self.found.size, changed=self.found.changed)
        if keep:
            self._commit((), following)
        else:
            self._place = following
        return 0

    def _commit(self, records: Sequence[RawRecord], following: FilePlace) -> None:
        assert self.key is not None  # noqa: S101 (it is ready)
        self._intake.take(
            self._origin(self.found.path), records, [ReadPosition(self._topic, self.key, following.kept())]
        )
        self._places.put(self.key, following)
        self._place = following


def is_whole(text: bytes) -> bool:
    """Whether a text is a complete JSON object; no proper prefix of one is."""
    text = text.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        return False
    try:
        parse(text)
    except BadRecordError:
        return False
    return True
