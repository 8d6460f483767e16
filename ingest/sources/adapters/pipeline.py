"""Convert raw records to events: unwrapped, scrubbed, translated; every record is accounted for.

One ``Reading`` reads the log of one source from anywhere: a file, a topic, a request.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ingest.codec.credentials import scrubbed_value
from ingest.sources.adapters.formats import format_of
from ingest.sources.adapters.kit import Format, Memory, Source, Translation, UnwrappedRecord
from ingest.sources.adapters.raw_records import RawRecord
from ingest.sources.adapters.untrusted_json import Clean
from ingest.sources.adapters.unwrapping import unwrapped
from lineage.core.model.errors import BadRecordError


class TranslationOutcome(NamedTuple):
    """The outcome of a record.

    Attributes:
        record: The record as it may be quarantined; None for the events due at the end of a batch.
        translation: Its events, the reason for skipping it, or its error; none of them if it is ``HELD``.
    """

    record: RawRecord | None
    translation: Translation


class Reading:
    """Reads the log of one source."""

    def __init__(self, format_: Format, source: Source | None = None, memory: Memory | None = None) -> None:
        """Read a format, as an unconfigured source if none is given."""
        self.format = format_
        self.source = format_.source() if source is None else source
        self.memory = Memory() if memory is None else memory

    def outcomes(self, raw: RawRecord) -> Iterator[TranslationOutcome]:
        """Yield the outcome of each record in a raw record."""
        if raw.value is None:
            yield TranslationOutcome(raw, self._of_no_object(raw))
            return
        if self.format.marks(raw.value):  # the usual case
            yield TranslationOutcome(raw, self._translated(raw.value, {}))
            return
        for value, headers, is_record in unwrapped(raw.value, self.format.marks, self.format.unwrap):
            own = raw if value is raw.value else RawRecord(raw.position, _written(value), value)
            if not is_record and (other := format_of(value)) is not None:
                why = f"it is a record of {other}, in a log of {self.format.name}: put it into a file of its own"
                yield TranslationOutcome(own, Translation(fault=BadRecordError("other-format", why)))
                continue
            yield TranslationOutcome(own, self._translated(value, scrubbed_value(headers) if headers else headers))

    def settled(self, *, end: bool) -> Iterator[TranslationOutcome]:
        """Yield the events due at the end of a batch; ``end`` is true if no more records are expected for now."""
        if self.format.settle is not None:
            for translation in self.format.settle(self.source, self.memory, end=end):
                yield TranslationOutcome(None, translation)

    def _of_no_object(self, raw: RawRecord) -> Translation:
        fault = raw.fault or BadRecordError("not-an-object", "there is no object in it")
        other_lines = self.format.other_lines if fault.reason == "json" else None
        reason = None if other_lines is None else other_lines(raw.raw)
        return Translation(fault=fault) if reason is None else Translation(skipped=reason)

    def _translated(self, value: Any, headers: Mapping[str, str]) -> Translation:
        if not isinstance(value, dict):
            return Translation(fault=BadRecordError("not-an-object", f"it is a {type(value).__name__} and no object"))
        try:
            return self.format.translate(UnwrappedRecord(Clean(value), headers), self.source, self.memory)
        except BadRecordError as fault:
            return Translation(fault=fault)


def translations(
    records: Iterable[RawRecord], format_: Format, source: Source | None = None, memory: Memory | None = None
) -> Iterator[TranslationOutcome]:
    """Yield the outcome of every record of a file, and then the events due at its end."""
    reading = Reading(format_, source, memory)
    for record in records:
        yield from reading.outcomes(record)
    yield from reading.settled(end=True)


def _written(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
