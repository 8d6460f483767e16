"""The inventory: principals by id; tokens and delegations by when they were first reported, latest first.

Each item has its state at an instant, its owner, its holder, and when it was last used. Indexes propose candidates;
the rule decides which of them match.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from lineage.core.authority.chain import chain_of, wielder
from lineage.core.authority.elements import Element
from lineage.core.authority.rule import Verdict, verdict_of_name, verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.keys import split_key
from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, instant, listing
from lineage.serve.queries.findings.findings_of_parties import severities_of_parties
from lineage.serve.queries.lists.list_cursors import cursor_after, cursor_at, digest_of, name_of, place_of
from lineage.serve.queries.lists.list_pages import filled
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import SORTS, Candidate, ListFilter, ListPosition
from lineage.store.reading.action_candidates import Candidates, TooManyCandidatesError
from lineage.store.reading.list_items import candidates_in_order, hash_of, hashes_of_party, load_held
from lineage.store.reading.reader import Reader

PAGE: Final = 100
KINDS: Final = ("human", "agent", "service", "workload", "unknown")
STATES: Final = tuple(str(state) for state in State)
NAME_STATES: Final = ("active", "suspended", "revoked")
GATHERED: Final = 20_000  # rows of the index of mentions that are read for one filter
LOOKED_AT: Final = 2_000  # candidates examined for a page over HTTP
_AT_ONCE: Final = 256
_USES: Final = 2_000  # uses of a token examined for the last one
_HELD: Final = 500  # rows of the index of mentions examined for the tokens that a principal holds
_HELD_ON_PAGE: Final = 4_000  # and over HTTP for those that all principals of a page hold
_JUDGED: Final = 2_000  # elements judged at once
_ACTS: Final = (RefRole.ACTS, RefRole.ASKS)


class ElementFilter(NamedTuple):
    """The tokens or delegations asked for: all conditions apply; None matches any.

    Attributes:
        kind: The type of a token.
        owner: The owner of the holder.
        state: The state at the instant asked about.
        holder: The actor of a token, else its subject; the party that a delegation was granted to.
        issuer: The id of a token up to the first ``#``; the party that granted a delegation.
        text: Words; each must occur in an id or a name.
    """

    kind: str | None = None
    owner: str | None = None
    state: str | None = None
    holder: str | None = None
    issuer: str | None = None
    text: str | None = None


class PrincipalFilter(NamedTuple):
    """The principals asked for: all conditions apply; None matches any.

    Attributes:
        kind: ``human``, ``agent``, ``service``, ``workload`` or ``unknown``.
        owner: Its owner.
        state: The state at the instant asked about.
        text: Words; each must occur in an id of the party or in its name.
    """

    kind: str | None = None
    owner: str | None = None
    state: str | None = None
    text: str | None = None


# Tokens and delegations


def held(
    service: Service,
    kind: str,
    filters: ElementFilter,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
    looked_at: int | None = None,
) -> Document:
    """List tokens or delegations, latest first.

    Args:
        service: The service to query.
        kind: ``token`` or ``delegation``.
        filters: The filter.
        at: The instant of their states.
        known_at: Only what was recorded by then; None for everything.
        after: The ``next`` of the previous page.
        limit: The most items of a page.
        looked_at: The most candidates examined, after which a page may end; None for as many as needed.
    """
    as_of = service.as_of()
    digest = digest_of({"list": kind, **_given(filters)})
    behind = None if after is None else place_of(after, digest)
    with service.reader(known_at=known_at) as reader:
        about = _may_be_held(reader, kind, filters)
        candidates = candidates_in_order(reader, ListFilter({SORTS[kind]}, {}, about, behind))
        page, last = filled(candidates, lambda part: _fitting(reader, filters, part, at), limit, looked_at)
        items = [item for item, _ in page]
        if kind == "token":
            _last_used(reader, items)
    following = None if last is None else cursor_at(last, digest)
    total = len(items) if following is None and after is None else None
    return {
        **listing(items, total=total, following=following),
        "filters": _given(filters),
        "at": format_instant(at),
        "known_at": instant(known_at),
        "as_of": as_of,
    }


def _given(filters: ElementFilter | PrincipalFilter) -> dict[str, str]:
    return {name: value for name, value in filters._asdict().items() if value is not None}


def _may_be_held(reader: Reader, kind: str, filters: ElementFilter) -> set[int] | None:
    """Return the elements that name the holder, or from which exchanged tokens inherit it."""
    people = [filters.holder] if kind == "token" else [filters.holder, filters.issuer]
    about: set[int] | None = None
    for person in people:
        if person is not None:
            try:
                found = Candidates(reader.connection, GATHERED).naming(hashes_of_party(reader, person))
            except TooManyCandidatesError:
                continue
            about = found if about is None else about & found
    return about


def _fitting(
    reader: Reader, filters: ElementFilter, part: Collection[Candidate], at: Instant
) -> Iterator[tuple[Document, ListPosition]]:
    world = reader.world()
    places = load_held(reader, world, {one.about for one in part})
    at_place = {place: key for key, place in places.items()}
    keys = [at_place[one.place] for one in part if one.place in at_place]
    keys = [key for key in keys if _fits(world, key, filters)]
    states = verdicts_of(world, keys, at)
    for key in keys:
        if filters.state is None or filters.state == str(states[key].state):
            item = element_item(world, key, states[key])
            if _has_words(filters.text, _texts(world, item)):
                yield item, places[key]


def element_item(world: World, key: str, verdict: Verdict) -> Document:
    """Convert a token or a delegation to an item of a list, without its last use."""
    item = _token(world, key) if key.startswith("token:") else _delegation(world, key)
    because = verdict.because
    item["state"] = str(verdict.state)
    item["revocation"] = None if because is None else because.order.body.revocation
    return item


def _fits(world: World, key: str, filters: ElementFilter) -> bool:
    element = world.graph.element(key)
    if element is None:
        return False
    same = world.principals.same
    holder = holder_of(world, element)
    owner = world.principals.owner(holder)
    if filters.issuer is not None:
        issuer = issuer_of(element)
        is_token = key.startswith("token:")
        if issuer is None or not (issuer == filters.issuer if is_token else same(issuer, filters.issuer)):
            return False
    return (
        (filters.kind is None or element.first("token_type") == filters.kind)
        and (filters.holder is None or same(holder, filters.holder))
        and (filters.owner is None or (owner is not None and same(owner.value, filters.owner)))
    )


def holder_of(world: World, element: Element) -> str:
    """Return the actor of a token, else its subject; for a delegation, the party that it was granted to."""
    if element.key.startswith("delegation:"):
        return str(element.first("delegatee"))
    hop = wielder(world, element.key)
    return str(element.first("subject")) if hop is None else hop.principal


def issuer_of(element: Element) -> str | None:
    """Return the issuer that a token's id names; for a delegation, the party that granted it."""
    if element.key.startswith("delegation:"):
        return str(element.first("delegator"))
    issuer, hash_, _ = element.id.partition("#")
    return issuer if hash_ else None


def _shared(world: World, element: Element) -> Document:
    principals = world.principals
    chain = chain_of(world, element.key)
    human = chain.root if chain.root is not None and principals.kind(chain.root) == "human" else None
    holder = holder_of(world, element)
    owner = principals.owner(holder)
    return {
        "issuer": issuer_of(element),
        "holder": holder,
        "holder_known_as": principals.known_as(holder),
        "holder_name": principals.display_name(holder),
        "owner": None if owner is None else owner.value,
        "human": human,
        "human_known_as": None if human is None else principals.known_as(human),
        "human_name": None if human is None else principals.display_name(human),
        "depth": len(chain.hops),
        "scopes": list(element.first("scopes") or ()),
        "audience": list(element.audience),
        "issued_at": format_instant(element.issued_at),
        "expires_at": instant(element.expires_at),
    }


def _token(world: World, key: str) -> Document:
    element = world.graph.element(key)
    assert element is not None  # noqa: S101 (it is in the graph)
    return {
        "token": element.id,
        "kind": element.first("token_type"),
        **_shared(world, element),
        "subject": element.first("subject"),
        "client": element.first("client"),
        "session": element.first("session"),
        "delegation": element.first("delegation"),
    }


def _delegation(world: World, key: str) -> Document:
    element = world.graph.element(key)
    assert element is not None  # noqa: S101 (it is in the graph)
    return {
        "delegation": element.id,
        **_shared(world, element),
        "purpose": element.first("purpose"),
        "parents": [split_key(parent)[1] for parent in element.parents],
    }


def _texts(world: World, item: Document) -> Iterator[str]:
    for name, value in item.items():
        if isinstance(value, str) and name not in ("issued_at", "expires_at", "state"):
            yield value
    for principal in filter(None, (item["holder"], item["human"])):
        yield from world.principals.party(principal)


def _has_words(text: str | None, texts: Iterator[str]) -> bool:
    words = (text or "").casefold().split()
    if not words:
        return True
    folded = [one.casefold() for one in texts]
    return all(any(word in one for one in folded) for word in words)


def _last_used(reader: Reader, items: list[Document]) -> None:
    """Return when each token was last used, by the action that was recorded last."""
    keys = {f"token:{item['token']}": item for item in items}
    last = reader.last_mentions(keys, (RefRole.USES,), _USES)
    for key, item in keys.items():
        fact = last.get(key)
        item["last_used_at"] = None if fact is None else format_instant(fact.event.occurred_at)
        item["used"] = key in last


# Principals


def principals(
    service: Service,
    filters: PrincipalFilter,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
    looked_at: int | None = None,
) -> Document:
    """List principals, each party once, by the id by which people know it; arguments as for ``held``."""
    as_of = service.as_of()
    digest = digest_of({"list": "principal", **_given(filters)})
    behind = None if after is None else name_of(after, digest)
    items: list[Document] = []
    more, left = True, looked_at
    with service.reader(known_at=known_at) as reader:
        while more and len(items) <= limit and (left is None or left > 0):
            ids = reader.principals(after=behind, most=_AT_ONCE)
            more = len(ids) == _AT_ONCE
            items += _people(reader, filters, ids, at)
            behind = ids[-1] if ids else behind
            left = None if left is None else left - len(ids)
        if len(items) > limit:
            items, more = items[:limit], True
            behind = items[-1]["id"]
        _with_counts(service, reader, items, at, _HELD if looked_at is None else _HELD_ON_PAGE // max(len(items), 1))
    following = cursor_after(behind, digest) if more and behind is not None else None
    total = len(items) if following is None and after is None else None
    return {
        **listing(items, total=total, following=following),
        "filters": _given(filters),
        "at": format_instant(at),
        "known_at": instant(known_at),
        "as_of": as_of,
    }


def _people(reader: Reader, filters: PrincipalFilter, ids: list[str], at: Instant) -> Iterator[Document]:
    world = reader.world()
    reader.load_orders_on(world, (), [f"principal:{id_}" for id_ in ids])
    found = world.principals
    for id_ in ids:
        party = found.party(id_)
        is_sure = found.facts_of(id_) or (reader.trust is None and reader.known_at is None)
        if id_ != _one(world, id_) or not (is_sure or reader.is_named(f"principal:{id_}")):
            continue
        kind, owner = found.kind(id_), found.owner(id_)
        state = str(verdict_of_name(world, "principal", id_, at).state)
        name = found.display_name(id_)
        if (
            (filters.kind is None or kind == filters.kind)
            and (filters.owner is None or (owner is not None and found.same(owner.value, filters.owner)))
            and (filters.state is None or state == filters.state)
            and _has_words(filters.text, iter([*party, *([name] if name else [])]))
        ):
            yield {
                "id": id_,
                "kind": kind,
                "display_name": name,
                "owner": None if owner is None else owner.value,
                "aliases": sorted(set(party) - {id_}),
                "registered": bool(found.facts_of(id_)),
                "state": state,
            }


def _one(world: World, id_: str) -> str:
    """Return the id that represents a party."""
    known = world.principals.known_as(id_)
    return known if known != id_ else id_ if len(party := world.principals.party(id_)) == 1 else _least(world, party)


def _least(world: World, party: Collection[str]) -> str:
    known = {world.principals.known_as(member) for member in party}
    return min(known & set(party)) if len(known) == 1 else min(party)


def _with_counts(service: Service, reader: Reader, items: list[Document], at: Instant, held_by_each: int) -> None:
    """Add how many live tokens each holds, when it last acted, and what is wrong with it."""
    parties = [(item["id"], *item["aliases"]) for item in items]
    may_hold = [_may_hold(reader, party, at, min(held_by_each, _HELD)) for party in parties]
    alive = _alive(reader, parties, may_hold, at)
    wrong = severities_of_parties(service, reader, list(zip(parties, may_hold, strict=True)), at)
    for number, (item, party) in enumerate(zip(items, parties, strict=True)):
        item["alive_tokens"] = alive[number]
        last = reader.last_mentions([f"principal:{id_}" for id_ in party], _ACTS, _USES)
        moments = [fact.event.occurred_at for fact in last.values() if fact is not None]
        item["last_acted_at"] = format_instant(max(moments)) if moments else None
        item["acted"] = bool(last)
        item["by_severity"] = None if wrong is None else wrong[number]


def _may_hold(reader: Reader, party: Collection[str], at: Instant, most: int) -> set[int] | None:
    """Return the hashes of the elements that a party may hold; None if the index has more than ``most`` rows."""
    try:
        return Candidates(reader.connection, most).held({hash_of(reader, "principal", id_) for id_ in party}, at)
    except TooManyCandidatesError:
        return None


def _alive(
    reader: Reader, parties: Sequence[Collection[str]], may_hold: Sequence[set[int] | None], at: Instant
) -> list[int | None]:
    """Count each party's tokens that are active at an instant; None if there are too many to count here."""
    holders: Counter[str] = Counter()
    hashes = sorted(set[int]().union(*(hashes_of_kind for hashes_of_kind in may_hold if hashes_of_kind is not None)))
    for place in range(0, len(hashes), _JUDGED):
        world = reader.world()
        keys = [key for key in reader.load_hashed(world, hashes[place : place + _JUDGED]) if key.startswith("token:")]
        states = verdicts_of(world, keys, at)
        elements = (world.graph.element(key) for key in keys if states[key].state is State.ACTIVE)
        holders.update(holder_of(world, element) for element in elements if element is not None)
    return [
        None if hashes_of_kind is None else sum(holders[id_] for id_ in set(party))
        for party, hashes_of_kind in zip(parties, may_hold, strict=True)
    ]
