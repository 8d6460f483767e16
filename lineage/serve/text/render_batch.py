"""Text pages about several targets that are revoked at once."""

from lineage.core.model.times import Instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many

_SHOWN = 20  # entries of each list


def batch(doc: Document, *, now: Instant | None = None) -> Page:
    """Render what revoking several targets would end, or has ended.

    Args:
        doc: The document of the plan or the orders.
        now: Decides whether the orders are in force yet; None: they are.
    """
    suspends, done = doc["mode"] == "suspend", doc["executed"]
    targets = many(len(doc["targets"]), "target")
    if done and doc["repeated"]:
        return _repeated(doc)
    scheduled = done and now is not None and now < parse_instant(doc["effective_at"])
    if scheduled:
        lead = f"Scheduled {targets} as {doc['incident']}, not in force before {when(doc['effective_at'])}"
    elif done:
        lead = f"{'Suspended' if suspends else 'Revoked'} {targets} as {doc['incident']}"
    else:
        lead = f"{'Suspending' if suspends else 'Revoking'} {targets}"
    ended = f"{many(len(doc['kills']['tokens']), 'token')} and {many(len(doc['kills']['delegations']), 'delegation')}"
    verb = ("suspended" if suspends else "ended") if done else ("would suspend" if suspends else "would end")
    verb = ("will suspend" if suspends else "will end") if scheduled else verb
    page = Page().line((lead, "bold"), f"{', which ' if done else ' '}{verb} {ended}.")
    phrases.alarm(page, doc)
    phrases.examined(page, doc)
    for one in doc["targets"]:
        kills = len(one["kills"]["tokens"]) + len(one["kills"]["delegations"])
        named = f"{one['target']['kind']}:{one['target']['id']}"
        given = f", by {one['revocation']}" if "revocation" in one else ""
        page.line(
            (named, "bold"),
            f": {many(kills, 'element')}, {many(one['actions']['count'], 'action')}{given}",
            lead="  - ",
        )
    _listed(page, "Ended by more than one of them", doc["shared"])
    _listed(page, "Agents", doc["agents"])
    _listed(page, "People", doc["humans"])
    if doc["survivors"]:
        page.title("Stays alive")
        for one in doc["survivors"][:_SHOWN]:
            page.line(f"{one['id']}: ", one["why"], lead="  - ")
        _rest(page, len(doc["survivors"]))
    for warning in doc["warnings"]:
        page.line(f"Warning: {warning}")
    if done:
        return page.line(f"In force {'from' if scheduled else 'since'} {when(doc['effective_at'])}.")
    page.line(f"The plan, over all of them: {doc['plan_digest']}")
    return page.line("To execute exactly this plan, repeat the command with --execute --plan-digest and this digest.")


def _repeated(doc: Document) -> Page:
    over = sum("lifted_at" in one for one in doc["targets"])
    if over:
        page = Page().line(
            (f"NOT IN FORCE: {over:,} of {many(len(doc['targets']), 'order')} of {doc['incident']}", "bold"),
            ". It was ordered before; nothing was ordered again.",
        )
    else:
        page = Page().line((f"{doc['incident']} was ordered before", "bold"), "; nothing was ordered again.")
    for one in doc["targets"]:
        lift = f", lifted at {when(one['lifted_at'])} by {one['lifted_by']}" if "lifted_at" in one else ""
        page.line(f"{one['target']['kind']}:{one['target']['id']}, by {one['revocation']}{lift}", lead="  - ")
    if over:
        verb = "suspend" if doc["mode"] == "suspend" else "revoke"
        page.line(f"To {verb} these again, name them in a command with another --id.")
    return page.line("What each ended: delegraph receipt REVOCATION")


def _listed(page: Page, title: str, items: list[str]) -> None:
    if items:
        page.line(f"{title}: {joined(items[:_SHOWN], ', ')}")
        _rest(page, len(items))


def _rest(page: Page, count: int) -> None:
    if count > _SHOWN:
        page.line(f"and {count - _SHOWN:,} more; --json lists all", lead="  ")
