"""The authority graph: which token and which delegation depends on which.

Its nodes are element keys (``KIND:ID``), and its edges lead from a dependency to what depends on it, so that a cascade
runs along the edges. A node without facts is a dependency that nobody granted. ``view`` shows it to the algorithms of
networkx. Pure: facts are added in any order, any number of times.

For every element the graph keeps ``until``: the latest end at or below it, an upper bound that only grows. A walk down
that asks about an instant never enters what ended before it, so that its cost follows what is alive, not history.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

import networkx as nx

from lineage.core.authority.elements import Element, FactIndex, add_up, granted_key
from lineage.core.model.events import DelegationGranted, Fact, TokenIssued
from lineage.core.model.times import NEVER, Instant

# Names are kept in buckets of 2**32 microseconds (72 minutes) of ``until``: enough to skip what ended long ago.
_BUCKET_BITS = 32
_NO_ATTRIBUTES: Final[Mapping[str, Any]] = MappingProxyType({})  # of any node or edge


class AuthorityGraph:
    """Elements and their dependencies."""

    def __init__(self) -> None:
        """Start empty."""
        self.facts = FactIndex()
        self.until: dict[str, Instant] = {}  # of every node
        self._parents: dict[str, dict[str, None]] = {}  # of those that have any
        self._children: dict[str, list[str]] = {}
        self.asserted: defaultdict[str, set[str]] = defaultdict(set)  # prior actor -> elements that assert it
        self._elements: dict[str, Element] = {}
        self._named: defaultdict[str, defaultdict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
        self._names: dict[str, tuple[str, ...]] = {}

    def add(self, fact: Fact) -> None:
        """Take in a fact that grants an element; any other is none of the graph's business."""
        body = fact.event.body
        key = granted_key(body)
        if key is None:
            return
        assert isinstance(body, TokenIssued | DelegationGranted)  # noqa: S101 (granted_key says so)
        alone = add_up(key, (fact,))  # what this fact claims by itself
        if key not in self.facts:
            self._elements[key] = alone
            new = alone.names
        else:
            self._elements.pop(key, None)  # added up anew when it is asked for
            new = tuple(name for name in alone.names if name not in self._names[key])
        self.facts.add(key, fact)
        if new:
            self._names[key] = self._names.get(key, ()) + new
            if key in self.until:  # it stands already under its bound (its children may have come first)
                for name in new:
                    self._named[name][self.until[key] >> _BUCKET_BITS].append(key)
        self._extend(key, alone.ends_at)
        if alone.parents:
            above = self._parents.setdefault(key, {})
            for parent in alone.parents:
                if parent not in above:
                    above[parent] = None
                    self._children.setdefault(parent, []).append(key)
                    self._extend(parent, self.until[key])
        if isinstance(body, TokenIssued):
            for prior in body.prior_actors:
                self.asserted[prior].add(key)

    def _extend(self, key: str, until: Instant) -> None:
        """Raise the bound of an element, and of all above it, to ``until``; stops where it is high enough already."""
        if self.until.get(key, -1) >= until:
            return
        rising = [key]
        while rising:
            node = rising.pop()
            before = self.until.get(node, -1)
            if before >= until:
                continue
            self.until[node] = until
            if before >> _BUCKET_BITS != until >> _BUCKET_BITS:
                for name in self._names.get(node, ()):
                    self._named[name][until >> _BUCKET_BITS].append(node)
            rising.extend(self._parents.get(node, ()))

    def element(self, key: str) -> Element | None:
        """Everything claimed of an element, added up; None if nobody granted it."""
        element = self._elements.get(key)
        if element is None and key in self.facts:
            element = self._elements[key] = add_up(key, self.facts.get(key))
        return element

    def granted(self, key: str) -> bool:
        """Whether an event granted it."""
        return key in self.facts

    def naming(self, name: str, *, after: Instant = -1) -> Iterator[str]:
        """The elements that name something (a key as ``names_of`` gives it), each once.

        Elements under which everything ended at or before ``after`` may be left out.
        """
        seen: set[str] = set()
        for bucket, keys in self._named.get(name, {}).items():
            if bucket >= after >> _BUCKET_BITS:
                for key in keys:
                    if key not in seen and self.until[key] > after:
                        seen.add(key)
                        yield key

    def names(self) -> Iterator[str]:
        """The keys of everything that an element names or asserts."""
        yield from self._named
        for prior in self.asserted:
            yield f"principal:{prior}"

    def parents(self, key: str) -> Iterable[str]:
        """What an element depends on directly."""
        return self._parents.get(key, ())

    def children(self, key: str) -> Iterable[str]:
        """What depends on an element directly."""
        return self._children.get(key, ())

    def __contains__(self, key: object) -> bool:
        """Whether any fact grants an element, or says that another depends on it."""
        return key in self.until

    def __iter__(self) -> Iterator[str]:
        """The elements that were granted or that others depend on."""
        return iter(self.until)

    def __len__(self) -> int:
        """How many of these there are."""
        return len(self.until)

    def count_edges(self) -> int:
        """How many dependencies there are."""
        return sum(map(len, self._parents.values()))

    def view(self) -> nx.DiGraph:
        """The graph for the algorithms of networkx: read-only, and without a copy of what it shows."""
        # Networkx asks for the maps of a graph by these factories: first for what comes after a node, then before it.
        maps = iter((_Links(self.until, self._children), _Links(self.until, self._parents)))

        class View(nx.DiGraph):  # type: ignore[misc]  # networkx has no types
            adjlist_outer_dict_factory = staticmethod(lambda: next(maps))
            node_dict_factory = staticmethod(lambda: _Nodes(self.until))

        return nx.freeze(View())

    def above(self, *keys: str) -> set[str]:
        """The elements and everything that they depend on, at any depth, granted or not."""
        seen = set(keys)
        frontier = list(seen)
        while frontier:
            nearest: set[str] = set()
            for key in frontier:
                nearest.update(self.parents(key))
            frontier = list(nearest - seen)
            seen.update(frontier)
        return seen

    def alive_below(self, keys: Iterable[str], after: Instant) -> tuple[set[str], list[Element]]:
        """The elements and everything that depends on them, as ``below``, and of these what ends after an instant."""
        known, children, until = self._elements, self._children, self.until
        seen = set(keys)
        alive: list[Element] = []
        nearest = list(seen)
        while nearest:
            frontier = []
            for key in nearest:
                element = known.get(key) or self.element(key)
                if element is not None and element.ends_at > after:
                    alive.append(element)
                    frontier.append(key)
                elif until.get(key, NEVER) > after:
                    frontier.append(key)
            nearest = []
            for key in frontier:
                # In the order in which they came: neighbours in memory are met one after the other.
                for child in children.get(key, ()):
                    if child not in seen:
                        seen.add(child)
                        nearest.append(child)
        return seen, alive

    def below(
        self, keys: Iterable[str], *, after: Instant | None = None, within: AbstractSet[str] | None = None
    ) -> set[str]:
        """The elements and everything that depends on them, at any depth.

        Args:
            keys: Where to start.
            after: Do not enter what ended, with all below it, at or before this instant.
            within: Stay inside this set.
        """
        until, children = self.until, self._children
        seen = {key for key in keys if after is None or until.get(key, NEVER) > after}
        frontier = list(seen)
        while frontier:
            nearest: set[str] = set()
            for key in frontier:
                if below := children.get(key):
                    nearest.update(below)
            nearest -= seen
            if within is not None:
                nearest &= within
            frontier = list(nearest) if after is None else [key for key in nearest if until[key] > after]
            seen.update(frontier)
        return seen


class _Nodes(Mapping[str, Mapping[str, Any]]):
    """The nodes of a graph as networkx reads them: each with its attributes, of which there are none."""

    def __init__(self, nodes: Mapping[str, object]) -> None:
        self._nodes = nodes

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        if key not in self._nodes:
            raise KeyError(key)
        return _NO_ATTRIBUTES

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)


class _Links(_Nodes):
    """The same with what each node is linked to, and the attributes of the links."""

    def __init__(self, nodes: Mapping[str, object], links: Mapping[str, Iterable[str]]) -> None:
        super().__init__(nodes)
        self._links = links

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        if key not in self._nodes:
            raise KeyError(key)
        return dict.fromkeys(self._links.get(key, ()), _NO_ATTRIBUTES)
