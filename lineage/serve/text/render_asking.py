"""Text pages for filtered lists of actions, principals, tokens and delegations, and for the overview."""

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import Page, joined, many


def actions(doc: Document) -> Page:
    """Render actions, latest first."""
    items, total = doc["items"], doc["total"]
    page = Page()
    if total is not None:
        page.line(f"{many(total, 'action')}, the latest first." if total else "No action matches.")
    elif not items:
        page.line("No actions on this page; there are more pages.")
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
        root = "unknown" if item["root"] is None else item["root"]
        return f"{by}; no human is known behind it ({root})"
    name = f" ({item['human_name']})" if item["human_name"] else ""
    return f"{by} for {item['human_known_as']}{name}"


def principals(doc: Document) -> Page:
    """Render principals."""
    page = _counted(Page(), doc, "principal")
    for item in doc["items"]:
        page.line()
        name = f" ({item['display_name']})" if item["display_name"] else ""
        page.line((item["id"], "bold"), f"{name}, {item['kind']}, {phrases.label(item['state'])}")
        alive = item["alive_tokens"]
        parts = ["very many tokens" if alive is None else f"{many(alive, 'token')} alive"]
        parts += [f"owned by {item['owner']}"] if item["owner"] else []
        parts += [f"also {joined(item['aliases'])}"] if item["aliases"] else []
        if item["last_acted_at"]:
            parts.append(f"last acted {when(item['last_acted_at'])}")
        else:
            parts.append("acted very often" if item["acted"] else "no known action")
        page.line(joined(parts), lead="    ")
    return phrases.whole(page, doc)


def tokens(doc: Document) -> Page:
    """Render tokens."""
    page = _counted(Page(), doc, "token")
    for item in doc["items"]:
        _held(page, item, item["token"], f"held by {item['holder_known_as']}")
        if item["last_used_at"]:
            used = f"last used {when(item['last_used_at'])}"
        else:
            used = "used very often" if item["used"] else "no known use"
        page.line(joined([*_span(item), used]), lead="    ")
    return phrases.whole(page, doc)


def delegations(doc: Document) -> Page:
    """Render delegations."""
    page = _counted(Page(), doc, "delegation")
    for item in doc["items"]:
        _held(page, item, item["delegation"], f"granted by {item['issuer']} to {item['holder_known_as']}")
        page.line(joined([*_span(item), *([item["purpose"]] if item["purpose"] else [])]), lead="    ")
    return phrases.whole(page, doc)


def _counted(page: Page, doc: Document, noun: str) -> Page:
    total = doc["total"]
    if total is not None:
        page.line(f"{many(total, noun)}." if total else f"No {noun} matches.")
    elif not doc["items"]:
        page.line(f"No {noun}s on this page; there are more pages.")
    return page


def _held(page: Page, item: Document, id_: str, how: str) -> None:
    page.line()
    by = f" by {item['revocation']}" if item["revocation"] else ""
    page.line((id_, "bold"), f" {phrases.label(item['state'])}{by}")
    human = f" for {item['human_known_as']}" if item["human"] else ""
    name = f" ({item['human_name']})" if item["human_name"] else ""
    page.line(f"{how}{human}{name}", lead="    ")


def _span(item: Document) -> list[str]:
    until = when(item["expires_at"]) if item["expires_at"] else "no end"
    return [f"{when(item['issued_at'])} to {until}", *([joined(item["scopes"], " ")] if item["scopes"] else [])]


def overview(doc: Document) -> Page:
    """Render what needs attention, and the amount of activity."""
    page = Page()
    _overview_findings(page, doc["findings"])
    _open_orders(page, doc["revocations"])
    waiting = doc["quarantine"]["records"]
    page.line(f"Quarantine: {many(waiting, 'record')}." if waiting else "Quarantine: nothing.")
    silent = [item for item in doc["sources"]["items"] if item["silent"]]
    if silent:
        page.line(f"Silent: {many(len(silent), 'source')}.")
        for item in silent:
            page.line(f"{item['source']}, heard last {when(item['last_recorded_at'])}", lead="  - ")
    else:
        page.line(f"Sources: {many(len(doc['sources']['items']), 'source')} heard of late, none silent.")
    actions, tokens = doc["actions"], doc["tokens"]
    latest = "" if actions["complete"] else "latest "
    share = actions["share_with_human"]
    page.line(f"Actions: {actions['with_human']:,} of the {latest}{actions['looked_at']:,} lead to a human"
              f"{f' ({share:.0%})' if share is not None else ''}; {many(doc['activity']['total'], 'fact')} of "
              f"actions from {when(doc['activity']['from'])} to {when(doc['activity']['to'])}.")  # fmt: skip
    latest = "" if tokens["complete"] else "latest "
    page.line(f"Tokens: {tokens['alive']:,} of the {latest}{tokens['looked_at']:,} are alive; the longest chain behind "
              f"one has {many(tokens['depth']['longest'], 'party', 'parties')}.")  # fmt: skip
    return phrases.as_of(page, doc)


def _overview_findings(page: Page, found: Document) -> None:
    if found["by_severity"] is None:
        page.line(f"Findings: not known; {found['why']}.")
        return
    counted = joined(f"{count:,} {word}" for word, count in found["by_severity"].items())
    page.line(f"Findings: {counted}." if counted else "Findings: none.")
    for one in found["worst"]:
        page.line(f"{one['severity']} {one['kind']}: ", one["why"], f" ({one['id']})", lead="  - ")


def _open_orders(page: Page, found: Document) -> None:
    of = f" of the latest {found['looked_at']:,}" if found["total"] > found["looked_at"] else ""
    page.line(f"Revocations: {found['open']:,} open{of}, {found['total']:,} in all.")
    for item in found["items"]:
        missing = "" if item["missing"] is None else f", {item['missing']:,} not confirmed"
        page.line(
            f"{item['revocation']} ({item['mode']} {item['target']['kind']} {item['target']['id']}): "
            f"{item['verdict'] or 'too much to be worked out here'}{missing}, ordered {when(item['ordered_at'])}",
            lead="  - ",
        )
