"""The part of the world that a question about one thing needs, and how far the projection was when it was looked up."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from ingest.log.port import Log
from lineage.core.authority.world import World
from lineage.core.model.errors import UnavailableError
from lineage.core.model.keys import ELEMENT_KINDS, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import Trusted, in_force
from lineage.serve.documents.core_documents import Document
from lineage.store.store import Store

Positions = Mapping[tuple[str, int], int]
Answer = Callable[[World], Document]


class Found(NamedTuple):
    """What a question about one thing needs.

    Attributes:
        answer: Answers a question of a name about it, as of an instant, by a function; the document is not to be
            changed. What the function says must not depend on the instant but by comparing it with times in facts.
        as_of: How far the projection was.
    """

    answer: Callable[[str, Instant, Answer], Document]
    as_of: Document


class Worlds(Protocol):
    """Where a question about one thing finds what it needs."""

    def of(self, key: str, known_at: Instant | None) -> Found | None:
        """What judging an element, an action or what elements name needs; None if no fact tells of it.

        Args:
            key: ``KIND:ID`` of a token, delegation, action, principal, session or client.
            known_at: Only what was recorded by then; None: everything.

        Raises:
            UnavailableError: The store cannot be asked.
        """
        ...


class Loading:
    """Looks it up, each time."""

    def __init__(self, store: Store, log: Log | None, trust: Trusted | None) -> None:
        """Take where it is looked up."""
        self._store = store
        self._log = log
        self._trust = trust

    def of(self, key: str, known_at: Instant | None) -> Found | None:
        """What the store has."""
        said = as_of(self._store, self._log, *self._store.standing())  # first: it claims no more than is looked up
        world = self.load(key, known_at)
        return None if world is None else Found(lambda _question, _at, answer: answer(world), said)

    def load(self, key: str, known_at: Instant | None) -> World | None:
        """The part; None if no fact tells of the thing."""
        kind, id_ = split_key(key)
        with self._store.reader(trust=in_force(self._trust), known_at=known_at) as reader:
            world = reader.world()
            if kind == "action":
                reader.load_actions(world, [id_])
                reader.load_places(world, list(world.graph))
                return world if id_ in world.actions else None
            if kind in ELEMENT_KINDS:
                reader.load_elements(world, [key])
                reader.load_places(world, list(world.graph))
            else:
                reader.load_name(world, key)
            return world if world.graph.granted(key) or reader.is_named(key) else None


def as_of(store: Store, log: Log | None, positions: Positions, recorded_at: Instant | None) -> Document:
    """How far a projection is: when its last record was recorded, and how many records are not in it yet."""
    return {
        "recorded_at": None if recorded_at is None else format_instant(recorded_at),
        "behind": _behind(store, log, positions),
    }


def _behind(store: Store, log: Log | None, positions: Positions) -> int | None:
    if log is None:
        return None
    try:
        if store.log not in (None, log.identity):
            return None  # positions mean nothing in another log
        ends = log.ends()
    except UnavailableError:
        return None
    behind = {place: end - positions.get(place, 0) for place, end in ends.items()}
    return None if min(behind.values(), default=0) < 0 else sum(behind.values())
