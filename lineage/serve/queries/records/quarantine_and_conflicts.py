"""Records in quarantine, and identities under which different contents were sent."""

import base64
from typing import Final

from lineage.core.model.events import digest
from lineage.core.model.times import format_instant
from lineage.core.model.trust import authorised
from lineage.serve.documents.core_documents import Document, fact_document, instant, listing
from lineage.serve.queries.lists.list_cursors import Rank, digest_of, ranked_page
from lineage.serve.queries.service import Service
from lineage.store.quarantine import Quarantined, beyond_quota, count_beyond_quota, count_quarantined, quarantined

_SOURCES_BEYOND: Final = 100  # sources listed with their number of records beyond the quota
PAGE: Final = 1_000  # the default limit of a list


def quarantine(service: Service, *, after: int = 0, limit: int = PAGE, everything: bool = False) -> Document:
    """List quarantined records that have not been released; with ``everything`` the released ones too."""
    found = quarantined(service.store, waiting=not everything, after=after, limit=limit + 1)
    items = [quarantined_document(item) for item in found[:limit]]
    following = str(found[limit - 1].id) if len(found) > limit else None
    return {
        **listing(items, total=count_quarantined(service.store), following=following),
        "beyond_quota": {
            "records": count_beyond_quota(service.store),
            "quota": {"records": service.store.quota.records, "bytes": service.store.quota.bytes},
            "sources": [
                {"source": source, "records": records}
                for source, records in beyond_quota(service.store, limit=_SOURCES_BEYOND)
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


def conflicts(service: Service, *, after: str | None = None, limit: int | None = None) -> Document:
    """List the identities under which different contents were sent; all of them count.

    Args:
        service: The service to query.
        after: The ``next`` of the previous page.
        limit: The most items of a page; None for all.
    """
    items: list[tuple[Rank, Document]] = []
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
        identity = (event.source, event.event_id)
        items.append((identity, {"source": event.source, "event_id": event.event_id, "contents": contents}))
    page, following = ranked_page(items, after, digest_of({"list": "conflicts"}), limit)
    return {**listing(page, total=len(items), following=following), "as_of": service.as_of()}


def count_conflicts(service: Service) -> int:
    """Count the identities under which different contents were sent. Cost: one pass over an index of every fact."""
    return len(service.store.conflicts())
