"""Import a foreign log: translate its records, map their ids, and count the outcomes."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ingest.codec import api as codec
from ingest.log.port import Entry, entry_of
from ingest.projector import unreadable
from ingest.sources import adapters as foreign
from ingest.sources.adapters import Memory, MemoryRow, RawRecord, Reading, TranslationOutcome
from ingest.sources.identity import IdentityMap
from ingest.sources.named import NamedSource
from lineage.core.model.errors import BadRecordError
from lineage.core.model.records import RejectedRecord
from lineage.core.model.times import Instant, format_instant

Read = tuple[Entry | RejectedRecord, int]
"""A valid or an unreadable record, and its size in bytes."""


class SourceMemory(Protocol):
    """Storage for the memory of a source between imports."""

    def remembered(self, source: str, topic: str | None = None) -> list[tuple[str, str, str | None]]:
        """Return the stored entries, oldest first: topic, key and value."""
        ...

    def keep(
        self,
        source: str,
        format_: str,
        changes: Iterable[tuple[str, str, str | None]],
        counts: dict[tuple[str, str], int],
        *,
        came_at: Instant,
        latest: Instant | None,
    ) -> None:
        """Store changed entries (a value of None deletes), and add to the counts of outcomes with their reasons."""
        ...


class ForeignLog:
    """Reads the log of one source, from any number of files."""

    def __init__(self, named: NamedSource, keeper: SourceMemory | None, clock: Callable[[], Instant]) -> None:
        """Load the memory of the source."""
        self.records = 0
        self.skipped: Counter[str] = Counter()
        self._keeper, self._clock = keeper, clock
        kept = () if keeper is None else keeper.remembered(named.name)
        self._memory = Memory(MemoryRow(*row) for row in kept)
        self._named = named
        self._reading = Reading(foreign.FORMATS[named.format], named.source, self._memory)
        self._identity = IdentityMap(named.identity, named.source, self._memory)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._kept_counts: Counter[tuple[str, str]] = Counter()
        self._latest: Instant | None = None

    @property
    def memory(self) -> Memory:
        """The memory of the source; new entries are stored with the others."""
        return self._memory

    def counts(self) -> Counter[tuple[str, str]]:
        """The outcomes of records so far, with their reasons: ``record``, ``event``, ``skipped``, ``quarantined``."""
        return self._kept_counts + self._counts

    def entries(self, name: str, records: Iterable[RawRecord]) -> Iterator[Read]:
        """Yield the events of a file's records, and the unreadable records."""
        for record in records:
            for outcome in self._reading.outcomes(record):
                yield from self._entries(name, outcome)

    def settled(self, name: str, *, end: bool = True) -> Iterator[Read]:
        """Yield the events due at the end of a batch; ``end`` is true if no more records are expected for now."""
        for outcome in self._reading.settled(end=end):
            yield from self._entries(name, outcome)
        at = format_instant(self._latest or self._memory.latest)
        for document in self._identity.settled(at):
            yield self._entry(name, None, document), 0

    def keep(self) -> None:
        """Store the memory and the counts; called once the log has the events."""
        self._identity.count()
        if self._keeper is None:
            return
        changes, counts = self._memory.changes(), dict(self._counts)
        if not changes and not counts:
            return
        self._keeper.keep(
            self._named.name,
            self._named.format,
            changes,
            counts,
            came_at=self._clock(),
            latest=self._latest,
        )
        self._kept_counts, self._counts = self._kept_counts + self._counts, Counter()

    def _entries(self, name: str, outcome: TranslationOutcome) -> Iterator[Read]:
        record, translation = outcome
        if record is not None:
            self.records += 1
            self._counts["record", ""] += 1
        if translation.skipped is not None:
            self._skip(translation.skipped)
        for reason in translation.also_skipped:
            self._skip(reason)
        length = 0 if record is None else len(record.raw)
        if translation.fault is not None and record is not None:
            yield self.rejected(name, record, translation.fault), length
            length = 0
        if translation.events:
            for document in (*translation.events, *self._identity.registrations(translation.events)):
                yield self._entry(name, record, document), length
                length = 0

    def _skip(self, reason: str) -> None:
        self.skipped[reason] += 1
        self._counts["skipped", reason] += 1

    def _entry(self, name: str, record: RawRecord | None, document: foreign.Document) -> Entry | RejectedRecord:
        try:
            event, value = codec.encoded_from_document(document)
        except BadRecordError as fault:
            return self.rejected(name, record or RawRecord(0, json.dumps(document).encode()), fault)
        self._counts["event", ""] += 1
        if self._latest is None or event.occurred_at > self._latest:
            self._latest = event.occurred_at
        return entry_of(event, value)

    def rejected(self, name: str, record: RawRecord, fault: BadRecordError) -> RejectedRecord:
        """Build the quarantined form of a record."""
        self._counts["quarantined", fault.reason] += 1
        return unreadable(
            record.raw,
            fault,
            number=None,
            origin=name,
            place=record.position,
            recorded_at=self._clock(),
            charged_to=f"source {self._named.name}",  # there may be many files
        )
