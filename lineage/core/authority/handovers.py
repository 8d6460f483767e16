"""The graph of handovers: principals as nodes, and between them the tokens and grants that one handed to the other.

An element was handed to its holder, the last party of its chain, by the party right before it (section 7 of
docs/rule-of-authority.md). An element whose chain has only one party is held, but nobody handed it over. Aliases
are one party (clause 4.3). Pure: any order of the facts gives the same answer.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from lineage.core.authority.chain import chain_of
from lineage.core.authority.principals import Principals, declared_kind
from lineage.core.authority.rule import ALIVE, verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant

_REVOKED: Final = frozenset({State.REVOKED, State.CASCADED})


class HandoverCounts(NamedTuple):
    """The number of tokens, or of delegations, by state.

    Attributes:
        alive: Active, suspended or not yet valid, so that a revocation could still end them.
        suspended: The suspended ones among these.
        expired: Expired by themselves.
        revoked: Ended by a revocation, direct or inherited.
    """

    alive: int = 0
    suspended: int = 0
    expired: int = 0
    revoked: int = 0


class Handover(NamedTuple):
    """An element, the party that holds it, and the party that handed it over.

    Attributes:
        key: ``KIND:ID`` of the element.
        holder: The party that it was issued or granted to.
        giver: The party right before the holder in its chain; None if nobody handed it over.
        is_asserted: Whether the giver is only asserted by a source (``prior_actors``).
    """

    key: str
    holder: str
    giver: str | None
    is_asserted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tie:
    """The elements that one party handed to another.

    Attributes:
        giver, holder: The parties.
        tokens, delegations: Their number, by state.
        scopes: Every scope that one of them states while it is alive, sorted.
        unverified: The number that only a source asserts.
        elements: Their keys, sorted.
    """

    giver: str
    holder: str
    tokens: HandoverCounts
    delegations: HandoverCounts
    scopes: tuple[str, ...]
    unverified: int
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A principal with its aliases.

    Attributes:
        id: The id by which people know it.
        ids: All its ids, sorted.
        kind: Its kind.
        display_name: Its display name, or None.
        tokens, delegations: The number that it holds, by state.
    """

    id: str
    ids: tuple[str, ...]
    kind: str
    display_name: str | None
    tokens: HandoverCounts
    delegations: HandoverCounts


@dataclass(frozen=True, slots=True)
class PrincipalGraph:
    """Parties by id, and the ties between them by giver and holder.

    Attributes:
        parties: The parties by id, in the order of ids.
        ties: The ties by giver and holder, in that order.
        handovers: The handover of each element, by key.
        later: The elements issued after the instant asked about, which are not in the graph.
    """

    parties: dict[str, Party]
    ties: dict[tuple[str, str], Tie]
    handovers: dict[str, Handover]
    later: tuple[str, ...] = ()


def party_id(principals: Principals, id_: str) -> str:
    """Return one id for a party, the same for all its members: the one that people know it by, else the smallest."""
    known = principals.known_as(id_)
    return known if declared_kind(known) is not None else principals.one_of(id_)


def handover_of(world: World, key: str) -> Handover:
    """Determine who handed an element to whom. The element must be granted.

    Cost: the same as its chain.
    """
    hops = chain_of(world, key).hops
    giver = hops[-2] if len(hops) > 1 else None
    return Handover(
        key,
        party_id(world.principals, hops[-1].principal),
        None if giver is None else party_id(world.principals, giver.principal),
        giver is not None and giver.evidence == "asserted",
    )


def principal_graph(
    world: World, keys: Iterable[str], at: Instant, *, parties: Iterable[str] = (), states: Iterable[State] = ()
) -> PrincipalGraph:
    """Build the graph of handovers as of an instant.

    Args:
        world: A world with the elements, everything they depend on, and the registrations of the parties.
        keys: The elements; those that nobody granted are left out, since their holders are unknown.
        at: The instant asked about; elements issued later are left out.
        parties: Ids of principals that are shown whatever they hold.
        states: Restricts the elements to these states; empty for any state.

    Cost: the chain and the state of each element.
    """
    granted = sorted({key for key in keys if world.graph.granted(key)})
    later = tuple(key for key in granted if (one := world.graph.element(key)) and one.issued_at > at)
    known = sorted(set(granted).difference(later))
    found = {key: verdict.state for key, verdict in verdicts_of(world, known, at).items()}
    chosen = set(states)
    handovers = {key: handover_of(world, key) for key in known if not chosen or found[key] in chosen}
    held: defaultdict[str, list[str]] = defaultdict(list)
    tied: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for key, handover in handovers.items():
        held[handover.holder].append(key)
        if handover.giver is not None:
            tied[handover.giver, handover.holder].append(key)
    every = {*held, *(giver for giver, _ in tied), *(party_id(world.principals, one) for one in parties)}
    return PrincipalGraph(
        {id_: _party(world, id_, held.get(id_, ()), found) for id_ in sorted(every)},
        {pair: _tie(world, pair, tied[pair], handovers, found) for pair in sorted(tied)},
        handovers,
        later,
    )


def _party(world: World, id_: str, keys: Iterable[str], states: dict[str, State]) -> Party:
    principals = world.principals
    tokens, delegations = _counted(keys, states)
    return Party(
        id=id_,
        ids=tuple(sorted(principals.party(id_))),
        kind=principals.kind(id_),
        display_name=principals.display_name(id_),
        tokens=tokens,
        delegations=delegations,
    )


def _tie(
    world: World, pair: tuple[str, str], keys: list[str], handovers: dict[str, Handover], states: dict[str, State]
) -> Tie:
    tokens, delegations = _counted(keys, states)
    alive = (world.graph.element(key) for key in keys if states[key] in ALIVE)
    return Tie(
        giver=pair[0],
        holder=pair[1],
        tokens=tokens,
        delegations=delegations,
        scopes=tuple(sorted({scope for one in alive if one for scope in one.first("scopes") or ()})),
        unverified=sum(handovers[key].is_asserted for key in keys),
        elements=tuple(keys),
    )


def _counted(keys: Iterable[str], states: dict[str, State]) -> tuple[HandoverCounts, HandoverCounts]:
    """Count tokens and delegations by state."""
    count = Counter((split_key(key)[0], states[key]) for key in keys)

    def of(kind: str) -> HandoverCounts:
        return HandoverCounts(
            sum(count[kind, state] for state in ALIVE),
            count[kind, State.SUSPENDED],
            count[kind, State.EXPIRED],
            sum(count[kind, state] for state in _REVOKED),
        )

    return of("token"), of("delegation")
