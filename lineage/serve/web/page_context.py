"""What each page shows in addition to its document: the sentence, and related documents."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from uuid import uuid4

from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS
from lineage.core.model.times import format_instant, parse_instant
from lineage.core.model.vocabulary import REASONS
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.chain_picture import picture_of_chain
from lineage.serve.queries.graph_view import MOST
from lineage.serve.queries.timeline import is_mentioned_more_than
from lineage.serve.text import render_lists, render_receivers, render_revocations
from lineage.serve.web import glossary, linked_text, principal_page, view_models
from lineage.serve.web.board import board_of
from lineage.serve.web.links import Links
from lineage.serve.web.page_endpoint import Asked, first_entry

ENDS: Final = 20  # hops shown at either end of a longer chain
FEW_CARDS: Final = 6  # cards at either end that are shown of a longer chain
AROUND: Final = 100  # elements of the graph used for the validity chart; more for a longer chain
MANY: Final = 5_000  # above this many facts, a thing's actions are not listed on its page
OPEN: Final = 100  # open items at receivers on one page
DRAWN: Final = 16  # elements in the table of a name; the graph has more
FEW: Final = 20  # entries of a related list

Shown = Mapping[str, Any]
_OF_A_CASE: Final = ("principal", "delegation", "token", "scope", "source", "gap", "finding", "as of", "as known at")


def who(asked: Asked) -> Shown:
    """An action."""
    doc = asked.document
    done = asked.more("/timeline", of=f"action:{doc['action']}")
    recorded = [item["recorded_at"] for item in (done or {"items": []})["items"] if item["type"] == "action.performed"]
    return {
        "said": linked_text.of_who(doc, asked.at, asked.links),
        "moments": [
            {"name": "when it was done", "at": doc["occurred_at"], "known_at": None},
            *({"name": "as known then", "at": doc["occurred_at"], "known_at": one} for one in sorted(recorded)[:1]),
        ],
        **_chain(asked, doc["authority"]["element"], [(doc["occurred_at"], "done")]),
    }


def chain(asked: Asked) -> Shown:
    """Build the page of a token or a delegation."""
    doc = asked.document
    of = f"{doc['kind']}:{doc['id']}"
    return {
        "said": linked_text.of_chain(doc, asked.at, asked.links),
        "of": of,
        "uses": asked.more("/uses", of=of),
        **_chain(asked, of, []),
    }


def status(asked: Asked) -> Shown:
    """Build the page of anything that has a state."""
    doc = asked.document
    of = f"{doc['kind']}:{doc['id']}"
    is_party = doc["kind"] in ("principal", "workload")
    many = not is_party and is_mentioned_more_than(asked.site.service, doc["kind"], doc["id"], MANY)
    return {
        "said": linked_text.of_status(doc, asked.links),
        "too_many": many,
        "of": of,
        "is_element": doc["kind"] in ELEMENT_KINDS,
        "identity": asked.more("/identity", of=of) if doc["kind"] == "principal" else None,
        "actions": None if many or is_party else asked.more("/actions", of=of, limit=str(FEW)),
        "graph": asked.more("/graph", of=of, most=str(DRAWN)),
        "party": principal_page.party(asked, of) if is_party else None,
    }


def uses(asked: Asked) -> Shown:
    """Build the page of the uses of a token."""
    doc = asked.document
    of = f"{doc['kind']}:{doc['id']}"
    return {"of": of, "sentence": linked_text.sentence(render_lists.uses(doc), asked.links, unlinked=of)}


def timeline(asked: Asked) -> Shown:
    """Build the page of every fact about a thing."""
    doc = asked.document
    of = f"{doc['kind']}:{doc['id']}"
    return {
        "of": of,
        "findings": _wrong_with(asked, doc["kind"], doc["id"]),
        "look": _look(asked),
        "facts": [{**item, "fields": view_models.fields(item["event"], item["of"])} for item in doc["items"]],
    }


def _look(asked: Asked) -> Callable[[str, str, str | None], str]:
    """Build links to the page of a thing at another time."""

    def look(of: str, at: str, known_at: str | None) -> str:
        return Links(at, known_at).key(of) or asked.links.to("/timeline", of=of, at=at, known_at=known_at)

    return look


def diff(asked: Asked) -> Shown:
    """Build the page of what changed between two instants."""
    doc = asked.document
    between = (asked.query.text("from"), asked.query.text("to"))
    return {"of": f"{doc['kind']}:{doc['id']}", "sentence": linked_text.of_diff(doc, asked.links), "between": between}


def graph(asked: Asked) -> Shown:
    """Build the page of the graph around a thing."""
    doc = asked.document
    return {
        "of": f"{doc['kind']}:{doc['id']}",
        "findings": _wrong_with(asked, doc["kind"], doc["id"]),
        "drawing": view_models.drawing(doc),
        "parents_of": view_models.parents_of(doc),
    }


def _wrong_with(asked: Asked, kind: str, id_: str) -> list[Document]:
    """Return the findings of a thing, as its own page shows them."""
    if kind == "action":
        doc = asked.more("/who", action=id_)
    else:
        doc = asked.more("/status", of=f"{kind}:{id_}") if kind in ELEMENT_KINDS | NAME_KINDS else None
    return doc["findings"] if doc else []


def reach(asked: Asked, *, new: Collection[str] = ()) -> Shown:
    """Build the page of a plan and the form that gives the order; ``new`` is what a reviewed plan did not list."""
    doc = asked.document
    mode = asked.query.text("mode") or "revoke"
    issued_before, cascade = asked.query.instant("issued_before"), asked.query.flag("cascade", default=True)
    target = doc["target"]
    return {
        "of": f"{target['kind']}:{target['id']}",
        "said": linked_text.of_plan(doc, asked.links, mode=mode, issued_before=issued_before, cascade=cascade),
        "how": {"mode": mode, "issued_before": asked.query.text("issued_before"), "cascade": cascade},
        "ahead": asked.query.flag("unseen", default=False),
        "elements": view_models.totals(doc["kills"]),
        "kills": view_models.killed(doc, new),
        "reasons": REASONS,
        "four_eyes": asked.site.four_eyes,
        "filled": {"reason": "", "note": ""},
        "key": str(uuid4()),  # makes a form that is submitted twice one order
    }


def revocation(asked: Asked) -> Shown:
    """Build the page of whether a revocation is enforced."""
    doc = asked.document
    start = first_entry(asked.query)
    liftable = [one for one in doc["orders"] if one["mode"] == "suspend" or one["target"]["kind"] not in ELEMENT_KINDS]
    lifted = [one for one in liftable if one["lifted_at"] and parse_instant(one["lifted_at"]) <= asked.query.now]
    return {
        "said": linked_text.of_closure(doc, asked.links),
        "start": start,
        "open_here": doc["open"][start : start + OPEN],
        "next": start + OPEN if len(doc["open"]) > start + OPEN else None,
        "open_words": render_revocations.REASONS,
        "board": board_of([doc], asked.site.contacts, asked.query.at),
        "marking": asked.query.text("mark") or "",
        "liftable": len(lifted) < len(liftable),
        "lifted_at": max(one["lifted_at"] for one in lifted) if 0 < len(lifted) == len(doc["orders"]) else None,
        "for_good": not liftable,
    }


def receivers(asked: Asked) -> Shown:
    """Build the page of the registered enforcement points."""
    return {"coverage": render_receivers.coverage, "probes": asked.site.probes}


def whole_dossier(asked: Asked) -> Shown:
    """Build a dossier."""
    doc = asked.document
    return {
        "facts": [{**item, "fields": view_models.fields(item["event"], item["of"])} for item in doc["facts"]["items"]],
        "hops": view_models.hops(doc["answer"]) if "chain" in doc["answer"] else [],
        "drawing": view_models.drawing(doc["graph"]) if doc["graph"] else None,
        "parents_of": view_models.parents_of(doc["graph"]) if doc["graph"] else {},
        "meanings": glossary.STATES | {word: glossary.TERMS[word] for word in _OF_A_CASE},
        "chart": view_models.validity(
            doc["answer"], doc["graph"], _marks(doc["answer"]), besides=[(doc["at"], "as of")]
        )
        if "chain" in doc["answer"]
        else None,
    }


def governance(question: str, title: str) -> Callable[[Asked], Shown]:
    """Return the view of a governance question, with its title."""

    def view(asked: Asked) -> Shown:
        between = () if question == "allowed" else (asked.query.text("from") or "", asked.query.text("to") or "")
        return {
            "question": question,
            "title": title,
            "agent": asked.document.get("agent", ""),
            "between": between,
        }

    return view


def search(asked: Asked) -> Shown:
    """Build the page of ids that contain a text, by kind."""
    return {"q": asked.query.text("q"), "kinds": _by_kind(asked.document["items"])}


def _marks(answer: Document) -> list[tuple[str, str]]:
    return [(answer["occurred_at"], "done")] if "occurred_at" in answer else []


def nothing(_asked: Asked) -> Shown:
    """Show nothing in addition to the document."""
    return {}


def conflicts(asked: Asked) -> Shown:
    """Build the page of identities under which different contents were sent."""
    return {
        "said_by": [[view_models.fields(one["event"]) for one in item["contents"]] for item in asked.document["items"]]
    }


def _by_kind(items: list[Document]) -> dict[str, list[Document]]:
    kinds: dict[str, list[Document]] = {}
    for item in items:
        kinds.setdefault(item["kind"], []).append(item)
    return kinds


def _chain(asked: Asked, around: str | None, marks: list[tuple[str, str]]) -> Shown:
    """Show the chain, and the validity of what it depends on, from the graph around its authority."""
    hops = view_models.hops(asked.document)
    first, hidden, last = view_models.cut(hops, ENDS)
    steps = view_models.cards(picture_of_chain(asked.document, asked.links.of), hops)
    cards = view_models.cut(steps, FEW_CARDS)
    # At most half of the graph are ancestors.
    most = max(2 * (len(asked.document["tokens"]) + len(asked.document["delegations"]) + 1), AROUND)
    graph = None if around is None else asked.more("/graph", of=around, most=str(min(most, MOST)), findings="false")
    if asked.at is not None:
        marks = [*marks, (format_instant(asked.at), "asked about")]
    now = [] if asked.at is not None else [(format_instant(asked.query.now), "now")]
    chart = view_models.validity(asked.document, graph, marks, besides=now)
    return {"first_hops": first, "hidden_hops": hidden, "last_hops": last, "chart": chart, "cards": cards}
