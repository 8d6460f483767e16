"""Text page for one finding: why, the evidence, related findings, and the judgements."""

from itertools import groupby
from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many

_CONNECTED: Final = (("causes", "Caused by"), ("consequences", "What it led to"), ("related", "Related findings"))


def finding(doc: Document) -> Page:
    """Render one finding."""
    page = Page()
    phrases.finding(page, doc)
    page.line()
    page.field("rule", f"{doc['kind']}: {doc['title']}")
    page.field("of", doc["of"])
    if doc["about"]:
        page.field("about", doc["about"])
    page.field("seen", f"{many(doc['count'], 'time')}, first {when(doc['first_seen'])}, last {when(doc['last_seen'])}")
    by_framework = groupby(doc["maps_to"], key=lambda entry: f"{entry['framework']} {entry['version']}")
    for number, (name, entries) in enumerate(by_framework):
        references = joined((f"{entry['id']} {entry['title']}" for entry in entries), "; ")
        page.field("" if number else "maps to", f"{name}: {references}")
    page.title(f"Evidence ({len(doc['evidence'])}), the earliest first")
    for fact in doc["evidence"]:
        page.line(f"{when(fact['occurred_at'])} ", (fact["type"], "bold"), f" {fact['of']}", lead="  - ")
        page.line(f"{fact['event']['event_id']} of {fact['event']['source']}", lead="    ")
    if not doc["evidence_complete"]:
        page.line(("INCOMPLETE", "bold yellow"), ": only the first facts are cited; more show the same.")
    for name, title in _CONNECTED:
        _brief(page, title, doc[name])
    _judgements(page, doc)
    return phrases.as_of(page, doc)


def _brief(page: Page, title: str, found: Document) -> None:
    if found["total"] is None:
        page.line().line(f"{title}: not looked up here, since the store is large.")
    if not found["total"]:
        return
    page.title(f"{title} ({found['total']:,})")
    for one in found["items"]:
        page.line((one["severity"], "bold"), f" {one['kind']}: ", one["why"], f" ({one['id']})", lead="  - ")
    if not found["complete"]:
        page.line(("INCOMPLETE", "bold yellow"), f": {found['total'] - len(found['items']):,} more are not shown.")


def _judgements(page: Page, doc: Document) -> None:
    in_force = doc["judgement"]
    from_settings = [in_force] if in_force is not None and in_force["judged_at"] is None else []
    if doc["judgements"] or from_settings:
        page.title("Decisions")
    for one in [*doc["judgements"], *from_settings]:
        at = f", {when(one['judged_at'])}" if one["judged_at"] else ", in the settings"
        until = f", until {when(one['until'])}" if one["until"] else ""
        void = "" if one["counts"] else " (does not count: a suppression needs an end, and every decision a reason)"
        page.line((one["judgement"], "bold"), f" by {one['by']}{at}{until}: {one['reason']}{void}", lead="  - ")
