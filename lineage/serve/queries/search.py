"""Searching for ids by a part of them."""

from typing import Final

from lineage.core.model.keys import split_key
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.service import Service

PAGE: Final = 1_000  # how many ids a page has at most by default


def search(service: Service, text: str, *, start: str | None = None, limit: int = PAGE) -> Document:
    """The ids that contain a text, in their order, starting at the ``next`` of the previous page."""
    found = service.store.search(text, start=start, limit=limit + 1)
    items: list[Document] = []
    for key in found[:limit]:
        kind, id_ = split_key(key)
        items.append({"kind": kind, "id": id_})
    more = len(found) > limit
    total = None if more or start is not None else len(items)
    return {**listing(items, total=total, following=found[limit] if more else None), "as_of": service.as_of()}
