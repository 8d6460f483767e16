"""A dossier: everything about one thing at one time, in one document to keep."""

from typing import Final

from lineage.core.authority.elements import in_order
from lineage.core.model.keys import ELEMENT_KINDS, key_of
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.graphs.graph_view import graph
from lineage.serve.queries.history.timeline import mention_document, page_of
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.queries.service import Service
from lineage.serve.text import render_chain
from lineage.serve.text.text_page import Page

FACTS: Final = 500  # facts of the timeline in a dossier
_READ: Final = 2_000  # facts up to which they are counted
_BUDGET: Final = OVER_HTTP._replace(counted=_READ)
_DRAWN: Final = 60  # elements of the graph in a dossier


def dossier(service: Service, kind: str, id_: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Build a dossier: answer, sentence, graph and facts; None if no fact names the thing."""
    answer, page = _answer(service, kind, id_, at, known_at)
    if answer is None or page is None:
        return None
    around = answer["authority"]["element"] if kind == "action" else f"{kind}:{id_}"
    drawn = None
    if around is not None:
        of, _, name = around.partition(":")
        drawn = graph(service, of, name, at=at, known_at=known_at, most=_DRAWN)
    facts, total = _facts(service, kind, id_, answer, known_at)
    return {
        "kind": kind,
        "id": id_,
        "at": format_instant(at),
        "known_at": instant(known_at),
        "made_at": format_instant(service.clock()),
        "sentence": page.first_line(),
        "answer": answer,
        "graph": drawn,
        "facts": {"items": facts, "total": total, "complete": total == len(facts)},
        "as_of": answer["as_of"],
    }


def _answer(
    service: Service, kind: str, id_: str, at: Instant, known_at: Instant | None
) -> tuple[Document | None, Page | None]:
    """Return the document of a thing, and its text for people."""
    if kind == "action":
        answer = service.who(id_, at=at, known_at=known_at)
        return answer, None if answer is None else render_chain.who(answer, at=at)
    if kind in ELEMENT_KINDS:
        answer = service.chain(kind, id_, at=at, known_at=known_at)
        return answer, None if answer is None else render_chain.chain(answer, at=at)
    answer = service.status(kind, id_, at=at, known_at=known_at)
    return answer, None if answer is None else render_chain.status(answer)


def _facts(
    service: Service, kind: str, id_: str, answer: Document, known_at: Instant | None
) -> tuple[list[Document], int | None]:
    """Return the facts that mention it or its chain, earliest first, and their number.

    If very many mention it, the earliest are returned, and they are not counted.
    """
    behind = {f"token:{token}" for token in answer.get("tokens", ())}
    behind |= {f"delegation:{delegation}" for delegation in answer.get("delegations", ())}
    if answer.get("decision"):
        behind.add(f"decision:{answer['decision']['decision']}")
    with service.reader(known_at=known_at) as reader:
        mentioning, following, _ = page_of(reader, key_of(kind, id_), None, _READ, _BUDGET)
        facts = in_order([*mentioning, *reader.known_about(behind)])
    return [mention_document(fact) for fact in facts[:FACTS]], None if following is not None else len(facts)
