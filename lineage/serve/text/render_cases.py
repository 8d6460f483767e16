"""Text pages about cases."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many

_DONE = {
    "opened": "opened it",
    "added": "added",
    "removed": "removed",
    "noted": "wrote",
    "closed": "closed it",
    "reopened": "reopened it",
}
_NAMED = 5  # items that a line of the history names


def changed(doc: Document) -> Page:
    """Render a case that was just opened or changed."""
    page = Page().line((doc["case"], "bold"), f" is {doc['status']}: {doc['title'] or 'without a title'}.")
    return page.line(f"{_assignee(doc)}, {many(doc['contains'], 'item')}, {many(doc['notes'], 'note')}.")


def listed(doc: Document) -> Page:
    """Render the list of cases."""
    if not doc["items"]:
        page = Page().line("There is no such case. To open one: delegraph case open 'What it is about' --by human:you")
    else:
        page = Page().line((many(len(doc["items"]), "case"), "bold"), ":")
    for one in doc["items"]:
        page.line((one["case"], "bold"), f" {one['status']}: {one['title'] or 'without a title'}", lead="  - ")
        page.line(
            f"{_assignee(one)}, {many(one['contains'], 'item')}, opened {when(one['opened_at'])} by {one['opened_by']}",
            lead="    ",
        )
    if not doc["complete"]:
        page.line(("INCOMPLETE", "bold yellow"), f": there are more; --after {doc['next']}")
    return phrases.as_of(page, doc)


def case(doc: Document) -> Page:
    """Render a case with its items and its changes."""
    page = changed(doc)
    page.title(f"Items ({doc['total']:,})")
    for one in doc["items"]:
        page.line((f"{one['kind']}:{one['id']}", "bold"), f" {one['state']}", lead="  - ")
        page.line(one["sentence"], lead="    ")
        why = f": {one['note']}" if one["note"] else ""
        page.line(f"added {when(one['added_at'])} by {one['added_by']}{why}", lead="    ")
    if not doc["complete"]:
        page.line(("INCOMPLETE", "bold yellow"), f": there are more items; --after {doc['next']}")
    shown = doc["changes"]
    page.title(f"Changes ({shown['total']:,}), the latest first")
    for one in shown["items"]:
        page.line(f"{when(one['given_at'])} {one['by']} ", (change(one), "bold"), lead="  - ")
        if one["note"]:
            page.line(one["note"], lead="    ")
    if not shown["complete"]:
        page.line(("INCOMPLETE", "bold yellow"), ": the history of the case has every change.")
    if not doc["is_whole"]:
        page.line(("INCOMPLETE", "bold yellow"), ": the case has more changes than are read.")
    return phrases.as_of(page, doc)


def change(doc: Document) -> str:
    """Describe a change: what was done, and to which items."""
    if doc["change"] == "assigned":
        return f"assigned it to {doc['assignee']}" if doc["assignee"] else "removed the assignee"
    named = [f"{item['kind']}:{item['id']}" for item in doc["contained"]]
    if doc["change"] == "noted":
        return "wrote a note"
    if not named:
        return _DONE[doc["change"]]
    shown = joined(named[:_NAMED]) + (f" and {len(named) - _NAMED} more" if len(named) > _NAMED else "")
    return f"{_DONE[doc['change']]} with {shown}" if doc["change"] == "opened" else f"{_DONE[doc['change']]} {shown}"


def _assignee(doc: Document) -> str:
    return f"assigned to {doc['assignee']}" if doc["assignee"] else "not assigned"
