"""The authority graph: which tokens and delegations depend on which.

Nodes are element keys (``KIND:ID``). Edges lead from a dependency to its dependents, so a cascade follows the edges.
A node without facts is a dependency that no event granted. ``view`` exposes the graph to the algorithms of networkx.
Pure: facts may be added in any order and repeatedly.

For every element the graph keeps ``until``: the latest end at or below it, an upper bound that only grows. A walk
down at an instant skips subtrees that ended before it, so its cost depends on what is alive, not on history.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final

import networkx as nx

from lineage.core.authority.elements import Element, FactsByKey, claimed_by, in_order, merge_facts
from lineage.core.model.events import Fact
from lineage.core.model.grants import common_body
from lineage.core.model.maps import ELEMENTS, IN_MEMORY, Maps
from lineage.core.model.times import NEVER, Instant

# Names are indexed in buckets of 2**32 microseconds (72 minutes) of ``until``, which is fine enough to skip what
# ended long ago.
_BUCKET_BITS = 32
_FEW: Final = 8  # elements of the graph for each asked about, from which on those are looked up one by one
_NO_ATTRIBUTES: Final[Mapping[str, Any]] = MappingProxyType({})  # of every node and edge


class AuthorityGraph:
    """Elements and their dependencies (clause 4.1)."""

    def __init__(self, maps: Maps = IN_MEMORY) -> None:
        """Start empty, with maps for what is known about elements."""
        self.facts = _GrantedElements(maps.of_values(ELEMENTS))
        self.until: dict[str, Instant] = {}  # of every node
        self._children: dict[str, list[str]] = maps.of_collections(ELEMENTS, list[str])
        self.asserted: defaultdict[str, set[str]] = defaultdict(set)  # prior actor -> elements that assert it
        self._elements = self.facts.elements
        self._named = maps.of_collections(ELEMENTS, _no_buckets, _count)

    def add(self, fact: Fact) -> None:
        """Add a fact that grants an element; any other fact is ignored."""
        self.add_all((fact,))

    def add_all(self, facts: Iterable[Fact]) -> None:
        """Add the facts among some that grant elements."""
        enter, until, children, named = self.facts.enter, self.until, self._children, self._named
        for fact in facts:
            alone = claimed_by(fact)
            if alone is None:
                continue
            key, ends_at = alone.key, alone.ends_at
            names, parents = enter(alone)
            bound = until.get(key, -1)
            if bound < 0:  # nothing depends on it yet, so its bound is its own end
                until[key] = bound = ends_at
            bucket = bound >> _BUCKET_BITS
            for name in names:
                named[name][bucket].append(key)
            if bound < ends_at:  # its children may have arrived first
                self._extend(key, ends_at)
                bound = ends_at
            for parent in parents:
                children[parent].append(key)
                if until.get(parent, -1) < bound:
                    self._extend(parent, bound)
            for prior in getattr(common_body(fact), "prior_actors", ()):
                self.asserted[prior].add(key)

    def _extend(self, key: str, until: Instant) -> None:
        """Raise the bound of an element and its ancestors to ``until``, stopping where it is already high enough."""
        rising = [key]
        while rising:
            node = rising.pop()
            before = self.until.get(node, -1)
            if before >= until:
                continue
            self.until[node] = until
            bucket = until >> _BUCKET_BITS
            element = self._elements.get(node)
            if element is not None:
                if before >> _BUCKET_BITS != bucket:
                    for name in element.names:
                        self._named[name][bucket].append(node)
                rising.extend(element.parents)

    def element(self, key: str) -> Element | None:
        """Return the combined claims about an element; None if no event granted it."""
        return self.facts.element(key)

    def granted(self, key: str) -> bool:
        """Whether any event granted it."""
        return key in self._elements

    def among(self, keys: Collection[str]) -> list[Element]:
        """Return those of some keys that were granted, as elements; each key once, in any order."""
        return self.facts.among(keys)

    def are_granted(self, keys: AbstractSet[str]) -> bool:
        """Whether events granted all of some elements."""
        return self._elements.keys() >= keys

    def naming(self, name: str, *, after: Instant = -1) -> Iterator[str]:
        """Yield the elements that name something (a key as ``names_of`` gives it), each once.

        Elements below which everything ended at or before ``after`` may be omitted.
        """
        seen: set[str] = set()
        for bucket, keys in self._named.get(name, {}).items():
            if bucket >= after >> _BUCKET_BITS:
                for key in keys:
                    if key not in seen and self.until[key] > after:
                        seen.add(key)
                        yield key

    def names(self) -> Iterator[str]:
        """Return the keys of everything that elements name or assert."""
        yield from self._named
        for prior in self.asserted:
            yield f"principal:{prior}"

    def parents(self, key: str) -> Iterable[str]:
        """Return the direct dependencies of an element."""
        element = self._elements.get(key)
        return () if element is None else element.parents

    def children(self, key: str) -> Sequence[str]:
        """Return the direct dependents of an element."""
        return self._children.get(key, ())

    def children_of(self, keys: AbstractSet[str]) -> set[str]:
        """Return the direct dependents of some elements."""
        return set().union(*(self._children[key] for key in self._children.keys() & keys))

    def __contains__(self, key: object) -> bool:
        """Whether any fact grants an element or names it as a dependency."""
        return key in self.until

    def __iter__(self) -> Iterator[str]:
        """Iterate over the elements that were granted or are dependencies of others."""
        return iter(self.until)

    def __len__(self) -> int:
        """Count these elements."""
        return len(self.until)

    def count_edges(self) -> int:
        """Count the dependencies."""
        return sum(len(element.parents) for element in self._elements.values())

    def view(self) -> nx.DiGraph:
        """Return a read-only networkx view of the graph, without copying it."""
        # Networkx requests the maps of a graph through these factories: first the successors, then the predecessors.
        maps = iter((_LinkedNodes(self.until, self.children), _LinkedNodes(self.until, self.parents)))

        class View(nx.DiGraph):  # type: ignore[misc]  # networkx has no types
            adjlist_outer_dict_factory = staticmethod(lambda: next(maps))
            node_dict_factory = staticmethod(lambda: _Nodes(self.until))

        return nx.freeze(View())

    def above(self, *keys: str) -> set[str]:
        """Return the elements and all they depend on, at any depth, granted or not (clause 1.1)."""
        elements = self._elements
        seen = set(keys)
        waiting = list(seen)
        while waiting:
            element = elements.get(waiting.pop())
            for parent in element.parents if element is not None else ():
                if parent not in seen:
                    seen.add(parent)
                    waiting.append(parent)
        return seen

    def alive_below(self, keys: Iterable[str], after: Instant) -> tuple[set[str], list[Element]]:
        """Return the elements and their transitive dependents, and those of them that end after an instant."""
        element_of = self.facts.element
        children, until = self._children, self.until
        seen = set(keys)
        alive: list[Element] = []
        nearest = list(seen)
        while nearest:
            level, nearest = nearest, []
            for key in level:
                element = element_of(key)
                if element is not None and element.ends_at > after:
                    alive.append(element)
                elif until.get(key, NEVER) <= after:
                    continue
                if below := children.get(key):  # in insertion order, so that neighbours in memory are visited together
                    unseen = [child for child in below if child not in seen]
                    seen.update(unseen)
                    nearest += unseen
        return seen, alive

    def below(
        self, keys: Iterable[str], *, after: Instant | None = None, within: AbstractSet[str] | None = None
    ) -> set[str]:
        """Return the elements and their transitive dependents.

        Args:
            keys: Where to start.
            after: Skip subtrees that ended at or before this instant.
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


def _no_buckets() -> defaultdict[int, list[str]]:
    return defaultdict(list)


def _count(buckets: Mapping[int, list[str]]) -> int:
    return sum(map(len, buckets.values()))


class _GrantedElements(FactsByKey):
    """The facts that granted elements, by key, and these elements: an element contains its facts.

    Attributes:
        elements: The elements. Their names and dependencies are complete, in any order; ``element`` completes the rest.
    """

    def __init__(self, elements: dict[str, Element]) -> None:
        """Start empty, with a map for the elements."""
        self.elements = elements
        self._added: dict[str, list[Fact]] = {}  # further facts, combined with the others on the next read

    def enter(self, alone: Element) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
        """Add what a fact alone claims, and return those of its names and dependencies that are new."""
        key, names, parents = alone.key, alone.names, alone.parents
        known = self.elements.get(key)
        if known is None:  # the first fact about it
            self.elements[key] = alone
            return names, parents
        self._added.setdefault(key, []).extend(alone.facts)
        names = tuple(name for name in names if name not in known.names)
        parents = {parent: roles for parent, roles in parents.items() if parent not in known.parents}
        if names or parents:
            self.elements[key] = known._replace(names=known.names + names, parents={**known.parents, **parents})
        return names, parents

    def element(self, key: str) -> Element | None:
        """Return the combined claims about an element; None if no event granted it."""
        try:
            element = self.elements[key]  # nearly always there, so this is quicker than ``get``
        except KeyError:
            return None
        if self._added and key in self._added:
            element = self.elements[key] = merge_facts(key, in_order((*element.facts, *self._added.pop(key))))
        return element

    def among(self, keys: Collection[str]) -> list[Element]:
        """Return the combined claims about those of some keys that an event granted."""
        if len(keys) * _FEW < len(self.elements):
            return [element for key in keys if (element := self.element(key)) is not None]
        for key in self._added.keys() & keys:
            self.element(key)
        # In the order in which they were added, so that neighbours in memory are read together.
        return [element for key, element in self.elements.items() if key in keys]

    def get(self, key: str) -> tuple[Fact, ...]:
        """Return the facts that granted an element, sorted by ``in_order``; empty if there are none."""
        element = self.element(key)
        return () if element is None else element.facts

    def __contains__(self, key: object) -> bool:
        """Whether any event granted an element."""
        return key in self.elements

    def __iter__(self) -> Iterator[str]:
        """The keys of the elements."""
        return iter(self.elements)

    def __len__(self) -> int:
        """The number of elements."""
        return len(self.elements)


class _Nodes(Mapping[str, Mapping[str, Any]]):
    """The nodes of the graph as networkx reads them, each with an empty attribute map."""

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


class _LinkedNodes(_Nodes):
    """The nodes with their adjacency maps and the (empty) edge attributes."""

    def __init__(self, nodes: Mapping[str, object], links: Callable[[str], Iterable[str]]) -> None:
        super().__init__(nodes)
        self._links = links

    def __getitem__(self, key: str) -> Mapping[str, Any]:
        if key not in self._nodes:
            raise KeyError(key)
        return dict.fromkeys(self._links(key), _NO_ATTRIBUTES)
