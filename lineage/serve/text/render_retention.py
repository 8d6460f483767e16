"""Text pages about retention: what was or would be deleted, and legal holds."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, many


def survey(doc: Document) -> Page:
    """Render what would be deleted."""
    page = Page().line((f"{many(doc['records'], 'record')} would be deleted", "bold"), f": {_rest(doc)}.")
    for one in doc["partitions"]:
        page.line(
            f"{one['topic']}/{one['partition']}: {many(one['records'], 'record')} before offset {one['old_until']:,}",
            lead="  - ",
        )
    for one in doc["held_by"]:
        page.line(f"{_holder(one)} keeps {many(one['records'], 'record')} that nothing else needs", lead="  - ")
    return phrases.as_of(page, doc)


def retained(doc: Document) -> Page:
    """Render what was deleted."""
    if not doc["deletions"]:
        return phrases.as_of(Page().line(("Nothing was deleted", "bold"), f": {_rest(doc)}."), doc)
    page = Page().line((f"{many(doc['records'], 'record')} deleted", "bold"), f": {_rest(doc)}.")
    for one in doc["deletions"]:
        _deletion(page, one)
    return phrases.as_of(page, doc)


def last_run(page: Page, run: Document | None) -> Page:
    """State how the last run ended."""
    if run is None:
        return page.line("Retention has not run yet.")
    if run["ended_at"] is None:
        return page.line(f"Retention is running since {when(run['started_at'])}, or was interrupted.")
    if run["fault"] is not None:
        return page.line(("Retention failed", "bold red"), f" {when(run['ended_at'])}: {run['fault']}")
    deleted_, held_ = many(run["records"], "record"), f"{run['held']:,}"
    return page.line(f"Retention ended {when(run['ended_at'])}: {deleted_} deleted, {held_} held.")


def deleted(doc: Document) -> Page:
    """Render the list of deletions."""
    if not doc["items"]:
        return phrases.as_of(Page().line("Retention has deleted nothing."), doc)
    page = Page().line((many(doc["total"], "deletion"), "bold"), ":")
    for one in doc["items"]:
        _deletion(page, one)
        for fault in one["faults"]:
            page.line(("WRONG", "bold red"), f": {fault}", lead="    ")
        if not one["faults"]:
            known = "valid" if one["signed"] else "consistent; without the key, its signature was not verified"
            page.line(f"the certificate is {known}", lead="    ")
    return phrases.as_of(page, doc)


def holds(doc: Document) -> Page:
    """Render the list of holds."""
    if not doc["items"]:
        place = "delegraph hold place --principal ID --reason WHY --by human:you"
        return phrases.as_of(Page().line(f"There is no hold. To place one: {place}"), doc)
    page = Page().line((many(doc["total"], "hold"), "bold"), ":")
    for one in doc["items"]:
        _hold(page, one)
    return phrases.as_of(page, doc)


def hold(doc: Document) -> Page:
    """Render a hold that was just placed or released."""
    return phrases.as_of(_hold(Page(), doc), doc)


def _hold(page: Page, one: Document) -> Page:
    page.line((one["hold"], "bold"), " is in force" if one["in_force"] else " is released", lead="  - ")
    for change in one["changes"]:
        what = f" on {_named(change)}" if change["change"] == "placed" else ""
        page.line(
            f"{change['change']}{what} {when(change['given_at'])} by {change['by']}: {change['reason']}", lead="    "
        )
    return page


def _named(change: Document) -> str:
    parts = [
        *([f"what names {change['principal']}"] if change["principal"] else []),
        *([f"the case {change['case']}"] if change["case"] else []),
        *([f"what came from {when(change['starts_at'])} on"] if change["starts_at"] else []),
        *([f"what came before {when(change['ends_at'])}"] if change["ends_at"] else []),
    ]
    return " and ".join(parts) or "everything"


def _rest(doc: Document) -> str:
    kept = doc["old"] - doc["records"]
    waiting = f"; {doc['unwitnessed']:,} more wait for a witnessed checkpoint" if doc["unwitnessed"] else ""
    return (
        f"of {many(doc['old'], 'old record')} before {when(doc['before'])}, {kept:,} are still needed or held{waiting}"
    )


def _holder(one: Document) -> str:
    return f"the hold {one['id']}" if one["kind"] == "hold" else f"the open case {one['id']}"


def _deletion(page: Page, one: Document) -> None:
    page.line(
        (one["deletion"], "bold"),
        f": {many(one['records'], 'record')} of {one['topic']}/{one['partition']}, in tiles {one['first_tile']:,} "
        f"to {one['last_tile']:,}",
        lead="  - ",
    )
    page.line(f"{one['rule']}; deleted {when(one['deleted_at'])} by {one['deleted_by']}", lead="    ")
