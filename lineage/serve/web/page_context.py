"""The content of each page in addition to its document: the sentence, and related documents."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from uuid import uuid4

from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS
from lineage.core.model.times import Instant, format_instant, parse_instant
from lineage.core.model.vocabulary import REASONS
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.chain_picture import picture_of_chain
from lineage.serve.queries.activity.usage import findings_of_actions
from lineage.serve.queries.graphs.graph_view import MOST
from lineage.serve.queries.history.timeline import is_mentioned_more_than
from lineage.serve.queries.inventory.descriptions import descriptions
from lineage.serve.queries.retention.holds import holds_on
from lineage.serve.text import render_lists, render_receivers, render_revocations, render_search
from lineage.serve.web import glossary, linked_text, principal_page, view_models
from lineage.serve.web.board import board_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import PageRequest, first_entry

ENDS: Final = 20  # hops shown at either end of a longer chain
FEW_CARDS: Final = 6  # cards at either end that are shown of a longer chain
AROUND: Final = 100  # elements of the graph used for the validity chart; more for a longer chain
MANY: Final = 5_000  # above this many facts, a thing's actions are not listed on its page
OPEN: Final = 100  # open items at receivers on one page
DRAWN: Final = 16  # elements in the table of a name; the graph has more
GRAPH_DRAWN: Final = 200  # elements on the page of a graph, unless its address says how many
FEW: Final = 20  # entries of a related list
DONE: Final = 5  # actions with the tools, operations and resources that a search found

Shown = Mapping[str, Any]
_OF_A_CASE: Final = ("principal", "delegation", "token", "scope", "source", "gap", "finding", "as of", "as known at")


def who(page: PageRequest) -> Shown:
    """An action."""
    doc = page.document
    done = page.more("/timeline", of=f"action:{doc['action']}")
    recorded = [item["recorded_at"] for item in (done or {"items": []})["items"] if item["type"] == "action.performed"]
    return {
        "said": linked_text.of_who(doc, page.at, page.links),
        "moments": [
            {"name": "when it was done", "at": doc["occurred_at"], "known_at": None},
            *({"name": "as known then", "at": doc["occurred_at"], "known_at": one} for one in sorted(recorded)[:1]),
        ],
        **_chain(page, doc["authority"]["element"], [(doc["occurred_at"], "done")]),
    }


def chain(page: PageRequest) -> Shown:
    """Build the page of a token or a delegation."""
    doc = page.document
    of = f"{doc['kind']}:{doc['id']}"
    return {
        "said": linked_text.of_chain(doc, page.at, page.links),
        "of": of,
        "uses": page.more("/uses", of=of),
        **_chain(page, of, []),
    }


def status(page: PageRequest) -> Shown:
    """Build the page of anything that has a state."""
    doc = page.document
    of = f"{doc['kind']}:{doc['id']}"
    is_party = doc["kind"] in ("principal", "workload")
    many = not is_party and is_mentioned_more_than(page.site.service, doc["kind"], doc["id"], MANY)
    return {
        "said": linked_text.of_status(doc, page.links),
        "too_many": many,
        "of": of,
        "is_element": doc["kind"] in ELEMENT_KINDS,
        "identity": page.more("/identity", of=of) if doc["kind"] == "principal" else None,
        "actions": None if many or is_party else page.more("/actions", of=of, limit=str(FEW)),
        "graph": page.more("/graph", of=of, most=str(DRAWN)),
        "party": principal_page.party(page, of) if is_party else None,
        "under_hold": holds_on(page.site.service, "principal", doc["id"]) if doc["kind"] == "principal" else (),
    }


def uses(page: PageRequest) -> Shown:
    """Build the page of the uses of a token."""
    doc = page.document
    of = f"{doc['kind']}:{doc['id']}"
    return {"of": of, "sentence": linked_text.sentence(render_lists.uses(doc), page.links, unlinked=of)}


def timeline(page: PageRequest) -> Shown:
    """Build the page of every fact about a thing."""
    doc = page.document
    of = f"{doc['kind']}:{doc['id']}"
    return {
        "of": of,
        "findings": _wrong_with(page, doc["kind"], doc["id"]),
        "look": _look(page),
        "facts": [{**item, "fields": view_models.fields(item["event"], item["of"])} for item in doc["items"]],
    }


def _look(page: PageRequest) -> Callable[[str, str, str | None], str]:
    """Build links to the page of a thing at another time."""

    def look(of: str, at: str, known_at: str | None) -> str:
        return Links(at, known_at).key(of) or page.links.to("/timeline", of=of, at=at, known_at=known_at)

    return look


def diff(page: PageRequest) -> Shown:
    """Build the page of what changed between two instants."""
    doc = page.document
    between = (page.query.text("from"), page.query.text("to"))
    return {"of": f"{doc['kind']}:{doc['id']}", "sentence": linked_text.of_diff(doc, page.links), "between": between}


def graph(page: PageRequest) -> Shown:
    """Build the page of the graph around a thing."""
    doc = page.document
    return {
        "of": f"{doc['kind']}:{doc['id']}",
        "findings": _wrong_with(page, doc["kind"], doc["id"]),
        "drawing": view_models.drawing(doc),
        "parents_of": view_models.parents_of(doc),
        # At most half of the graph are ancestors, of which there may be more.
        "most": MOST if GRAPH_DRAWN // 2 <= len(doc["nodes"]) < MOST and not doc["complete"] else None,
    }


def _wrong_with(page: PageRequest, kind: str, id_: str) -> list[Document]:
    """Return the findings of a thing, as its own page shows them."""
    if kind == "action":
        doc = page.more("/who", action=id_)
    else:
        doc = page.more("/status", of=f"{kind}:{id_}") if kind in ELEMENT_KINDS | NAME_KINDS else None
    return doc["findings"] if doc else []


def reach(page: PageRequest, *, new: Collection[str] = ()) -> Shown:
    """Build the page of a plan and the form that gives the order; ``new`` is what a reviewed plan did not list."""
    doc = page.document
    mode = page.query.text("mode") or "revoke"
    issued_before, cascade = page.query.instant("issued_before"), page.query.flag("cascade", default=True)
    target = doc["target"]
    return {
        "of": f"{target['kind']}:{target['id']}",
        "said": linked_text.of_plan(doc, page.links, mode=mode, issued_before=issued_before, cascade=cascade),
        "how": {"mode": mode, "issued_before": page.query.text("issued_before"), "cascade": cascade},
        "ahead": page.query.flag("unseen", default=False),
        "elements": view_models.totals(doc["kills"]),
        "kills": view_models.killed(doc, new),
        "reasons": REASONS,
        "four_eyes": page.site.four_eyes,
        "filled": {"reason": "", "note": ""},
        "key": str(uuid4()),  # makes a form that is submitted twice one order
    }


def revocation(page: PageRequest) -> Shown:
    """Build the page of whether a revocation is enforced."""
    doc = page.document
    start = first_entry(page.query)
    liftable = [one for one in doc["orders"] if _may_be_lifted(one, page.query.now)]
    lifted = [one for one in liftable if one["lifted_at"] and parse_instant(one["lifted_at"]) <= page.query.now]
    return {
        "said": linked_text.of_closure(doc, page.links),
        "start": start,
        "open_here": doc["open"][start : start + OPEN],
        "next": start + OPEN if len(doc["open"]) > start + OPEN else None,
        "open_words": render_revocations.REASONS,
        "board": board_of([doc], page.site.contacts, page.query.at),
        "marking": page.query.text("mark") or "",
        "liftable": len(lifted) < len(liftable),
        "lifted_at": max(one["lifted_at"] for one in lifted) if 0 < len(lifted) == len(doc["orders"]) else None,
        "for_good": not liftable,
    }


def _may_be_lifted(order: Document, now: Instant) -> bool:
    """Whether a lift of an order has an effect: none on a revocation of a token or delegation that took effect."""
    for_good = order["mode"] != "suspend" and order["target"]["kind"] in ELEMENT_KINDS
    return not for_good or order["lifted_at"] is not None or now < parse_instant(order["effective_at"])


def receivers(page: PageRequest) -> Shown:
    """Build the page of the registered enforcement points."""
    return {"coverage": render_receivers.coverage, "probes": page.site.probes}


def whole_dossier(page: PageRequest) -> Shown:
    """Build a dossier."""
    doc = page.document
    return {
        "facts": [{**item, "fields": view_models.fields(item["event"], item["of"])} for item in doc["facts"]["items"]],
        "hops": view_models.hops(doc["answer"]) if "chain" in doc["answer"] else [],
        "drawing": view_models.drawing(doc["graph"]) if doc["graph"] else None,
        "parents_of": view_models.parents_of(doc["graph"]) if doc["graph"] else {},
        "meanings": glossary.STATES | {word: glossary.TERMS[word] for word in _OF_A_CASE},
        "chart": view_models.validity(doc["answer"], doc["graph"], _marks(doc["answer"]), extra=[(doc["at"], "as of")])
        if "chain" in doc["answer"]
        else None,
    }


def governance(question: str, title: str) -> Callable[[PageRequest], Shown]:
    """Return the view of a governance question, with its title."""

    def view(page: PageRequest) -> Shown:
        between = () if question == "allowed" else (page.query.text("from") or "", page.query.text("to") or "")
        return {
            "question": question,
            "title": title,
            "agent": page.document.get("agent", ""),
            "between": between,
        }

    return view


def search(page: PageRequest) -> Shown:
    """Build the page of what contains a text, by kind, with a line about each, the actions with it and their findings.

    Only the actions that are seen first are examined for findings.
    """
    doc = page.document
    things = [*doc["items"], *doc["did_you_mean"]]
    described = descriptions(page.site.service, things, at=page.query.at, until=page.at, known_at=page.query.known_at)
    shown = [{**thing, "said": _said_about(page, thing, about)} for thing, about in zip(things, described, strict=True)]
    listed = {one["id"] for one in doc["items"] if one["kind"] == "action"}
    used = (one for about in described if about for one in about.get("actions", ()))
    done = {one["action"]: one for one in used if one["action"] not in listed}
    latest = sorted(done.values(), key=lambda one: (one["occurred_at"], one["action"]), reverse=True)[:DONE]
    seen = [*(one["action"] for one in latest), *(one["id"] for one in doc["items"] if one["kind"] == "action")]
    return {
        "q": page.query.text("q"),
        "kinds": _by_kind(shown[: len(doc["items"])]),
        "near": shown[len(doc["items"]) :],
        "done": latest,
        "findings": findings_of_actions(
            page.site.service, seen[: 2 * DONE], at=page.query.at, known_at=page.query.known_at
        ),
        "looks_at": render_search.LOOKS_AT,
    }


def _said_about(page: PageRequest, thing: Document, described: Document | None) -> list[linked_text.TextSpan]:
    """Phrase what is known about a thing."""
    if described is None:
        return [linked_text.TextSpan(thing["display_name"], "", "")] if "display_name" in thing else []
    return linked_text.sentence(render_search.line_of(thing["kind"], thing["id"], described), page.links)


def _marks(answer: Document) -> list[tuple[str, str]]:
    return [(answer["occurred_at"], "done")] if "occurred_at" in answer else []


def nothing(_asked: PageRequest) -> Shown:
    """Show nothing in addition to the document."""
    return {}


def conflicts(page: PageRequest) -> Shown:
    """Build the page of identities under which different contents were sent."""
    return {
        "said_by": [[view_models.fields(one["event"]) for one in item["contents"]] for item in page.document["items"]]
    }


def _by_kind(items: list[Document]) -> dict[str, list[Document]]:
    kinds: dict[str, list[Document]] = {}
    for item in items:
        kinds.setdefault(item["kind"], []).append(item)
    return kinds


def _chain(page: PageRequest, around: str | None, marks: list[tuple[str, str]]) -> Shown:
    """Show the chain, and the validity of what it depends on, from the graph around its authority."""
    hops = view_models.hops(page.document)
    first, hidden, last = view_models.cut(hops, ENDS)
    steps = view_models.cards(picture_of_chain(page.document, page.links.of), hops)
    cards = view_models.cut(steps, FEW_CARDS)
    # At most half of the graph are ancestors.
    most = max(2 * (len(page.document["tokens"]) + len(page.document["delegations"]) + 1), AROUND)
    graph = None if around is None else page.more("/graph", of=around, most=str(min(most, MOST)), findings="false")
    if page.at is not None:
        marks = [*marks, (format_instant(page.at), "asked about")]
    now = [] if page.at is not None else [(format_instant(page.query.now), "now")]
    chart = view_models.validity(page.document, graph, marks, extra=now)
    return {"first_hops": first, "hidden_hops": hidden, "last_hops": last, "chart": chart, "cards": cards}
