"""Values derived for each key, computed once: recent ones (``Recent``), or folded from dependencies (``Upward``).

In a cycle a value must not depend on where the walk began, so edges between the members of a cycle are ignored.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Final, Generic, TypeVar

import networkx as nx

T = TypeVar("T")
_MOST: Final = 8_192


class Recent(Generic[T]):
    """The values of some thousands of keys, computed once until they are forgotten."""

    __slots__ = ("_known", "_make")

    def __init__(self, make: Callable[[str], T]) -> None:
        """Store the function that computes a value."""
        self._make = make
        self._known: dict[str, T] = {}

    def of(self, key: str) -> T:
        """Return the value of a key."""
        known = self._known
        try:
            return known[key]
        except KeyError:
            if len(known) >= _MOST:
                known.clear()
            value = known[key] = self._make(key)
            return value

    def forget(self) -> None:
        """Discard all values, so that they are computed again when needed."""
        self._known.clear()


def latest(known: dict[str, T], most: int) -> dict[str, T]:
    """Return the values that were added last: half of ``most`` if there are more than that, else all."""
    if len(known) <= most:
        return known
    return dict(islice(known.items(), len(known) - most // 2, None))


class Upward(Generic[T]):
    """One value for each node of a graph, derived from the values above it."""

    def __init__(self, above: Callable[[str], Iterable[str]], fold: Callable[[str, Mapping[str, T]], T]) -> None:
        """Store the functions that walk the graph and compute values.

        Args:
            above: Returns the nodes that a node's value depends on.
            fold: Computes the value of a node from the values of those.
        """
        self._above = above
        self._fold = fold
        self._known: dict[str, T] = {}
        self._cycle: dict[str, int] = {}  # the cycle that a node is in, if any
        self._cycles = 0

    def of(self, start: str) -> T:
        """Return the value of a node. Cost: the nodes above it not computed before."""
        known = self._known
        if start in known:
            return known[start]
        if start not in self._cycle:  # nearly always everything above it is known
            above: dict[str, T] = {}
            for one in self._above(start):
                if one != start:
                    if one not in known:
                        return self._walk(start)
                    above[one] = known[one]
            folded = known[start] = self._fold(start, above)
            return folded
        return self._walk(start)

    def _walk(self, start: str) -> T:
        known = self._known
        path = [start]
        entered: dict[str, list[str]] = {}  # the nodes that wait for others, with those that they depend on
        while path:
            node = path[-1]
            if node in known:
                path.pop()
                continue
            nodes = entered.get(node)
            if nodes is None:
                nodes = self._outside_its_cycle(node)
            waiting = [one for one in nodes if one not in known]
            if not waiting:
                known[node] = self._fold(node, {one: known[one] for one in nodes})
                path.pop()
            elif entered.keys().isdisjoint(waiting):
                entered[node] = nodes
                path += waiting
            else:  # one of them waits for this node
                self._mark_cycles(start)
                path = [start]
                entered.clear()
        return known[start]

    def known(self, node: str) -> T | None:
        """Return the value of a node, if it was computed before."""
        return self._known.get(node)

    def is_in_cycle(self, node: str) -> bool:
        """Whether a node is in a cycle, as far as its value was derived; ``fold`` may ask this of its node."""
        return node in self._cycle

    def forget(self, nodes: AbstractSet[str]) -> None:
        """Discard the values of some nodes, so that they are computed again when needed.

        Args:
            nodes: The nodes; with each node, all nodes whose value depends on it.
        """
        for of_each in (self._known, self._cycle):
            for node in of_each.keys() & nodes:
                del of_each[node]

    def trim(self, most: int) -> None:
        """Discard the values that were computed first, if there are more than ``most``; half of that remain.

        Values are computed again when needed, so this may be called at any time, but not by ``fold``.
        """
        self._known = latest(self._known, most)

    def _outside_its_cycle(self, node: str) -> list[str]:
        nodes = [one for one in dict.fromkeys(self._above(node)) if one != node]
        if node not in self._cycle:
            return nodes
        return [one for one in nodes if self._cycle.get(one) != self._cycle[node]]

    def _mark_cycles(self, start: str) -> None:
        edges = nx.DiGraph()
        waiting, seen = [start], {start}
        while waiting:
            node = waiting.pop()
            for one in self._above(node):
                edges.add_edge(node, one)
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
        for component in nx.strongly_connected_components(edges):
            if len(component) > 1:
                self._cycles += 1
                self._cycle.update(dict.fromkeys(component, self._cycles))
