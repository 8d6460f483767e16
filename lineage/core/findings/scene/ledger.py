"""The aggregates of a scene, kept up to date as things change: the contribution of each, and the things that share one.

A contribution that can be undone exactly is undone. An aggregate that only keeps the first or the largest value is
computed again from the things that contribute to it.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lineage.core.authority.graph import AuthorityGraph
from lineage.core.findings.scene.entering import (
    ActionEntry,
    Alike,
    DecisionEntry,
    ElementEntry,
    enter_action,
    enter_alike,
    enter_attribution,
    enter_decision,
    enter_element,
    enter_grant,
    enter_held,
    enter_success,
    enter_use,
    enter_wielded,
)
from lineage.core.findings.scene.tally import Sample, Tally, seen
from lineage.core.model.times import DAY, Instant

_ACTION: Final = "action:"
SourceOperation = tuple[str, str]  # a source, an operation


@dataclass(slots=True)
class Stirred:
    """The aggregates that changed, each with its previous value."""

    used: set[str] = field(default_factory=set)
    names: dict[str, Sample | None] = field(default_factory=dict)
    acting: dict[str, Sample | None] = field(default_factory=dict)
    successes: dict[str, tuple[Instant, ...]] = field(default_factory=dict)
    operations: dict[tuple[str, str], Instant | None] = field(default_factory=dict)
    decisions: set[str] = field(default_factory=set)
    shares: dict[SourceOperation, set[int]] = field(default_factory=dict)  # the days
    alike: set[Alike] = field(default_factory=set)
    denied: set[str] = field(default_factory=set)
    attributed: dict[str, bool] = field(default_factory=dict)
    spelled: dict[str, bool] = field(default_factory=dict)
    granted: dict[str, dict[frozenset[str] | None, Instant]] = field(default_factory=dict)
    grants: dict[str, tuple[Instant, ...]] = field(default_factory=dict)
    pairs: dict[tuple[str, str], Instant | None] = field(default_factory=dict)
    renewals: set[tuple[tuple[object, ...], Instant, str]] = field(default_factory=set)
    issuers: dict[str, Instant | None] = field(default_factory=dict)
    binding: dict[str, bool] = field(default_factory=dict)
    wielded: dict[tuple[str, str], str | None] = field(default_factory=dict)  # by party, the first token


class Ledger:
    """The contributions of every element, decision and action of a world to a tally.

    Attributes:
        elements, decisions, actions: The contribution of each, by key.
        of_party, of_source: The successes of a party, and those that a source reports.
        under: The successes under an element.
        naming: The actions that name a principal.
        holding, handing: The elements that a party may use, and the delegations that it made.
        issued: The tokens of an issuer, or of a source if they name no issuer.
        undecided: The successes without a decision, by source and operation, then by day.
        retried: The successes, by party, operation and resource.
        caused: The actions by the action that caused them.
    """

    def __init__(self, tally: Tally, graph: AuthorityGraph, history: int) -> None:
        """Start empty.

        Args:
            tally: The tally in which everything is entered.
            graph: The elements.
            history: The number of a party's first activities that matter to any rule.
        """
        self._tally = tally
        self._graph = graph
        self._history = history + 1
        self.elements: dict[str, ElementEntry] = {}
        self.decisions: dict[str, DecisionEntry] = {}
        self.actions: dict[str, ActionEntry] = {}
        self.of_party: defaultdict[str, set[str]] = defaultdict(set)
        self.of_source: defaultdict[str, set[str]] = defaultdict(set)
        self.under: defaultdict[str, set[str]] = defaultdict(set)
        self.naming: defaultdict[str, set[str]] = defaultdict(set)
        self.holding: defaultdict[str, set[str]] = defaultdict(set)
        self.handing: defaultdict[str, set[str]] = defaultdict(set)
        self.issued: defaultdict[str, set[str]] = defaultdict(set)
        self.undecided: defaultdict[SourceOperation, defaultdict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.retried: defaultdict[Alike, set[str]] = defaultdict(set)
        self.caused: defaultdict[str, set[str]] = defaultdict(set)
        self._begin()

    def _begin(self) -> None:
        self.stirred = Stirred()
        self._lossy: dict[Callable[[str], None], set[str]] = defaultdict(set)

    def settle(self) -> Stirred:
        """Compute the aggregates again that could not be undone, and return what changed since the last call."""
        for again, keys in self._lossy.items():
            for key in keys:
                again(key)
        stirred = self.stirred
        self._begin()
        return stirred

    def by_subject(self) -> Mapping[str, Mapping[str, ElementEntry | ActionEntry | DecisionEntry]]:
        """Return the contributions by kind of subject; what is of another kind is not entered here."""
        return {
            "action": self.actions,
            "token": self.elements,
            "delegation": self.elements,
            "decision": self.decisions,
        }

    # Elements

    def element(self, key: str, entry: ElementEntry | None) -> bool:
        """Enter the current contribution of an element; return whether it has changed."""
        known = self.elements.get(key)
        if entry == known:
            return False
        if known is not None:
            self._stir_element(known)
            self._take_back_element(known)
        if entry is not None:
            self._stir_element(entry)
            self.elements[key] = entry
            enter_element(self._tally, entry)
            if entry.holder is not None:
                self.holding[entry.holder].add(key)
            if entry.delegator is not None:
                self.handing[entry.delegator].add(key)
            else:
                self.issued[entry.issuer or entry.fact.event.source].add(key)
        return True

    def _stir_element(self, entry: ElementEntry) -> None:
        tally, stirred = self._tally, self.stirred
        for name in entry.names:
            stirred.names.setdefault(name, tally.principals.get(name))
        if entry.holder is not None and entry.holder not in stirred.granted:
            stirred.granted[entry.holder] = dict(tally.granted.get(entry.holder, {}))
        if entry.issuer is not None:
            stirred.issuers.setdefault(entry.issuer, tally.issuers.get(entry.issuer))
        if entry.binds is not None:
            stirred.binding.setdefault(entry.binds, entry.binds in tally.binding_issuers)
        for name in entry.wielding:
            party = str(entry.holder)
            stirred.wielded.setdefault((name, party), tally.wielder(name, party))
        if entry.delegator is not None:
            by, to = entry.delegator, str(entry.delegatee)
            stirred.grants.setdefault(by, tuple(tally.grants.get(by, ())[: self._history]))
            stirred.pairs.setdefault((by, to), tally.pairs.get(by, {}).get(to))
            stirred.renewals.add((entry.alike, entry.issued_at, entry.key))

    def _take_back_element(self, entry: ElementEntry) -> None:
        tally = self._tally
        del self.elements[entry.key]
        self._offer_less(entry.inputs)
        self._lossy[self._names_again].update(entry.names)
        if entry.holder is not None:
            self.holding[entry.holder].discard(entry.key)
            self._lossy[self._holder_again].add(entry.holder)
        if entry.binds is not None:
            tally.binding_issuers[entry.binds] -= 1
            if not tally.binding_issuers[entry.binds]:
                del tally.binding_issuers[entry.binds]
        own = (name for name in entry.wielding if tally.wielder(name, str(entry.holder)) == entry.key)
        self._lossy[self._wielded_again].update(own)
        if entry.delegator is not None:
            self.handing[entry.delegator].discard(entry.key)
            self._lossy[self._delegator_again].add(entry.delegator)
            tally.renewals[entry.alike].remove((entry.issued_at, entry.key))
        else:
            self.issued[entry.issuer or entry.fact.event.source].discard(entry.key)

    # Decisions

    def decision(self, key: str, entry: DecisionEntry | None) -> bool:
        """Enter the current contribution of a decision; return whether it has changed."""
        known = self.decisions.get(key)
        if entry == known:
            return False
        for one in (known, entry):
            if one is not None and one.alike is not None:
                self.stirred.alike.add(one.alike)
            if one is not None and one.party is not None and one.denied is not None:
                self.stirred.denied.add(one.party)
        if known is not None:
            self._take_back_decision(known)
        if entry is not None:
            self.decisions[key] = entry
            enter_decision(self._tally, entry)
        return True

    def _take_back_decision(self, entry: DecisionEntry) -> None:
        tally = self._tally
        del self.decisions[entry.key]
        tally.decisions -= 1
        self._offer_less(entry.inputs)
        if entry.alike is not None:
            for at in entry.permits:
                tally.permits[entry.alike].remove(at)
            tally.denials[entry.alike] = [one for one in tally.denials[entry.alike] if one.key != entry.key]
        if entry.party is not None and entry.denied is not None:
            self._forgive(entry.party, entry.key)

    def _offer_less(self, inputs: frozenset[str]) -> None:
        offered = self._tally.inputs
        offered[inputs] -= 1
        if not offered[inputs]:
            del offered[inputs]

    def _forgive(self, party: str, key: str) -> None:
        left = [one for one in self._tally.denied[party] if one.key != key]
        if left:
            self._tally.denied[party] = left
        else:
            del self._tally.denied[party]

    # Actions

    def action(self, key: str, entry: ActionEntry | None) -> bool:
        """Enter the current contribution of an action; return whether it has changed."""
        known = self.actions.get(key)
        if entry == known:
            return False
        if known is not None:
            self._stir_action(known)
            self._take_back_action(known)
        if entry is not None:
            self._stir_action(entry)
            self.actions[key] = entry
            enter_action(self._tally, entry)
            for members in self._shared_by(entry):
                members.add(key)
        return True

    def alike(self, entries: Sequence[ActionEntry]) -> None:
        """Enter the current contributions of successes that differ in nothing but their ids, times and causes."""
        new = [one for one in entries if one.key not in self.actions]
        if len(new) < len(entries):
            for one in entries:
                if one.key in self.actions:
                    self.action(one.key, one)
        if not new:
            return
        first = new[0]
        self._stir_action(first)
        self.stirred.shares[first.source, first.operation].update([one.at // DAY for one in new])
        enter_alike(self._tally, new)
        keys = [one.key for one in new]
        self.actions.update(zip(keys, new, strict=True))
        for members in self._shared_by_alike(first):
            members.update(keys)
        days = self.undecided[first.source, first.operation] if first.undecided else None
        for one in new:
            if one.parent is not None:
                self.caused[one.parent].add(one.key)
            if days is not None:
                days[one.at // DAY].add(one.key)

    def _shared_by(self, entry: ActionEntry) -> list[set[str]]:
        shared = self._shared_by_alike(entry)
        if entry.parent is not None:
            shared.append(self.caused[entry.parent])
        if entry.succeeded and entry.undecided:
            shared.append(self.undecided[entry.source, entry.operation][entry.at // DAY])
        return shared

    def _shared_by_alike(self, entry: ActionEntry) -> list[set[str]]:
        """Return the groups that alike actions share: all but those of what caused them, and of days."""
        shared = [self.naming[name] for name in entry.names]
        if entry.succeeded:
            shared.append(self.of_source[entry.source])
            if entry.party is not None:
                shared.append(self.of_party[entry.party])
            shared += [self.under[element] for element in entry.elements]
            if entry.alike is not None:
                shared.append(self.retried[entry.alike])
        return shared

    def _stir_action(self, entry: ActionEntry) -> None:
        tally, stirred = self._tally, self.stirred
        for name in entry.names:
            stirred.names.setdefault(name, tally.principals.get(name))
        party = entry.party
        if party is not None and entry.denied is not None:
            stirred.denied.add(party)
        if not entry.succeeded:
            return
        if party is not None:
            if party not in stirred.acting:
                stirred.acting[party] = tally.acting.get(party)
                stirred.successes[party] = tuple(tally.successes.get(party, ())[: self._history])
            first = tally.operations.get(party, {}).get(entry.operation)
            stirred.operations.setdefault((party, entry.operation), first)
        if entry.source not in stirred.attributed:
            source_tally = tally.sources.get(entry.source)
            stirred.attributed[entry.source] = source_tally is not None and source_tally.names_authority > 0
        stirred.shares.setdefault((entry.source, entry.operation), set()).add(entry.at // DAY)
        if entry.decision is not None:
            stirred.decisions.add(entry.decision)
        if entry.spelled:
            stirred.spelled.setdefault(entry.source, entry.source in tally.spelled_alike)
        stirred.used.update(entry.elements)

    def _take_back_action(self, entry: ActionEntry) -> None:
        tally = self._tally
        del self.actions[entry.key]
        self._offer_less(entry.inputs)
        for members in self._shared_by(entry):
            members.discard(entry.key)
        self._lossy[self._names_again].update(entry.names)
        if entry.party is not None and entry.denied is not None:
            self._forgive(entry.party, entry.key)
        if not entry.succeeded:
            return
        self._lossy[self._source_again].add(entry.source)
        tally.tasks -= entry.tasked
        tally.instructions -= entry.instructed
        tally.needs_known -= bool(entry.needed)
        if entry.party is not None:
            self._lossy[self._party_again].add(entry.party)
        tally.shares[entry.source, entry.operation].take_back(entry.at, decided=not entry.undecided)
        if entry.decision is not None:
            tally.decision_uses[entry.decision].pop(entry.key, None)
        if entry.spelled:
            tally.spelled_alike[entry.source] -= 1
            if not tally.spelled_alike[entry.source]:
                del tally.spelled_alike[entry.source]
        self._lossy[self._use_again].update(entry.elements)

    # Computed again

    def _names_again(self, name: str) -> None:
        self._tally.principals.pop(name, None)
        for key in self._graph.naming(f"principal:{name}"):
            if (element := self.elements.get(key)) is not None:
                seen(self._tally.principals, name, element.issued_at, element.fact)
        for key in self.naming.get(name, ()):
            action = self.actions[key]
            seen(self._tally.principals, name, action.at, action.fact)

    def _holder_again(self, party: str) -> None:
        self._tally.granted.pop(party, None)
        for key in self.holding[party]:
            enter_held(self._tally, self.elements[key])

    def _wielded_again(self, name: str) -> None:
        self._tally.wielded.pop(name, None)
        for key in self._graph.naming(name):
            element = self.elements.get(key)
            if element is not None and name in element.wielding:
                enter_wielded(self._tally, name, element)

    def _delegator_again(self, party: str) -> None:
        self._tally.pairs.pop(party, None)
        self._tally.grants.pop(party, None)
        for key in self.handing[party]:
            entry = self.elements[key]
            enter_grant(self._tally, str(entry.delegator), str(entry.delegatee), entry.issued_at)

    def _source_again(self, source: str) -> None:
        source_tally = self._tally.sources[source]
        source_tally.names_authority = source_tally.unattributed = 0
        source_tally.samples.pop("unattributed", None)
        for key in self.of_source[source]:
            entry = self.actions[key]
            enter_attribution(source_tally, (entry,), (entry,))

    def _party_again(self, party: str) -> None:
        for samples in (self._tally.acting, self._tally.operations, self._tally.successes):
            samples.pop(party, None)
        for key in self.of_party[party]:
            entry = self.actions[key]
            enter_success(self._tally, (entry,), (entry,))

    def _use_again(self, element: str) -> None:
        self._tally.used.pop(element, None)
        for key in self.under[element]:
            entry = self.actions[key]
            enter_use(self._tally.used_of(element), (entry,), (entry,))

    def next_renewal(self, alike: tuple[object, ...], issued_at: Instant, key: str) -> str | None:
        """Return the delegation after a position among renewals."""
        line = self._tally.renewals.get(alike, [])
        place = bisect_right(line, (issued_at, key))
        return line[place][1] if place < len(line) else None
