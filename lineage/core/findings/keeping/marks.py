"""The things to evaluate again: the changed ones, with their changed aspects, and those that time alone changes."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from lineage.core.authority.world import World
from lineage.core.findings.rules.rule import PRINCIPAL
from lineage.core.model.times import NEVER, Instant


class Marks:
    """The things to evaluate again, by key.

    Attributes:
        aspects: The changed aspects of each.
    """

    def __init__(self, world: World) -> None:
        """Start without marks."""
        self._world = world
        self.aspects: defaultdict[str, int] = defaultdict(int)

    def take(self) -> dict[str, int]:
        """Return the marks, and start without any."""
        aspects, self.aspects = self.aspects, defaultdict(int)
        return aspects

    def mark(self, keys: Iterable[str], aspect: int) -> None:
        """Mark things."""
        aspects = self.aspects
        for key in keys:
            aspects[key] |= aspect

    def mark_party(self, id_: str, aspect: int) -> None:
        """Mark every principal of a party."""
        for member in self._world.principals.party(id_):
            self.aspects[f"{PRINCIPAL}:{member}"] |= aspect

    def mark_parties(self, keys: Iterable[str], aspect: int) -> None:
        """Mark the parties of the principals that elements name."""
        if not self._world.principals.have_aliases:
            self.mark([name for name in self._names(keys) if name.startswith("principal:")], aspect)
            return
        for name in self._names(keys):
            if name.startswith("principal:"):
                self.mark_party(name.removeprefix("principal:"), aspect)

    def mark_names(self, keys: Iterable[str], aspect: int, unless: Callable[[str], bool]) -> None:
        """Mark what elements name, with the parties of their principals, except some things."""
        if not self._world.principals.have_aliases:
            self.mark([name for name in self._names(keys) if not unless(name)], aspect)
            return
        for name in self._names(keys):
            party = self._world.principals.party(name.removeprefix("principal:")) if name[:10] == "principal:" else ()
            for one in (f"{PRINCIPAL}:{member}" for member in party) if len(party) > 1 else (name,):
                if not unless(one):
                    self.aspects[one] |= aspect

    def _names(self, keys: Iterable[str]) -> set[str]:
        element = self._world.graph.element
        return {name for key in keys if (one := element(key)) is not None for name in one.names}


class Due:
    """The times at which things have to be evaluated again."""

    def __init__(self) -> None:
        self._heap: list[tuple[Instant, str, int]] = []
        self._known: dict[tuple[str, int], Instant] = {}

    @property
    def next(self) -> Instant:
        """The earliest of them."""
        return self._heap[0][0] if self._heap else NEVER

    def add(self, at: Instant, key: str, aspect: int) -> None:
        """Add the time of a thing, unless it has an earlier one, after which the next is determined anyway."""
        if at == NEVER or self._known.get((key, aspect), NEVER) <= at:
            return
        self._known[key, aspect] = at
        heappush(self._heap, (at, key, aspect))

    def reached(self, at: Instant) -> Iterator[tuple[str, int]]:
        """Yield the things that are due, each once."""
        while self._heap and self._heap[0][0] <= at:
            due, key, aspect = heappop(self._heap)
            if self._known.get((key, aspect)) == due:
                del self._known[key, aspect]
                yield key, aspect
