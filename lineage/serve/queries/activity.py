"""Activity: uses, timelines and actions of one thing, and what is in quarantine or in conflict."""

import base64
from typing import Any, Final

from lineage.core.authority.chain import wielder
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    Fact,
    digest,
    document,
    fact_order,
)
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.references import Role, about
from lineage.core.model.times import Instant, format_instant
from lineage.core.model.trust import authorised
from lineage.serve.documents.core_documents import (
    Document,
    action_document,
    fact_document,
    instant,
    listing,
)
from lineage.serve.queries.closure import confirmation_of
from lineage.serve.queries.service import Service
from lineage.store.store import Quarantined

_SOURCES_BEYOND: Final = 100  # sources listed with their number of records beyond the quota
PAGE: Final = 1_000  # the default limit of a list


def uses(service: Service, kind: str, id_: str, *, known_at: Instant | None = None) -> Document | None:
    """List the uses of a token, one item per action, earliest first; None if no fact names it.

    ``actor`` is who the action says it was, ``wielder`` whom the token was issued to. ``places`` groups the uses by
    tool, holder and key; ``unconfirmed`` lists who has not enforced its revocation.
    """
    refuse_unused(kind)
    key, now = key_of(kind, id_), service.clock()
    with service.reader(known_at=known_at) as reader:
        named = reader.facts_mentioning(key)
        if not named:
            return None
        world = reader.world()
        reader.load_elements(world, [key])
        confirmed = confirmation_of(reader, world, key, now)
        decisions = {f"decision:{f.event.body.decision}" for f in named if isinstance(f.event.body, DecisionMade)}
        for found in [*named, *reader.facts_about(decisions), *reader.facts_referring(decisions, Role.USES)]:
            world.add(found)
        reader.load_actions(world, set(world.actions))  # including what other facts state about them
    used = [action for action in world.actions if key in world.authorities_named(action)]
    used.sort(key=lambda name: (world.actions.get(name)[0].event.occurred_at, name))
    items = use_documents(world, key, used)
    return {
        "kind": kind,
        "id": id_,
        **listing(items, total=len(items)),
        **use_summary(items, confirmed),
        "findings": findings_of(service, kind, id_, known_at),
        "as_of": service.as_of(),
    }


def findings_of(service: Service, kind: str, id_: str, known_at: Instant | None) -> list[Document]:
    """Return the findings about a token or a delegation, as its status shows them."""
    status = service.status(kind, id_, at=service.clock(), known_at=known_at)
    return [] if status is None else list(status["findings"])


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


def timeline(service: Service, kind: str, id_: str, *, known_at: Instant | None = None) -> Document | None:
    """List every fact that mentions a thing, earliest first; None if no fact does."""
    with service.reader(known_at=known_at) as reader:
        facts = reader.facts_mentioning(key_of(kind, id_))
    if not facts:
        return None
    facts.sort(key=fact_order)
    items = [mention_document(fact) for fact in facts]
    return {"kind": kind, "id": id_, **listing(items, total=len(items)), "as_of": service.as_of()}


def mention_document(fact: Fact) -> Document:
    """Convert a fact to an item of a timeline."""
    return {
        "occurred_at": format_instant(fact.event.occurred_at),
        "recorded_at": format_instant(fact.recorded_at),
        "type": fact.event.type,
        "of": about(fact.event),
        "event": document(fact.event),
    }


def is_mentioned_more_than(service: Service, kind: str, id_: str, most: int) -> bool:
    """Whether more than ``most`` facts mention something, so that listing them takes long."""
    with service.store.reader(trust=None) as reader:  # whether each fact is authorised is not checked
        return reader.is_mentioned_more_than(key_of(kind, id_), most)


def quarantine(service: Service, *, after: int = 0, limit: int = PAGE, everything: bool = False) -> Document:
    """List quarantined records that have not been released; with ``everything`` the released ones too."""
    found = service.store.quarantined(waiting=not everything, after=after, limit=limit + 1)
    items = [quarantined_document(item) for item in found[:limit]]
    following = str(found[limit - 1].id) if len(found) > limit else None
    return {
        **listing(items, total=service.store.count_quarantined(), following=following),
        "beyond_quota": {
            "records": service.store.count_beyond_quota(),
            "quota": {"records": service.store.quota.records, "bytes": service.store.quota.bytes},
            "sources": [
                {"source": source, "records": records}
                for source, records in service.store.beyond_quota(limit=_SOURCES_BEYOND)
            ],
        },
        "as_of": service.as_of(),
    }


def quarantined_document(item: Quarantined) -> Document:
    """Convert one quarantined record."""
    record = item.record
    value, encoding = None, None
    if record.value is not None:
        try:
            value, encoding = record.value.decode(), "utf-8"
        except UnicodeDecodeError:
            value, encoding = base64.b64encode(record.value).decode(), "base64"
    return {
        "id": item.id,
        "reason": record.reason,
        "detail": record.detail,
        "origin": record.origin,
        "position": record.place,
        "recorded_at": format_instant(record.recorded_at),
        "sha256": record.sha256,
        "size": record.size,
        "value": value,
        "encoding": encoding,
        "beyond_quota": record.beyond_quota,
        "released_at": instant(item.released_at),
    }


def conflicts(service: Service) -> Document:
    """List the identities under which different contents were sent; all of them count."""
    items = []
    for group in service.store.conflicts():
        event = group[0].event
        contents = [
            {
                **fact_document(fact),
                "digest": digest(fact.event),
                "authorised": authorised(fact, service.trust.table),
            }
            for fact in group
        ]
        contents.sort(key=lambda content: str(content["digest"]))
        items.append({"source": event.source, "event_id": event.event_id, "contents": contents})
    return {**listing(items, total=len(items)), "as_of": service.as_of()}
