"""Delete old records on which nothing depends, under a signed certificate, without breaking a proof.

A deletion is announced in the log, recorded in the store, and carried out by a rebuild without the deleted records:
so the store is what a fresh projection makes, and questions are answered throughout. One process deletes at a time. If
a run is interrupted, the next one completes it.
"""

import logging
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from lineage.core.evidence.notes import Note
from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError
from lineage.core.model.events import Fact, PrincipalRegistered, RecordsDeleted
from lineage.core.model.keys import split_key
from lineage.core.model.records import DECISIONS, ORDERS, Position, lane_of
from lineage.core.model.references import mentions, subject_of
from lineage.core.model.times import DAY, Instant, format_instant
from lineage.core.retention.certificate import Certificate
from lineage.core.retention.leaving import Aliases, Leaving, RetentionSurvey, Seen, ordered_at
from lineage.core.retention.schedule import RetentionRun
from lineage.deliver.tlog.checkpointing import origin_of, origin_of_lane
from lineage.deliver.tlog.note_keys import NoteKeys
from lineage.serve.commands.append import send
from lineage.serve.commands.checkpoints import sign
from lineage.serve.commands.maintenance import rebuild
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.retention.deletions import deletion_document
from lineage.serve.queries.retention.holds import what_is_held
from lineage.serve.queries.service import Service
from lineage.store import deletions, evidence_trees, retention_runs
from lineage.store.deletions import DeletedRecords, Deletion
from lineage.store.evidence_trees import Lane
from lineage.store.server_clock import ServerClock
from lineage.store.store import Store

logger = logging.getLogger(__name__)

_READ: Final = 50_000  # facts in memory at once
_ATTEMPTS: Final = 3


@dataclass(slots=True)
class _DeletionLane:
    """The deletion from one partition.

    Attributes:
        numbers: The numbers of the records.
        keys: What they mention.
        sequences: The sequence numbers of their events, by source.
    """

    numbers: set[int] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    sequences: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Plan:
    """The records that may be deleted, as of some positions.

    Attributes:
        lanes: By partition; without those from which nothing is deleted.
        cutoffs: By partition, the offset before which its records are old.
        leaving: What is deleted, and what only holds keep.
        edition, positions: Of the store that was examined.
        old: The number of facts that are old; those that are not deleted are still needed, or held.
        unwitnessed: The number of records that are old and wait for a witnessed checkpoint.
    """

    lanes: Mapping[Lane, _DeletionLane]
    cutoffs: Mapping[Lane, int]
    leaving: Leaving
    edition: bytes
    positions: Mapping[Lane, int]
    old: int
    unwitnessed: int


def _go_on() -> None:
    """Interrupt nothing."""


def rule_of(days: int | None, before: Instant) -> str:
    """Describe the rule by which records are deleted."""
    return f"decisions before {format_instant(before)}" if days is None else f"decisions older than {days} days"


def horizon_of(service: Service, days: int | None, before: Instant | None) -> Instant:
    """Return the instant before which records may be deleted.

    Raises:
        RefusedError: Neither a number of days nor an instant is given, or the instant has not passed.
    """
    now = ServerClock(service.store, service.clock).ask()
    if before is None and days is None:
        raise RefusedError(
            "nothing says how long records are kept: set retention_days (DELEGRAPH_RETENTION_DAYS), or name an instant "
            "with --before; nothing was deleted"
        )
    found = before if before is not None else now - (days or 0) * DAY
    if found > now:
        raise RefusedError(f"{format_instant(found)} has not passed; nothing was deleted")
    return found


def survey(
    service: Service,
    horizon: Instant,
    *,
    origin: str | None = None,
    witnessed: bool = False,
    most: int | None = None,
) -> Document:
    """Report what would be deleted, and delete nothing.

    Args:
        service: The service.
        horizon: Only what was recorded, and has ended, before.
        origin: The configured origin of the trees.
        witnessed: Whether only what is under a witnessed checkpoint may be deleted.
        most: The most records that are examined; None for any number.

    Raises:
        RefusedError: The store has more records.
    """
    service.catch_up()
    if most is not None and (records := sum(service.store.outcomes())) > most:
        raise RefusedError(
            f"the store has {records:,} records, and at most {most:,} are examined here; run 'delegraph retain "
            "--dry-run' where there is memory"
        )
    plan = _plan(service, horizon, origin_of(service.store, origin) if witnessed else None, _go_on)
    return {**_summary(plan, horizon), "deletions": [], "as_of": service.as_of()}


def retain(
    service: Service,
    keys: NoteKeys,
    horizon: Instant,
    *,
    rule: str,
    by: str,
    witnessed: bool = False,
    pause: Callable[[], None] = _go_on,
) -> Document:
    """Delete what may be deleted, and record the run.

    Args:
        service: The service.
        keys: Signs the certificates; its name is the origin of the trees.
        horizon: Only what was recorded, and has ended, before.
        rule: The rule in words, for the certificates.
        by: Who deletes.
        witnessed: Whether only what is under a witnessed checkpoint may be deleted.
        pause: Called again and again; what it raises interrupts the run, which the next one completes.

    Raises:
        UnavailableError: Another process deletes, or records that need those to be deleted kept coming.
    """
    store = service.store
    with retention_runs.only_run(store):
        last = retention_runs.last_run(store)
        succeeded_at = None if last is None else last.succeeded_at
        run = RetentionRun(started_at=service.clock(), by=by, before=horizon, succeeded_at=succeeded_at)
        retention_runs.note_run(store, run)
        try:
            document = _retained(
                service, keys, horizon, rule=rule, by=by, witnessed=keys.name if witnessed else None, pause=pause
            )
        except DelegraphError as fault:
            with suppress(UnavailableError):
                retention_runs.note_run(store, replace(run, ended_at=service.clock(), fault=str(fault)))
            raise
        ended = service.clock()
        counts = {name: document[name] for name in ("records", "old", "held", "unwitnessed")}
        retention_runs.note_run(store, replace(run, ended_at=ended, succeeded_at=ended, **counts))
        return document


def complete(service: Service, pause: Callable[[], None] = _go_on) -> None:
    """Carry out what an interrupted run recorded.

    Raises:
        UnavailableError: Another process deletes.
    """
    with retention_runs.only_run(service.store):
        _complete(service, pause)


def _retained(
    service: Service,
    keys: NoteKeys,
    horizon: Instant,
    *,
    rule: str,
    by: str,
    witnessed: str | None,
    pause: Callable[[], None],
) -> Document:
    _complete(service, pause)
    for _ in range(_ATTEMPTS):
        sign(service, keys)
        service.catch_up()
        plan = _plan(service, horizon, witnessed, pause)
        if not plan.lanes:
            return {**_summary(plan, horizon), "deletions": [], "as_of": service.as_of()}
        done = _announced(service, keys, plan, horizon, rule=rule, by=by)
        if done is not None:
            _complete(service, pause)
            return {
                **_summary(plan, horizon),
                "deletions": [deletion_document(each) for each in done],
                "as_of": service.as_of(),
            }
    raise UnavailableError("records that need some of those to be deleted keep coming; nothing was deleted, try again")


def _complete(service: Service, pause: Callable[[], None]) -> None:
    """Carry out what is recorded: project without the deleted records, and remove them from the log."""
    gone = DeletedRecords(service.store)
    if not gone:
        return
    if any(service.store.facts_at(_numbers(lane, offsets)) for lane, offsets in gone.offsets()):
        rebuild(service, lambda _records: pause())
    log = service.require_log()
    removed = sum(log.erase(lane[0], offsets) for lane, offsets in gone.offsets())
    if removed:
        logger.info("%d records were removed from the log", removed)


def _numbers(lane: Lane, offsets: Iterable[int]) -> list[int]:
    return [Position(*lane, offset).number for offset in offsets]


def _plan(service: Service, horizon: Instant, witnessed: str | None, pause: Callable[[], None]) -> _Plan:
    with service.store.snapshot() as still:
        edition, positions = still.version()
        cutoffs: dict[Lane, int] = {}
        unwitnessed = 0
        for each in evidence_trees.signed_trees(still, partial(origin_of_lane, witnessed or "")):
            if each.lane[0] == DECISIONS:
                with evidence_trees.opened_tree(still, each.lane) as tree:
                    old = cutoffs[each.lane] = deletions.old_until(tree, horizon)
                    if witnessed is not None:
                        size = 0 if each.witnessed is None else each.witnessed.head.size
                        seen = cutoffs[each.lane] = deletions.old_until(tree, horizon, min(size, tree.head.size))
                        unwitnessed += tree.index_after(old - 1) - tree.index_after(seen - 1)
        leaving, old = _leaving(service, still, horizon, cutoffs, pause)
        lanes: dict[Lane, _DeletionLane] = {}
        of_lane = {Position(*lane, 0).number: lane for lane in cutoffs}
        numbers = sorted(number for each in leaving.numbers.values() for number in each)
        for number in numbers:
            lanes.setdefault(of_lane[lane_of(number)], _DeletionLane()).numbers.add(number)
        for number, fact in still.facts_at(numbers).items():
            _note(lanes[of_lane[lane_of(number)]], fact)
    return _Plan(lanes, cutoffs, leaving, edition, positions, old, unwitnessed)


def _note(lane: _DeletionLane, fact: Fact) -> None:
    event = fact.event
    kind, id_ = subject_of(event)
    lane.keys.add(f"{kind}:{id_}")
    lane.keys.update(f"{mentioned}:{other}" for _, mentioned, other in mentions(event))
    if event.sequence is not None:
        lane.sequences.setdefault(event.source, []).append(event.sequence)


def _leaving(
    service: Service, still: Store, horizon: Instant, cutoffs: Mapping[Lane, int], pause: Callable[[], None]
) -> tuple[Leaving, int]:
    """Return what may leave, and how many facts are old."""
    parties = Aliases(still.facts_at(deletions.numbers_with_aliases(still)).values())
    orders = still.stored_after({lane: end for lane, end in still.positions().items() if lane[0] != ORDERS})
    ordered = ordered_at((stored.fact for stored in orders), parties)
    held = what_is_held(service, parties, service.clock())
    numbers = {Position(*lane, 0).number: Position(*lane, offset).number for lane, offset in cutoffs.items()}
    found = RetentionSurvey(horizon, numbers, held, ordered)
    again = deletions.repetitions(still)
    old, after = 0, -1
    while page := still.facts(after=after, limit=_READ):
        pause()
        after = page[-1].number
        for number, fact, _ in page:
            found.add(Seen((number, *again.get(number, ())), fact))
            old += number < numbers.get(lane_of(number), 0)
    return found.leaving(), old


def _announced(
    service: Service, keys: NoteKeys, plan: _Plan, horizon: Instant, *, rule: str, by: str
) -> list[Deletion] | None:
    """Announce and record the deletions of a plan; None if something came meanwhile that keeps one of the records."""
    done: list[Deletion] = []
    for lane, leaving in sorted(plan.lanes.items()):
        now = service.clock()
        with evidence_trees.opened_tree(service.store, lane) as tree:
            tiles = deletions.tiles_at(tree, leaving.numbers, plan.cutoffs[lane])
            size, root = tree.head.size, tree.root()
        certificate = Certificate(
            deletion=f"deletion-{format_instant(now)[:10].replace('-', '')}-{uuid.uuid4().hex[:12]}",
            tree=origin_of_lane(keys.name, lane),
            size=size,
            root=root,
            first_tile=min(tiles),
            last_tile=max(tiles),
            records=len(leaving.numbers),
            list_sha256=deletions.digest_of_list(tiles),
            rule=rule,
            recorded_before=horizon,
            deleted_at=now,
            by=by,
        )
        note = str(Note(certificate.text, (keys.sign(certificate.text),)))
        named = {name: getattr(certificate, name) for name in ("first_tile", "last_tile", "records", "list_sha256")}
        body = RecordsDeleted(
            certificate.deletion, by, *lane, **named, rule=rule, recorded_before=horizon, certificate=note
        )
        send(service, body, now)
        found = Deletion(
            certificate.deletion, lane, **named, rule=rule, recorded_before=horizon, deleted_at=now, deleted_by=by,
            certificate=note,
        )  # fmt: skip
        if not deletions.record(
            service.store,
            found,
            tiles,
            keys=leaving.keys,
            sequences=leaving.sequences,
            is_current=lambda: _is_current(service, plan),
        ):
            logger.warning("%s was announced and not carried out: other records came", certificate.deletion)
            return done or None
        done.append(found)
    return done


def _is_current(service: Service, plan: _Plan) -> bool:
    """Whether nothing has come since a plan was made that may keep one of its records."""
    edition, _ = service.store.version()
    if edition != plan.edition:
        return False
    for stored in service.store.stored_after(plan.positions):
        event = stored.fact.event
        if isinstance(event.body, RecordsDeleted):
            continue
        if event.is_order or (isinstance(event.body, PrincipalRegistered) and event.body.aliases):
            return False
        named = [subject_of(event), *((kind, id_) for _, kind, id_ in mentions(event))]
        if any(f"{kind}:{id_}" in plan.leaving.numbers for kind, id_ in named):
            return False
    return True


def _summary(plan: _Plan, horizon: Instant) -> Document:
    records = sum(len(lane.numbers) for lane in plan.lanes.values())
    return {
        "before": format_instant(horizon),
        "records": records,
        "old": plan.old,
        "held": plan.leaving.held,
        "held_by": [
            dict(zip(("kind", "id", "records"), (*split_key(key), count), strict=True))
            for key, count in plan.leaving.held_by.items()
        ],
        "unwitnessed": plan.unwitnessed,
        "partitions": [
            {
                "topic": lane[0],
                "partition": lane[1],
                "old_until": offset,
                "records": len(plan.lanes[lane].numbers) if lane in plan.lanes else 0,
            }
            for lane, offset in sorted(plan.cutoffs.items())
        ],
    }
