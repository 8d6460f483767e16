"""Sentences of the command line on pages, with links for the things that they name."""

from typing import Final, NamedTuple

from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text import render_chain, render_orders, render_revocations
from lineage.serve.text.text_page import Page, Piece
from lineage.serve.web.links import Links

_TIME: Final = "time"  # kept on one line
_LOOKS: Final = {
    "bold": "strong",
    "green": "good",
    "bold green": "good",
    "bold red": "bad",
    "yellow": "warn",
    "bold yellow": "warn",
    "magenta": "odd",
}


class TextSpan(NamedTuple):
    """A part of a sentence: its text, its style, and its link (empty for none)."""

    text: str
    look: str
    href: str


def lines_of(page: Page, links: Links, *, unlinked: str = "") -> list[list[TextSpan]]:
    """Convert every line of a text page.

    Args:
        page: The text page.
        links: Builds the links of what it names.
        unlinked: The key of the thing that the page is about, which gets no link.
    """
    return [[_span(piece, links, unlinked) for piece in line if piece.text] for line in page.pieces()]


def sentence(page: Page, links: Links, *, unlinked: str = "") -> list[TextSpan]:
    """Convert the first line of a text page."""
    return lines_of(page, links, unlinked=unlinked)[0]


def _span(piece: Piece, links: Links, unlinked: str) -> TextSpan:
    look = _TIME if piece.is_time else _LOOKS.get(piece.style, "")
    return TextSpan(piece.text, look, links.key(piece.names) if piece.names not in ("", unlinked) else "")


def of_sentence(text: str, links: Links) -> list[TextSpan]:
    """Convert a sentence about something, such as that of a finding."""
    return sentence(Page().line(text), links)


def of_who(doc: Document, at: Instant | None, links: Links) -> list[TextSpan]:
    """Phrase who stood behind an action."""
    return sentence(render_chain.who(doc, at=at, brief=True), links)


def of_chain(doc: Document, at: Instant | None, links: Links) -> list[TextSpan]:
    """Phrase who stood behind a token or a delegation."""
    return sentence(render_chain.chain(doc, at=at), links, unlinked=f"{doc['kind']}:{doc['id']}")


def of_status(doc: Document, links: Links) -> list[TextSpan]:
    """Phrase the state of something."""
    return sentence(render_chain.status(doc), links, unlinked=f"{doc['kind']}:{doc['id']}")


def of_plan(
    doc: Document, links: Links, *, mode: str, issued_before: Instant | None, cascade: bool
) -> list[list[TextSpan]]:
    """Phrase what an order would end, and what that means."""
    page = render_orders.plan(doc, mode=mode, issued_before=issued_before, cascade=cascade, brief=True)
    return lines_of(page, links)[:2]


def of_closure(doc: Document, links: Links) -> list[list[TextSpan]]:
    """Phrase whether a revocation is complete."""
    return lines_of(render_revocations.closure(doc), links, unlinked=f"revocation:{doc['revocation']}")[:2]


def of_diff(doc: Document, links: Links) -> list[TextSpan]:
    """Phrase what changed between two instants."""
    return sentence(render_chain.diff(doc), links)
