"""The chain: who stood behind a token, a delegation or an action, root first.

Section 7 of docs/rule-of-authority.md; the comments cite its clauses. Each hop names its evidence: a ``delegation``,
a ``token``, or only ``asserted`` (prior actors, and what an action says about itself). A choice between several
parents is reported as ``branch``, and a contradiction between tokens and delegations as ``mismatch``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element, Stated, first_stated
from lineage.core.authority.rule import Gap, MissingEvidence, gaps, ungranted
from lineage.core.authority.world import World
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import keyed, principal, sentence

# An `actor` token identifies who uses the new token; it is not an ancestor on the path (clause 7.1).
PATH_ROLES: Final = frozenset({"subject", "refresh", "replaced", "parent"})


class Hop(NamedTuple):
    """One party in a chain.

    Attributes:
        principal: The id as stated.
        evidence: ``delegation``, ``token`` or ``asserted``.
        source: The source that stated it.
        element: Key of the token or delegation that names the party; None for a party that only the action states.
    """

    principal: str
    evidence: str
    source: str
    element: str | None


@dataclass(frozen=True, slots=True)
class Chain:
    """Who stood behind something, root first.

    Attributes:
        hops: The parties; no two neighbours are the same party.
        tokens: Keys of the tokens on the path, root first.
        delegations: Keys of the delegations on the path, root first.
        branches: Key of each element on a path that had several parents, with the parents not chosen.
        mismatch: Contradictions between the tokens and the delegations, as sentences.
    """

    hops: tuple[Hop, ...] = ()
    tokens: tuple[str, ...] = ()
    delegations: tuple[str, ...] = ()
    branches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mismatch: tuple[str, ...] = ()

    @property
    def root(self) -> str | None:
        """The first party, or None if the chain is empty."""
        return self.hops[0].principal if self.hops else None


def chain_of(world: World, key: str) -> Chain:
    """Build the chain of a token or a delegation (clauses 7.1 to 7.4, 7.6); empty if no event granted it.

    Cost:
        The length of the paths, times the parents of each element on them.
    """
    if not world.graph.granted(key):
        return Chain()
    branches: dict[str, tuple[str, ...]] = {}
    if split_key(key)[0] == "delegation":
        path = _path(world, key, branches)
        return Chain(
            hops=_collapse(world, _said_by_delegations(world, path)),
            delegations=path,
            branches=branches,
            mismatch=_broken_links(world, path),
        )

    tokens = _path(world, key, branches)
    users = [wielder(world, token) for token in tokens]
    stated = _said_by_tokens(world, tokens[0], users)
    # Clause 7.3: what the delegations say, if the token, or the nearest above it on its path, names a granted one.
    for position in range(len(tokens) - 1, -1, -1):
        delegation = _delegation_of(world, tokens[position])
        if delegation is not None:
            break
    else:
        return Chain(hops=_collapse(world, stated), tokens=tokens, branches=branches)  # clause 7.2

    delegations = _path(world, delegation, branches)
    granted = _said_by_delegations(world, delegations)
    granted += [hop for hop in users[position:] if hop is not None]
    first = granted[0].principal
    above = next((i for i, hop in enumerate(stated) if world.principals.same(hop.principal, first)), None)
    front: list[Hop] = []  # clause 7.3: what the tokens have above the first delegator
    if above is not None:
        front = stated[:above]
    mismatch = _broken_links(world, delegations)
    if not _stands_in(world, _collapse(world, stated), front + granted):  # clause 7.6
        mismatch = (*mismatch, "what the tokens say does not stand, in order, in what the delegations say")
    if above is None and world.principals.kind(first) != "human" and not _among(world, stated[0], granted):
        front = [stated[0]]  # clause 7.3: or only the oldest token's subject
    return Chain(_collapse(world, front + granted), tokens, delegations, branches, mismatch)


def chain_of_action(world: World, action: str) -> Chain:
    """Build the chain of an action: of its authority (clause 7.7), with a missing actor at the end (clause 7.8).

    If nothing was granted, the chain is what the action, or else its decision, asserts: the party it was done for,
    the prior actors from root to leaf, and the actor (clause 7.9).
    """
    authority = world.authority(action)
    actor = world.action_field(action, "actor")
    if authority is None or not world.graph.granted(authority):
        behalf, prior = (world.action_field(action, field) for field in ("on_behalf_of", "prior_actors"))
        hops = [_asserted(behalf)] if behalf else []
        hops += (
            [Hop(principal, "asserted", prior.fact.event.source, None) for principal in prior.value] if prior else []
        )
        hops += [_asserted(actor)] if actor else []
        return Chain(hops=_collapse(world, hops))
    chain = chain_of(world, authority)
    if actor is None or _among(world, _asserted(actor), chain.hops):
        return chain
    return Chain((*chain.hops, _asserted(actor)), chain.tokens, chain.delegations, chain.branches, chain.mismatch)


def action_gaps(world: World, action: str, chain: Chain) -> list[Gap]:
    """List the missing evidence behind an action (clause 8.1).

    Every dependency of its authority, at any depth, that no event granted; everything it names that no event granted;
    and its root, if that is only asserted.
    """
    authority = world.authority(action)
    found = set(gaps(world, [authority] if authority else []))
    for key in world.authorities_named(action):
        if not world.graph.granted(key):
            found.add(ungranted(*split_key(key)))
    decision = first_stated(world.actions.get(action), "decision")
    if decision and decision.value not in world.decisions:
        why = "no event reports this decision"
        found.add(Gap("decision", decision.value, why, MissingEvidence.UNKNOWN_DECISION))
    if chain.hops and chain.hops[0].evidence == "asserted":
        why = "this root is only asserted: nobody granted anything"
        found.add(Gap("principal", chain.hops[0].principal, why, MissingEvidence.ASSERTED_ROOT))
    return sorted(found, key=lambda gap: (gap.kind, gap.id))


def wielder(world: World, token: str) -> Hop | None:
    """Determine who uses a token, according to the tokens (clause 7.2).

    Its actor; else the actor or subject of the ``actor`` token that it was exchanged with (if several, the earliest
    issued, then the smallest id). None if it has neither, because then the subject itself acts.
    """
    element = world.graph.element(token)
    assert element  # noqa: S101 (only granted tokens stand on a path)
    if (actor := first_stated(element.facts, "actor")) is not None:
        return _hop(actor, "token", token)
    with_actor = [
        other
        for key, roles in element.parents.items()
        if "actor" in roles and (other := world.graph.element(key)) is not None
    ]
    if not with_actor:
        return None
    other = min(with_actor, key=lambda candidate: (candidate.issued_at, candidate.id))
    stated = first_stated(other.facts, "actor") or first_stated(other.facts, "subject")
    assert stated  # noqa: S101 (a token has a subject)
    return _hop(stated, "token", token)


def _path(world: World, key: str, branches: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the path of granted parents above an element, root first, no element twice (clause 7.1)."""
    path = [key]
    on_path = {key}
    while True:
        element = world.graph.element(path[-1])
        assert element  # noqa: S101 (only granted ones are taken)
        candidates = [
            parent
            for parent_key, roles in element.parents.items()
            if parent_key not in on_path
            and not PATH_ROLES.isdisjoint(roles)
            and (parent := world.graph.element(parent_key)) is not None
        ]
        if not candidates:
            return tuple(reversed(path))
        if len(candidates) > 1:
            candidates.sort(key=lambda parent: (not _fits(world, parent, element), parent.issued_at, parent.id))
            branches[element.key] = tuple(sorted(parent.key for parent in candidates[1:]))
        path.append(candidates[0].key)
        on_path.add(candidates[0].key)


def _fits(world: World, parent: Element, child: Element) -> bool:
    """Whether a parent matches its child, so that the path takes it first (clause 7.1)."""
    if child.key.startswith("token:"):
        return world.principals.same(parent.first("subject"), child.first("subject"))
    return world.principals.same(parent.first("delegatee"), child.first("delegator"))


def _said_by_tokens(world: World, first: str, users: Sequence[Hop | None]) -> list[Hop]:
    """List the oldest token's subject, its prior actors, then the user of each token down the path (clause 7.2)."""
    oldest = world.graph.element(first)
    assert oldest  # noqa: S101
    subject = first_stated(oldest.facts, "subject")
    assert subject  # noqa: S101 (a token has a subject)
    hops = [_hop(subject, "token", oldest.key)]
    if (prior := first_stated(oldest.facts, "prior_actors")) is not None:
        source = prior.fact.event.source
        hops += [Hop(principal, "asserted", source, oldest.key) for principal in prior.value]
    return hops + [hop for hop in users if hop is not None]


def _said_by_delegations(world: World, delegations: Sequence[str]) -> list[Hop]:
    """List each delegator and delegatee down the path (clause 7.3)."""
    hops = []
    for key in delegations:
        element = world.graph.element(key)
        assert element  # noqa: S101
        for role in ("delegator", "delegatee"):
            stated = first_stated(element.facts, role)
            assert stated  # noqa: S101 (a delegation has both)
            hops.append(_hop(stated, "delegation", key))
    return hops


def _delegation_of(world: World, token: str) -> str | None:
    """Return the first delegation, in fact order, that a token names and that was granted."""
    for fact in world.graph.facts.get(token):
        delegation = getattr(fact.event.body, "delegation", None)
        if delegation is not None and world.graph.granted(f"delegation:{delegation}"):
            return f"delegation:{delegation}"
    return None


def _broken_links(world: World, delegations: Sequence[str]) -> tuple[str, ...]:
    """Describe each delegator on a path who is not the delegatee of any granted parent (clause 7.6)."""
    broken = []
    for key in delegations:
        element = world.graph.element(key)
        assert element  # noqa: S101
        parents = [parent for name in element.parents if (parent := world.graph.element(name)) is not None]
        delegator = element.first("delegator")
        if parents and not any(world.principals.same(parent.first("delegatee"), delegator) for parent in parents):
            broken.append(
                sentence("{}, who granted {}, is not the delegatee of a parent of it", principal(delegator), keyed(key))
            )
    return tuple(broken)


def _collapse(world: World, hops: Iterable[Hop]) -> tuple[Hop, ...]:
    """Collapse equal neighbours, keeping the first (clause 7.4)."""
    kept: list[Hop] = []
    for hop in hops:
        if not kept or not world.principals.same(kept[-1].principal, hop.principal):
            kept.append(hop)
    return tuple(kept)


def _stands_in(world: World, words: Iterable[Hop], chain: Iterable[Hop]) -> bool:
    """Whether the principals of one list appear, in order, among those of another."""
    same, rest = world.principals.same, iter(chain)
    for word in words:
        for hop in rest:
            if same(word.principal, hop.principal):
                break
        else:
            return False
    return True


def _among(world: World, one: Hop, hops: Iterable[Hop]) -> bool:
    return any(world.principals.same(one.principal, hop.principal) for hop in hops)


def _hop(stated: Stated, evidence: str, element: str) -> Hop:
    return Hop(stated.value, evidence, stated.fact.event.source, element)


def _asserted(stated: Stated) -> Hop:
    return Hop(stated.value, "asserted", stated.fact.event.source, None)
