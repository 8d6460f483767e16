"""Adapters: foreign logs read as events. docs/foreign-logs.md documents the mappings; ``kit`` how to add one.

An adapter claims exactly what a record states: what a log does not state is a gap in the answer. Pure functions of
the records: no clock, no I/O. Every record yields events, or is skipped for a stable reason, or is returned with its
error: none disappears.

    reader = plain(stream)
    format = FORMATS[detect(first_bytes(reader))]
    for record, translation in translations(read_records(reader), format):
        ...
"""

from ingest.sources.adapters.formats import FORMATS, detect, format_of
from ingest.sources.adapters.kit import Document, Format, Source, Translation
from ingest.sources.adapters.memory import Memory, MemoryRow
from ingest.sources.adapters.pipeline import Reading, TranslationOutcome, translations
from ingest.sources.adapters.raw_records import RawRecord, first_bytes, plain, read_records

__all__ = [
    "FORMATS",
    "Document",
    "Format",
    "Memory",
    "MemoryRow",
    "RawRecord",
    "Reading",
    "Source",
    "Translation",
    "TranslationOutcome",
    "detect",
    "first_bytes",
    "format_of",
    "plain",
    "read_records",
    "translations",
]
