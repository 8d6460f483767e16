"""The doctor: what is configured, what works and what does not, and why, as one document.

Every check is one sentence, with the remedy if there is one. Nothing is changed.
"""

import platform
from contextlib import ExitStack
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from ingest.log.port import Log
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError
from lineage.core.model.times import Instant, format_instant
from lineage.core.retention.holds import holds_of
from lineage.plumbing.addresses import without_password
from lineage.serve.cli.doctor_checks import Checks, ago, seconds
from lineage.serve.config.settings import TABLES, Settings
from lineage.serve.config.wiring import now, opened_log, opened_store
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.retention.retention_status import run_status
from lineage.serve.text import render_retention
from lineage.serve.text.text_page import Page
from lineage.store import deletions
from lineage.store.database.sorted_runs import IndexRuns
from lineage.store.quarantine import beyond_quota, count_beyond_quota, count_quarantined
from lineage.store.server_info import database_of
from lineage.store.store import Store

_LIBRARIES: Final = (
    "delegraph", "sqlalchemy", "networkx", "fastavro", "alembic", "click", "rich", "structlog", "prometheus-client",
    "kafka-python", "crc32c", "pyjwt", "psycopg",
)  # fmt: skip
_MOST_SKEW: Final = 5_000_000  # microseconds of clock skew; beyond this, events are ordered wrongly
_SIMILAR: Final = 0.8


def doctor(settings: Settings, checks: Checks | None = None) -> Document:
    """Check what is configured, what answers and what does not. A failed check is reported, not raised."""
    checks = Checks() if checks is None else checks
    versions = {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}}
    positions: list[Document] = []
    kafka: Document | None = None
    checks.ask("trust", lambda: _trust(settings))
    _settings(checks, settings)
    with ExitStack() as stack:
        reached = checks.opened("store", opened_store(settings), stack)
        store = reached if reached is not None and checks.ask("store", lambda: _store(reached)) else None
        log = checks.opened("log", opened_log(settings), stack)
        answers = log is not None and checks.ask("log", lambda: _log(settings, log))
        if store is not None and log is not None and answers:
            checks.ask("projection", lambda: _projection(store, log, now()))
            positions = _positions(checks, store, log)
        if settings.sources:
            from lineage.serve.cli.doctor_sources import examine

            examine(checks, settings, store)
        if store is not None:
            _database(checks, store, versions)
            _evidence(checks, settings, store)
            _retention(checks, store, settings)
            if not store.indexes_actors():
                checks.report(
                    "index",
                    "an older version wrote this store, and did not index who acted: to count what a principal did "
                    "reads all that mentions it; run 'delegraph rebuild'",
                )
        if settings.on_kafka:
            _checksums(checks)
            _client(checks)
            if log is not None:
                kafka = _kafka(checks, settings, log, store, stack, answers=answers)
                versions["Kafka"] = kafka["version"]
    return {
        "ok": all(check["ok"] for check in checks.found),
        "store": without_password(settings.store),
        "log": settings.log or "inside the store",
        "trust": settings.trust,
        "source": settings.source,
        "versions": versions,
        "checks": checks.found,
        "settings": [
            {"name": name, "value": value, "from": settings.origin(name)} for name, value in settings.shown().items()
        ],
        "config": None if settings.config is None else str(settings.config),
        "positions": positions,
        "kafka": kafka,
    }


# Settings


def _trust(settings: Settings) -> str:
    try:
        found = settings.read_trust(now)
    except RefusedError as fault:
        raise RefusedError(f"{fault}; running processes keep the last valid one") from fault
    if found.table is None:
        return "no trust file is in force: every source may state anything (set DELEGRAPH_TRUST)"
    return f"{found.file} lists {len(found.table.sources)} sources"


def _settings(checks: Checks, settings: Settings) -> None:
    """Check the settings without contacting anything; adds nothing if there is nothing to report."""
    if files := settings.open_files:
        named = " ".join(map(str, files))
        checks.report("secrets", f"everyone on this machine can read {named}; run chmod o-r {named}", ok=False)
    if settings.unread:
        known = [table.variable(name) for table in TABLES for name in table.names]
        parts = []
        for variable in settings.unread:
            similar = get_close_matches(variable, known, n=1, cutoff=_SIMILAR)
            parts.append(variable + (f" (is {similar[0]} meant?)" if similar else ""))
        checks.report("settings", f"nothing reads {', '.join(parts)}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# The store and the log


def _store(store: Store) -> str:
    text = f"{store.url}: {store.sizes()['fact']:,} facts{_runs(store.runs())}, "
    text += f"{count_quarantined(store):,} records in quarantine"
    if not (over_quota := count_beyond_quota(store)):
        return text
    [(source, records)] = beyond_quota(store, limit=1)
    return (
        f"{text}, of which {over_quota:,} are kept only as digest and place: their source has used up its quota "
        f"(most of them, {records:,}, are from {source}); see 'delegraph quarantine'"
    )


def _retention(checks: Checks, store: Store, settings: Settings) -> None:
    """Check what is kept and deleted; and, if `deliver` deletes, that it did so in time."""
    checks.ask("retention", lambda: _kept(store, settings))
    if settings.retention_every_hours is None:
        return
    try:
        found = run_status(store, settings.retention_every_hours, at=now())
    except DelegraphError as fault:
        checks.failed("retention run", fault)
        return
    text = render_retention.last_run(Page(), found["last_run"]).first_line().removesuffix(".")
    late = f"; it is due every {settings.retention_every_hours:,} h: is 'delegraph deliver' running?"
    failed = found["last_run"] is not None and found["last_run"]["fault"] is not None
    checks.report("retention run", text + late * found["overdue"], ok=not (found["overdue"] or failed))


def _kept(store: Store, settings: Settings) -> str:
    with store.reader(trust=settings.read_trust(now).table) as reader:
        in_force = sum(hold.is_in_force for hold in holds_of(reader.facts_of_holds()))
    kept = "for ever" if settings.retention_days is None else f"for {settings.retention_days:,} days"
    found = deletions.deletions(store)
    last = "none were deleted"
    if found:
        day = format_instant(found[-1].deleted_at)[:10]
        last = f"{sum(each.records for each in found):,} were deleted, the last ones on {day}"
    return f"records of decisions are kept {kept}; {last}; {in_force:,} legal holds are in force"


def _runs(found: IndexRuns) -> str:
    text = f", {found.runs:,} sorted run{'s' if found.runs > 1 else ''} of the index"
    if found.waiting:
        text += f" ({found.waiting:,} facts are being merged, a little with every batch that is written)"
    if found.is_full:
        text += (
            " (no more are started: each further event costs more; "
            "raise shared_buffers, restart PostgreSQL and run 'delegraph rebuild', which makes larger ones)"
        )
    return text


def _log(settings: Settings, log: Log) -> str:
    counts: dict[str, int] = {}
    for (topic, _), end in sorted(log.ends().items()):
        counts[topic] = counts.get(topic, 0) + end
    return f"{settings.log_url}: " + ", ".join(f"{count:,} {topic}" for topic, count in counts.items())


def _projection(store: Store, log: Log, at: Instant) -> str:
    known, found = store.log, log.identity
    if known not in (None, found):
        raise IntegrityError(f"{_other_log(known or b'', found)}: name the right log with --log")
    (positions, recorded_at), ends = store.progress(), log.ends()
    if any(end < positions.get(place, 0) for place, end in ends.items()):
        raise IntegrityError("the projection is ahead of the log: this store has read another log; see fsck")
    if recorded_at is not None and recorded_at > at + _MOST_SKEW:
        raise IntegrityError(
            f"the last record was taken {seconds(recorded_at - at)} in our future: the clock of the log is ahead, "
            "or ours was set back"
        )
    behind = sum(max(0, end - positions.get(place, 0)) for place, end in ends.items())
    parts = [f"{behind:,} records behind"]
    parts.append(", ".join(f"{count:,} {name}" for name, count in store.outcomes()._asdict().items()))
    if recorded_at is not None:
        parts.append(f"the last one is {ago(max(at - recorded_at, 0))} old")
    if behind:
        parts.append("run 'delegraph consume --drain'")
    return "; ".join(parts)


def _other_log(known: bytes, found: bytes) -> str:
    if not found.startswith(b"kafka "):
        return "the store has read another log than this one"
    from ingest.kafka.cluster_report import other_log

    return other_log(known, found)


def _positions(checks: Checks, store: Store, log: Log) -> list[Document]:
    """List the position of the projection in every partition."""
    try:
        positions, ends = store.positions(), log.ends()
    except DelegraphError as fault:
        checks.failed("positions", fault)
        return []
    return [
        {
            "topic": topic,
            "partition": partition,
            "next_offset": positions.get((topic, partition), 0),
            "end": end,
            "behind": max(end - positions.get((topic, partition), 0), 0),
        }
        for (topic, partition), end in sorted(ends.items())
    ]


def _evidence(checks: Checks, settings: Settings, store: Store) -> None:
    from lineage.serve.cli.doctor_evidence import examine

    try:
        examine(checks, settings, store)
    except DelegraphError as fault:
        checks.failed("evidence", fault)


def _database(checks: Checks, store: Store, versions: dict[str, str | None]) -> None:
    """Check the version of the database, and its clock if it has a separate one."""
    before = now()
    try:
        database = database_of(store)
    except DelegraphError as fault:
        checks.failed("database", fault)
        return
    versions[database.name] = database.version
    if database.now is None:
        return
    # The time in the answer is from some moment between the request and the response.
    skew = database.now - (before + now()) // 2
    ahead = f"the clock of {database.name} is {seconds(abs(skew))} {'ahead of' if skew > 0 else 'behind'} ours"
    checks.report("database clock", ahead, ok=abs(skew) <= _MOST_SKEW)


# Kafka


def _checksums(checks: Checks) -> None:
    if find_spec("crc32c") is None:
        text = "crc32c is not installed: without it reading is six times as slow; install delegraph[kafka]"
        checks.report("crc32c", text, ok=False)
    else:
        checks.report("crc32c", "installed: checksums cost next to nothing")


def _client(checks: Checks) -> None:
    from ingest.kafka.records import harden

    if harden():
        checks.report("kafka-python", "known from within: a record that it would stumble over goes into quarantine")
    else:
        text = f"version {_version('kafka-python')} is not known from within: a hostile record may stop every consumer"
        checks.report("kafka-python", f"{text} with exit code 6; install one that 'delegraph[kafka]' names", ok=False)


def _kafka(
    checks: Checks, settings: Settings, log: Log, store: Store | None, stack: ExitStack, *, answers: bool
) -> Document:
    from ingest.kafka.log import KafkaLog
    from lineage.serve.cli.doctor_kafka import examine

    assert isinstance(log, KafkaLog)  # noqa: S101 (so its URL says)
    return examine(checks, settings, log, store, stack, answers=answers)
