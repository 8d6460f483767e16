"""The state of retention: what is kept how long, when the next run is due, and how the last one ended."""

from dataclasses import asdict
from typing import Final, NamedTuple

from lineage.core.model.records import DECISIONS, TOPICS
from lineage.core.model.times import Instant, format_instant
from lineage.core.retention.schedule import RetentionRun, due_at, is_overdue
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.retention.holds import known_holds
from lineage.serve.queries.service import Service
from lineage.store import deletions, retention_runs
from lineage.store.store import Store

_TIMES: Final = ("started_at", "before", "ended_at", "succeeded_at")


class RetentionPolicy(NamedTuple):
    """The settings of retention.

    Attributes:
        days: How old the records of decisions become before they may be deleted; None to keep them.
        every_hours: How often a delivery process deletes them; None if it does not.
    """

    days: int | None = None
    every_hours: int | None = None


KEPT: Final = RetentionPolicy()  # by default nothing is deleted


def retention_state(service: Service, policy: RetentionPolicy, *, at: Instant) -> Document:
    """Describe the settings by topic, the runs, and how many holds and deletions there are."""
    deleted = deletions.deletions(service.store)
    return {
        "topics": [{"topic": topic, "days": policy.days if topic == DECISIONS else None} for topic in TOPICS],
        **run_status(service.store, policy.every_hours, at=at),
        "holds_in_force": sum(hold.is_in_force for hold in known_holds(service)),
        "deletions": len(deleted),
        "deleted_records": sum(each.records for each in deleted),
        "deleted_before": instant(service.store.deleted_before()),
        "as_of": service.as_of(),
    }


def run_status(store: Store, every_hours: int | None, *, at: Instant) -> Document:
    """Describe the last run, and when the next one is due."""
    last = retention_runs.last_run(store)
    due = None if every_hours is None else due_at(last, every_hours)
    return {
        "every_hours": every_hours,
        "due_at": None if due is None else format_instant(due if last is not None else at),
        "overdue": every_hours is not None and is_overdue(last, every_hours, at),
        "last_run": None if last is None else _document(last),
    }


def _document(run: RetentionRun) -> Document:
    found = asdict(run)
    return {**found, **{name: instant(found[name]) for name in _TIMES}}
