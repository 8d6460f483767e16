"""The extended plan: what a responder needs to know about a reach in addition to what it ends, and who approved it.

The digest covers none of it.
"""

from collections.abc import Collection
from typing import Final

from lineage.core.authority.rule import ALIVE, verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.events import Target
from lineage.core.model.keys import key_of
from lineage.core.model.times import HOUR, SECOND, Instant, format_instant
from lineage.core.revocation.plan_details import (
    actions_between,
    by_tool,
    covered_by,
    depths_of,
    names_of_heads,
    never_granted,
    only_head,
    shared_names,
    tainted_by,
)
from lineage.core.revocation.reach import Reach
from lineage.serve.documents.core_documents import Document, depth_documents
from lineage.store.plans import APPROVED_SECONDS, valid_approvals
from lineage.store.quarantine import count_quarantined_holding
from lineage.store.reading.reader import Reader
from lineage.store.reading.revocation_facts import load_receivers
from lineage.store.reading.survivors import count_others, first_others, some_others
from lineage.store.store import Store

FIRST: Final = 20  # entries listed in addition to the count
# the most elements outside the reach that are read to say who shares what; beyond it they are only counted,
LOOKED_AT: Final = 2_000
COUNTED: Final = 10_000  # up to this number for each shared thing,
SAMPLED: Final = 100  # and this many of them are read to name some people


def plan_details(store: Store, reader: Reader, world: World, reach: Reach, *, given_at: Instant | None) -> Document:
    """Build the extended plan.

    Args:
        store: The store with the quarantine.
        reader: A snapshot of the store.
        world: The world in which the reach was computed.
        reach: What the order would end.
        given_at: When the order would be given, if different from when it takes effect.
    """
    kills, at = reach.kills, reach.proposal.at
    load_receivers(reader, world)
    receivers, uncovered = covered_by(world, kills)
    recent = actions_between(world, kills, at - HOUR, at)
    tools = sorted(by_tool(world, recent).items(), key=lambda item: (-item[1], item[0] or ""))
    unknown = never_granted(world, kills)
    return {
        "depths": depth_documents(depths_of(world, reach)),
        "receivers": [{"receiver": name, "covers": receivers[name]} for name in sorted(receivers)],
        "uncovered": _counted(uncovered),
        "recent_hour": {
            "count": len(recent),
            "by_tool": [{"tool": tool, "count": count} for tool, count in tools],
        },
        "shared": shared_with_others(reader, world, kills, at),
        "spared": reach.spared,
        "unjudged": {**_counted(unknown), "quarantined": count_quarantined_holding(store, reach.proposal.target.id)},
        "backdated": _backdated(world, reach, given_at),
        "narrower": _narrower(reader, world, reach),
    }


def _counted(keys: list[str]) -> Document:
    return {"count": len(keys), "first": keys[:FIRST]}


def _backdated(world: World, reach: Reach, given_at: Instant | None) -> Document | None:
    """Count the past successes that become tainted; null if the order takes effect no earlier than it is given."""
    at = reach.proposal.at
    if given_at is None or given_at <= at:
        return None
    return {"effective_at": format_instant(at), "actions": tainted_by(world, reach, given_at)}


def shared_with_others(reader: Reader, world: World, kills: Collection[str], at: Instant) -> list[Document]:
    """List the clients, sessions and workloads of the ended elements that live elements outside the reach share.

    If more than LOOKED_AT elements would have to be read, they are only counted, at most COUNTED each, ``complete``
    is false (the count is a lower bound), and the people are taken from SAMPLED of them.
    """
    names = {key_of(kind, id_): Target(kind, id_) for kind, id_ in sorted(shared_names(world, kills))}
    counts = count_others(reader, names, kills, at, COUNTED)
    whole = max(counts.values(), default=0) <= LOOKED_AT
    first = first_others(reader, counts, kills, at, LOOKED_AT + 1) if whole else []
    whole = whole and len(first) <= LOOKED_AT
    outside, alive = _look(reader, first if whole else _sample(reader, counts, kills, at), at)
    users: dict[tuple[str, str], list[str]] = {}
    for key in alive:
        for name in shared_names(outside, (key,)):
            users.setdefault(name, []).append(key)
    shared = []
    for key in sorted(counts):
        target, using = names[key], users.get(names[key], [])
        elements = len(using) if whole else counts[key]
        if elements:
            people = _people(outside, using)
            shared.append({**target._asdict(), "elements": elements, "people": people, "complete": whole})
    return shared


def _sample(reader: Reader, counts: dict[str, int], kills: Collection[str], at: Instant) -> list[int]:
    """Select some of the elements outside the reach, by what most of them name."""
    most = sorted(counts, key=lambda key: (-counts[key], key))[:FIRST]
    found: dict[int, None] = {}
    for key in most:
        found.update(dict.fromkeys(some_others(reader, key, kills, at, SAMPLED // len(most))))
    return list(found)


def _look(reader: Reader, hashes: list[int], at: Instant) -> tuple[World, list[str]]:
    """Load elements into a world, and return the living ones."""
    world = reader.world()
    keys = reader.load_hashed(world, hashes) if hashes else set()
    return world, [key for key, verdict in verdicts_of(world, keys, at).items() if verdict.state in ALIVE]


def _people(world: World, keys: Collection[str]) -> list[str]:
    named = {name for key in keys if (element := world.graph.element(key)) for name in element.names}
    ids = {name.removeprefix("principal:") for name in named if name.startswith("principal:")}
    return sorted(id_ for id_ in ids if world.principals.kind(id_) == "human")


def _narrower(reader: Reader, world: World, reach: Reach) -> Document | None:
    """Find a narrower target that ends the same: a token or a delegation, else a session, else a client."""
    if not reach.kills:
        return None
    target = only_head(world, reach)
    for name in names_of_heads(world, reach) if target is None else ():
        if not count_others(reader, {f"{name.kind}:{name.id}"}, reach.kills, reach.proposal.at, 1):
            target = name
            break
    return None if target is None else target._asdict()


def approvals_of(store: Store, digest: str, at: Instant) -> list[Document]:
    """List the approvals of a plan that are valid at an instant, one per person, earliest first."""
    return [approval_document(who, when) for who, when in valid_approvals(store, digest, at)]


def approval_document(approved_by: str, approved_at: Instant) -> Document:
    """Convert one approval."""
    return {
        "approved_by": approved_by,
        "approved_at": format_instant(approved_at),
        "expires_at": format_instant(approved_at + APPROVED_SECONDS * SECOND),
    }
