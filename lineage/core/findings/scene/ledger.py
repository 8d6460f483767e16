"""The aggregates of a scene, kept up to date as things change: the contribution of each, and the things that share one.

A contribution that can be undone exactly is undone. An aggregate that only keeps the first or the largest value is
computed again from the things that contribute to it.

The things that share an aggregate are listed: nothing is removed from a list, but whoever reads it asks the current
contribution of each. A list takes a fifth of the memory of a set, and every action is in five or six of them.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from lineage.core.findings.scene.tally import Sample, Tally, Used, UsedElements, Wielders, seen
from lineage.core.model.events import Fact
from lineage.core.model.maps import ACTIONS, DECISIONS, ELEMENTS, IN_MEMORY, Maps
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
        undecided: The successes without a decision, by source and operation, then by day; some may have one by now.
    """

    def __init__(self, tally: Tally, graph: AuthorityGraph, history: int, maps: Maps = IN_MEMORY) -> None:
        """Start empty.

        Args:
            tally: The tally in which everything is entered.
            graph: The elements.
            history: The number of a party's first activities that matter to any rule.
            maps: Creates the maps of contributions, and those of the tally that have an entry for each thing.
        """
        self._tally = tally
        self._graph = graph
        self._history = history + 1
        self.elements: dict[str, ElementEntry] = maps.of_values(ELEMENTS)
        self.decisions: dict[str, DecisionEntry] = maps.of_values(DECISIONS, prefix="decision:")
        self.actions: dict[str, ActionEntry] = maps.of_values(ACTIONS, prefix=_ACTION)
        tally.wielded = maps.of_collections(ELEMENTS, Wielders, Wielders.count)
        tally.decision_uses = maps.of_collections(DECISIONS, dict[str, Fact])
        tally.used = UsedElements(self._uses_of, lambda: self._under)
        self._list_all()
        self._begin()

    def _list_all(self) -> None:
        """List all things again, by what they share, without what is outdated."""
        self._outdated = 0
        self._of_party: defaultdict[str, list[str]] = defaultdict(list)  # successes
        self._of_source: defaultdict[str, list[str]] = defaultdict(list)  # successes
        self._under: defaultdict[str, list[str]] = defaultdict(list)  # successes, by element
        self._naming: defaultdict[str, list[str]] = defaultdict(list)  # actions, by principal
        self._retried: defaultdict[Alike, list[str]] = defaultdict(list)  # successes
        self._caused: defaultdict[str, list[str]] = defaultdict(list)  # actions, by what caused them
        self._holding: defaultdict[str, list[str]] = defaultdict(list)  # elements, by the party that may use them
        self._handing: defaultdict[str, list[str]] = defaultdict(list)  # delegations, by delegator
        self._issued: defaultdict[str, list[str]] = defaultdict(list)  # tokens, by issuer, or source if they name none
        self.undecided: defaultdict[SourceOperation, defaultdict[int, list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for element in self.elements.values():
            self._list_element(element)
        for action in self.actions.values():
            for members in self._lists_of_action(action):
                members.append(action.key)

    def trim(self, most: int) -> None:
        """Keep the uses of about ``most`` elements, and remove what is outdated from the lists if it is a lot."""
        self._tally.used.trim(most)
        if self._outdated > most + 2 * (len(self.actions) + len(self.elements)):
            self._list_all()

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

    # The things that share something

    def successes_by(self, party: str) -> Iterator[ActionEntry]:
        """Yield the successes of a party."""
        return self._acts(self._of_party.get(party, ()), lambda one: one.succeeded and one.party == party)

    def successes_from(self, source: str) -> Iterator[ActionEntry]:
        """Yield the successes that a source reports."""
        return self._acts(self._of_source.get(source, ()), lambda one: one.succeeded and one.source == source)

    def successes_alike(self, alike: Alike) -> Iterator[ActionEntry]:
        """Yield the successes of a party with an operation on a resource."""
        return self._acts(self._retried.get(alike, ()), lambda one: one.succeeded and one.alike == alike)

    def caused_by(self, action: str) -> Iterator[ActionEntry]:
        """Yield the actions that an action caused, given by its id."""
        return self._acts(self._caused.get(action, ()), lambda one: one.parent == action)

    def handed_by(self, party: str) -> Iterator[ElementEntry]:
        """Yield the delegations by a party."""
        return self._granted(self._handing.get(party, ()), lambda one: one.delegator == party)

    def issued_by(self, issuer: str) -> Iterator[ElementEntry]:
        """Yield the tokens of an issuer, or of a source if they name no issuer."""
        return self._granted(
            self._issued.get(issuer, ()),
            lambda one: one.delegator is None and (one.issuer or one.fact.event.source) == issuer,
        )

    def _acts(self, keys: Iterable[str], belongs: Callable[[ActionEntry], bool]) -> Iterator[ActionEntry]:
        actions = self.actions
        for key in dict.fromkeys(keys):
            if (entry := actions.get(key)) is not None and belongs(entry):
                yield entry

    def _granted(self, keys: Iterable[str], belongs: Callable[[ElementEntry], bool]) -> Iterator[ElementEntry]:
        elements = self.elements
        for key in dict.fromkeys(keys):
            if (entry := elements.get(key)) is not None and belongs(entry):
                yield entry

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
            self._list_element(entry)
        return True

    def _list_element(self, entry: ElementEntry) -> None:
        if entry.holder is not None:
            self._holding[entry.holder].append(entry.key)
        if entry.delegator is not None:
            self._handing[entry.delegator].append(entry.key)
        else:
            self._issued[entry.issuer or entry.fact.event.source].append(entry.key)

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
        self._outdated += 2
        self._offer_less(entry.inputs)
        self._lossy[self._names_again].update(entry.names)
        if entry.holder is not None:
            self._lossy[self._holder_again].add(entry.holder)
        if entry.binds is not None:
            tally.binding_issuers[entry.binds] -= 1
            if not tally.binding_issuers[entry.binds]:
                del tally.binding_issuers[entry.binds]
        own = (name for name in entry.wielding if tally.wielder(name, str(entry.holder)) == entry.key)
        self._lossy[self._wielded_again].update(own)
        if entry.delegator is not None:
            self._lossy[self._delegator_again].add(entry.delegator)
            tally.renewals[entry.alike].remove((entry.issued_at, entry.key))

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
            enter_action(self._tally, entry)  # before it is among the uses of an element, which are counted from lists
            self.actions[key] = entry
            for members in self._lists_of_action(entry):
                members.append(key)
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
        for members in self._lists_of_alike(first):
            members.extend(keys)
        days = self.undecided[first.source, first.operation] if first.undecided else None
        for one in new:
            if one.parent is not None:
                self._caused[one.parent].append(one.key)
            if days is not None:
                days[one.at // DAY].append(one.key)

    def _lists_of_action(self, entry: ActionEntry) -> list[list[str]]:
        lists = self._lists_of_alike(entry)
        if entry.parent is not None:
            lists.append(self._caused[entry.parent])
        if entry.succeeded and entry.undecided:
            lists.append(self.undecided[entry.source, entry.operation][entry.at // DAY])
        return lists

    def _lists_of_alike(self, entry: ActionEntry) -> list[list[str]]:
        """Return the lists in which alike actions are: all but those of what caused them, and of days."""
        lists = [self._naming[name] for name in entry.names]
        if entry.succeeded:
            lists.append(self._of_source[entry.source])
            if entry.party is not None:
                lists.append(self._of_party[entry.party])
            lists += [self._under[element] for element in entry.elements]
            if entry.alike is not None:
                lists.append(self._retried[entry.alike])
        return lists

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
        self._outdated += 4 + len(entry.names) + len(entry.elements)
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
        for action in self._acts(self._naming.get(name, ()), lambda one: name in one.names):
            seen(self._tally.principals, name, action.at, action.fact)

    def _holder_again(self, party: str) -> None:
        self._tally.granted.pop(party, None)
        for element in self._granted(self._holding.get(party, ()), lambda one: one.holder == party):
            enter_held(self._tally, element)

    def _wielded_again(self, name: str) -> None:
        self._tally.wielded.pop(name, None)
        for key in self._graph.naming(name):
            element = self.elements.get(key)
            if element is not None and name in element.wielding:
                enter_wielded(self._tally, name, element)

    def _delegator_again(self, party: str) -> None:
        self._tally.pairs.pop(party, None)
        self._tally.grants.pop(party, None)
        for entry in self.handed_by(party):
            enter_grant(self._tally, str(entry.delegator), str(entry.delegatee), entry.issued_at)

    def _source_again(self, source: str) -> None:
        source_tally = self._tally.sources[source]
        source_tally.names_authority = source_tally.unattributed = 0
        source_tally.samples.pop("unattributed", None)
        for entry in self.successes_from(source):
            enter_attribution(source_tally, (entry,), (entry,))

    def _party_again(self, party: str) -> None:
        for samples in (self._tally.acting, self._tally.operations, self._tally.successes):
            samples.pop(party, None)
        for entry in self.successes_by(party):
            enter_success(self._tally, (entry,), (entry,))

    def _use_again(self, element: str) -> None:
        self._tally.used.forget(element)

    def _uses_of(self, element: str) -> Used | None:
        """Count the uses of an element; None if there are none."""
        if (keys := self._under.get(element)) is None:  # many elements
            return None
        used = None
        for entry in self._acts(keys, lambda one: one.succeeded and element in one.elements):
            used = used or Used()
            enter_use(used, (entry,), (entry,))
        return used

    def next_renewal(self, alike: tuple[object, ...], issued_at: Instant, key: str) -> str | None:
        """Return the delegation after a position among renewals."""
        line = self._tally.renewals.get(alike, [])
        place = bisect_right(line, (issued_at, key))
        return line[place][1] if place < len(line) else None
