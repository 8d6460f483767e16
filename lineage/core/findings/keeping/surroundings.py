"""The surroundings of a change: the things whose findings depend on another thing or an aggregate."""

from collections.abc import Mapping

from lineage.core.authority.world import MOST_SHARING
from lineage.core.findings.keeping.changes import ChangeSet
from lineage.core.findings.keeping.marks import Marks
from lineage.core.findings.keeping.neighbourhoods import Aspect
from lineage.core.findings.options import Options
from lineage.core.findings.rules.rule import PRINCIPAL, SOURCE
from lineage.core.findings.scene.ledger import Ledger, Stirred
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.times import DAY


class Surroundings:
    """Marks the surroundings of changes."""

    def __init__(
        self, scene: Scene, ledger: Ledger, options: Options, marks: Marks, policies: Mapping[tuple[str, str], set[str]]
    ) -> None:
        """Start without changes.

        Args:
            scene: The facts.
            ledger: The contributions of each thing to the aggregates.
            options: The settings.
            marks: Receives the things to evaluate again.
            policies: The decisions by a policy, by source and policy.
        """
        self._scene = scene
        self._world = scene.world
        self._ledger = ledger
        self._options = options
        self._marks = marks
        self._policies = policies
        self._usual: dict[tuple[str, str], dict[int, bool]] = {}

    def mark(self, batch: ChangeSet, stirred: Stirred) -> None:
        """Mark the things that a batch of facts changed, and their surroundings."""
        world, graph = self._world, self._world.graph
        self._marks.mark((key for key in batch.below if graph.granted(key)), Aspect.OWN)
        self._marks.mark((f"decision:{id_}" for id_ in batch.decisions), Aspect.OWN)
        self._marks.mark((f"action:{id_}" for id_ in batch.actions), Aspect.OWN)
        self._marks.mark((f"{SOURCE}:{source}" for source in batch.sources), Aspect.OWN)
        for key in batch.granted:
            self._marks.mark(graph.parents(key), Aspect.CHILDREN)
            self._mark_cited(key)
        self._marks.mark(stirred.used, Aspect.USES)
        if batch.principals:
            acted = (self._ledger.actions.get(f"action:{id_}") for id_ in batch.actions)
            self._marks.mark((key for one in acted if one is not None for key in one.elements), Aspect.USES)
        self._marks.mark((f"decision:{id_}" for id_ in stirred.decisions), Aspect.USES)
        self._marks.mark((f"{PRINCIPAL}:{party}" for party in stirred.denied), Aspect.DENIALS)
        for alike in stirred.alike:
            self._marks.mark((one.key for one in self._ledger.successes_alike(alike)), Aspect.DENIALS)
        wielder = self._scene.tally.wielder
        wielded = (name for (name, party), first in stirred.wielded.items() if wielder(name, party) != first)
        self._marks.mark(wielded, Aspect.OWN)
        self._mark_sights(stirred)
        self._mark_histories(stirred)
        self._mark_issuers(batch, stirred)
        self._mark_words(batch, stirred)
        self._mark_shares(stirred)
        for policy, latest in batch.policies.items():
            for id_ in self._policies[policy]:
                decision = self._ledger.decisions.get(f"decision:{id_}")
                if decision is not None and decision.at < latest:
                    actions = world.uses.get(f"decision:{id_}", ())
                    self._marks.mark((f"action:{action}" for action in actions), Aspect.POLICY)

    def _mark_cited(self, key: str) -> None:
        """Mark the things whose findings name an element with others: sharers of its entries, wielders, its renewal."""
        element, entry = self._world.graph.element(key), self._ledger.elements.get(key)
        for place in element.places if element is not None and self._world.listings.tokens else ():
            sharing = self._world.listings.tokens.get(place, ())
            # Beyond this number, the findings do not name the others.
            self._marks.mark(sharing if len(sharing) <= MOST_SHARING + 2 else (key,), Aspect.PLACE)
        if entry is not None:
            wielder, party = self._scene.tally.wielder, str(entry.holder)
            self._marks.mark((one for one in entry.wielding if wielder(one, party) == key), Aspect.OWN)
            if entry.delegator is not None:
                following = self._ledger.next_renewal(entry.alike, entry.issued_at, key)
                self._marks.mark((following,) if following is not None else (), Aspect.HISTORY)

    def _mark_sights(self, stirred: Stirred) -> None:
        tally = self._scene.tally
        for name, before in stirred.names.items():
            now = tally.principals.get(name)
            if (before is None) != (now is None):
                self._marks.mark_party(name, Aspect.OWN)
            elif before != now:
                self._marks.aspects[f"{PRINCIPAL}:{name}"] |= Aspect.SIGHTS
        for party, known in stirred.acting.items():
            acted = tally.acting.get(party)
            if (known and known.fact) != (acted and acted.fact):
                self._marks.mark_party(party, Aspect.HISTORY)

    def _mark_histories(self, stirred: Stirred) -> None:
        tally, ledger, most = self._scene.tally, self._ledger, self._options.history + 1
        for party, times in stirred.successes.items():
            if tuple(tally.successes.get(party, ())[:most]) != times:
                self._marks.mark((one.key for one in ledger.successes_by(party)), Aspect.HISTORY)
        for (party, operation), first in stirred.operations.items():
            if first is not None and tally.operations.get(party, {}).get(operation) != first:
                own = (one.key for one in ledger.successes_by(party) if one.operation == operation)
                self._marks.mark(own, Aspect.HISTORY)
        for party, given in stirred.granted.items():
            if tally.granted.get(party, {}) != given:
                own = (one.key for one in ledger.handed_by(party) if self._is_ungrounded(one.key))
                self._marks.mark(own, Aspect.HISTORY)
        for party, times in stirred.grants.items():
            if tuple(tally.grants.get(party, ())[:most]) != times:
                self._marks.mark((one.key for one in ledger.handed_by(party)), Aspect.HISTORY)
        for (party, other), first in stirred.pairs.items():
            if first is not None and tally.pairs.get(party, {}).get(other) != first:
                self._marks.mark((one.key for one in ledger.handed_by(party)), Aspect.HISTORY)
        for alike, issued_at, key in stirred.renewals:
            following = ledger.next_renewal(alike, issued_at, key)
            self._marks.mark((key, *((following,) if following is not None else ())), Aspect.HISTORY)

    def _is_ungrounded(self, key: str) -> bool:
        graph = self._world.graph
        return not any(graph.granted(parent) for parent in graph.parents(key) if parent != key)

    def _mark_issuers(self, batch: ChangeSet, stirred: Stirred) -> None:
        tally, ledger = self._scene.tally, self._ledger
        changed = {issuer for issuer, first in stirred.issuers.items() if tally.issuers.get(issuer) != first}
        changed |= {issuer for issuer, bound in stirred.binding.items() if bound != (issuer in tally.binding_issuers)}
        for issuer in changed | batch.new_sources:
            self._marks.mark((one.key for one in ledger.issued_by(issuer)), Aspect.ISSUER)

    def _mark_words(self, batch: ChangeSet, stirred: Stirred) -> None:
        tally, ledger = self._scene.tally, self._ledger
        for source, before in stirred.spelled.items():
            if before != (source in tally.spelled_alike):
                self._marks.mark((one.key for one in ledger.successes_from(source)), Aspect.WORDS)
        for source in tally.spelled_alike if batch.scopes else ():
            if any((source, scope) in tally.shares for scope in batch.scopes):
                own = (one.key for one in ledger.successes_from(source) if one.operation in batch.scopes)
                self._marks.mark(own, Aspect.WORDS)
        for source, named in stirred.attributed.items():
            source_tally = tally.sources.get(source)
            if named != (source_tally is not None and source_tally.names_authority > 0):
                own = (one.key for one in ledger.successes_from(source) if not one.attributed)
                self._marks.mark(own, Aspect.SOURCE)

    def _mark_shares(self, stirred: Stirred) -> None:
        """Mark the successes without a decision, if a decision is or was usual for them."""
        scene, window = self._scene, self._options.decision_window // DAY
        for spoken, days in stirred.shares.items():
            undecided, usual = self._ledger.undecided[spoken], self._usual.setdefault(spoken, {})
            first, last = min(days), max(days) + window
            for day in [day for day in undecided if first <= day <= last]:
                now = scene.is_decision_usual(spoken, day * DAY)
                if now or usual.get(day, False):
                    self._marks.mark(undecided[day], Aspect.DECISIONS)
                usual[day] = now
