"""Load the part of the world that a question about one thing needs, and the progress of the projection."""

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, NamedTuple, Protocol

from ingest.log.port import Log
from lineage.core.authority.elements import FactIndex
from lineage.core.authority.world import World
from lineage.core.findings.nearby import grants_read_near
from lineage.core.model.errors import UnavailableError
from lineage.core.model.keys import ELEMENT_KINDS, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import Trusted, in_force
from lineage.serve.documents.core_documents import Document, Kept
from lineage.store.reading.graph_parts import load_nearby
from lineage.store.reading.reader import Choose, Named, Nearby, Reader
from lineage.store.store import Store

Positions = Mapping[tuple[str, int], int]

SURROUNDINGS: Final = 200  # the most facts of each kind examined around one thing
_NAMING: Final = 50  # the most elements that name it
_BELOW: Final = 100  # elements at and below those that name a session or a client


class WorldPart(NamedTuple):
    """A part of the world.

    Attributes:
        world: What is needed to judge one thing, and the basis of findings about it: the actions under it, and what
            was derived from it.
        is_whole: Whether all of that was loaded.
        watched: The keys whose uses and children were loaded, or whose earlier delegations. Decisions are among them,
            since an action may name nothing else.
        kept: What answers have kept for answers at other instants.
        left_out: The keys of what was looked at and left out, because no rule reads it (``Surroundings``).
    """

    world: World
    is_whole: bool
    watched: frozenset[str]
    kept: Kept
    left_out: frozenset[str] = frozenset()


Answer = Callable[[WorldPart], Document]


class Question(NamedTuple):
    """A question about one thing.

    Attributes:
        name: What is asked, such as ``who``.
        key: ``KIND:ID`` of a token, delegation, action, principal, session or client.
        at: The instant asked about.
        answer: Answers it from a part of the world. It may depend on the instant only by comparing it with times in
            facts, and the document must not be modified.
    """

    name: str
    key: str
    at: Instant
    answer: Answer


class Answered(NamedTuple):
    """The answer to a question.

    Attributes:
        document: The answer; it must not be modified.
        as_of: The progress of the projection.
        is_whole: Whether the entire basis of findings about the thing was examined.
        judgements: Returns people's judgements of findings, by their ids.
    """

    document: Document
    as_of: Document
    is_whole: bool
    judgements: Callable[[Collection[str]], FactIndex]


class WorldSource(Protocol):
    """Provides what a question about one thing needs."""

    def ask(self, question: Question, known_at: Instant | None) -> Answered | None:
        """Answer a question; None if no fact mentions the thing.

        Args:
            question: The question.
            known_at: Only facts recorded by then; None for all.

        Raises:
            UnavailableError: The store is unavailable.
        """
        ...


class WorldLoader:
    """Loads from the store every time."""

    def __init__(self, store: Store, log: Log | None, trust: Trusted | None) -> None:
        """Keep the store, the log and the trust table to load from."""
        self._store = store
        self._log = log
        self._trust = trust

    def ask(self, question: Question, known_at: Instant | None) -> Answered | None:
        """Answer from the store."""
        # read first, so it never claims more than was loaded
        progress = as_of(self._store, self._log, *self._store.progress())
        loaded = self.load(question.key, known_at)
        if loaded is None:
            return None
        judgements = partial(self.judgements, known_at=known_at)
        return Answered(question.answer(loaded), progress, loaded.is_whole, judgements)

    def judgements(self, findings: Collection[str], known_at: Instant | None) -> FactIndex:
        """Return people's judgements of findings."""
        if not findings:
            return FactIndex()
        with self._store.reader(trust=in_force(self._trust), known_at=known_at) as reader:
            return judgements_of(reader, findings)

    def load(self, key: str, known_at: Instant | None) -> WorldPart | None:
        """Load the part; None if no fact mentions the thing."""
        kind, id_ = split_key(key)
        with self._store.reader(trust=in_force(self._trust), known_at=known_at) as reader:
            world = reader.world()
            if kind == "action":
                nearby, named = reader.load_action_with_nearby(world, id_, SURROUNDINGS)
                if id_ not in world.actions:
                    return None
                reader.load_places(world, list(world.graph))
                elements = {key for key in world.authorities_named(id_) if world.graph.granted(key)}
                names = {f"principal:{actor}" for actor in world.acted(id_)}
                choose = partial(grants_read_near, action=id_)
                return self._around(reader, world, elements, names, choose=choose, orders_on=named, nearby=nearby)
            if kind in ELEMENT_KINDS:
                nearby = reader.load_grants_with_nearby(world, [key], [key], [], SURROUNDINGS)
                reader.load_places(world, list(world.graph))
            else:
                reader.load_name(world, key)
            if not world.graph.granted(key) and not reader.is_named(key):
                return None
            if kind in ELEMENT_KINDS:
                named = Named({key}, frozenset())
                return self._around(reader, world, {key}, set(), orders_on=named, nearby=nearby)
            if kind == "principal":
                names = {f"principal:{one}" for one in world.principals.party(id_)}
                return self._around(reader, world, set(), names, naming=_NAMING)
            _, below, _ = load_nearby(reader, world, key, _BELOW)  # tokens exchanged from those of a session
            part = self._around(reader, world, below, {key}, naming=_NAMING)
            return part._replace(is_whole=part.is_whole and len(below) < _BELOW)

    @staticmethod
    def _around(
        reader: Reader,
        world: World,
        elements: set[str],
        names: set[str],
        *,
        naming: int = 0,
        choose: Choose | None = None,
        orders_on: Named | None = None,
        nearby: Nearby | None = None,
    ) -> WorldPart:
        is_whole, left_out, delegatees = reader.load_surroundings(
            world,
            elements,
            names,
            most=SURROUNDINGS,
            naming=naming,
            choose=choose,
            orders_on=orders_on,
            nearby=nearby,
        )
        named = {one for one in world.graph if not names.isdisjoint(_names(world, one))} if naming else set()
        decisions = {f"decision:{id_}" for id_ in world.decisions}
        watched = frozenset({*elements, *names, *named, *delegatees, *decisions})
        return WorldPart(world, is_whole, watched, {}, left_out)


def judgements_of(reader: Reader, findings: Collection[str]) -> FactIndex:
    """Load people's judgements of some findings, by their ids."""
    world = reader.world()
    if findings:
        reader.load_about(world, [f"finding:{finding}" for finding in findings])
    return world.judgements


def _names(world: World, key: str) -> AbstractSet[str]:
    element = world.graph.element(key)
    return frozenset() if element is None else frozenset(element.names)


def as_of(store: Store, log: Log | None, positions: Positions, recorded_at: Instant | None) -> Document:
    """Build the progress of a projection: when its last record was recorded, and how many records are still missing."""
    return {
        "recorded_at": None if recorded_at is None else format_instant(recorded_at),
        "behind": _behind(store, log, positions),
        **({} if (before := store.deleted_before()) is None else {"deleted_before": format_instant(before)}),
    }


def _behind(store: Store, log: Log | None, positions: Positions) -> int | None:
    if log is None:
        return None
    try:
        if store.log not in (None, log.identity):
            return None  # positions are meaningless in another log
        ends = log.ends()
    except UnavailableError:
        return None
    behind = {place: end - positions.get(place, 0) for place, end in ends.items()}
    return None if min(behind.values(), default=0) < 0 else sum(behind.values())
