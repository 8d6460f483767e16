"""Where the nodes of a graph stand: in layers, root on the left; the same for the same graph, whatever its order.

A pure function in three steps: the layer of a node is the longest way to it from a root, the order within a layer is
that of what it hangs on (a few sweeps there and back), the place follows from both. Edges of a cycle that lead back are
left out of the first step. An edge over several layers has a place of its own in each layer between, so that it runs
past what stands there and not behind it.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from statistics import fmean
from typing import Final, NamedTuple

COLUMN: Final = 300  # units from one layer to the next
LINE: Final = 56  # units from one node of a layer to the next
MOST_BENDS: Final = 1_000  # places that edges take between others; of a graph that needs more they run straight
_SWEEPS: Final = 4

Edge = tuple[str, str]


class Place(NamedTuple):
    """Where a node stands."""

    layer: int
    row: int
    x: int
    y: int


class Layout(NamedTuple):
    """Where each node stands, and through which places each edge runs that leads over several layers."""

    places: dict[str, Place]
    bends: dict[Edge, list[Place]]


def layout(nodes: Iterable[str], edges: Iterable[Edge], *, before: Collection[str] = ()) -> Layout:
    """Lay a graph out; edges lead from what is depended on to what depends on it.

    Args:
        nodes: What stands in it.
        edges: What hangs on what.
        before: Nodes that hang on nothing and stand right before what hangs on them, instead of at the far left.
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
        top = (tallest - len(row)) * LINE // 2  # layers stand around one middle line
        for place, node in enumerate(row):
            found[node] = Place(number, place, number * COLUMN, top + place * LINE)
    return Layout(
        {node: found[node] for node in known}, {way: [found[bend] for bend in bends] for way, bends in between.items()}
    )


def _next_to(ways: Iterable[Edge]) -> tuple[Mapping[str, list[str]], Mapping[str, list[str]]]:
    """The parents and the children of each."""
    parents: defaultdict[str, list[str]] = defaultdict(list)
    children: defaultdict[str, list[str]] = defaultdict(list)
    for above, below in ways:
        parents[below].append(above)
        children[above].append(below)
    return parents, children


def _between(ways: Iterable[Edge], layer: Mapping[str, int]) -> dict[Edge, list[str]]:
    """The places that edges take in the layers that they lead over; none if that would be too many."""
    found = {
        # No id has a line break in it.
        (above, below): [f"{above}\n{below}\n{number:04}" for number in range(layer[above] + 1, layer[below])]
        for above, below in ways
        if layer[below] - layer[above] > 1
    }
    return found if sum(map(len, found.values())) <= MOST_BENDS else {}


def _steps(way: Edge, bends: list[str]) -> Iterable[Edge]:
    stops = [way[0], *bends, way[1]]
    return itertools.pairwise(stops)


def _layers(known: list[str], parents: Mapping[str, list[str]], children: Mapping[str, list[str]]) -> dict[str, int]:
    """The longest way to each from a root; where only a cycle is left, it is entered at its smallest node."""
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
    """The nodes of each layer from top to bottom: near what they hang on, then near what hangs on them, and again."""
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
