"""Cases over HTTP: opened and changed, and the questions which there are and what they contain.

The authenticated caller is the author of each change; nothing in a body can change that.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ingest.codec import limits
from lineage.core.cases.case import STATUSES
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import CaseItem
from lineage.core.model.times import DAY
from lineage.core.model.vocabulary import CASE_CHANGES, CASE_ITEM_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.commands import cases as changing
from lineage.serve.commands.cases import OtherCaseError
from lineage.serve.documents.case_report import case_as_html
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.order_endpoints import id_by_key, turn_to_order
from lineage.serve.http.core.answer_formats import as_table, format_of
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.cursors import after_of, continued, limit_of, with_cursor
from lineage.serve.http.core.error_responses import KeyReusedError, NotFoundError
from lineage.serve.http.core.json_body import Fields
from lineage.serve.http.core.parameters import CASE, CASE_FILTERS, KNOWN_AT, PAGES, PAGES_OF_ITEMS, TIMES
from lineage.serve.http.core.query import ParameterError, Query, kind_and_id, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.cases import cases as reading
from lineage.serve.queries.cases.case_export import export_case

CHANGES: Final = CASE_CHANGES[1:]  # a case is opened at its own path
_EXAMINED: Final = 1_000  # cases examined for one page
_MOST_EXPORTED: Final = 500  # items of a case that is exported over HTTP


def open_case(site: AppContext, caller: Caller, body: Document, *, key: str | None = None) -> Document:
    """Open a case.

    Args:
        site: The application context.
        caller: Who opens it.
        body: The case: title, items, assignee, note and id.
        key: Identifies repetitions (``Idempotency-Key``): without ``case``, its id is derived from it.

    Raises:
        KeyReusedError: A different case was opened with this key.
        RefusedError: A value is invalid.
        UnknownItemsError: No fact names some of the items.
    """
    fields = Fields(body, ("title", "items", "assignee", "note", "case"))
    id_ = fields.id("case") if fields.states("case") else None
    if id_ is None and key is not None:
        id_ = _id_by_key(site, caller, key)
    try:
        with turn_to_order(site):
            return changing.open_case(
                site.service,
                by=caller.name,
                title=fields.text("title") or "",
                items=_items(fields),
                assignee=fields.id("assignee") if fields.states("assignee") else None,
                note=fields.text("note"),
                case=id_,
            )
    except OtherCaseError as fault:
        raise KeyReusedError(str(fault)) from fault


def _id_by_key(site: AppContext, caller: Caller, key: str) -> str:
    """Derive the id of a case from a key: that of today, or of yesterday if that was opened with the key."""
    unique = id_by_key("", caller, key).removeprefix("-")
    today, yesterday = (changing.id_of_day(at, unique) for at in (site.now, site.now - DAY))
    return today if reading.known_case(site.service, yesterday) is None else yesterday


def change_case(site: AppContext, caller: Caller, case: str, body: Document) -> Document:
    """Change a case.

    Raises:
        NotFoundError: There is no such case.
        OtherVersionError: It was changed since the version that is stated.
        RefusedError: A value is invalid, or there is nothing to change.
        UnknownItemsError: No fact names some of the items.
    """
    fields = Fields(body, ("change", "items", "assignee", "note", "version"))
    usable_id(case, parameter="id")
    change = fields.choice("change", CHANGES)
    if fields.states("assignee") and change != "assigned":
        raise ParameterError("assignee", "is only for the change `assigned`")
    with turn_to_order(site):
        document = changing.change_case(
            site.service,
            case,
            change,
            by=caller.name,
            items=_items(fields),
            assignee=fields.id("assignee") if fields.states("assignee") else None,
            note=fields.text("note"),
            version=fields.text("version"),
        )
    if document is None:
        raise NotFoundError(case)
    return document


def _items(fields: Fields) -> list[CaseItem]:
    if not fields.states("items"):
        return []
    items = fields.objects("items", ("kind", "id"))
    if len(items) > limits.LIST_ENTRIES:
        raise ParameterError("items", f"has {len(items):,} entries; one change adds at most {limits.LIST_ENTRIES}")
    return [CaseItem(one.choice("kind", (*CASE_ITEM_KINDS, "workload")), one.id("id")) for one in items]


def _cases(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the cases, the last id first."""
    status = query.choices("status", STATUSES)
    assignee, of = query.text("assignee"), query.text("of")
    if assignee is not None:
        usable_id(assignee, parameter="assignee")
    if of is not None:
        of = ":".join(kind_and_id(of, kinds=CASE_ITEM_KINDS))
    filters = reading.CaseFilter(status[0] if status else None, assignee, of)
    return continued(
        site, "cases", query, lambda after, limit: reading.cases(
            site.service, filters, known_at=query.known_at, after=after, limit=limit, looked_at=_EXAMINED
        )
    )  # fmt: skip


def _case(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Return a case with a page of its items."""
    id_ = usable_id(query.the("id"), parameter="id")
    limit = limit_of(site, query, most=reading.PAGE)
    with _named_cursor():
        found = reading.case(
            site.service, id_, at=query.at, known_at=query.known_at, after=after_of("case", query), limit=limit
        )
    if found is None:
        raise NotFoundError(id_)
    return with_cursor("case", found)


def _changes(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the changes of a case, earliest first."""
    id_ = usable_id(query.the("id"), parameter="id")
    with _named_cursor():
        found = reading.changes_of_case(
            site.service,
            id_,
            known_at=query.known_at,
            after=after_of("case_changes", query),
            limit=limit_of(site, query),
        )
    if found is None:
        raise NotFoundError(id_)
    return with_cursor("case_changes", found)


@contextmanager
def _named_cursor() -> Iterator[None]:
    """Attribute an error about the cursor to its parameter."""
    try:
        yield
    except RefusedError as fault:
        name, _, detail = str(fault).partition(": ")
        if name == "after" and not isinstance(fault, ParameterError):
            raise ParameterError(name, detail) from fault
        raise


def _export(site: AppContext, _caller: Caller, query: Query) -> Document:
    """Export a case."""
    id_ = usable_id(query.the("id"), parameter="id")
    found = export_case(
        site.service,
        id_,
        at=query.at,
        known_at=query.known_at,
        keys=site.keys,
        origin=site.evidence_origin,
        most=_MOST_EXPORTED,
    )
    if found is None:
        raise NotFoundError(id_)
    return found


CASES: Final = (
    as_table(
        Question(
            path="/cases",
            ask=_cases,
            parameters=(*CASE_FILTERS, KNOWN_AT, *PAGES),
            title="The cases, the last id first: ids that are generated begin with the day",
            answer="Cases",
        ),
        "cases",
    ),
    Question(
        path="/cases/{id:path}/changes",
        ask=_changes,
        parameters=(CASE, KNOWN_AT, *PAGES),
        title="Who changed what in a case, earliest first",
        answer="CaseChanges",
        about=("id",),
    ),
    Question(
        path="/cases/{id:path}/export",
        ask=_export,
        parameters=(CASE, *TIMES, format_of("html")),
        title="A case with every event that its statements rest on, so that each can be checked",
        answer="CaseExport",
        formats={"html": ("text/html", case_as_html)},
        about=("id",),
    ),
    Question(
        path="/cases/{id:path}",
        ask=_case,
        parameters=(CASE, *TIMES, *PAGES_OF_ITEMS),
        title="A case: its items with their present state, and its latest changes",
        answer="Case",
        about=("id",),
    ),
)
