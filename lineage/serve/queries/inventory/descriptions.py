"""Describe what a search found: who, when and in which state, so that a person recognises it.

Each description rests on a handful of facts, however many mention the thing.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from lineage.core.authority.rule import verdict_of_name, verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.events import CaseChanged, Fact, RevocationOrdered, WorkloadBound
from lineage.core.model.keys import ELEMENT_KINDS, key_of, split_key
from lineage.core.model.references import about, subject_of
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, decision_document
from lineage.serve.queries.activity.actions import action_items
from lineage.serve.queries.inventory.inventory import element_item
from lineage.serve.queries.inventory.named_then import stated_value
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import STATED, ListFilter, Sort
from lineage.store.reading.list_items import candidates_in_order, hash_of
from lineage.store.reading.reader import Reader

LATEST: Final = 3  # actions that are shown of a tool, an operation or a resource
_EXAMINED: Final = 500  # facts that are read for them at most: an action that several facts report may match anything
_AT_ONCE: Final = 16
_NAMING: Final = 20  # tokens that are read of a session or a client
_PARTIES: Final = ("principal", "session", "client")
_FACTS: Final = ("decision", "revocation", "case")


def descriptions(
    service: Service, things: Sequence[Document], *, at: Instant, until: Instant | None = None, known_at: Instant | None
) -> list[Document | None]:
    """Describe each of some things, given by ``kind`` and ``id``; None if nothing more is known about it.

    Actions, tokens and delegations are described as in their lists; an element that no event granted has no fields.
    Of a tool, an operation or a resource the latest ``actions`` are given.

    Args:
        service: The service to query.
        things: The things.
        at: The instant of their states.
        until: Only actions up to then with a tool, an operation or a resource; None for all.
        known_at: Only facts recorded by then; None for all.
    """
    pairs = [(thing["kind"], thing["id"]) for thing in things]
    with service.reader(known_at=known_at) as reader:
        latest = _LatestActions(reader, until)
        used = {pair: latest.of(*pair) for pair in pairs if pair[0] in STATED}
        shown = dict.fromkeys(id_ for kind, id_ in pairs if kind == "action")
        shown |= dict.fromkeys(action for actions in used.values() for action in actions)
        actions = {item["action"]: item for item in action_items(reader, shown, at)}
        described: dict[tuple[str, str], Document] = {
            **{("action", action): item for action, item in actions.items()},
            **{pair: {"actions": [actions[one] for one in done]} for pair, done in used.items() if done},
            **_elements(reader, [key_of(*pair) for pair in pairs if pair[0] in ELEMENT_KINDS], at),
            **_parties(reader, [pair for pair in pairs if pair[0] in _PARTIES], at),
            **dict(_of_facts(reader.known_about({key_of(*pair) for pair in pairs if pair[0] in _FACTS}))),
        }
    return [described.get(pair) for pair in pairs]


class _LatestActions:
    """Finds the latest actions with tools, operations and resources, and reads each candidate once."""

    def __init__(self, reader: Reader, until: Instant | None) -> None:
        """Use a snapshot of the store; ``until`` is as for ``descriptions``."""
        self._reader = reader
        self._until = until
        self._facts: dict[int, Fact | None] = {}

    def of(self, kind: str, id_: str) -> list[str]:
        """Return a few of them."""
        if "\\" in id_:  # it may stand for a character that the database does not store: the hash is not of this text
            return []
        looked = ListFilter({Sort.ACTION}, {kind: hash_of(self._reader, kind, id_)}, last_at=self._until)
        candidates = islice(candidates_in_order(self._reader, looked), _EXAMINED)
        found: dict[str, None] = {}
        while len(found) < LATEST and (numbers := [one.place.n for one in islice(candidates, _AT_ONCE)]):
            events = (fact.event for fact in self._known(numbers))
            found.update((subject_of(event)[1], None) for event in events if stated_value(event, kind) == id_)
        return list(found)[:LATEST]

    def _known(self, numbers: Collection[int]) -> Iterator[Fact]:
        unread = [number for number in numbers if number not in self._facts]
        read = dict.fromkeys(unread) | self._reader.known(unread)
        self._facts |= read
        yield from (fact for number in numbers if (fact := self._facts[number]) is not None)


def _elements(reader: Reader, keys: Collection[str], at: Instant) -> dict[tuple[str, str], Document]:
    world = reader.world()
    reader.load_hashed(world, reader.hashes(keys))
    granted = [key for key in keys if world.graph.granted(key)]
    states = verdicts_of(world, granted, at)
    return {split_key(key): element_item(world, key, states[key]) if key in states else {} for key in keys}


def _parties(reader: Reader, pairs: Collection[tuple[str, str]], at: Instant) -> dict[tuple[str, str], Document]:
    """Describe principals, and sessions and clients by the tokens that name them."""
    world = reader.world()
    reader.load_orders_on(world, (), [key_of(*pair) for pair in pairs])
    bound = _bound(reader, [id_ for kind, id_ in pairs if kind == "principal"])
    naming = {pair: _naming(reader, *pair) for pair in pairs if pair[0] != "principal"}
    named = reader.world()
    reader.load_hashed(named, set[int]().union(*(hashes for hashes in naming.values() if hashes is not None)))
    return {
        (kind, id_): {
            **(
                _principal(world, id_, bound.get(id_))
                if kind == "principal"
                else _named_by(named, key_of(kind, id_), naming[kind, id_])
            ),
            "state": str(verdict_of_name(world, kind, id_, at).state),
        }
        for kind, id_ in pairs
    }


def _principal(world: World, id_: str, agent: str | None) -> Document:
    principals = world.principals
    owner = principals.owner(id_)
    return {
        "known_as": principals.known_as(id_),
        "display_name": principals.display_name(id_),
        "principal_kind": principals.kind(id_),
        "owner": None if owner is None else owner.value,
        "agent": agent,
    }


def _bound(reader: Reader, ids: Collection[str]) -> Mapping[str, str]:
    """Return the agent of each workload."""
    bodies = (fact.event.body for fact in reader.known_about({f"principal:{id_}" for id_ in ids}))
    return {body.workload: body.agent for body in bodies if isinstance(body, WorkloadBound)}


def _naming(reader: Reader, kind: str, id_: str) -> list[int] | None:
    """Return the hashes of the tokens that name a session or a client; None if there are too many."""
    found = reader.elements_naming(hash_of(reader, kind, id_), _NAMING + 1)
    return found if len(found) <= _NAMING else None


def _named_by(world: World, name: str, hashes: Collection[int] | None) -> Document:
    """Count the tokens that name something; whose the earliest is, and since when."""
    if hashes is None:
        return {"tokens": None, "subject": None, "since": None}
    elements = [element for key in world.graph.naming(name) if (element := world.graph.element(key)) is not None]
    first = min(elements, key=lambda one: (one.issued_at, one.key), default=None)
    return {
        "tokens": len(elements),
        "subject": None if first is None else first.first("subject"),
        "since": None if first is None else format_instant(first.issued_at),
    }


def _of_facts(facts: Sequence[Fact]) -> Iterator[tuple[tuple[str, str], Document]]:
    """Describe decisions, revocations and cases from the facts about them."""
    grouped: dict[str, list[Fact]] = {}
    for fact in facts:
        grouped.setdefault(about(fact.event), []).append(fact)
    for key, those in grouped.items():
        if (document := _of_one(split_key(key)[0], those)) is not None:
            yield split_key(key), document


def _of_one(kind: str, facts: Sequence[Fact]) -> Document | None:
    if kind == "decision":
        return decision_document(tuple(facts))
    for body in (fact.event.body for fact in facts):
        if isinstance(body, RevocationOrdered):
            return {"mode": body.mode, "target": body.target._asdict(), "reason": body.reason, "by": body.ordered_by}
        if isinstance(body, CaseChanged) and body.title is not None:
            return {"title": body.title}
    return None
