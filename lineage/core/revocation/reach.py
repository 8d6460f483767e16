"""Reach: what an order would kill, before anyone gives it (the blast radius), and the digest of the plan.

Section 9 of docs/rule-of-authority.md. Pure: the order is proposed, never recorded. The cost follows what is
alive below the target at the instant asked about, not history.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from operator import attrgetter
from typing import Any

from lineage.core.authority.elements import Element
from lineage.core.authority.orders import far_apart
from lineage.core.authority.rule import ALIVE, verdict_of, verdict_of_name
from lineage.core.authority.targets import Cascade, aliases, targets
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, Target, WorkloadBound, canonical_json
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.sentences import keyed, moment, principal, sentence
from lineage.core.model.times import NEVER, Instant, format_instant

RECENT_ACTIONS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An order that has not been given yet, as it would be given at ``at``."""

    target: Target
    at: Instant
    mode: str = "revoke"
    issued_before: Instant | None = None
    cascade: bool = True

    def warnings(self, given_at: Instant) -> list[str]:
        """Describe in sentences what is unusual about the time at which it takes effect."""
        if not far_apart(self.at, given_at):
            return []
        when = "before" if self.at < given_at else "after"
        return [f"it takes effect at {format_instant(self.at)}, more than a year {when} it is given"]


class Cause(StrEnum):
    """The reason why an element or party close to the target would stay alive (clause 9.5)."""

    NO_CASCADE = "no-cascade"  # it depends on something hit, and the order does not cascade
    ISSUED_LATER = "issued-later"  # it was issued too late for ``issued_before``
    PRIOR_ACTOR = "prior-actor"  # it names the target only among its prior actors
    OWNED = "owned"
    BOUND = "bound"


@dataclass(frozen=True, slots=True)
class Survivor:
    """An element or party close to the target that would stay alive.

    Attributes:
        kind: Its kind.
        id: Its id.
        why: The reason as a sentence for people.
        cause: The reason for code.
    """

    kind: str
    id: str
    why: str
    cause: Cause


@dataclass(frozen=True, kw_only=True)
class Reach:
    """The elements that a proposed order would kill. All lists are sorted by id.

    Attributes:
        kills: ``KIND:ID`` of each living element that it would kill.
        tokens, delegations: The ids of these.
        already_dead: Counts (tokens, delegations) of the dead but unexpired elements it would kill as well.
        agents, humans: The principals of these kinds that the killed elements name.
        actions: The number of actions that have one of the killed elements as authority.
        recent: The ids of the latest of these, latest first, at most RECENT_ACTIONS.
        own_actions: The number of actions that the target, a principal, did under none of the killed elements.
        survivors: Elements and parties bound to, owned by or recorded under the target that would stay alive.
        last_expiry: When all of them would have expired without the order; None means never, or nothing is killed.
    """

    proposal: Proposal
    kills: frozenset[str]
    tokens: tuple[str, ...]
    delegations: tuple[str, ...]
    already_dead: tuple[int, int]
    agents: tuple[str, ...]
    humans: tuple[str, ...]
    actions: int
    recent: tuple[str, ...]
    own_actions: int
    survivors: tuple[Survivor, ...]
    last_expiry: Instant | None

    @property
    def spared(self) -> int:
        """Count the survivors that live because they were issued too late for ``issued_before``."""
        return sum(survivor.cause is Cause.ISSUED_LATER for survivor in self.survivors)

    @property
    def plan(self) -> dict[str, Any]:
        """The plan: the elements that an order of this kind would kill, without time, person or reason."""
        before = self.proposal.issued_before
        return {
            "target": {"kind": self.proposal.target.kind, "id": self.proposal.target.id},
            "mode": self.proposal.mode,
            "issued_before": None if before is None else format_instant(before),
            "cascade": self.proposal.cascade,
            "kills": {"tokens": list(self.tokens), "delegations": list(self.delegations)},
        }

    @cached_property
    def plan_digest(self) -> str:
        """The SHA-256, in hexadecimal, of the plan's canonical JSON (RFC 8785)."""
        return hashlib.sha256(canonical_json(self.plan)).hexdigest()


def differences(plan: Mapping[str, Any], order: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the terms (target, mode, ``issued_before``, ``cascade``) in which two plans differ, with both values.

    Args:
        plan: The plan that was reviewed.
        order: The plan of the order to be given.
    """
    return {
        name: {"plan": plan[name], "order": value}
        for name, value in order.items()
        if name != "kills" and plan[name] != value
    }


def reach_of(world: World, proposal: Proposal, *, acted: int | None = None) -> Reach:
    """Compute the elements that a proposed order would kill among those alive when it would be given.

    Args:
        world: What is known.
        proposal: The order.
        acted: The number of actions that the target did, if the world does not contain all of them.
    """
    at = proposal.at
    graph = world.graph
    struck = struck_by(world, proposal)
    # Expired elements no longer change. An element that was never granted is alive only if it is suspended.
    if proposal.cascade:
        doomed, ending = graph.alive_below(struck, at)
    else:
        doomed = struck
        ending = [found for key in struck if (found := graph.element(key)) is not None and found.ends_at > at]
    dead = dead_among(world, doomed, at)
    killed = [element for element in ending if element.key not in dead] if dead else ending
    # A target that was never granted can be dead already; it has no end.
    gone = [key for key in dead if (element := graph.element(key)) is None or element.ends_at > at]

    keys = list(map(attrgetter("key"), killed))
    endless = {key for key in struck if not graph.granted(key) and verdict_of(world, key, at).state in ALIVE}
    keys += endless
    kills = frozenset(keys)
    actions = world.actions_under(kills)
    principals = _principals(killed)
    kinds = {id_: world.principals.kind(id_) for id_ in principals}
    tokens, delegations = _ids(keys)
    dead_tokens, dead_delegations = _ids(gone)
    last = NEVER if endless else max(map(attrgetter("ends_at"), killed), default=NEVER)
    return Reach(
        proposal=proposal,
        kills=kills,
        tokens=tokens,
        delegations=delegations,
        already_dead=(len(dead_tokens), len(dead_delegations)),
        agents=tuple(sorted(id_ for id_, kind in kinds.items() if kind == "agent")),
        humans=tuple(sorted(id_ for id_, kind in kinds.items() if kind == "human")),
        actions=len(actions),
        recent=tuple(latest_actions(world, actions)[:RECENT_ACTIONS]),
        own_actions=_own_actions(world, proposal.target, actions, acted),
        survivors=tuple(sorted(set(_survivors(world, proposal, struck, kills)), key=lambda s: (s.id, s.kind, s.why))),
        last_expiry=None if last == NEVER else last,
    )


def struck_by(world: World, proposal: Proposal) -> set[str]:
    """Return the elements that a proposed order would hit directly; fully expired subtrees are skipped."""
    target = key_of(proposal.target.kind, proposal.target.id)
    issued_before = NEVER if proposal.issued_before is None else proposal.issued_before
    return set(targets(world, target, issued_before=issued_before, after=proposal.at))


def dead_among(world: World, keys: set[str], at: Instant) -> set[str]:
    """Return the elements that an order in force revokes, directly or through any dependency.

    It counts for those that end after the instant (clause 6.8), and the callers look at no others.
    """
    return Cascade(world, keys, at).revoked(keys)


def _own_actions(world: World, target: Target, under: Iterable[str], acted: int | None) -> int:
    """Count the target's actions that are not among the given ones.

    They depend on nothing that the order would kill, but on a key that was never issued, on another party's token, on
    an expired element, or only on the actor's name.
    """
    if target.kind not in ("principal", "workload"):
        return 0
    party = world.principals.party(target.id)
    if acted is None:
        acted = sum(not party.isdisjoint(world.acted(action)) for action in world.actions)
    return acted - sum(not party.isdisjoint(world.acted(action)) for action in under)


def latest_actions(world: World, actions: Iterable[str]) -> list[str]:
    """Sort actions, latest first."""
    return sorted(actions, key=lambda action: (-world.actions.get(action)[0].event.occurred_at, action))


def _principals(elements: Iterable[Element]) -> set[str]:
    names: set[str] = set().union(*set(map(attrgetter("names"), elements)))  # very many share the same names
    return {name.removeprefix("principal:") for name in names if name.startswith("principal:")}


def _ids(keys: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of tokens and of delegations, sorted."""
    every = sorted(keys)  # delegations are sorted before tokens
    first = bisect_left(every, "token:")
    return tuple(key[6:] for key in every[first:]), tuple(key[11:] for key in every[:first])


def _survivors(world: World, proposal: Proposal, struck: set[str], kills: AbstractSet[str]) -> Iterator[Survivor]:
    """Yield everything bound to, owned by or recorded under the target that would stay alive."""
    at, target = proposal.at, proposal.target
    spared: dict[str, tuple[str, Cause]] = {}
    if not proposal.cascade:
        for key in struck:
            for child in world.graph.children(key):
                spared[child] = sentence("depends on {}, and the order does not cascade", keyed(key)), Cause.NO_CASCADE
    names = list(aliases(world, key_of(target.kind, target.id))) if target.kind not in ("token", "delegation") else []
    if proposal.issued_before is not None:
        for name in names:
            for key in world.graph.naming(name, after=at):
                if key not in struck:
                    why = sentence("issued at or after {}", moment(proposal.issued_before))
                    spared[key] = why, Cause.ISSUED_LATER
    ids = {split_key(name)[1] for name in names if name.startswith("principal:")}
    for id_ in ids:
        for key in world.graph.asserted.get(id_, ()):
            spared.setdefault(
                key, (sentence("names {} only among its prior actors", principal(id_)), Cause.PRIOR_ACTOR)
            )
    alive = {key for key in spared if _outlives(world, key, at)} - kills
    alive -= dead_among(world, alive, at)
    for key in alive:
        kind, id_ = split_key(key)
        yield Survivor(kind, id_, *spared[key])

    for id_ in ids:
        for fact in world.principals.bindings.get(id_):
            yield from _bound(world, fact, ids, at)
        for owned in world.principals.owned.get(id_, ()):
            owner = world.principals.owner(owned)
            if owner and owner.value == id_ and owned not in ids and _stands(world, "principal", owned, at):
                why = sentence("owned by {}; owners are not dependencies", principal(id_))
                yield Survivor("principal", owned, why, Cause.OWNED)


def _bound(world: World, fact: Fact, ids: set[str], at: Instant) -> Iterator[Survivor]:
    body = fact.event.body
    assert isinstance(body, WorkloadBound)  # noqa: S101 (only bindings are indexed there)
    if body.expires_at is not None and body.expires_at <= at:
        return
    for kind, other, bound_to in (
        ("workload", body.workload, body.agent),
        ("principal", body.agent, body.workload),
    ):
        if bound_to in ids and other not in ids and _stands(world, kind, other, at):
            why = sentence("bound to {}; bindings are not dependencies", principal(bound_to))
            yield Survivor(kind, other, why, Cause.BOUND)


def _stands(world: World, kind: str, id_: str, at: Instant) -> bool:
    return verdict_of_name(world, kind, id_, at).state is State.ACTIVE


def _outlives(world: World, key: str, at: Instant) -> bool:
    element = world.graph.element(key)
    return element is not None and element.ends_at > at
