"""Taking events in: from files or from a request, into the log and projected, and what became of them."""

from collections.abc import Callable, Iterable, Sequence

from ingest.log.port import Entry
from ingest.sources.file_import import Intake, take_in, take_in_files
from ingest.sources.file_import import take_in_records as append_records
from ingest.sources.named import NamedSource
from ingest.sources.recognition import File
from lineage.core.model.records import Unreadable
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
) -> Intake:
    """Append the events of files to the log, without projecting them.

    Args:
        service: The service whose log they go to.
        files: Paths; ``-`` is standard input.
        format: A format, or ``auto``.
        sources: The systems whose logs are read.
        source: The one whose log the files are; by default the source named as their format, if there is one.
        quarantine_unknown: Whether the records of a file of no known format go to quarantine instead of being refused.
        progress: Told how many bytes were read, now and then.
    """
    return take_in(
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
) -> Intake:
    """Append the events of files whose formats are known to the log, without projecting them.

    Args:
        service: The service whose log they go to.
        files: The files.
        progress: Told how many bytes were read, now and then.
    """
    return take_in_files(
        files,
        service.require_log(),
        service.store,
        clock=service.clock,
        progress=progress,
        keeper=SourceRecords(service.store),
    )


def take_in_records(service: Service, records: Iterable[tuple[Entry | Unreadable, int]]) -> Document:
    """Append records that were read from a request, project them, and count what became of them.

    Args:
        service: The service whose log they go to.
        records: Each record with its size in bytes; those that cannot be read go to quarantine.
    """
    intake = Intake()
    append_records(records, service.require_log(), service.store, intake)
    service.catch_up()
    return counts(service, intake)


def counts(service: Service, intake: Intake) -> Document:
    """What became of what was taken in, as the store says of the positions that the log assigned."""
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
    return {**document, "as_of": service.as_of()}
