"""Caring for a store: taking records up from quarantine, projecting anew, comparing. Documents."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from ingest.codec import api as codec
from ingest.log.port import Entry, entry_of
from ingest.projector import project, read_record
from lineage.core.model.errors import BadRecordError
from lineage.core.model.records import Readable, Record
from lineage.serve.commands import submission_policy
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store.rebuild.diff import differences, twin
from lineage.store.rebuild.swap import beside, exchange
from lineage.store.store import Quarantined

logger = logging.getLogger(__name__)


def retry(service: Service) -> Document:
    """Take up from quarantine what can be read now.

    A record of the log becomes the fact that it always was, at its own place and moment; a line of a file is appended
    to the log. What still cannot be read stays, and so does what came over HTTP from who may not say that.
    """
    log = service.require_log()
    now = service.clock()
    waiting = service.store.quarantined()
    from_log: list[tuple[int, Readable]] = []
    from_files: list[tuple[int, Entry]] = []
    for item in waiting:
        if item.record.value is None or item.record.reason == "credential":
            continue  # what is kept is not what was sent
        if item.record.number is not None:
            record = Record(item.record.number, item.record.recorded_at, item.record.value)
            result = read_record(record, service.trust.table)
            if isinstance(result, Readable):
                from_log.append((item.id, result))
        elif (entry := _line(item)) is not None:
            from_files.append((item.id, entry))
    service.store.take_up(from_log, now)
    if from_files:
        log.append(entry for _, entry in from_files)
        service.store.release((id_ for id_, _ in from_files), now)
    service.catch_up()
    taken = len(from_log) + len(from_files)
    return {"read": len(waiting), "taken_up": taken, "waiting": len(waiting) - taken, "as_of": service.as_of()}


def _line(item: Quarantined) -> Entry | None:
    """What the log never took as an entry: a line of a file, or what came over HTTP in either form."""
    raw, sources = item.record.value or b"", item.record.sources
    try:
        if sources is None:
            return entry_of(codec.decode_line(raw))
        event = submission_policy.read(raw)
        entry = entry_of(event)
    except BadRecordError:
        return None
    if submission_policy.depends_on_sender(event) or not submission_policy.may_use(sources, event.source):
        logger.warning("record %d in quarantine is not taken up: who sent it may not send that", item.id)
        return None
    return entry


def records_in_log(service: Service) -> int:
    """How many records the log holds now: those that a fresh projection reads."""
    return sum(service.require_log().ends().values())


def rebuild(service: Service, progress: Callable[[int], None]) -> Document:
    """Project the log anew beside the stored projection, and swap; questions are answered all the while."""
    log, trust = service.require_log(), service.trust.table
    with beside(service.store) as anew:
        records = project(log, anew, trust, progress=progress)
        records += project(log, anew, trust, progress=progress)  # so that little is left for when writers wait

        def catch_up(positions: dict[tuple[str, int], int]) -> None:
            """What others have projected since we began is in the store, and must not be away for a moment."""
            nonlocal records
            records += project(log, anew, trust, ends=positions)

        exchange(service.store, anew, catch_up)
    service.catch_up()  # what was appended meanwhile
    return {"records": records, "outcomes": service.store.outcomes()._asdict(), "as_of": service.as_of()}


def fsck(service: Service, progress: Callable[[int], None]) -> Document:
    """Compare the stored projection with a fresh one of the same log. ``ok`` says whether they are equal.

    The fresh one is in a SQLite file, whatever the store is in.
    """
    log = service.require_log()
    near = service.store.file.parent if service.store.file is not None else None
    with service.store.frozen() as still, tempfile.TemporaryDirectory(prefix=".delegraph-", dir=near) as folder:
        fresh = twin(still, Path(folder) / "anew.db")
        try:
            records = project(log, fresh, service.trust.table, ends=still.positions(), progress=progress)
            found = list(differences(still, fresh))
        finally:
            fresh.close()
        outcomes = still.outcomes()
    if sum(outcomes) != records:
        found.append(f"accounts: {records} records were projected, and {sum(outcomes)} are accounted for")
    return {
        "ok": not found,
        "records": records,
        "outcomes": outcomes._asdict(),
        "differences": found,
        "as_of": service.as_of(),
    }
