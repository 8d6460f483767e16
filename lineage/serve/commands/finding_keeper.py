"""Maintains the index of findings: incremental looks at the surroundings of new facts, and periodic evaluations.

A look finds within a batch what the surroundings of a thing show, and only opens findings. A full evaluation adds
what needs all facts, refreshes the index and resolves what is no longer true; after it the index equals an evaluation
of its facts. Any number of processes may maintain one index: a result computed from an older state of it is not
written.
"""

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from lineage.core.authority.findings import Finding, unauthorised
from lineage.core.authority.world import World
from lineage.core.findings.catalogue import RULES, is_on, severity_of
from lineage.core.findings.entering import enter_all
from lineage.core.findings.evaluation import Report, evaluate, look
from lineage.core.findings.finding import last_seen, merged
from lineage.core.findings.judging import NEW, judgement_of, status_of
from lineage.core.findings.options import Options
from lineage.core.findings.scene import Scene
from lineage.core.findings.sources import RAW_CREDENTIAL
from lineage.core.findings.touched import touched_by
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact, FindingJudged
from lineage.core.model.records import Position
from lineage.core.model.references import about
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, TrustTable, authorised, in_force
from lineage.plumbing.gc_pause import gc_freeze
from lineage.serve.documents.core_documents import finding_document
from lineage.serve.queries.finding_basis import basis_of
from lineage.serve.queries.finding_facts import gathered
from lineage.store import kept_findings
from lineage.store.kept_findings import CHANGED, OPENED, REFRESHED, RESOLVED, Current, Kept, State
from lineage.store.reading.touched import load_touched
from lineage.store.store import Store

logger = logging.getLogger(__name__)

AT_ONCE: Final = 5_000  # records that one look takes
TOO_MANY: Final = 20_000  # records behind which a whole evaluation is quicker than looks
TOGETHER: Final = 2_000  # versions in one transaction, which takes a quarter of a second
_ATTEMPTS: Final = 20  # while other processes also write
_SHARE: Final = 4  # the pause between two whole evaluations, as a multiple of the time that one takes
_LEAST_SECONDS: Final = 2.0
_STILL_SECONDS: Final = 30.0  # the interval if only time has passed
_SECOND: Final = 1_000_000


def kept(one: Finding, options: Options, status: str) -> Kept:
    """Convert a finding to its stored form."""
    return Kept(
        *(one.id, one.kind, one.of, one.about),
        severity=int(severity_of(one.kind, one.severity, options)),
        status=status,
        last_seen=last_seen(one),
        recorded_at=max((fact.recorded_at for fact in one.facts), default=0),
        document=finding_document(one, options, status),
    )


def kept_report(report: Report, world: World, options: Options, at: Instant) -> dict[str, Kept]:
    """Convert everything that an evaluation found to its stored form."""
    return {
        one.id: kept(one, options, status_of(one, world.judgements, options, at)) for one in report.findings.values()
    }


def differences(before: dict[str, Current], found: dict[str, Kept]) -> Iterator[tuple[str, Kept]]:
    """Yield how the findings differ from the stored ones."""
    for id_, one in found.items():
        known = before.get(id_)
        if known is None or known.change == RESOLVED:
            yield OPENED, one
        elif (known.severity, known.status) != (one.severity, one.status):
            yield CHANGED, one
        elif known.digest != kept_findings.digest_of(one.document):
            yield REFRESHED, one


Told = Callable[[list[tuple[str, Kept]], Instant], None]
"""Called with what was written, and when."""


class Timed:
    """Measures how long each rule takes."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Start without measurements."""
        self._monotonic = monotonic
        self.seconds: dict[str, float] = {}

    def __call__(self, kind: str, found: Iterable[Finding]) -> list[Finding]:
        """Consume and time what a rule finds."""
        began = self._monotonic()
        everything = list(found)
        self.seconds[kind] = self.seconds.get(kind, 0.0) + self._monotonic() - began
        return everything


class FindingKeeper:
    """Maintains the index of one store. One thread may look while another evaluates."""

    def __init__(
        self,
        store: Store,
        trust: Trusted | None,
        options: Options,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a keeper.

        Args:
            store: The store.
            trust: Provides the trust table in force.
            options: The settings of the rules.
            monotonic: A monotonic clock.
        """
        self._store = store
        self._trust = trust
        self._options = options
        self._monotonic = monotonic
        self.told: Told = lambda _changes, _now: None
        self._mark: object = None  # of the store when there was last nothing new
        self._swept_at = -math.inf  # by the monotonic clock
        self.swept_seconds = 0.0
        self.is_behind = False  # whether there was more than one look examines
        self.total_seconds: dict[str, float] = {}  # by rule, over all full evaluations

    def turn(self, now: Instant) -> int:
        """Look at what is new, and evaluate everything if that is due; return the number of versions written."""
        written = self.look(now)
        return written + (self.sweep(now) if self.is_due() else 0)

    def is_due(self) -> bool:
        """Whether a full evaluation is due.

        Something is new or time has passed, and the last one was not too recent.
        """
        state = kept_findings.state_of(self._store)
        edition, positions = self._store.place()
        if state.swept is None or state.edition != edition or state.basis != self._basis():
            return True
        since = self._monotonic() - self._swept_at
        wait = _LEAST_SECONDS if state.swept != positions else _STILL_SECONDS
        return since >= max(wait, _SHARE * max(self.swept_seconds, state.took / _SECOND))

    def _basis(self) -> str:
        return basis_of(self._options, in_force(self._trust))

    # A look

    def look(self, now: Instant) -> int:
        """Examine the surroundings of new facts, some thousands at a time.

        Return how many findings were opened or judged.

        Raises:
            FencedError: Other processes were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        mark = self._store.change_token()
        if mark == self._mark:
            return 0
        for _ in range(_ATTEMPTS):
            try:
                written, is_all = self._look(now)
            except FencedError as fault:
                logger.debug("%s", fault)
                continue
            self.is_behind = not is_all and written is not None
            if is_all:
                self._mark = mark
            return written or 0
        raise FencedError(f"other processes that keep the findings were faster {_ATTEMPTS} times in a row")

    def _look(self, now: Instant) -> tuple[int | None, bool]:
        """Return the number of versions written, and whether the look is complete.

        None if a full evaluation must come first.
        """
        with self._store.frozen() as still:
            before = kept_findings.state_of(still)
            edition, positions = still.place()
            behind = sum(end - before.looked.get(place, 0) for place, end in positions.items())
            if before.swept is None or before.edition != edition or behind > TOO_MANY:
                return None, False
            if behind <= 0:
                return 0, True
            spans, looked = _next_spans(before.looked, positions, AT_ONCE)
            facts = [fact for first, last in spans for fact in still.facts_between(first, last)]
            found = self._around(still, facts, now)
            judged = touched_by(facts).judged
            known = kept_findings.current(still, [one.id for one in found] + sorted(judged))
            changes = [*self._worse(known, found)]
            changes += self._judged(still, judged & known.keys() - {one.id for _, one in changes}, now)
        kept_findings.write(self._store, before, replace(before, looked=looked), changes, now)
        self.told(changes, now)
        return len(changes), behind <= AT_ONCE

    @staticmethod
    def _worse(known: dict[str, Current], found: list[Kept]) -> Iterator[tuple[str, Kept]]:
        """Yield what is new or worse: the surroundings cannot show that something is better."""
        for one in found:
            before = known.get(one.id)
            if before is None or before.change == RESOLVED:
                yield OPENED, one
            elif one.severity > before.severity:
                yield CHANGED, one

    def _around(self, still: Store, facts: list[Fact], now: Instant) -> list[Kept]:
        trust = in_force(self._trust)
        counting = [fact for fact in facts if authorised(fact, trust)]
        with still.reader(trust=trust) as reader:
            world = reader.world()
            keys = load_touched(reader, world, touched_by(counting), now)
            scene = Scene(world, self._options, now, whole=False)
            enter_all(scene, world.facts())
            found = [*look(scene, dict.fromkeys(keys), narrow=True)]
            if is_on(RULES["unauthorised"], self._options):
                found += [unauthorised(fact, about(fact.event)) for fact in facts if not authorised(fact, trust)]
            alike = merged(one for one in found if not _is_missing(scene, one))
            reader.load_about(world, [f"finding:{id_}" for id_ in alike])
        return [
            kept(one, self._options, status_of(one, world.judgements, self._options, now)) for one in alike.values()
        ]

    def _judged(self, still: Store, ids: set[str], now: Instant) -> Iterator[tuple[str, Kept]]:
        """Yield the findings judged since, with their new status."""
        with still.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            reader.load_about(world, [f"finding:{id_}" for id_ in ids])
        for id_, one in kept_findings.kept_of(still, ids).items():
            said = judgement_of(world.judgements, id_, now)
            status = said.event.body.judgement if said and isinstance(said.event.body, FindingJudged) else NEW
            if RESOLVED not in (one.status, status) and status != one.status:
                yield CHANGED, one._replace(status=status, document={**one.document, "status": status})

    # A full evaluation

    def sweep(self, now: Instant) -> int:
        """Evaluate every rule over every fact, and write the differences; return the number of versions written.

        Raises:
            FencedError: Other processes were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        began = self._monotonic()
        trust, basis = in_force(self._trust), self._basis()
        with self._store.frozen(frugal=True) as still:
            known = kept_findings.state_of(still)
            edition, positions = still.place()
            _, recorded_at = still.progress()
            everything = gathered(still, trust)
        timed = Timed(self._monotonic)
        report = evaluate(
            *(everything.facts, self._options, now),
            world=everything.world,
            intake=everything.intake,
            timing=timed,
        )
        self._add_up(timed.seconds)
        found = kept_report(report, everything.world, self._options, now)
        del everything
        took = self._monotonic() - began
        state = State(
            edition=edition,
            looked=positions,
            swept=positions,
            swept_at=now,
            recorded_at=recorded_at,
            took=int(took * _SECOND),
            basis=basis,
            not_evaluated=report.not_evaluated,
        )
        written = self._write(known, state, found, now)
        self._swept_at, self.swept_seconds = self._monotonic(), took
        kept_findings.forget_old(self._store, now)
        gc_freeze(collect_first=True)
        return written

    def evaluated_elsewhere(
        self, changes: list[tuple[str, Kept]], seconds: dict[str, float], took: float, now: Instant
    ) -> None:
        """Take note of a whole evaluation by another process on our behalf."""
        self._add_up(seconds)
        self._swept_at, self.swept_seconds = self._monotonic(), took
        self.told(changes, now)

    def _add_up(self, seconds: dict[str, float]) -> None:
        for kind, took in seconds.items():
            self.total_seconds[kind] = self.total_seconds.get(kind, 0.0) + took

    def _write(self, known: State, state: State, found: dict[str, Kept], now: Instant) -> int:
        """Write what an evaluation changes, some thousands at a time, so that nobody waits long to write facts."""
        written = attempts = 0
        while attempts < _ATTEMPTS:
            before = kept_findings.state_of(self._store)
            if before.swept_at > state.swept_at and before.edition == state.edition:
                return written  # another process has evaluated since
            current = kept_findings.current(self._store)
            changes = [*differences(current, found)]
            over = [
                id_
                for id_, one in current.items()
                if id_ not in found and one.change != RESOLVED and one.seq <= known.seq
            ]
            changes += [(RESOLVED, _resolved(one)) for one in kept_findings.kept_of(self._store, over).values()]
            try:
                while len(changes) > TOGETHER:
                    before = self._written(before, before, changes[:TOGETHER], now)
                    written, attempts, changes = written + TOGETHER, 0, changes[TOGETHER:]
                self._written(before, _looked_further(state, before), changes, now)
            except FencedError as fault:
                logger.debug("%s", fault)
                attempts += 1
                continue
            return written + len(changes)
        raise FencedError(f"other processes that keep the findings were faster {_ATTEMPTS} times in a row")

    def _written(self, before: State, after: State, changes: list[tuple[str, Kept]], now: Instant) -> State:
        state = kept_findings.write(self._store, before, after, changes, now)
        self.told(changes, now)
        return state


def _looked_further(state: State, before: State) -> State:
    """A state that forgets nothing of what was looked at since, unless the facts were projected again."""
    if before.edition != state.edition:
        return state
    looked = {place: max(end, state.looked.get(place, 0)) for place, end in before.looked.items()}
    return replace(state, looked={**state.looked, **looked})


def _resolved(one: Kept) -> Kept:
    return one._replace(status=RESOLVED, document={**one.document, "status": RESOLVED})


def _is_missing(scene: Scene, one: Finding) -> bool:
    """Whether the facts needed by a finding's rule are missing."""
    rule = RULES.get(one.kind)
    return rule is not None and rule.missing is not None and rule.missing(scene) is not None


def _next_spans(
    looked: kept_findings.Positions, positions: kept_findings.Positions, most: int
) -> tuple[list[tuple[int, int]], dict[tuple[str, int], int]]:
    """Return the first and last numbers of the records to examine next, and the positions after them."""
    spans, following, left = [], dict(looked), most
    for (topic, partition), end in sorted(positions.items()):
        first = looked.get((topic, partition), 0)
        last = min(end, first + left)
        if first < last:
            spans.append((Position(topic, partition, first).number, Position(topic, partition, last - 1).number))
            following[topic, partition] = last
            left -= last - first
    return spans, following


def index_differences(store: Store, trust: TrustTable | None, options: Options) -> Iterator[str]:
    """Describe how the index of a store differs from an evaluation of its facts as of the same moment, in sentences.

    An index that is behind, or was built with other settings, reports that itself and is not compared.
    """
    state = kept_findings.state_of(store)
    edition, positions = store.place()
    basis = basis_of(options, trust)
    if state.swept != positions or state.edition != edition or state.basis != basis:
        return
    everything = gathered(store, trust)
    report = evaluate(*(everything.facts, options, state.swept_at), world=everything.world, intake=everything.intake)
    found = kept_report(report, everything.world, options, state.swept_at)
    # What was refused is no fact, and moves no position: an index may be exact without the last of it.
    found = {id_: one for id_, one in found.items() if one.kind != RAW_CREDENTIAL}
    raw = {one.id for one in kept_findings.kept_of_kind(store, RAW_CREDENTIAL)}
    known = {id_: one for id_, one in kept_findings.current(store).items() if one.change != RESOLVED and id_ not in raw}
    for id_ in sorted(found.keys() | known.keys()):
        if id_ not in known:
            yield f"findings: {id_} ({found[id_].kind} of {found[id_].of}) is not in the index"
        elif id_ not in found:
            yield f"findings: {id_} is in the index, and an evaluation does not find it"
        elif known[id_].digest != kept_findings.digest_of(found[id_].document):
            yield f"findings: {id_} ({found[id_].kind} of {found[id_].of}) is kept otherwise than it is evaluated"
