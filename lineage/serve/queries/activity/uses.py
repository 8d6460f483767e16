"""Uses of a token or a delegation: who used it, where and when, compared with whom it was issued to."""

from collections.abc import Sequence
from typing import Any, Final

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.authority.chain import wielder
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import ActionPerformed, Target, fact_order
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document, action_document, listing
from lineage.serve.queries.activity.actions import select
from lineage.serve.queries.lists.list_cursors import cursor_at, digest_of, place_of
from lineage.serve.queries.lists.list_pages import WHOLE_LIST, Budget
from lineage.serve.queries.revocations.closure import confirmation_of
from lineage.serve.queries.service import Service

EXAMINED_THINGS: Final = 50  # things whose findings are looked for at once


def uses(
    service: Service,
    kind: str,
    id_: str,
    *,
    at: Instant | None = None,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int | None = None,
    budget: Budget = WHOLE_LIST,
) -> Document | None:
    """List the uses of a token, one item per action, earliest first; None if no fact names it.

    ``actor`` is the party that acted according to the action, ``wielder`` the party that the token was issued to.
    ``places`` groups the uses by tool, holder and key; ``unconfirmed`` lists the receivers that have not enforced its
    revocation. If the list was too long to be counted, these describe the items of the page, and ``whole`` is false.

    Args:
        service: The service to query.
        kind, id_: The token or the delegation.
        at: The time for which its revocation is evaluated; None for now. It hides no use.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page.
        limit: The most items of a page; None for all.
        budget: How much is examined.
    """
    refuse_unused(kind)
    as_of = service.as_of()  # read first, so it never claims more than was loaded
    key, moment = key_of(kind, id_), service.clock() if at is None else at
    digest = digest_of({"uses": key})
    start = None if after is None else place_of(after, digest)
    with service.reader(known_at=known_at) as reader:
        if not reader.is_named(key):
            return None
        found = select(reader, ActionFilter(authority=key), start, limit, budget, earliest_first=True)
        is_whole = found.everything is not None
        actions = found.actions if found.everything is None else found.everything
        world = reader.world()
        reader.load_elements(world, [key])
        reader.load_actions(world, actions)
        if start is None and found.after is None:  # on one page the order of the log does not matter
            actions = sorted(actions, key=lambda action: fact_order(world.actions.get(action)[0]))
        confirmed = confirmation_of(reader, world, key, moment, successes=is_whole)
    summarised = use_documents(world, key, actions)
    on_page = set(found.actions)
    return {
        "kind": kind,
        "id": id_,
        **listing(
            [item for item in summarised if item["action"] in on_page],
            total=found.total,
            following=None if found.after is None else cursor_at(found.after, digest),
        ),
        **use_summary(summarised, confirmed),
        **({} if is_whole else {"whole": False}),
        **findings_about(service, kind, id_, moment, known_at),
        "as_of": as_of,
    }


def findings_about(service: Service, kind: str, id_: str, at: Instant, known_at: Instant | None) -> Document:
    """Return the findings of something that has a state, as its status shows them, and whether that is all of them."""
    status = service.status(kind, id_, at=at, known_at=known_at) or {"findings": []}
    return {name: status[name] for name in ("findings", "findings_complete") if name in status}


def findings_beside_all(service: Service, things: Sequence[Target], at: Instant) -> Document:
    """Return the findings of several things, worst first, each once, and whether these are all of them.

    Those of the first EXAMINED_THINGS things are looked for.
    """
    found = [findings_about(service, kind, id_, at, None) for kind, id_ in things[:EXAMINED_THINGS]]
    each = {one["id"]: one for some in found for one in some["findings"]}
    ranked = sorted(each.values(), key=lambda one: str(one["id"]))
    ranked.sort(key=lambda one: (SEVERITIES[one["severity"]], one["last_seen"]), reverse=True)
    is_part = len(things) > EXAMINED_THINGS or any(some.get("findings_complete") is False for some in found)
    return {"findings": ranked, **({"findings_complete": False} if is_part else {})}


def refuse_unused(kind: str) -> None:
    """Refuse kinds that are never used."""
    if kind not in ELEMENT_KINDS:
        raise RefusedError(f"only a token or a delegation is used, not a {kind}: ask for token:ID")


def use_documents(world: World, key: str, used: list[str]) -> list[Document]:
    """Convert actions to uses of a token or a delegation."""
    made_for = None
    element = world.graph.element(key)
    if element and key.startswith("token:"):
        hop = wielder(world, key)
        made_for = hop.principal if hop else element.first("subject")
    items = []
    for action in used:
        first = world.actions.get(action)[0].event
        assert isinstance(first.body, ActionPerformed)  # noqa: S101 (only actions are indexed there)
        items.append(
            {
                **action_document(world, action),
                "resource": first.body.resource._asdict() if first.body.resource else None,
                "wielder": made_for,
                "workload": first.body.workload,
                "key_thumbprint": first.body.key_thumbprint,
                "session": first.body.session,
                "source": first.source,
            }
        )
    return items


def use_summary(items: list[Document], confirmed: Document) -> Document:
    """Summarise when and where something was used, and whether its revocation was enforced."""
    moments = [item["occurred_at"] for item in items]
    return {
        "first": min(moments, default=None),
        "last": max(moments, default=None),
        "places": _places(items, set(confirmed["used_after"])),
        **confirmed,
    }


def _places(items: list[Document], used_after: set[str]) -> list[Document]:
    """Group uses by tool, holder, workload and key, in order of appearance."""
    places: dict[tuple[Any, ...], Document] = {}
    for item in items:
        place = {name: item[name] for name in ("tool", "actor", "wielder", "workload", "key_thumbprint")}
        found = places.setdefault(
            tuple(place.values()),
            {**place, "count": 0, "first": item["occurred_at"], "last": None, "used_after": 0},
        )
        found["count"] += 1
        found["last"] = item["occurred_at"]
        found["used_after"] += item["action"] in used_after
    return list(places.values())
