"""Text pages for the systems whose logs are read."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many

_SHOWN: Final = 5  # ids without an identity that are shown


def sources(doc: Document) -> Page:
    """Render the outcomes of each source, and what its identity map lacks."""
    page = Page().line((many(doc["total"], "source"), "bold"), ".")
    for item in doc["items"]:
        _source(page, item)
    return page


def collected(doc: Document) -> Page:
    """Render what a run of `collect` ingested from each source."""
    page = Page()
    for item in doc["sources"]:
        text = f"{many(item['records'], 'record')}, {many(item['events'], 'event')}"
        for name in ("skipped", "quarantined"):
            if item[name]:
                parts = [f"{count:,} {reason}" for reason, count in item[name].items()]
                text += f", {name} {sum(item[name].values()):,}: {joined(parts)}"
        page.line((item["name"], "bold"), f": {text}")
        for path, why in item.get("unread", {}).items():
            page.line(("NOT READ", "bold red"), f" {path}: {why}", lead="  ")
    return page


def identity_problems(doc: Document) -> list[str]:
    """Describe problems of the identity maps that a reader of the logs should know, as sentences."""
    parts = []
    for item in doc["items"]:
        parts += [
            f"source {item['name']}: {one['id']} fits the identity rules {joined(one['rules'], ' and ')}, which say "
            "different things; the first of them counts"
            for one in item["ambiguous"]
        ]
        parts += [
            f"source {item['name']}: {joined(one['from'], ' and ')} are one party now, {one['id']}"
            for one in item["joined"]
        ]
    return parts


def _source(page: Page, item: Document) -> None:
    page.title(f"{item['name']} ({item['format']}{'' if item['configured'] else ', not in the settings'})")
    if item["came_at"] is None:
        page.field("records", "none yet")
        return
    page.field("records", f"{item['records']:,}, the last one read {when(item['came_at'])}")
    if item["latest"] is not None:
        page.field("log time", f"up to {when(item['latest'])}")
    page.field("events", f"{item['events']:,}")
    for name in ("skipped", "quarantined"):
        if item[name]:
            parts = [f"{count:,} {reason}" for reason, count in item[name].items()]
            page.field(name, f"{sum(item[name].values()):,}: {joined(parts)}")
    for sentence in identity_problems({"items": [item]}):
        page.line(("NOTE", "bold yellow"), f": {sentence}", lead="  ")
    _unmapped(page, item)


def _unmapped(page: Page, item: Document) -> None:
    if not item["unmapped"]:
        return
    page.line()
    page.line(f"{many(item['unmapped_total'], 'id')} without an identity; the most seen:", lead="  ")
    for one in item["unmapped"][:_SHOWN]:
        name = f", {one['display_name']}" if one["display_name"] else ""
        page.line((one["id"], "bold"), f"  {one['kind']}{name}, {many(one['seen'], 'time')}", lead="  - ")
    own = f', below the [[source]] with name = "{item["name"]}"' if item["configured"] else ""
    page.line(f"To name the first one, add to the settings{own}:", lead="  ")
    above = [] if item["configured"] else ["[[source]]", f'name = "{item["name"]}"', f'format = "{item["format"]}"', ""]
    for line in (*above, *item["unmapped"][0]["line"].split("\n")):
        page.line(line, lead="    ")
