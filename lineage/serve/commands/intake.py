"""Ingest events from files or requests: append them to the log, project them, and count the outcomes."""

from collections.abc import Callable, Iterable, Sequence

from ingest.log.port import Entry
from ingest.sources.file_import import FileImport, ingest_files, ingest_recognised
from ingest.sources.file_import import ingest_records as append_records
from ingest.sources.named import NamedSource
from ingest.sources.recognition import File
from lineage.core.model.records import RejectedRecord
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store.source_records import SourceRecords


def read_files(
    service: Service,
    files: Iterable[str],
    *,
    format: str,
    sources: Sequence[NamedSource] = (),
    source: str | None = None,
    quarantine_unknown: bool = False,
    progress: Callable[[int], None] = lambda _bytes: None,
) -> FileImport:
    """Append the events of files to the log, without projecting them.

    Args:
        service: The service whose log they are appended to.
        files: Paths; ``-`` is standard input.
        format: A format, or ``auto``.
        sources: The configured systems whose logs are read.
        source: The source of the files; by default the one named like their format, if it exists.
        quarantine_unknown: Whether the records of a file of unknown format are quarantined instead of refused.
        progress: Called with the number of bytes read so far.
    """
    return ingest_files(
        files,
        service.require_log(),
        service.store,
        format=format,
        clock=service.clock,
        progress=progress,
        sources=sources,
        source=source,
        keeper=SourceRecords(service.store),
        quarantine_unknown=quarantine_unknown,
    )


def read_recognised(
    service: Service, files: Sequence[File], *, progress: Callable[[int], None] = lambda _bytes: None
) -> FileImport:
    """Append the events of files of known formats to the log, without projecting them.

    Args:
        service: The service whose log they are appended to.
        files: The files.
        progress: Called with the number of bytes read so far.
    """
    return ingest_recognised(
        files,
        service.require_log(),
        service.store,
        clock=service.clock,
        progress=progress,
        keeper=SourceRecords(service.store),
    )


def ingest_records(service: Service, records: Iterable[tuple[Entry | RejectedRecord, int]]) -> Document:
    """Append the records of a request, project them, and count the outcomes.

    Args:
        service: The service whose log they are appended to.
        records: Each record with its size in bytes; unreadable ones are quarantined.
    """
    intake = FileImport()
    append_records(records, service.require_log(), service.store, intake)
    service.catch_up()
    return counts(service, intake)


def counts(service: Service, intake: FileImport) -> Document:
    """Count the outcomes of ingested records by the positions that the log assigned to them."""
    found = [service.store.outcomes(first.number, last.number) for first, last in intake.spans]
    document: Document = {
        "read": intake.read,
        "accepted": sum(outcomes.accepted for outcomes in found),
        "duplicates": sum(outcomes.duplicates for outcomes in found),
        "conflicts": sum(outcomes.conflicts for outcomes in found),
        "unauthorised": sum(outcomes.unauthorised for outcomes in found),
        "quarantined": intake.quarantined + sum(outcomes.quarantined for outcomes in found),
    }
    if intake.formats:
        document["files"] = [{"file": file, "format": format_} for file, format_ in intake.formats]
    if intake.foreign:
        document |= {"records": intake.records, "skipped": dict(sorted(intake.skipped.items()))}
        if intake.reasons:
            document["reasons"] = dict(sorted(intake.reasons.items()))
    return {**document, "as_of": service.as_of()}
