"""The authority graph: which token and which delegation depends on which.

A ``networkx.DiGraph`` whose nodes are element keys (``KIND:ID``) and whose edges lead from a dependency to what depends
on it, so that a cascade runs along the edges and ``nx.descendants`` is everything that hangs on an element. A node
without facts is a dependency that nobody granted. Pure: facts are added in any order, any number of times.

For every element the graph keeps ``until``: the latest end at or below it, an upper bound that only grows. A walk down
that asks about an instant never enters what ended before it, so that its cost follows what is alive, not history.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

import networkx as nx

from lineage.core.authority.elements import Element, FactIndex, add_up, granted_key
from lineage.core.model.events import DelegationGranted, Fact, TokenIssued
from lineage.core.model.times import NEVER, Instant

# Names are kept in buckets of 2**32 microseconds (72 minutes) of ``until``: enough to skip what ended long ago.
_BUCKET_BITS = 32
_PLAIN: dict[str, object] = {}  # the attributes of every node and edge: none, and so one for all


class AuthorityGraph(nx.DiGraph):  # type: ignore[misc]  # networkx has no types
    """Elements and their dependencies."""

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self.facts = FactIndex()
        self.until: dict[str, Instant] = {}
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
        self._place(key)
        if new:
            self._names[key] = self._names.get(key, ()) + new
            if key in self.until:  # it stands already under its bound (its children may have come first)
                for name in new:
                    self._named[name][self.until[key] >> _BUCKET_BITS].append(key)
        self._extend(key, alone.ends_at)
        above = self._pred[key]
        for parent in alone.parents:
            if parent not in above:
                self._place(parent)
                self._succ[parent][key] = above[parent] = _PLAIN
                self._extend(parent, self.until[key])
        if isinstance(body, TokenIssued):
            for prior in body.prior_actors:
                self.asserted[prior].add(key)

    def _place(self, key: str) -> None:
        """A node without attributes; as ``add_node``, which looks for some."""
        if key not in self._succ:
            self._node[key], self._succ[key], self._pred[key] = _PLAIN, {}, {}

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
            rising.extend(self._pred[node])

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
        parents: Iterable[str] = self._pred.get(key, ())
        return parents

    def children(self, key: str) -> Iterable[str]:
        """What depends on an element directly."""
        children: Iterable[str] = self._succ.get(key, ())
        return children

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
        known, children, until = self._elements, self._succ, self.until
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
        until, children = self.until, self._succ
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
