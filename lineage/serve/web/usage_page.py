"""The page of a tool, a resource or an operation: who used it, when, and each number with its list."""

from typing import Any, Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.activity.usage import UNKNOWN
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import PageRequest
from lineage.serve.web.swimlanes import lanes_of

SHOWN: Final = 5  # rows of each facet; the list of actions has the rest
LATEST: Final = 8  # actions in the table
_VALUES: Final = {
    "operation": "What was done",
    "resource": "To what",
    "tool": "With which tool",
    "outcome": "Outcome",
}


def view(page: PageRequest) -> dict[str, Any]:
    """Show the facets, the lanes over time and the latest actions."""
    doc = page.document
    of = {doc["kind"]: doc["id"]}

    def to(**params: str) -> str:
        return page.links.to("/actions", **of, **params)

    def actor(one: Document) -> str | None:
        return one["actor"] or next(reversed(one["agents"]), None)

    return {
        "facets": _facets(doc, page.links, of),
        "lanes": lanes_of(doc["items"], actor, page.links, of, complete=doc["complete"]),
        "all_actions": to(),
        "latest": doc["items"][:LATEST],
        "unsuccessful": [
            {**one, "href": to(outcome=one["name"])} for one in doc["outcomes"] if one["name"] != "succeeded"
        ],
    }


def _facets(doc: Document, links: Links, of: dict[str, str]) -> list[Document]:
    """Return the facets, each with its rows: a name, its page, its number and the list behind the number."""
    stated = {item["actor"] for item in doc["items"]}

    def row(item: Document, filter_: str | None, kind: str, value: str | None) -> Document:
        found = {"name": item.get("display_name") or value or UNKNOWN, "count": item["count"], "href": "", "list": ""}
        found |= {"actions": item.get("actions", [])}
        if value in (None, UNKNOWN) or filter_ is None:
            return found
        return {**found, "href": links.of(kind, str(value)), "list": links.to("/actions", **of, **{filter_: value})}

    def acting(id_: str | None) -> str:
        return "actor" if id_ in stated else "agent"

    found = [
        ("By whom", [row(one, acting(one["principal"]), "principal", one["principal"]) for one in doc["actors"]]),
        ("For whom", [row(one, "human", "principal", one["principal"]) for one in doc["humans"]]),
        *(
            (title, [row(one, name, name, one["name"]) for one in doc[f"{name}s"]])
            for name, title in _VALUES.items()
            if name != doc["kind"]
        ),
        ("Decisions", [row(one, None, "", one["name"]) for one in doc["decisions"]]),
    ]
    return [{"title": title, "rows": rows[:SHOWN], "more": max(len(rows) - SHOWN, 0)} for title, rows in found]
