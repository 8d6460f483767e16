"""Text pages for the four governance questions."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many


def active(doc: Document) -> Page:
    """Render which agents were active."""
    page = Page().line((many(doc["total"], "agent"), "bold"), f" active between {_between(doc)}.")
    for one in doc["items"]:
        counts = f"{many(one['actions'], 'action')}, {many(one['tokens'], 'token')}, "
        owner = f", owned by {one['owner']}" if one["owner"] else ", without an owner"
        page.line((one["known_as"], "bold"), f": {counts}{many(one['delegations'], 'delegation')}{owner}", lead="  - ")
        page.line(f"first {when(one['first'])}, last {when(one['last'])}", lead="    ")
    return _end(page, doc)


def allowed(doc: Document) -> Page:
    """Render what an agent may do."""
    scopes = joined(doc["effective_scopes"], " ") or "no scopes"
    unknown = "" if doc["scopes_known"] else ", and whatever grants without scopes allow"
    page = Page().line((doc["known_as"], "bold"), f" might use {scopes}{unknown}, at {when(doc['at'])}.")
    for one in doc["items"]:
        effective = "unknown" if one["effective_scopes"] is None else joined(one["effective_scopes"], " ") or "none"
        page.line(f"{one['kind']} ", (one["id"], "bold"), f", from {one['given_by']}: {effective}", lead="  - ")
        ends = f"until {when(one['ends_at'])}" if one["ends_at"] else "without end"
        used = f"; used at {joined(one['tools'], ', ')}" if one["tools"] else "; not used"
        page.line(f"{ends}{used}", lead="    ")
    return _end(page, doc)


def held(doc: Document) -> Page:
    """Render what an agent held."""
    page = Page().line(
        (doc["known_as"], "bold"), f" held {many(doc['total'], 'delegation or token', 'delegations and tokens')} "
        f"between {_between(doc)}."
    )  # fmt: skip
    for one in doc["items"]:
        page.line(f"{one['kind']} ", (one["id"], "bold"), f", from {one['given_by']}", lead="  - ")
        ended = f"ended {when(one['ended_at'])} by {one['ended_by']}" if one["ended_by"] else "not ended by then"
        page.line(f"from {when(one['issued_at'])}, {ended}", lead="    ")
    return _end(page, doc)


def done(doc: Document) -> Page:
    """Render what an agent did."""
    page = Page().line((doc["known_as"], "bold"), f" did {many(doc['total'], 'action')} between {_between(doc)}.")
    for one in doc["items"]:
        what = (str(one["operation"]), "bold")
        page.line(f"{when(one['occurred_at'])} ", what, f" {one['outcome']}, {one['action']}", lead="  - ")
        page.line(f"{joined(one['chain'], ' > ') or 'unknown'}", lead="    ")
    return _end(page, doc)


def _between(doc: Document) -> str:
    return f"{when(doc['from'])} and {when(doc['to'])}"


def _end(page: Page, doc: Document) -> Page:
    if not doc["complete"]:
        page.line(("NOT ALL", "bold yellow"), f": {len(doc['items']):,} of {doc['total']:,}; --limit shows more.")
    return phrases.as_of(page, doc)
