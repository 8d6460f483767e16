"""Find actions by what people know about them: who stood behind them, the tool, the time, a word. Latest first.

Actions are ordered by ``occurred_at``, then by the log. A page starts after a place in this order, at any size and
whatever is recorded in the meantime. Indexes propose candidates; the facts of a candidate decide whether it matches.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain as chained
from itertools import islice
from typing import Any, Final, NamedTuple

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.authority.chain import Chain, chain_of_action
from lineage.core.authority.elements import first_stated
from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.action_formats import actions_as_ocsf
from lineage.serve.documents.core_documents import Document, action_document, listing
from lineage.serve.queries.lists.list_cursors import cursor_at, digest_of, place_of
from lineage.serve.queries.lists.list_pages import FULL_PAGES, Budget, filled
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import STATED, Candidate, ListFilter, ListPosition, Sort
from lineage.store.reading.action_candidates import ACTING, MENTIONING, USING, Candidates, TooManyCandidatesError
from lineage.store.reading.list_items import (
    candidates_about,
    candidates_in_order,
    hash_of,
    hashes_of_party,
    load_chains,
)
from lineage.store.reading.reader import Reader

PAGE: Final = 100
_AT_ONCE: Final = 1_024  # candidates evaluated at once


class MatchingAction(NamedTuple):
    """A matching action, and its place."""

    action: str
    place: ListPosition


def actions(
    service: Service,
    filters: ActionFilter,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
    budget: Budget = FULL_PAGES,
) -> Document | None:
    """List the matching actions, latest first; None if they must mention something that no fact names.

    Args:
        service: The service to query.
        filters: The filter.
        at: The time for which the state of each authority is evaluated. It hides no action.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page.
        limit: The most items of a page.
        budget: How much is examined.
    """
    as_of = service.as_of()  # read first, so it never claims more than was loaded
    digest = digest_of(filters.given())
    behind = None if after is None else place_of(after, digest)
    with service.reader(known_at=known_at) as reader:
        if filters.of is not None and not reader.is_named(key_of(*split_key(filters.of))):
            return None
        found = select(reader, filters, behind, limit, budget)
        items = action_items(reader, found.actions, at)
    return {
        **_of(filters),
        **listing(items, total=found.total, following=None if found.after is None else cursor_at(found.after, digest)),
        "filters": _filters(filters),
        "as_of": as_of,
    }


class Selected(NamedTuple):
    """A page of matching actions.

    Attributes:
        actions: Their ids.
        after: The place after which the next page starts; None if there is none.
        everything: All matching actions, in order, if they were counted; otherwise None.
    """

    actions: list[str]
    after: ListPosition | None
    everything: list[str] | None

    @property
    def total(self) -> int | None:
        """The number of matching actions, if they were counted."""
        return None if self.everything is None else len(self.everything)


def select(
    reader: Reader,
    filters: ActionFilter,
    after: ListPosition | None,
    limit: int | None,
    budget: Budget,
    *,
    earliest_first: bool = False,
) -> Selected:
    """Select a page of the matching actions, in time order.

    Args:
        reader: A snapshot of the store.
        filters: The filter.
        after: Where the page starts; None for the first.
        limit: The most items; None, with a budget that counts any number, for all.
        budget: How much is examined.
        earliest_first: Whether the earliest come first; otherwise the latest.
    """
    sieves: list[AbstractSet[int]] = []
    looked = _looked(reader, filters, budget, sieves)._replace(earliest_first=earliest_first)
    matcher = ActionMatcher(reader, filters, sieves)
    everything = _everything(matcher, reader, looked, budget.counted)
    if everything is None:
        assert limit is not None  # noqa: S101 (only a whole list has no limit)
        few = looked.about is not None and len(looked.about) <= budget.ordered
        in_order = candidates_about if few else candidates_in_order
        candidates = in_order(reader, looked._replace(after=after))
        filling, following = filled(candidates, matcher.matches, limit, budget.looked_at)
        return Selected([action for action, _ in filling], following, None)
    rest = [one for one in everything if after is None or looked.order(one.place) > looked.order(after)]
    page = rest[:limit]
    following = page[-1].place if len(page) < len(rest) else None
    return Selected([one.action for one in page], following, [one.action for one in everything])


def _everything(
    matcher: "ActionMatcher", reader: Reader, looked: ListFilter, counted: int
) -> list[MatchingAction] | None:
    """Return all matching actions in order, if there are few candidates; else None."""
    if looked.about is not None:
        if len(looked.about) > counted:
            return None
        return sorted(matcher.of(looked.about), key=lambda one: looked.order(one.place))
    few = list(islice(candidates_in_order(reader, looked), counted + 1))
    if len(few) > counted:
        return None
    parts = (few[start : start + _AT_ONCE] for start in range(0, len(few), _AT_ONCE))
    return list(chained.from_iterable(matcher.matches(part) for part in parts))


def _of(filters: ActionFilter) -> Document:
    if filters.of is None:
        return {}
    kind, id_ = split_key(filters.of)
    return {"kind": kind, "id": id_}


def _filters(filters: ActionFilter) -> Document:
    names = {"start": "from", "end": "to"}
    return {
        names.get(name, name): format_instant(value) if isinstance(value, int) else value
        for name, value in filters.given().items()
    }


# Candidates


def _looked(reader: Reader, filters: ActionFilter, budget: Budget, sieves: list[AbstractSet[int]]) -> ListFilter:
    """Return what the indexes know about the filter, and add to ``sieves`` what actions must mention (``load_chains``).

    A person may have too many actions to gather, but hardly ever too many tokens.
    """
    values = {name: getattr(filters, name) for name in STATED}
    hashes = {name: hash_of(reader, name, value) for name, value in values.items() if value is not None}
    about: set[int] | None = None
    for gather in _gatherers(reader, filters, sieves):
        try:
            found = gather(Candidates(reader.connection, budget.gathered))
        except TooManyCandidatesError:
            continue
        about = found if about is None else about & found
    return ListFilter({Sort.ACTION}, hashes, about, first_at=filters.start, last_at=filters.end)


def _gatherers(
    reader: Reader, filters: ActionFilter, sieves: list[AbstractSet[int]]
) -> Iterator[Callable[[Candidates], set[int]]]:
    """Yield a function for each filter with an index of mentions, which gathers the actions that may match."""

    def with_elements_of(names: set[int]) -> Callable[[Candidates], set[int]]:
        def gather(found: Candidates) -> set[int]:
            elements = found.naming(names)
            sieves.append(elements | names)
            return found.acts(elements, USING) | found.acts(names, MENTIONING)

        return gather

    for person in (filters.human, filters.agent):
        if person is not None:
            yield with_elements_of(hashes_of_party(reader, person))
    if filters.actor is not None:
        party = hashes_of_party(reader, filters.actor)
        yield lambda found: found.acts(party, ACTING)
    if filters.token is not None:
        token = {hash_of(reader, "token", filters.token)}
        yield lambda found: found.acts(token, USING)
    if filters.authority is not None:
        authority = {hash_of(reader, *split_key(filters.authority))}
        yield lambda found: found.acts(authority, USING)
    if filters.delegation is not None:
        delegation = {hash_of(reader, "delegation", filters.delegation)}
        yield lambda found: found.acts(found.below(delegation), USING)
    for kind, id_ in (("session", filters.session), ("client", filters.client)):
        if id_ is not None:
            yield with_elements_of({hash_of(reader, kind, id_)})
    if filters.of is not None:
        kind, id_ = split_key(key_of(*split_key(filters.of)))
        key = hash_of(reader, kind, id_)
        yield lambda found: {key} | found.acts({key}, MENTIONING)


# Evaluation


class ActionMatcher:
    """Decides which candidates match. Many actions share their authority, so what was loaded for it is cached."""

    def __init__(self, reader: Reader, filters: ActionFilter, sieves: Sequence[AbstractSet[int]] = ()) -> None:
        """Match by what a reader reads; ``sieves`` are those of ``load_chains``."""
        self._reader = reader
        self._sieves = sieves
        self._wanted = filters
        self._world = reader.world()
        self._known: set[str] = set()
        self._chains: dict[tuple[Any, ...], Chain] = {}

    def of(self, actions: Collection[int]) -> list[MatchingAction]:
        """Return the matching ones among some actions, given by their hashes."""
        places = load_chains(self._reader, self._world, actions, self._known)
        return [
            MatchingAction(*one)
            for one in places.items()
            if self._wanted.takes(self._world, one[0], self._chain(one[0]))
        ]

    def matches(self, candidates: Collection[Candidate]) -> list[MatchingAction]:
        """Return the candidates that match and are at their own place, in order."""
        if len(self._known) > _KEPT:
            self._world, self._known, self._chains = self._reader.world(), set(), {}
        actions = {one.about for one in candidates}
        places = load_chains(self._reader, self._world, actions, self._known, sieves=self._sieves)
        at = {place: action for action, place in places.items()}
        found = ((at[one.place], one.place) for one in candidates if one.place in at)
        return [MatchingAction(*one) for one in found if self._wanted.takes(self._world, one[0], self._chain(one[0]))]

    def has_human(self, action: str) -> bool:
        """Whether a human is at the root of an action that was just judged."""
        root = self._chain(action).root
        return root is not None and self._world.principals.kind(root) == "human"

    def _chain(self, action: str) -> Chain:
        world = self._world
        parties = tuple(world.action_field(action, field) for field in ("actor", "on_behalf_of", "prior_actors"))
        key = (*world.authorities_named(action), *parties)
        if key not in self._chains:
            self._chains[key] = chain_of_action(world, action)
        return self._chains[key]


_KEPT: Final = 100_000  # names of a cached world


# Items


def as_ocsf(service: Service, document: Document, *, known_at: Instant | None = None) -> str:
    """Write the actions of a list as OCSF events, with the delegations behind each."""
    with service.reader(known_at=known_at) as reader:
        world = reader.world()
        reader.load_actions(world, [item["action"] for item in document["items"]])
    return actions_as_ocsf(document["items"], world)


def action_items(reader: Reader, page: Collection[str], at: Instant) -> list[Document]:
    """Convert the actions that a known fact reports to items of a list, with the state of each authority."""
    world = reader.world()
    reader.load_actions(world, page)
    authorities = {authority for action in page if (authority := world.authority(action)) is not None}
    states = verdicts_of(world, authorities, at)
    return [_document(world, action, states) for action in page if world.actions.get(action)]


def _document(world: World, action: str, states: Any) -> Document:
    """Convert an action for lists: what was done, and who stood behind it."""
    chain = chain_of_action(world, action)
    principals = world.principals
    kinds = [(hop.principal, principals.kind(hop.principal)) for hop in chain.hops]
    human = chain.root if kinds and kinds[0][1] == "human" else None
    actor = world.action_field(action, "actor")
    facts = world.actions.get(action)
    resource = first_stated(facts, "resource")
    authority = world.authority(action)
    named = dict(split_key(key) for key in reversed(world.authorities_named(action)))
    decision = first_stated(facts, "decision")
    return {
        **action_document(world, action),
        "resource": None if resource is None else resource.value._asdict(),
        "root": chain.root,
        "human": human,
        "human_known_as": None if human is None else principals.known_as(human),
        "human_name": None if human is None else principals.display_name(human),
        "agents": [principal for principal, kind in kinds if kind == "agent"],
        "actor": None if actor is None else actor.value,
        "actor_name": None if actor is None else principals.display_name(actor.value),
        "token": named.get("token"),
        "delegation": named.get("delegation"),
        "decision": None if decision is None else decision.value,
        "state": str(states[authority].state) if authority in states else None,
    }
