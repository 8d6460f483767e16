"""Cases: the list of them, and one with its items, their present state, and its changes."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from lineage.core.cases.case import MOST_CHANGES, RANGE, Case, CaseChange, Contained, case_of
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import digest
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, listing
from lineage.serve.queries.cases.case_items import present_states
from lineage.serve.queries.findings.one_finding import briefs_of
from lineage.serve.queries.lists.list_cursors import BAD_CURSOR
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader

PAGE: Final = 100
LATEST: Final = 100  # changes that the document of a case shows
_AT_ONCE: Final = 100  # cases examined at once
_T = TypeVar("_T")


class CaseFilter(NamedTuple):
    """The cases asked for: all conditions apply; None is any.

    Attributes:
        status: ``open`` or ``closed``.
        assignee: The assignee.
        of: An item that they contain, ``KIND:ID``.
    """

    status: str | None = None
    assignee: str | None = None
    of: str | None = None

    def takes(self, case: Case) -> bool:
        """Whether a case matches."""
        return (
            (self.status is None or case.status == self.status)
            and (self.assignee is None or case.assignee == self.assignee)
            and (self.of is None or any(one.item.key == self.of for one in case.items))
        )


_ANY: Final = CaseFilter()


def cases(
    service: Service,
    filters: CaseFilter = _ANY,
    *,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
    looked_at: int | None = None,
) -> Document:
    """List cases by their ids backwards: ids that we generate begin with the day, so the latest come first.

    Args:
        service: The service to query.
        filters: Which of them.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page: the id of a case.
        limit: The most items.
        looked_at: The most cases to examine for a page, which may end after them; None for as many as needed.
    """
    as_of = service.as_of()
    items: list[Document] = []
    left, behind, following = looked_at, after, None
    with service.reader(known_at=known_at) as reader:
        while left is None or left > 0:
            ids = list(dict.fromkeys(reader.cases(after=behind, most=_AT_ONCE)))
            for id_ in ids:
                case, is_whole = _read(reader, id_)
                if case is not None and filters.takes(case):
                    if len(items) == limit:
                        following = behind
                        break
                    items.append(_brief(case, is_whole=is_whole))
                behind = id_
            if following is not None or not ids:
                break
            left = None if left is None else left - len(ids)
        else:
            following = behind
    total = len(items) if after is None and following is None else None
    given = {name: value for name, value in filters._asdict().items() if value is not None}
    return {**listing(items, total=total, following=following), "filters": given, "as_of": as_of}


def case(
    service: Service,
    id_: str,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Document | None:
    """Return a case with a page of its items and its latest changes; None if no fact names it.

    Args:
        service: The service to query.
        id_: The case.
        at: The instant of the states of its items.
        known_at: Only facts recorded by then; None for all.
        after: The ``next`` of the previous page of its items.
        limit: The most items.

    Cost:
        One question for each item on the page.
    """
    as_of = service.as_of()
    with service.reader(known_at=known_at) as reader:
        found, is_whole = _read(reader, id_)
    if found is None:
        return None
    page, following = _page(found.items, after, limit, lambda one: one.item.key)
    states = present_states(service, [one.item for one in page], at=at, known_at=known_at)
    items = [{**_item(one), **states[one.item]} for one in page]
    latest = [change_document(change) for change in found.changes[: -LATEST - 1 : -1]]
    return {
        **_brief(found, is_whole=is_whole),
        "at": format_instant(at),
        **listing(items, total=len(found.items), following=following),
        "changes": {"items": latest, "total": len(found.changes), "complete": len(latest) == len(found.changes)},
        "as_of": as_of,
    }


def changes_of_case(
    service: Service, id_: str, *, known_at: Instant | None = None, after: str | None = None, limit: int = PAGE
) -> Document | None:
    """List the changes of a case, earliest first; None if no fact names it."""
    as_of = service.as_of()
    with service.reader(known_at=known_at) as reader:
        found, is_whole = _read(reader, id_)
    if found is None:
        return None
    page, following = _page(found.changes, after, limit, lambda change: digest(change.fact.event))
    items = [change_document(change) for change in page]
    total = len(found.changes) if is_whole else None
    return {"case": id_, **listing(items, total=total, following=following), "as_of": as_of}


def known_case(service: Service, id_: str, *, known_at: Instant | None = None) -> Case | None:
    """Read a case; None if no fact names it."""
    with service.reader(known_at=known_at) as reader:
        return _read(reader, id_)[0]


def case_in_brief(service: Service, case: Case) -> Document:
    """Summarise a case that was just changed."""
    return {**_brief(case, is_whole=True), "as_of": service.as_of()}


def unknown_findings(service: Service, ids: Sequence[str], at: Instant) -> list[str]:
    """Return those of some ids that no finding has."""
    known = briefs_of(service, ids, at=at) if ids else {}
    return [id_ for id_ in ids if id_ not in known]


def change_document(change: CaseChange) -> Document:
    """Convert a change."""
    body, event = change.body, change.fact.event
    return {
        "change": body.change,
        "by": body.by,
        "given_at": format_instant(change.fact.given_at),
        "contained": [{"kind": item.kind, "id": item.id} for item in body.items],
        "title": body.title,
        "assignee": body.assignee,
        "note": body.note,
        "source": event.source,
        "event_id": event.event_id,
        "digest": digest(event),
    }


def _read(reader: Reader, id_: str) -> tuple[Case | None, bool]:
    """Read a case, and whether all of its changes were read."""
    facts, is_whole = reader.first_about(f"case:{id_}", MOST_CHANGES)
    return case_of(id_, facts), is_whole


def _brief(case: Case, *, is_whole: bool) -> Document:
    first, last = case.changes[0], case.changes[-1]
    opened = case.opened or first
    return {
        "case": case.id,
        "title": case.title,
        "status": case.status,
        "assignee": case.assignee,
        "opened_at": format_instant(opened.fact.given_at),
        "opened_by": opened.body.by,
        "changed_at": format_instant(last.fact.given_at),
        "changed_by": last.body.by,
        "contains": len(case.items),
        "notes": len(case.notes),
        "version": case.version,
        "is_whole": is_whole,
    }


def _item(one: Contained) -> Document:
    return {
        "kind": one.item.kind,
        "id": one.item.id,
        "is_range": one.item.kind == RANGE,
        "added_at": format_instant(one.added.fact.given_at),
        "added_by": one.added.body.by,
        "note": one.added.body.note,
    }


def _page(
    everything: Sequence[_T], after: str | None, limit: int, name: Callable[[_T], str]
) -> tuple[Sequence[_T], str | None]:
    start = 0 if after is None else _place_behind(map(name, everything), after)
    page = everything[start : start + limit]
    return page, name(page[-1]) if start + limit < len(everything) else None


def _place_behind(names: Iterable[str], after: str) -> int:
    for place, one in enumerate(names):
        if one == after:
            return place + 1
    raise RefusedError(f"after: {BAD_CURSOR}")
