"""Text of a plan in addition to what it ends: who else is affected, recent activity, and what is unknown."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many


def details(page: Page, doc: Document) -> None:
    """Render the extended part of a plan; empty parts are omitted."""
    if "depths" not in doc:
        return
    for one in doc["approvals"]:
        page.line(f"Approved by {one['approved_by']}, good until {when(one['expires_at'])}.")
    depths(page, doc["depths"])
    _receivers(page, doc)
    _recent(page, doc["recent_hour"])
    if doc["shared"]:
        page.title(f"Shared ({len(doc['shared'])}): used by what this would not end as well")
        phrases.entries(page, doc["shared"], _shared)
    if doc["spared"]:
        page.line().line(f"{many(doc['spared'], 'survivor')} spared, issued too late for --issued-before.")
    _unjudged(page, doc["unjudged"])
    if doc["backdated"]:
        count = many(doc["backdated"]["actions"], "past success", "past successes")
        page.line().line(f"Back-dated to {when(doc['backdated']['effective_at'])}: {count} under it would be tainted.")
    if doc["narrower"]:
        page.title("Narrower: this would end the same and affect less later")
        page.command(["delegraph", "reach", f"{doc['narrower']['kind']}:{doc['narrower']['id']}"])


def depths(page: Page, found: list[Document]) -> None:
    """Render how many elements are at which distance below a target."""
    if not found:
        return
    page.title("Steps below the target")

    def row(page: Page, one: Document) -> None:
        counted = [many(one[f"{noun}s"], noun) for noun in ("token", "delegation") if one[f"{noun}s"]]
        page.field(str(one["depth"]), joined(counted, " and "))

    phrases.entries(page, found, row)


def warnings(page: Page, doc: Document) -> None:
    """Render what is unusual about an order."""
    for warning in doc["warnings"]:
        page.line(("WARNING", "bold red"), f": {warning}.")


def _receivers(page: Page, doc: Document) -> None:
    uncovered = doc["uncovered"]
    if doc["receivers"]:
        page.title("Enforcement points that have to confirm")
        phrases.entries(page, doc["receivers"], lambda page, one: page.field(f"{one['covers']:,}", one["receiver"]))
    if uncovered["count"]:
        page.title(f"Covered by no enforcement point: {many(uncovered['count'], 'element')}")
        _first(page, uncovered)


def _first(page: Page, counted: Document) -> None:
    for key in counted["first"]:
        page.line(key, lead="  - ")
    if counted["count"] > len(counted["first"]):
        page.line((f"... and {counted['count'] - len(counted['first']):,} more", "bold"), lead="  ")


def _recent(page: Page, recent: Document) -> None:
    if recent["count"]:
        tools = joined(f"{one['count']:,} with {one['tool'] or 'an unknown tool'}" for one in recent["by_tool"])
        page.line().line(f"In the hour before: {many(recent['count'], 'action')}, {tools}.")


def _shared(page: Page, one: Document) -> None:
    rest = "" if one["complete"] else ", at least; too many to look at each"
    people = f", of {joined(one['people'])}" if one["people"] else ""
    page.line(
        f"{one['kind']} ", (one["id"], "bold"), f": {many(one['elements'], 'other element')}{people}{rest}", lead="  - "
    )


def _unjudged(page: Page, unjudged: Document) -> None:
    if unjudged["count"]:
        page.title(f"Cannot be judged: {many(unjudged['count'], 'dependency', 'dependencies')} never granted")
        _first(page, unjudged)
    if unjudged["quarantined"]:
        records = many(unjudged["quarantined"], "record")
        page.line().line((f"{records} in quarantine that cannot be read and holds the target's id", "bold yellow"))
