"""Maintenance of a store: retry quarantined records, rebuild, and compare. The results are documents."""

import logging
from collections.abc import Callable
from typing import Final

from ingest.codec import api as codec
from ingest.log.port import Entry, Log, entry_of
from ingest.projector import project, read_record
from lineage.core.model.errors import BadRecordError, IntegrityError
from lineage.core.model.records import DecodedRecord, Record, position_of
from lineage.core.model.times import Instant
from lineage.serve.commands import submission_policy
from lineage.serve.commands.finding_keeper import FindingKeeper, index_differences
from lineage.serve.commands.rebuild_workers import Workers, project_with_workers
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.evidence.key_rotations import checkpoints_by_retired_keys
from lineage.serve.queries.records.lost_records import refuse_lost_records
from lineage.serve.queries.service import Service
from lineage.store import evidence_trees, kept_findings
from lineage.store.deletions import DeletedRecords, check_lists
from lineage.store.quarantine import Quarantined, quarantined
from lineage.store.rebuild.diff import differences
from lineage.store.rebuild.index_check import entry_differences
from lineage.store.rebuild.swap import exchange, temporary_store
from lineage.store.rebuild.temporary_twin import temporary_twin
from lineage.store.rebuild.time_index_check import time_index_differences
from lineage.store.rebuild.tree_check import broken_checkpoints, tree_differences
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_PAGE: Final = 10_000  # quarantined records in memory at once
_NEIGHBOURS: Final = 500  # log records read at once


def retry(service: Service) -> Document:
    """Project the quarantined records that can be read now.

    A record of the log becomes a fact at its own position and time; a line of a file is appended to the log. What
    still cannot be read stays in quarantine, and so does what came over HTTP from a sender that may not send it. A
    record beyond the quota of its source is read from the log; if the log never had it, its file must be ingested
    again.
    """
    log = service.require_log()
    now = service.clock()
    writer = _Again(log)
    read = accepted = after = 0
    while waiting := quarantined(service.store, after=after, limit=_PAGE):
        after = waiting[-1].id
        read += len(waiting)
        accepted += _taken_up(service, log, writer, waiting, now)
    service.catch_up()
    return {"read": read, "taken_up": accepted, "waiting": read - accepted, "as_of": service.as_of()}


def _taken_up(service: Service, log: Log, again: "_Again", waiting: list[Quarantined], now: Instant) -> int:
    """Project the readable ones among some records; return how many there are."""
    from_log: list[tuple[int, DecodedRecord]] = []
    from_files: list[tuple[int, Entry]] = []
    for item in waiting:
        record = item.record
        value = again.value(record.number) if record.beyond_quota and record.number is not None else record.value
        if value is None or record.reason == "credential":
            continue  # the stored bytes are not the ones that were sent
        if record.number is not None:
            result = read_record(Record(record.number, record.recorded_at, value), service.trust.table)
            if isinstance(result, DecodedRecord):
                from_log.append((item.id, result))
        elif (entry := _line(item)) is not None:
            from_files.append((item.id, entry))
    if from_log:
        service.store.project_released(from_log, now)
    if from_files:
        log.append(entry for _, entry in from_files)
        service.store.release((id_ for id_, _ in from_files), now)
    return len(from_log) + len(from_files)


class _Again:
    """Rereads single records of the log, with their neighbours."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._read: dict[int, bytes | None] = {}

    def value(self, number: int) -> bytes | None:
        """Return the value of a record; None if it has none, or the log no longer has it."""
        if number not in self._read:
            topic, partition, offset = position_of(number)
            try:
                records, _ = self._log.read(topic, partition, offset, limit=_NEIGHBOURS)
            except IntegrityError:
                records = []
            self._read = {record.number: record.value for record in records}
        return self._read.get(number)


def _line(item: Quarantined) -> Entry | None:
    """Build a log entry from what was never in the log: a line of a file, or a record received over HTTP."""
    raw, sources = item.record.value or b"", item.record.sources
    try:
        if sources is None:
            return entry_of(codec.decode_line(raw))
        event = submission_policy.read(raw)
        entry = entry_of(event)
    except BadRecordError:
        return None
    if submission_policy.depends_on_sender(event) or not submission_policy.may_use(sources, event.source):
        logger.warning("record %d stays in quarantine: its sender may not send it", item.id)
        return None
    return entry


def records_in_log(service: Service) -> int:
    """Count the records in the log now, which a fresh projection would read."""
    return sum(service.require_log().ends().values())


def rebuild(service: Service, progress: Callable[[int], None], workers: Workers | None = None) -> Document:
    """Build a fresh projection of the log in a second store and swap it in; questions are answered throughout.

    Args:
        service: The service of the store.
        progress: Called after each batch with its number of records.
        workers: The worker processes, which a small log does not use; None for this process alone.
    """
    log, trust = service.require_log(), service.trust.table
    refuse_lost_records(log, service.store, "nothing was replaced")
    gone = DeletedRecords(service.store)
    with temporary_store(service.store) as fresh:
        if workers is not None and workers.needed(records_in_log(service)):
            records = project_with_workers(log, fresh, trust, workers, progress=progress, deleted=gone)
        else:
            records = project(log, fresh, trust, progress=progress, deleted=gone)
        # Again, so that little is left to project while writers wait.
        records += project(log, fresh, trust, progress=progress, deleted=gone)
        _refuse_other_history(service, fresh)

        def catch_up(positions: dict[tuple[str, int], int]) -> None:
            """Project what others have projected since we began.

            It is in the store and must not disappear even briefly.
            """
            nonlocal records
            records += project(log, fresh, trust, ends=positions, deleted=gone)
            _refuse_other_history(service, fresh)  # a checkpoint may have been signed since

        exchange(service.store, fresh, catch_up)
    service.catch_up()  # what was appended meanwhile
    if kept_findings.state_of(service.store).swept is not None:  # the index of findings is derived from the facts
        FindingKeeper(service.store, service.trust, service.options).sweep(service.clock())
    return {"records": records, "outcomes": service.store.outcomes()._asdict(), "as_of": service.as_of()}


def _refuse_other_history(service: Service, fresh: Store) -> None:
    """Raise IntegrityError if a fresh projection does not extend the latest checkpoints."""
    if broken := next(broken_checkpoints(evidence_trees.latest_checkpoints(service.store).values(), fresh), None):
        raise IntegrityError(f"{broken.partition(': ')[2]}; nothing was replaced")


def fsck(service: Service, progress: Callable[[int], None]) -> Document:
    """Compare the stored projection with a fresh one of the same log; ``ok`` says whether they are equal.

    The fresh one is in a SQLite file, whatever database the store uses.
    """
    log = service.require_log()
    refuse_lost_records(log, service.store, "the store has them, and was not compared with the rest of the log")
    with service.store.snapshot() as snapshot:
        with temporary_twin(snapshot) as fresh:
            gone = DeletedRecords(snapshot)
            ends = snapshot.positions()
            records = project(log, fresh, service.trust.table, ends=ends, progress=progress, deleted=gone)
            found = [
                *check_lists(snapshot),
                *differences(snapshot, fresh),
                *entry_differences(snapshot),
                *time_index_differences(snapshot),
                *tree_differences(snapshot, fresh),
                *checkpoints_by_retired_keys(snapshot, fresh, service.trust.table),
            ]
        found += index_differences(snapshot, service.trust.table, service.options)
        outcomes = snapshot.outcomes()
    if sum(outcomes) != records:
        found.append(f"accounts: {records} records were projected, and {sum(outcomes)} are accounted for")
    return {
        "ok": not found,
        "records": records,
        "outcomes": outcomes._asdict(),
        "differences": found,
        "as_of": service.as_of(),
    }
