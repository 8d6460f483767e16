"""Text pages for revocations: what one ended, whether it is complete, and the list of all."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import moment, thing, when
from lineage.serve.text.render_plan import depths
from lineage.serve.text.text_page import Page, Words, joined, many

_VERDICTS: Final = {"CLOSED": "bold green", "PARTIAL": "bold red", "UNKNOWN": "bold yellow"}
REASONS: Final = {
    "pending": "has not answered",
    "overdue": "has not answered, and its deadline has passed",
    "rejected": "refuses",
    "used-after-revocation": "said enforced, and it was used since",
    "uncovered": "no registered enforcement point covers it",
    "not-in-force": "the revocation is not in effect yet",
}


def receipt(doc: Document) -> Page:
    """Render a receipt as counts."""
    page = Page().line(
        ("Receipt of ", "bold"), thing("revocation", doc["revocation"], "bold"), f", at {when(doc['at'])}."
    )
    for order in doc["orders"]:
        page.line(_order(order), lead="  ")
    page.line()
    page.line(f"It ends {many(doc['elements'], 'element')}", _states(doc["states"]), ".")
    if doc["born_dead"]:
        dead = doc["born_dead"]
        page.line(f"{dead:,} of them {'was' if dead == 1 else 'were'} issued after revocation: never valid.")
    depths(page, doc["depths"])
    page.title("Digest of the lines, as --json prints them")
    page.line(f"sha256:{doc['digest']}", lead="  ")
    return phrases.as_of(page, doc)


def _states(states: Document) -> str:
    return f": {joined(f'{count:,} {state}' for state, count in states.items())}" if states else ""


def _order(order: Document) -> str:
    """Describe an order in one line."""
    alone = "" if order["cascade"] else ", without cascade"
    lifted = f", reinstated at {when(order['lifted_at'])}" if order["lifted_at"] else ""
    return (
        f"{order['mode']} {order['target']['kind']}:{order['target']['id']}{alone} ({order['reason']}, by "
        f"{order['ordered_by']}), ordered at {when(order['ordered_at'])}, in force from {when(order['in_force_at'])}"
        f"{lifted}"
    )


def closure(doc: Document) -> Page:
    """Render whether a revocation is complete, and what is open."""
    revocation = thing("revocation", doc["revocation"], "bold")
    page = Page().line((doc["verdict"], _VERDICTS[doc["verdict"]]), ": ", revocation, *_verdict(doc))
    page.line(
        "Given at ", moment(doc["ordered_at"]), ", in force from ", moment(doc["in_force_at"]), _interval(doc), "."
    )
    if "lifted_at" in doc:
        page.line("Reinstated at ", moment(doc["lifted_at"]), ".")
    phrases.alarm(page, doc)
    if doc["receivers"]:
        page.title("Enforcement points")
        phrases.entries(page, doc["receivers"], _receiver)
    elif doc["elements"] or doc["verdict"] != "CLOSED":
        page.line().line("No enforcement point is registered: nothing can be confirmed.")
        page.line("Register the gateway or the service that honours these: delegraph receiver register URI")
    if doc["open"]:
        page.title(f"Open ({len(doc['open']):,})")
        phrases.entries(page, doc["open"], _open)
    if "by_hand" in doc:
        page.title("Marked by hand")
        phrases.entries(page, doc["by_hand"], _by_hand)
    if doc["reopened_by"]:
        page.title(f"Reopened by {many(len(doc['reopened_by']), 'action')}")
        phrases.plain(page, doc["reopened_by"])
    phrases.findings(page, doc)
    return phrases.as_of(page, doc)


def _verdict(doc: Document) -> list[Words]:
    ended = many(doc["elements"], "element")
    if doc["verdict"] == "CLOSED" and not doc["elements"]:
        return [" has had nothing to enforce since ", moment(doc["closed_at"]), f": it ends {ended}."]
    if doc["verdict"] == "CLOSED":
        return [" is enforced everywhere since ", moment(doc["closed_at"]), f"; it ended {ended}."]
    if doc["verdict"] == "PARTIAL":
        return [f" is in progress: it ends {ended}, and not every enforcement point has confirmed."]
    if not doc["elements"]:  # an order that is in force and ends nothing is CLOSED
        return [" is not in force yet, and has ended nothing."]
    return [f" is not verifiable: it ends {ended}, and no enforcement point covers some of them."]


def _interval(doc: Document) -> str:
    if doc["seconds"] is None:
        return ""
    last = "the last enforcement point confirmed" if doc["verdict"] == "CLOSED" else "so far the last answer came"
    return f"; {last} {doc['seconds']:,.3f} s later"


def _receiver(page: Page, one: Document) -> None:
    numbers = joined(f"{one[name]:,} {name}" for name in ("delivered", "enforced", "rejected", "pending"))
    page.line((one["receiver"], "bold"), f" covers {one['covers']:,}: {numbers}", lead="  ")


def _by_hand(page: Page, one: Document) -> None:
    text = f", {many(one['elements'], 'element')}: marked by {one['by']} at {when(one['said_at'])}, {one['reason']}"
    page.line((one["receiver"], "bold"), text, lead="  ")


def _open(page: Page, one: Document) -> None:
    who = f"{one['receiver']} " if "receiver" in one else ""
    page.line(f"{one['kind']}:{one['id']}: {who}{REASONS[one['reason']]}", lead="  - ")


def revocations(doc: Document) -> Page:
    """Render all orders, latest first."""
    items = doc["items"]
    page = Page().line(f"{many(doc['total'], 'revocation')}, the latest first." if doc["total"] else "No revocations.")
    phrases.entries(page, items, _revocation)
    return phrases.whole(page, doc)


def _revocation(page: Page, item: Document) -> None:
    page.line()
    still_open = f", {item['open']:,} open" if item["open"] else ""
    page.line(
        thing("revocation", item["revocation"], "bold"), "  ", (item["verdict"], _VERDICTS[item["verdict"]]),
        f"  {many(item['elements'], 'element')}{still_open}",
    )  # fmt: skip
    page.line(_order(item), lead="  ")


__all__ = ["REASONS", "closure", "receipt", "revocations"]
