"""Text pages for lists that were filtered by what people know."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many

ACTION_COLUMNS: Final = (
    *("occurred_at", "action", "operation", "tool", "resource.type", "resource.id", "outcome"),
    *("human", "human_known_as", "human_name", "agents", "actor", "token", "delegation", "decision", "state"),
)


def actions(doc: Document) -> Page:
    """Render actions, latest first."""
    items, total = doc["items"], doc["total"]
    page = Page()
    if total is not None:
        page.line(f"{many(total, 'action')}, the latest first." if total else "No action fits.")
    elif not items:
        page.line("No action so far; it goes on.")
    for item in items:
        page.line()
        page.line(
            f"{when(item['occurred_at'])} ", (str(item["operation"]), "bold"), f" {item['outcome']}, {item['action']}"
        )
        page.line(joined([*_where(item), _by(item)]), lead="    ")
    return phrases.whole(page, doc)


def _where(item: Document) -> list[str]:
    where = [f"tool {item['tool']}"] if item["tool"] else []
    if item["resource"]:
        where.append(f"on {joined(filter(None, (item['resource']['type'], item['resource']['id'])), ' ')}")
    return where


def _by(item: Document) -> str:
    by = f"by {item['actor'] or joined(item['agents'][-1:]) or 'an unknown party'}"
    if item["human"] is None:
        root = "nobody known" if item["root"] is None else item["root"]
        return f"{by}; no human is known behind it ({root})"
    name = f" ({item['human_name']})" if item["human_name"] else ""
    return f"{by} for {item['human_known_as']}{name}"
