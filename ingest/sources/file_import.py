"""Import files into the log: delegraph's own JSONL, and foreign logs through their adapters.

Every line or record is accounted for: it is appended to the log, quarantined with a reason and its position, or
skipped by an adapter with a reason. Appended records are durable before the next part of the file is read, so a crash
loses nothing, and reading the same file again appends only duplicates.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

from ingest.codec import api as codec
from ingest.codec import credentials
from ingest.log.port import Entry, Log, entry_of
from ingest.projector import unreadable
from ingest.sources import adapters as foreign
from ingest.sources.adapters.raw_records import Plain
from ingest.sources.foreign_import import ForeignLog, Read, SourceMemory
from ingest.sources.named import NamedSource, source_of_format
from ingest.sources.recognition import UNKNOWN, File, opened, reading, recognised
from lineage.core.model.errors import BadRecordError, RefusedError
from lineage.core.model.records import Position, RejectedRecord
from lineage.core.model.times import Instant
from lineage.plumbing.gc_pause import gc_paused

FORMATS: Final = ("auto", "jsonl", *foreign.FORMATS)
# Records appended in one transaction: enough to make the cost of flushing the disk negligible.
_PART: Final = 5_000
# A longer line is quarantined up to this size, with the digest and size of the part that was read.
_LINE_BYTES: Final = 16 * 1024 * 1024


class QuarantineSink(Protocol):
    """The destination of lines that are never written to the log."""

    def quarantine(self, records: Iterable[RejectedRecord]) -> None:
        """Quarantine records; one that is quarantined already is not added again."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """The outcome of the records of one file.

    Attributes:
        name: The name of the file.
        format: The format of its records.
        records: The number of records.
        events: The number of valid events built from them.
        skipped: Records without information about authority or action, by reason.
        quarantined: Quarantined records, by reason.
    """

    name: str
    format: str
    records: int
    events: int
    skipped: Counter[str]
    quarantined: Counter[str]


@dataclass(slots=True)
class FileImport:
    """The result of an import.

    Attributes:
        read: Events read, valid and invalid.
        quarantined: The number of quarantined records.
        spans: The positions of the valid ones in the log: (first, last) of each consecutive run.
        latest: For each topic and partition, the index of its last span.
        records: Records read from files of a foreign format.
        skipped: Of these, the number without information about authority or action, by reason.
        foreign: Whether any file had a foreign format.
        formats: The format of each file whose format was detected.
        reasons: Why records were quarantined.
        files: The outcome of each file. Events that an adapter emits only after all files belong to none.
    """

    read: int = 0
    quarantined: int = 0
    spans: list[tuple[Position, Position]] = field(default_factory=list)
    latest: dict[tuple[str, int], int] = field(default_factory=dict)
    records: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    foreign: bool = False
    formats: list[tuple[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    files: list[FileOutcome] = field(default_factory=list)


def ingest_files(
    names: Iterable[str],
    log: Log,
    aside: QuarantineSink,
    *,
    format: str,
    clock: Callable[[], Instant],
    progress: Callable[[int], None] = lambda _bytes: None,
    sources: Sequence[NamedSource] = (),
    source: str | None = None,
    keeper: SourceMemory | None = None,
    quarantine_unknown: bool = False,
) -> FileImport:
    """Append the events of files to the log.

    Args:
        names: Paths; ``-`` is standard input.
        log: The log.
        aside: Receives the unreadable lines.
        format: One of FORMATS.
        clock: Returns the current time, for quarantined lines.
        progress: Called with the number of bytes read so far.
        sources: The configured systems whose logs are read.
        source: The source of the files; None for the one named like their format, or an unconfigured one.
        keeper: Stores the memory of a source; None to keep none.
        quarantine_unknown: Whether the records of a file of unknown format are quarantined instead of refused.

    Raises:
        RefusedError: There is no such source, or a file cannot be opened or has another or an unknown format; nothing
            was ingested from any file.
    """
    named = None if source is None else _source_called(source, sources, format)
    files = recognised(names, format, named, quarantine_unknown=quarantine_unknown)
    intake = ingest_recognised(
        files, log, aside, clock=clock, progress=progress, sources=sources, named=named, keeper=keeper
    )
    if format == "auto":
        intake.formats = [(file.name, file.format) for file in files]
    return intake


def ingest_recognised(
    files: Sequence[File],
    log: Log,
    aside: QuarantineSink,
    *,
    clock: Callable[[], Instant],
    progress: Callable[[int], None] = lambda _bytes: None,
    sources: Sequence[NamedSource] = (),
    named: NamedSource | None = None,
    keeper: SourceMemory | None = None,
) -> FileImport:
    """Append the events of files of known formats to the log; the arguments are those of ``ingest_files``."""
    intake = FileImport()
    logs: dict[str, ForeignLog] = {}
    for file in files:
        found, foreign_log = file.format, None
        read, reasons = intake.read, Counter(intake.reasons)
        with reading(file) as reader:
            if found == "jsonl":
                entries = _own(file.name, reader, clock)
            elif found == UNKNOWN:
                entries = _of_no_format(file.name, reader, clock)
            else:
                if found not in logs:
                    logs[found] = ForeignLog(named or source_of_format(found, sources), keeper, clock)
                foreign_log = logs[found]
                records, skipped = foreign_log.records, Counter(foreign_log.skipped)
                entries = foreign_log.entries(file.name, foreign.read_records(reader))
            ingest_records(entries, log, aside, intake, progress=progress)
        aside_now = intake.reasons - reasons
        outcome = FileOutcome(
            name=file.name,
            format=found,
            records=intake.read - read if foreign_log is None else foreign_log.records - records,
            events=intake.read - read - aside_now.total(),
            skipped=Counter() if foreign_log is None else foreign_log.skipped - skipped,
            quarantined=aside_now,
        )
        intake.files.append(outcome)
        if foreign_log is not None:
            foreign_log.keep()
    for one in logs.values():
        ingest_records(one.settled(files[-1].name), log, aside, intake, progress=progress)
        one.keep()
        intake.foreign = True
        intake.records += one.records
        intake.skipped += one.skipped
    return intake


def _source_called(name: str, sources: Sequence[NamedSource], format: str) -> NamedSource:
    named = next((source for source in sources if source.name == name), None)
    if named is None:
        known = ", ".join(repr(source.name) for source in sources)
        raise RefusedError(
            f"there is no source {name!r}; "
            + (f"the settings name {known}" if known else "name it in a [[source]] of the file of DELEGRAPH_CONFIG")
        )
    if format not in {"auto", named.format}:
        raise RefusedError(f"the source {name!r} has the format {named.format}, not {format}; leave --format out")
    return named


def ingest_records(
    records: Iterable[tuple[Entry | RejectedRecord, int]],
    log: Log,
    aside: QuarantineSink,
    intake: FileImport,
    *,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> None:
    """Append valid records to the log, and quarantine the unreadable ones.

    Args:
        records: Each record with its size in bytes.
        log: The log.
        aside: Receives the unreadable records.
        intake: The counts to update.
        progress: Called with the number of bytes read so far.
    """
    parts = _in_parts(records)
    while True:
        with gc_paused():  # records have no cycles, and a batch is bounded
            part = next(parts, None)
        if part is None:
            return
        good, bad, size = part
        if bad:
            aside.quarantine(bad)
        if good:
            _append(log, good, intake)
        intake.read += len(good) + len(bad)
        intake.quarantined += len(bad)
        intake.reasons.update(record.reason for record in bad)
        progress(size)


def refuse_unreadable(names: Iterable[str]) -> None:
    """Open every file once, so that a wrong name is reported before anything is ingested.

    Raises:
        RefusedError: One of them cannot be opened.
    """
    for name in names:
        with opened(name):
            pass


def _in_parts(
    records: Iterable[Read],
) -> Iterator[tuple[list[Entry], list[RejectedRecord], int]]:
    good: list[Entry] = []
    bad: list[RejectedRecord] = []
    size = 0
    for record, length in records:
        if isinstance(record, RejectedRecord):
            bad.append(record)
        else:
            good.append(record)
        size += length
        if len(good) + len(bad) >= _PART:
            yield good, bad, size
            good, bad, size = [], [], 0
    yield good, bad, size


def _append(log: Log, entries: list[Entry], intake: FileImport) -> None:
    for first, last in _runs(sorted(log.append(entries))):
        place = (first.topic, first.partition)
        if place in intake.latest:
            start, end = intake.spans[intake.latest[place]]
            if end.offset + 1 == first.offset:
                intake.spans[intake.latest[place]] = (start, last)
                continue
        intake.latest[place] = len(intake.spans)
        intake.spans.append((first, last))


def _runs(positions: Sequence[Position]) -> Iterator[tuple[Position, Position]]:
    """Yield the first and the last of each consecutive run of sorted positions; there are none for a spool."""
    if not positions:
        return
    first, last = positions[0], positions[-1]
    if first[:2] == last[:2] and last.offset - first.offset == len(positions) - 1:  # the usual case
        yield first, last
    else:
        yield from ((position, position) for position in positions)


def _own(name: str, stream: Plain, clock: Callable[[], Instant]) -> Iterator[Read]:
    """Read delegraph's own lines, skipping blank ones."""
    table, place = credentials.ColumnTable(), 0
    for place, (line, length) in enumerate(_lines(stream), start=1):
        raw = line.rstrip(b"\r\n")
        if not raw.strip():
            continue
        try:
            event = codec.decode_line(raw)  # refuses a line that is too large
            yield entry_of(event), length
        except BadRecordError as error:
            cut_through = stream.broken if not line.endswith(b"\n") else None
            columns = table.columns(raw)
            fault = cut_through or error
            aside = unreadable(raw, fault, number=None, origin=name, place=place, recorded_at=clock(), columns=columns)
            yield aside, length
            if cut_through is not None:
                return
    if (broken := stream.broken) is not None:
        yield unreadable(b"", broken, number=None, origin=name, place=place + 1, recorded_at=clock()), 0


def _of_no_format(name: str, stream: Plain, clock: Callable[[], Instant]) -> Iterator[Read]:
    """Read the records of a file of unknown format: each is quarantined, unless it is one of our events."""
    table = credentials.ColumnTable()
    for record in foreign.read_records(stream):
        fault = BadRecordError("unknown-format", "it is not a record of any known format")
        if record.fault is not None and record.fault.reason in {"broken-gzip", "too-large", "truncated"}:
            fault = record.fault
        try:
            event = codec.decode_line(record.raw)
            yield entry_of(event), len(record.raw)
        except BadRecordError as error:
            aside = unreadable(
                record.raw,
                error if error.reason == "credential" else fault,
                number=None,
                origin=name,
                place=record.position,
                recorded_at=clock(),
                columns=table.columns(record.raw),
            )
            yield aside, len(record.raw)


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield lines with their lengths; an absurdly long line is truncated."""
    while line := stream.readline(_LINE_BYTES):
        length, rest = len(line), line
        while len(rest) == _LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(_LINE_BYTES)
            length += len(rest)
        yield line, length
