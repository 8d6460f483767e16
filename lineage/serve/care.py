"""Caring for a store: taking records up from quarantine, projecting anew, comparing, and the doctor. Documents."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from ingest import codec
from ingest.log import Log, topic_of
from ingest.projector import project, read_record
from lineage.core.errors import BadRecordError, DelegraphError
from lineage.core.records import Readable, Record
from lineage.core.trust import TrustTable
from lineage.serve.documents import Document
from lineage.serve.service import Service, Trust
from lineage.serve.wiring import Settings, opened_log, opened_store
from lineage.store.compare import differences, replace, twin
from lineage.store.store import Quarantined, Store

_LIBRARIES: Final = ("delegraph", "sqlalchemy", "networkx", "fastavro", "alembic", "click", "rich")


def retry(service: Service) -> Document:
    """Take up from quarantine what can be read now.

    A record of the log becomes the fact that it always was, at its own place and moment; a line of a file is appended
    to the log. What still cannot be read stays.
    """
    log = service.require_log()
    now = service.clock()
    waiting = service.store.quarantined()
    from_log: list[tuple[int, Readable]] = []
    from_files: list[tuple[int, tuple[str, bytes]]] = []
    for item in waiting:
        if item.record.value is None or item.record.reason == "credential":
            continue  # what is kept is not what was sent
        if item.record.number is not None:
            record = Record(item.record.number, item.record.recorded_at, item.record.value)
            result = read_record(record, service.trust.table)
            if isinstance(result, Readable):
                from_log.append((item.id, result))
        elif (value := _line(item)) is not None:
            from_files.append((item.id, value))
    service.store.take_up(from_log, now)
    if from_files:
        log.append(value for _, value in from_files)
        service.store.release((id_ for id_, _ in from_files), now)
    project(log, service.store, service.trust.table)
    taken = len(from_log) + len(from_files)
    return {"read": len(waiting), "taken_up": taken, "waiting": len(waiting) - taken, "as_of": service.as_of()}


def _line(item: Quarantined) -> tuple[str, bytes] | None:
    try:
        event = codec.decode_line(item.record.value or b"")
    except BadRecordError:
        return None
    return topic_of(event), codec.encode(event)


@contextmanager
def _anew(
    store: Store,
    log: Log,
    trust: TrustTable | None,
    progress: Callable[[int], None],
    *,
    ends: dict[tuple[str, int], int] | None = None,
) -> Iterator[tuple[Store, Path]]:
    """A fresh projection of the log, or of it up to ``ends``, in a file beside the store."""
    beside = store.file.parent if store.file is not None else None
    with tempfile.TemporaryDirectory(prefix=".delegraph-", dir=beside) as folder:
        file = Path(folder) / "anew.db"
        fresh = twin(store, file)
        try:
            project(log, fresh, trust, ends=ends, progress=progress)
            yield fresh, file
        finally:
            fresh.close()


def rebuild(service: Service, progress: Callable[[int], None]) -> Document:
    """Project the log anew beside the stored projection, and swap; questions are answered all the while."""
    log = service.require_log()
    counts = [0]

    def count(records: int) -> None:
        counts[0] += records
        progress(records)

    with _anew(service.store, log, service.trust.table, count) as (fresh, file):
        fresh.close()
        replace(service.store, file)
    project(log, service.store, service.trust.table)  # what was appended meanwhile
    return {"records": counts[0], "outcomes": service.store.outcomes()._asdict(), "as_of": service.as_of()}


def fsck(service: Service, progress: Callable[[int], None]) -> Document:
    """Compare the stored projection with a fresh one of the same log. ``ok`` says whether they are equal."""
    log = service.require_log()
    with service.store.frozen() as still:
        positions = still.positions()
        with _anew(still, log, service.trust.table, progress, ends=positions) as (fresh, _):
            found = list(differences(still, fresh))
        outcomes = still.outcomes()
    records = sum(positions.values())
    if sum(outcomes) != records:
        found.append(f"accounts: {records} records were projected, and {sum(outcomes)} are accounted for")
    return {
        "ok": not found,
        "records": records,
        "outcomes": outcomes._asdict(),
        "differences": found,
        "as_of": service.as_of(),
    }


def doctor(settings: Settings) -> Document:
    """What is configured, what answers and what does not, and why. Never raises for what it is there to tell."""
    checks: list[Document] = []

    def ask(name: str, question: Callable[[], str]) -> None:
        try:
            checks.append({"check": name, "ok": True, "says": question()})
        except DelegraphError as fault:
            checks.append({"check": name, "ok": False, "says": str(fault)})

    def trust() -> str:
        found: Trust = settings.read_trust()
        if found.table is None:
            return "no trust file is in force: every source may say everything (set DELEGRAPH_TRUST)"
        return f"{found.file} lists {len(found.table.sources)} sources"

    def store() -> str:
        with opened_store(settings) as opened:
            sizes = opened.sizes()
            return f"{opened.url}: {sizes['fact']:,} facts, {opened.count_quarantined():,} records in quarantine"

    def log() -> str:
        with opened_log(settings) as opened:
            ends = opened.ends()
            return f"{settings.log_url}: " + ", ".join(f"{end:,} {topic}" for (topic, _), end in sorted(ends.items()))

    def projection() -> str:
        with opened_store(settings) as opened, opened_log(settings) as its_log:
            if opened.log not in (None, its_log.identity):
                raise DelegraphError("the store has read another log than this one: name that log with --log")
            positions, ends = opened.positions(), its_log.ends()
            behind = sum(max(0, end - positions.get(place, 0)) for place, end in ends.items())
            outcomes = opened.outcomes()
            if any(end < positions.get(place, 0) for place, end in ends.items()):
                raise DelegraphError("the projection is ahead of the log: this store has read another log; see fsck")
            said = ", ".join(f"{count:,} {name}" for name, count in outcomes._asdict().items())
            return f"{behind:,} records behind; {said}" + ("; run 'delegraph consume --drain'" if behind else "")

    ask("trust", trust)
    ask("store", store)
    ask("log", log)
    ask("projection", projection)
    return {
        "ok": all(check["ok"] for check in checks),
        "store": settings.store,
        "log": settings.log or "inside the store",
        "trust": settings.trust,
        "source": settings.source,
        "versions": {name: _version(name) for name in _LIBRARIES},
        "checks": checks,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
