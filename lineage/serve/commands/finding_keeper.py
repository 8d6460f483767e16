"""Maintain the index of findings: once all facts have been read, it equals an evaluation after every batch.

While they are being read, only the surroundings of the new facts in a batch are examined, which opens findings but
resolves none. Any number of processes may maintain one index: a result computed from an older state is not written.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Final

from lineage.core.findings.evaluation import evaluate, look
from lineage.core.findings.judging import NEW, judgement_of, status_of
from lineage.core.findings.keeping.touched import touched_by
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES, is_on
from lineage.core.findings.rules.sources import RAW_CREDENTIAL, unauthorised
from lineage.core.findings.scene.entering import enter_all
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.errors import FencedError
from lineage.core.model.events import Fact, FindingJudged
from lineage.core.model.finding import Finding, merged
from lineage.core.model.records import Position
from lineage.core.model.references import about
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, TrustTable, authorised, in_force
from lineage.serve.commands.kept_form import kept, kept_report
from lineage.serve.commands.live_index import LiveIndex
from lineage.serve.queries.findings.finding_basis import basis_of
from lineage.serve.queries.findings.finding_facts import gathered
from lineage.store import kept_findings
from lineage.store.kept_findings import CHANGED, OPENED, RESOLVED, Current, StoredFinding
from lineage.store.reading.touched import load_touched
from lineage.store.store import Store

logger = logging.getLogger(__name__)

AT_ONCE: Final = 5_000  # records that one look takes
TOO_MANY: Final = 20_000  # records behind which a whole evaluation is quicker than looks
_ATTEMPTS: Final = 20  # while other processes also write
_FORGET_SECONDS: Final = 60.0  # the interval at which old versions are forgotten


Notify = Callable[[list[tuple[str, StoredFinding]], Instant], None]
"""Called with what was written, and when."""


class FindingKeeper:
    """Maintains the index of one store. One thread may examine new facts while another evaluates everything."""

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
        self.notify: Notify = lambda _changes, _now: None
        self._live: LiveIndex | None = None  # None until all facts were read
        self._following = Lock()
        self._mark: object = None  # of the store when there was last nothing new
        self._swept_at = -math.inf  # by the monotonic clock
        self.is_behind = False  # whether there was more than one look examines

    def turn(self, now: Instant) -> int:
        """Examine what is new, and evaluate everything if that is due; return the number of versions written."""
        written = self.look(now)
        return written + (self.sweep(now) if self.is_due() else 0)

    def is_due(self) -> bool:
        """Whether all facts have to be read, or old versions forgotten."""
        live = self._live
        if live is None or not live.is_of(self._store.version()[0], self._basis()):
            return True
        return self._monotonic() - self._swept_at >= _FORGET_SECONDS

    @property
    def total_seconds(self) -> dict[str, float]:
        """Return how long each rule took, estimated from a sample."""
        return {} if self._live is None else self._live.total_seconds

    def _basis(self) -> str:
        return basis_of(self._options, in_force(self._trust))

    # A look

    def look(self, now: Instant) -> int:
        """Examine new facts, some thousands of records at a time; return the number of versions written.

        Until all facts have been read, only the surroundings of new ones are examined, which opens findings but
        resolves none.

        Raises:
            FencedError: Other processes were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        live = self._live
        if live is not None and live.is_still(self._store, now):
            self.is_behind = False
            return 0
        if live is not None and live.is_of(self._store.version()[0], self._basis()):
            with self._following:
                written = live.follow(self._store, now, self.notify)
                self.is_behind = live.is_behind
            return written
        mark = self._store.change_token()
        if mark == self._mark:
            return 0
        for _ in range(_ATTEMPTS):
            try:
                opened, is_all = self._look(now)
            except FencedError as fault:
                logger.debug("%s", fault)
                continue
            self.is_behind = not is_all and opened is not None
            if is_all:
                self._mark = mark
            return opened or 0
        raise FencedError(f"other processes that keep the findings were faster {_ATTEMPTS} times in a row")

    def _look(self, now: Instant) -> tuple[int | None, bool]:
        """Return the number of versions written, and whether the look is complete.

        None if a full evaluation must come first.
        """
        with self._store.snapshot() as still:
            before = kept_findings.state_of(still)
            edition, positions = still.version()
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
        kept_findings.write(self._store, before, replace(before, looked=looked, numbers={}), changes, now)
        self.notify(changes, now)
        return len(changes), behind <= AT_ONCE

    @staticmethod
    def _worse(known: dict[str, Current], found: list[StoredFinding]) -> Iterator[tuple[str, StoredFinding]]:
        """Yield what is new or worse: the surroundings cannot show that something is better."""
        for one in found:
            before = known.get(one.id)
            if before is None or before.change == RESOLVED:
                yield OPENED, one
            elif one.severity > before.severity:
                yield CHANGED, one

    def _around(self, still: Store, facts: list[Fact], now: Instant) -> list[StoredFinding]:
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

    def _judged(self, still: Store, ids: set[str], now: Instant) -> Iterator[tuple[str, StoredFinding]]:
        """Yield the findings judged since, with their new status."""
        with still.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            reader.load_about(world, [f"finding:{id_}" for id_ in ids])
        for id_, one in kept_findings.kept_of(still, ids).items():
            judgement = judgement_of(world.judgements, id_, now)
            status = (
                judgement.event.body.judgement if judgement and isinstance(judgement.event.body, FindingJudged) else NEW
            )
            if RESOLVED not in (one.status, status) and status != one.status:
                yield CHANGED, replace(one, status=status, document={**one.document, "status": status})

    # The whole

    def sweep(self, now: Instant) -> int:
        """Make the index equal to an evaluation of everything; return the number of versions written.

        All facts are read the first time, and when the settings, the trust table or the projection have changed.

        Raises:
            FencedError: Other processes were faster every time; try again.
            UnavailableError: The store is unavailable; try again.
        """
        edition, _ = self._store.version()
        basis = self._basis()
        live = self._live
        if live is None or not live.is_of(edition, basis):
            began = self._monotonic()
            near = self._store.file.parent if self._store.file is not None else None
            live = LiveIndex(self._options, in_force(self._trust), basis, self._monotonic, near)
            live.load(self._store, now)
            live.took = self._monotonic() - began
        written = 0
        with self._following:
            if self._live is not None and self._live is not live:
                self._live.close()
            self._live = live
            while True:
                written += live.follow(self._store, now, self.notify)
                if not live.is_behind:
                    break
        kept_findings.forget_old(self._store, now)
        self._swept_at = self._monotonic()
        return written


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
    """Describe in sentences how the index of a store differs from an evaluation of its facts at the same time.

    An index that is behind, or was built with other settings, reports that itself and is not compared.
    """
    state = kept_findings.state_of(store)
    edition, positions = store.version()
    basis = basis_of(options, trust)
    if state.swept != positions or state.edition != edition or state.basis != basis:
        return
    sentences = not state.lagging  # else what they say follows in a moment
    everything = gathered(store, trust)
    report = evaluate(*(everything.facts, options, state.swept_at), world=everything.world, intake=everything.intake)
    found = kept_report(report, everything.world, options, state.swept_at)
    # A refused record is not a fact and moves no position, so an index may be exact without the last ones.
    found = {id_: one for id_, one in found.items() if one.kind != RAW_CREDENTIAL}
    raw = {one.id for one in kept_findings.kept_of_kind(store, RAW_CREDENTIAL)}
    known = {id_: one for id_, one in kept_findings.current(store).items() if one.change != RESOLVED and id_ not in raw}
    for id_ in sorted(found.keys() | known.keys()):
        if id_ not in known:
            yield f"findings: {id_} ({found[id_].kind} of {found[id_].of}) is not in the index"
        elif id_ not in found:
            yield f"findings: {id_} is in the index, and an evaluation does not find it"
        elif (known[id_].severity, known[id_].status) != (found[id_].severity, found[id_].status) or (
            sentences and known[id_].digest != found[id_].digest
        ):
            yield f"findings: {id_} ({found[id_].kind} of {found[id_].of}) is kept otherwise than it is evaluated"
