"""Findings kept up to date as facts arrive and time passes: exact after every batch. Pure.

A batch of facts changes elements, decisions and actions (``changes.py``). Their contributions to the aggregates are
replaced, each change marks the things around it (``surroundings.py``, ``living.py``) with the aspect that changed, and
the rules that depend on this aspect are evaluated for each marked thing (``neighbourhoods.py``). Every evaluation
states until when it is valid without new facts (``clock.py``), so that the passing of time costs only the evaluations
that are due.

The result equals that of ``evaluate`` over the same facts at the same instant, whatever the order and the batches in
which they arrived.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final

from lineage.core.authority.world import World
from lineage.core.findings.evaluation import (
    REPEAT,
    Report,
    doer,
    is_subject,
    others,
    reason_not_evaluated,
    subject_of,
    without_input,
)
from lineage.core.findings.judging import SUPPRESSED, status_of
from lineage.core.findings.keeping.changes import Changes, ChangeSet
from lineage.core.findings.keeping.living import Living
from lineage.core.findings.keeping.marks import Due, Marks
from lineage.core.findings.keeping.movable import MovableMaps, Shelf
from lineage.core.findings.keeping.neighbourhoods import EVERYTHING, Aspect, can_find, neighbourhood
from lineage.core.findings.keeping.surroundings import Surroundings
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES, is_on, severity_of
from lineage.core.findings.rules.rule import PRINCIPAL, RULE, Rule
from lineage.core.findings.scene.around import offered_around
from lineage.core.findings.scene.clock import Horizon, Moving
from lineage.core.findings.scene.ledger import Ledger
from lineage.core.findings.scene.reaches import Reaches
from lineage.core.findings.scene.scene import IngestionFacts, Scene
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, merge
from lineage.core.model.maps import IN_MEMORY
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised

# Rules that are evaluated even while their input is missing, because it may appear and disappear with every fact.
_ALWAYS: Final = frozenset({"action-without-decision"})
_NOTHING: Final[frozenset[str]] = frozenset()
_SAMPLE: Final = 32  # one of this many evaluations is measured
_INSIDE: Final = 65_536  # elements, decisions and actions that stay in memory, if others can be moved out
_DERIVED: Final = 32_768  # results of each kind that are kept between batches: what some minutes of traffic need


class LiveFindings:
    """All findings of a growing set of facts, at a moving instant.

    Attributes:
        at: The instant at which they are true.
        world: The facts.
        findings: The findings, by id.
        status: The status of each.
        not_evaluated: Why rules were not evaluated, by kind.
        seconds: How long each rule took, estimated from a sample.
    """

    def __init__(
        self,
        options: Options,
        *,
        trust: TrustTable | None = None,
        monotonic: Callable[[], float] | None = None,
        derived: int = _DERIVED,
        shelf: Shelf | None = None,
        inside: int = _INSIDE,
    ) -> None:
        """Start without facts.

        Args:
            options: The settings.
            trust: Decides which facts count.
            monotonic: Measures how long rules take; None to measure nothing.
            derived: How many results of each kind that can be derived again are kept between batches.
            shelf: Receives what has been in memory for long; None to keep everything there.
            inside: How many elements, decisions and actions stay in memory with a shelf.
        """
        self.at: Instant = 0
        self.maps = IN_MEMORY if shelf is None else MovableMaps(shelf, inside)
        self.world = World(trust=trust, maps=self.maps)
        self.findings: dict[str, Finding] = {}
        self.status: dict[str, str] = {}
        self.not_evaluated: dict[str, str] = {}
        self._missing_of: dict[str, str] = {}  # rules that cannot be evaluated, and why
        self.seconds: dict[str, float] = {}
        self._monotonic = monotonic
        self._derived = derived
        self._looks = 0
        self._horizon = Horizon()
        self._scene = Scene(self.world, options, Moving.at(0, self._horizon), whole=True)
        vars(self._scene)["affected"] = set()
        self._scene.alike = {}
        few = min(options.reach_elements, options.reach_agents)
        reaches = Reaches(self.world, self._scene.reach_below, few, self.maps)
        self._scene.reaches = reaches
        self._options = options
        self._ledger = Ledger(self._scene.tally, self.world.graph, options.history, self.maps)
        self._entries = self._ledger.by_subject()
        self._marks = Marks(self.world)
        self._living = Living(self._scene, reaches, options, self._marks, self._horizon)
        self._changes = Changes(self._scene, self._ledger, options, self._marks, self._living.keys)
        self._surroundings = Surroundings(self._scene, self._ledger, options, self._marks, self._changes.policies)
        self._found: dict[str, dict[str, tuple[Finding, ...]]] = {}  # by thing, by rule
        self._by_id: dict[str, dict[tuple[str, str], tuple[Finding, ...]]] = {}
        self._by_kind: defaultdict[str, set[str]] = defaultdict(set)
        self._merged: dict[str, Finding] = {}  # whether or not their rules can be evaluated
        self._serious: defaultdict[str, dict[str, Finding]] = defaultdict(dict)  # by party
        self._party: dict[str, str] = {}  # of a serious finding
        self._due_marks = Due()
        self._due_status = Due()
        self._rules: dict[tuple[str, int, frozenset[str] | None, frozenset[str] | None], tuple[Rule, ...]] = {}
        self._on = tuple(rule for rule in RULES.values() if is_on(rule, options) and rule.kind != REPEAT)
        for each in options.exempted:
            self._marks.aspects[f"{RULE}:{each.rule}"] = EVERYTHING

    @property
    def due_at(self) -> Instant:
        """The earliest time at which anything may change by itself."""
        return min(self._due_marks.next, self._living.due.next, self._due_status.next)

    def report(self) -> Report:
        """Return the findings as an evaluation reports them."""
        return Report(dict(self.findings), dict(self.not_evaluated))

    def advance(self, facts: Iterable[Fact], at: Instant, intake: IngestionFacts | None = None) -> set[str]:
        """Add facts and advance the time; return the ids of the findings that may have changed.

        Args:
            facts: New facts, and known facts for which an earlier time of recording has become known.
            at: The new time; never before the last one, nor before any fact was recorded.
            intake: The observations of ingestion; None if there are no new ones.

        Cost:
            The things that the facts change and those that are due, times the surroundings of each; it does not depend
            on the number of earlier facts.
        """
        scene, batch = self._scene, ChangeSet()
        counting = [fact for fact in facts if authorised(fact, self.world.trust)]
        self.at = max(at, self.at, *(fact.recorded_at for fact in counting)) if counting else max(at, self.at)
        scene.at = Moving.at(self.at, self._horizon)
        decided, people = scene.tally.decisions > 0, scene.people_are_registered
        for fact in counting:
            self._changes.take(fact, batch)
        if intake is not None:
            self._changes.notice(intake, batch)
        scene.forget_recent()
        for source in batch.recorded_earlier:
            self._changes.add_up_again(source)
        self._changes.spread(batch)
        stirred = self._changes.enter(batch)
        self._living.update(batch, stirred, self.at)
        self._surroundings.mark(batch, stirred)
        if decided != (scene.tally.decisions > 0):
            undecided = (one.key for one in self._ledger.actions.values() if one.undecided and one.decision is not None)
            self._marks.mark(undecided, Aspect.SOURCE)
        if people != scene.people_are_registered:
            self._marks.mark((f"{PRINCIPAL}:{id_}" for id_ in self.world.principals.registrations), Aspect.OWN)
        for key, aspect in self._due_marks.reached(self.at):
            self._marks.aspects[key] |= aspect
        asked = self._settle(batch)
        scene.trim(self._derived)
        self._ledger.trim(self._derived)
        self.maps.trim(self._living.keys)
        return asked

    def _settle(self, batch: ChangeSet) -> set[str]:
        """Evaluate the marked things, and those that depend on the results."""
        stirred = self._missing()
        again: set[str] = set()
        for key, aspect in self._marks.take().items():
            stirred |= self._look(key, aspect)
            if aspect & Aspect.OWN and key in self._found:
                again.update(one.id for found in self._found[key].values() for one in found)
        for id_ in stirred:
            self._merge(id_)
        asked = stirred | again | (batch.judged & self._merged.keys())
        asked |= {id_ for id_, _ in self._due_status.reached(self.at) if id_ in self._merged}
        parties: set[str] = set()
        for id_ in asked:
            self._judge(id_)
            parties |= self._hold_responsible(id_)
        for party in sorted(parties):
            for id_ in self._repeat(party):
                self._merge(id_)
                self._judge(id_)
                asked.add(id_)
        found = {kind for kind, ids in self._by_kind.items() if ids and kind != REPEAT}
        missing = self._missing_of
        self.not_evaluated = {**missing, **without_input(self._scene, found | missing.keys())}
        return asked

    def _mark_subjects(self, rules: list[Rule]) -> None:
        """Mark everything that some rules examine, now that they can be evaluated."""
        if not rules:
            return
        world = self.world
        subjects: defaultdict[str, int] = defaultdict(int)
        for rule in rules:
            for subject in rule.of:
                subjects[subject] |= neighbourhood(rule.kind)
            for id_ in self._by_kind.get(rule.kind, ()):
                self._marks.mark((key for key, _ in self._by_id[id_]), neighbourhood(rule.kind))
        decisions, actions = (f"decision:{id_}" for id_ in world.decisions), (f"action:{id_}" for id_ in world.actions)
        for key in chain(world.graph.facts, decisions, actions, others(self._scene)):
            if aspect := subjects.get(subject_of(self._scene, key)):
                self._marks.aspects[key] |= aspect

    def _rules_for(
        self, subject: str, aspect: int, offered: frozenset[str] | None, around: frozenset[str] | None
    ) -> tuple[Rule, ...]:
        """Return the rules that depend on some aspects of a kind of thing, and can find anything in its inputs."""
        known = self._rules.get((subject, aspect, offered, around))
        if known is None:
            known = self._rules[subject, aspect, offered, around] = tuple(
                rule
                for rule in self._on
                if subject in rule.of
                and neighbourhood(rule.kind) & aspect
                and (rule.kind not in self._missing_of or rule.kind in _ALWAYS)
                and can_find(rule.kind, offered, around)
            )
        return known

    def _look(self, key: str, aspect: int) -> AbstractSet[str]:
        """Evaluate the rules that depend on some aspects of a thing; return the ids of the findings that changed."""
        scene = self._scene
        subject = subject_of(scene, key)
        entries = self._entries.get(subject)
        entry = None if entries is None else entries.get(key)
        is_entered = entries is None or entry is not None
        offered = None if entry is None else entry.inputs
        had = self._found.get(key)
        if had is None:
            rules = self._rules_for(subject, aspect, offered, None)
            if rules and is_entered:
                rules = self._rules_for(subject, aspect, offered, offered_around(scene, subject, key, entry))
        else:  # its inputs may have been others before
            rules = self._rules_for(subject, aspect, None, None)
        if not rules:
            return _NOTHING
        self._horizon.restart()
        known = is_entered and is_subject(scene, key)
        stirred: set[str] = set()
        self._looks += 1
        monotonic = self._monotonic if self._looks % _SAMPLE == 0 else None
        for rule in rules:
            began = monotonic() if monotonic is not None else 0.0
            found = tuple(rule.check(scene, key)) if known else ()
            if monotonic is not None:
                took = (monotonic() - began) * _SAMPLE
                self.seconds[rule.kind] = self.seconds.get(rule.kind, 0.0) + took
            before = had.get(rule.kind, ()) if had is not None else ()
            if found != before:
                stirred |= self._replace((key, rule.kind), before, found)
        self._due_marks.add(self._horizon.next, key, aspect)
        return stirred

    def _replace(self, place: tuple[str, str], before: tuple[Finding, ...], found: tuple[Finding, ...]) -> set[str]:
        key, kind = place
        if found:
            self._found.setdefault(key, {})[kind] = found
        else:
            own = self._found[key]
            del own[kind]
            if not own:
                del self._found[key]
        grouped: defaultdict[str, list[Finding]] = defaultdict(list)
        for one in found:
            grouped[one.id].append(one)
        ids = {one.id for one in before} | grouped.keys()
        for id_ in ids:
            alike = self._by_id.setdefault(id_, {})
            if id_ in grouped:
                alike[place] = tuple(grouped[id_])
            else:
                alike.pop(place, None)
                if not alike:
                    del self._by_id[id_]
        return ids

    def _merge(self, id_: str) -> None:
        alike = self._by_id.get(id_)
        if alike is None:
            one = self._merged.pop(id_, None)
            if one is not None:
                self._by_kind[one.kind].discard(id_)
            return
        one = merge([one for group in alike.values() for one in group])
        self._merged[id_] = one
        self._by_kind[one.kind].add(id_)

    def _missing(self) -> set[str]:
        """Determine which rules cannot be evaluated; return the ids of the findings that this shows or hides."""
        before = self._missing_of
        missing = {
            rule.kind: why for rule in RULES.values() if (why := reason_not_evaluated(self._scene, rule)) is not None
        }
        self._missing_of = missing
        turned = before.keys() ^ missing.keys()
        if turned:
            self._rules.clear()
            self._mark_subjects([RULES[kind] for kind in turned - missing.keys() - {REPEAT, *_ALWAYS}])
        return {id_ for kind in turned for id_ in self._by_kind.get(kind, ())}

    def _judge(self, id_: str) -> None:
        """Determine whether a finding is shown, and its status."""
        one = self._merged.get(id_)
        if one is None or one.kind in self._missing_of:
            self.findings.pop(id_, None)
            self.status.pop(id_, None)
            return
        self.findings[id_] = one
        self._horizon.restart()
        self.status[id_] = status_of(one, self.world.judgements, self._options, self._scene.at)
        self._due_status.add(self._horizon.next, id_, 0)

    def _hold_responsible(self, id_: str) -> set[str]:
        """Note who is responsible for a serious finding; return the parties for whom this is a change."""
        one, changed, party = self.findings.get(id_), set[str](), None
        if (
            one is not None
            and one.kind != REPEAT
            and severity_of(one.kind, one.severity, self._options) >= Severity.HIGH
            and self.status[id_] != SUPPRESSED
        ):
            by = doer(self._scene, one)
            if by is not None and self._scene.kind(by) == "agent":
                party = self._scene.party(by)
        before = self._party.pop(id_, None)
        if before is not None and before != party:
            del self._serious[before][id_]
            changed.add(before)
        if party is not None and one is not None:
            self._party[id_] = party
            if self._serious[party].get(id_) != one:
                self._serious[party][id_] = one
                changed.add(party)
        return changed

    def _repeat(self, party: str) -> set[str]:
        """Evaluate the serious findings of a party together; return the ids of the findings that changed."""
        rule, key = RULES[REPEAT], f"{PRINCIPAL}:{party}"
        if not is_on(rule, self._options):
            return set()
        self._scene.serious = {party: list(self._serious[party].values())}
        found = tuple(rule.check(self._scene, key))
        before = self._found.get(key, {}).get(REPEAT, ())
        return self._replace((key, REPEAT), before, found) if found != before else set()
