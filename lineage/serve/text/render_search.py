"""Text page of a search: what was found, each with a line by which a person recognises it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.text import phrases
from lineage.serve.text.phrases import keyed, state, thing, to_second
from lineage.serve.text.text_page import Page, Piece, Words, many

# Where a search looks, on pages and in the command line's help.
LOOKS_AT: Final = "ids, display names, tools, operations and resources"
_USED: Final = {"tool": "last used", "operation": "last done", "resource": "last acted on"}


def search(doc: Document, described: Sequence[Document | None] = ()) -> Page:
    """Render what contains the words, in a form that other commands accept.

    Args:
        doc: The answer.
        described: What is known about each of its items, and then of each suggestion.
    """
    items = [*doc["items"], *doc["did_you_mean"]]
    known = [*described, *([None] * (len(items) - len(described)))]
    page = Page()
    for number, (item, description) in enumerate(zip(items, known, strict=True)):
        if number == len(doc["items"]):
            page.line("Did you mean:")
        lead = "" if number < len(doc["items"]) else "  "
        name = f"  {item['display_name']}" if item.get("display_name") and description is None else ""
        page.line(f"{item['kind']}:{item['id']}{name}", lead=lead)
        if description is not None:
            page.add(line_of(item["kind"], item["id"], description), lead=f"{lead}    ")
    if not doc["items"]:
        nothing = Page().line(
            f"Nothing contains that. A search looks at {LOOKS_AT}."
            if doc["complete"]
            else "Nothing on this page; there are more pages."
        )
        page = nothing.add(page, lead="")
    return phrases.whole(page, doc)


def line_of(kind: str, id_: str, described: Document) -> Page:
    """Render what is known about one thing as a line.

    Args:
        kind, id_: The thing.
        described: Its description (``queries.inventory.descriptions``).
    """
    words = _WORDS.get(kind)
    return Page().line(*([] if words is None else words(kind, id_, described)))


def _action(_kind: str, _id: str, item: Document) -> Iterator[Words]:
    yield (str(item["operation"]), "bold")
    if item["tool"]:
        yield from (" with ", thing("tool", item["tool"]))
    if item["resource"]:
        type_ = f"{item['resource']['type']} " if item["resource"]["type"] else ""
        yield from (f" on {type_}", thing("resource", item["resource"]["id"]))
    yield f", {item['outcome']} "
    yield from (_time(item["occurred_at"]), ", by ")
    actor = item["actor"] or (item["agents"] or [None])[-1]
    yield "an unknown party" if actor is None else thing("principal", actor)
    yield from _human(item)
    if item["state"]:
        yield from ("; authority ", state(item["state"]))


def _human(item: Document) -> Iterator[Words]:
    """Name the person for whom an action was done or a token is held."""
    if item["human"] is None:
        return
    yield from (" for ", thing("principal", item["human_known_as"]))
    if item["human_name"]:
        yield f" ({item['human_name']})"


def _element(kind: str, _id: str, item: Document) -> Iterator[Words]:
    if not item:
        yield "no event granted it"
        return
    if kind == "delegation":
        yield from ("from ", thing("principal", item["issuer"]), " to ", thing("principal", item["holder"]))
    else:
        yield from ("held by ", thing("principal", item["holder_known_as"]))
        yield from _human(item)
    yield from (", ", state(item["state"]), ", ", _time(item["issued_at"]))
    yield from (" to ", _time(item["expires_at"])) if item["expires_at"] else (", no expiry",)
    if item.get("purpose"):
        yield f", {item['purpose']}"


def _principal(_kind: str, id_: str, item: Document) -> Iterator[Words]:
    if item["display_name"]:
        yield from ((str(item["display_name"]), "bold"), ", ")
    yield "of unknown kind" if item["principal_kind"] == "unknown" else str(item["principal_kind"])
    if item["agent"]:
        yield from (" of ", thing("principal", item["agent"]))
    elif item["known_as"] != id_:
        yield from (", known as ", thing("principal", item["known_as"]))
    yield from (", ", state(item["state"]))
    if item["owner"]:
        yield from (", owned by ", thing("principal", item["owner"]))


def _named(_kind: str, _id: str, item: Document) -> Iterator[Words]:
    yield state(item["state"])
    if item["tokens"] is None:
        yield ", named by very many tokens"
    elif item["tokens"]:
        yield f", named by {many(item['tokens'], 'token')}, the first issued for "
        yield from (thing("principal", item["subject"]) if item["subject"] else "an unknown party", " ")
        yield _time(item["since"])


def _decision(_kind: str, _id: str, item: Document) -> Iterator[Words]:
    yield ("permitted", "green") if item["permitted"] else ("denied", "bold red")
    yield f" {item['operation']}" if item.get("operation") else ""
    if item.get("resource"):
        yield from (" on ", thing("resource", item["resource"]["id"]))
    yield from (", ", _time(item["occurred_at"]))
    if item.get("policy"):
        yield f", by policy {item['policy']['id']}"


def _revocation(_kind: str, _id: str, item: Document) -> Iterator[Words]:
    yield f"{item['mode']} "
    yield from (keyed(f"{item['target']['kind']}:{item['target']['id']}"), f", {phrases.label(item['reason'])}, by ")
    yield thing("principal", item["by"])


def _case(_kind: str, _id: str, item: Document) -> Iterator[Words]:
    yield str(item["title"])


def _used(kind: str, _id: str, item: Document) -> Iterator[Words]:
    latest = item["actions"][0]
    yield from (f"{_USED[kind]} ", _time(latest["occurred_at"]), " by ")
    actor = latest["actor"] or (latest["agents"] or [None])[-1]
    yield "an unknown party" if actor is None else thing("principal", actor)
    yield from _human(latest)
    yield from (" (", thing("action", latest["action"]), ")")


def _time(instant: str) -> Piece:
    return Piece(to_second(instant), is_time=True)


_WORDS: Final[dict[str, Callable[[str, str, Document], Iterator[Words]]]] = {
    "action": _action,
    "token": _element,
    "delegation": _element,
    "principal": _principal,
    "session": _named,
    "client": _named,
    "decision": _decision,
    "revocation": _revocation,
    "case": _case,
    "tool": _used,
    "operation": _used,
    "resource": _used,
}
