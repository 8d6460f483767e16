"""Layered layout of a graph, root on the left; deterministic whatever the order of its input.

A pure function in three steps: the layer of a node is its longest path from a root, the order within a layer follows
its neighbours (a few sweeps in both directions), and the coordinates follow from both. Back edges of cycles are
ignored in the first step. An edge across several layers has a point in each layer between, so that it passes between
the nodes instead of behind them.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean
from typing import Final, NamedTuple

COLUMN: Final = 300  # units between layers
LINE: Final = 56  # units between the nodes of a layer
MOST_BENDS: Final = 1_000  # the most bend points of edges; in a graph that needs more, edges are straight
_SWEEPS: Final = 4

Edge = tuple[str, str]


class NodePlace(NamedTuple):
    """The position of a node."""

    layer: int
    row: int
    x: int
    y: int


class Layout(NamedTuple):
    """The position of each node, and the bend points of each edge that spans several layers."""

    places: dict[str, NodePlace]
    bends: dict[Edge, list[NodePlace]]


def layout(nodes: Iterable[str], edges: Iterable[Edge], *, before: Collection[str] = ()) -> Layout:
    """Lay out a graph; edges lead from a dependency to its dependents.

    Args:
        nodes: The nodes.
        edges: The edges.
        before: Nodes without dependencies to be placed right before their dependents, instead of at the far left.
    """
    known = sorted(set(nodes))
    inside = set(known)
    ways = sorted({(above, below) for above, below in edges if above in inside and below in inside and above != below})
    layer = _layers(known, *_next_to(ways))
    for above, below in ways:
        if above in before:
            layer[above] = max(layer[below] - 1, 0)
    between = _between(ways, layer)
    for way, bends in between.items():
        layer.update((bend, layer[way[0]] + number) for number, bend in enumerate(bends, 1))
    steps = [step for way in ways for step in _steps(way, between.get(way, []))]
    rows = _rows(sorted(layer), layer, *_next_to(steps))
    tallest = max(map(len, rows.values()), default=0)
    found = {}
    for number, row in rows.items():
        top = (tallest - len(row)) * LINE // 2  # layers are centred vertically
        for place, node in enumerate(row):
            found[node] = NodePlace(number, place, number * COLUMN, top + place * LINE)
    return Layout(
        {node: found[node] for node in known}, {way: [found[bend] for bend in bends] for way, bends in between.items()}
    )


def _next_to(ways: Iterable[Edge]) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """Return the parents and the children of each node."""
    parents: defaultdict[str, list[str]] = defaultdict(list)
    children: defaultdict[str, list[str]] = defaultdict(list)
    for above, below in ways:
        parents[below].append(above)
        children[above].append(below)
    return parents, children


def _between(ways: Iterable[Edge], layer: Mapping[str, int]) -> dict[Edge, list[str]]:
    """Return the bend points of edges in the layers they cross; empty if there would be too many."""
    found = {
        # No id contains a line break.
        (above, below): [f"{above}\n{below}\n{number:04}" for number in range(layer[above] + 1, layer[below])]
        for above, below in ways
        if layer[below] - layer[above] > 1
    }
    return found if sum(map(len, found.values())) <= MOST_BENDS else {}


def _steps(way: Edge, bends: list[str]) -> Iterable[Edge]:
    stops = [way[0], *bends, way[1]]
    return itertools.pairwise(stops)


def _layers(known: list[str], parents: Mapping[str, list[str]], children: Mapping[str, list[str]]) -> dict[str, int]:
    """Compute each node's longest path from a root; where only a cycle is left, enter it at its smallest node."""
    waiting = {node: len(parents.get(node, ())) for node in known}
    ready = [node for node in known if not waiting[node]]
    layer = dict.fromkeys(known, 0)
    done: set[str] = set()
    rest = iter(known)
    while len(done) < len(known):
        if not ready:
            ready.append(next(node for node in rest if node not in done))
        node = ready.pop()
        if node in done:
            continue
        done.add(node)
        for child in children.get(node, ()):
            if child not in done:
                layer[child] = max(layer[child], layer[node] + 1)
                waiting[child] -= 1
                if not waiting[child]:
                    ready.append(child)
    return layer


def _rows(
    known: list[str], layer: Mapping[str, int], parents: Mapping[str, list[str]], children: Mapping[str, list[str]]
) -> dict[int, list[str]]:
    """Order the nodes of each layer near their dependencies, then near their dependents, and repeat."""
    rows: dict[int, list[str]] = {}
    for node in known:
        rows.setdefault(layer[node], []).append(node)
    place = {node: float(number) for row in rows.values() for number, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        near, order = (parents, sorted(rows)) if sweep % 2 == 0 else (children, sorted(rows, reverse=True))
        for number in order:
            weights = {
                node: fmean(place[other] for other in near[node]) if near.get(node) else place[node]
                for node in rows[number]
            }
            rows[number].sort(key=lambda node: (weights[node], node))
            place.update({node: float(at) for at, node in enumerate(rows[number])})
    return {number: rows[number] for number in sorted(rows)}
