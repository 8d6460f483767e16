"""Search for ids by substring."""

from typing import Final, NamedTuple

from lineage.core.model.keys import split_key
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.service import Service
from lineage.store.writing.projection import BETWEEN, CALLED

PAGE: Final = 1_000  # the default number of ids per page


class Called(NamedTuple):
    """A principal and what it was called at some time."""

    id: str
    display_name: str


def called(key: str) -> Called | None:
    """The principal that a display name of the store's list of names belongs to; None for the key of a thing."""
    kind, name = split_key(key)
    if kind != CALLED:
        return None
    display_name, _, id_ = name.rpartition(BETWEEN)
    return Called(id_, display_name)


def search(service: Service, text: str, *, start: str | None = None, limit: int = PAGE) -> Document:
    """Return the sorted ids that contain a text, from the ``next`` of the previous page on."""
    found = service.store.search(text, start=start, limit=limit + 1)
    items: list[Document] = []
    for key in found[:limit]:
        if (name := called(key)) is None:
            kind, id_ = split_key(key)
            items.append({"kind": kind, "id": id_})
        elif text.lower() in name.display_name.lower() and text.lower() not in f"principal:{name.id}".lower():
            items.append({"kind": "principal", "id": name.id, "display_name": name.display_name})
    more = len(found) > limit
    total = None if more or start is not None else len(items)
    return {**listing(items, total=total, following=found[limit] if more else None), "as_of": service.as_of()}
