"""Adapters: other people's logs read as events. docs/foreign-logs.md says what becomes of what; ``kit`` how to add one.

An adapter claims what a record says in clear and nothing else: what a log does not say is a gap in the answer.
Pure functions of the records: no clock, no I/O. Every record gives events, or is skipped under a stable reason, or
comes with its fault: none vanishes.

    reader = plain(stream)
    format = FORMATS[detect(first_bytes(reader))]
    for record, translation in translations(read_records(reader), format):
        ...
"""

from ingest.sources.adapters.formats import FORMATS, detect, format_of
from ingest.sources.adapters.kit import Document, Format, Source, Translation
from ingest.sources.adapters.memory import Memory, Row
from ingest.sources.adapters.pipeline import Outcome, Reading, translations
from ingest.sources.adapters.raw_records import RawRecord, first_bytes, plain, read_records

__all__ = [
    "FORMATS",
    "Document",
    "Format",
    "Memory",
    "Outcome",
    "RawRecord",
    "Reading",
    "Row",
    "Source",
    "Translation",
    "detect",
    "first_bytes",
    "format_of",
    "plain",
    "read_records",
    "translations",
]
