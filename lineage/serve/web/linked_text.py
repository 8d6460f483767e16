"""Sentences of the command line on pages, with links for the ids in them."""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lineage.core.model.times import Instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text import render_chain, render_orders, render_revocations
from lineage.serve.text.text_page import Page, safe

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z)")  # kept on one line
_NOTHING = r"(?!)"
# What may surround an id in a sentence; anything else next to it belongs to a longer id.
_BEFORE, _AFTER = r"(?<![^\s(])", r"(?=[.;,)]?(?:[\s,;.]|$))"


class Said(NamedTuple):
    """A piece of a sentence: its text, its look, and its link (empty for none)."""

    text: str
    look: str
    href: str


_LOOKS = {
    "bold": "strong",
    "green": "good",
    "bold green": "good",
    "bold red": "bad",
    "yellow": "warn",
    "bold yellow": "warn",
    "magenta": "odd",
}


def sentence(page: Page, links: Mapping[str, str] | None = None) -> list[Said]:
    """Convert the first line of a text page to pieces.

    Args:
        page: The text page.
        links: The links of the ids in it.
    """
    return list(_line(page.pieces()[0], links or {}))


def _linked(text: str, look: str, links: Mapping[str, str]) -> Iterable[Said]:
    shown = {safe(id_): href for id_, href in links.items() if id_}
    ids = "|".join(re.escape(id_) for id_ in sorted(shown, key=lambda id_: (-len(id_), id_)))
    parts = re.split(f"{_BEFORE}({ids}){_AFTER}" if ids else _NOTHING, text)
    for place, part in enumerate(parts):
        if place % 2:
            yield Said(part, look, shown[part])
        else:
            times = enumerate(_TIME.split(part))
            yield from (Said(one, "time" if odd % 2 else look, "") for odd, one in times if one)


def of_who(doc: Document, at: Instant | None, links: Mapping[str, str]) -> list[Said]:
    """Phrase who stood behind an action."""
    return sentence(render_chain.who(doc, at=at, brief=True), links)


def of_chain(doc: Document, at: Instant | None, links: Mapping[str, str]) -> list[Said]:
    """Phrase who stood behind a token or a delegation."""
    return sentence(render_chain.chain(doc, at=at), links)


def of_status(doc: Document, links: Mapping[str, str]) -> list[Said]:
    """Phrase the state of something."""
    return sentence(render_chain.status(doc), links)


def of_plan(
    doc: Document, *, mode: str, issued_before: Instant | None, cascade: bool, links: Mapping[str, str]
) -> list[list[Said]]:
    """Phrase what an order would kill, and what it means."""
    page = render_orders.plan(doc, mode=mode, issued_before=issued_before, cascade=cascade, brief=True)
    return lines_of(page, links)[:2]


def of_closure(doc: Document) -> list[list[Said]]:
    """Phrase whether a revocation is complete."""
    return lines_of(render_revocations.closure(doc))[:2]


def of_diff(doc: Document, links: Mapping[str, str]) -> list[Said]:
    """Phrase what changed between two instants."""
    return sentence(render_chain.diff(doc), links)


def lines_of(page: Page, links: Mapping[str, str] | None = None) -> list[list[Said]]:
    """Convert every line of a text page to pieces."""
    return [list(_line(line, links or {})) for line in page.pieces()]


def _line(line: list[tuple[str, str]], links: Mapping[str, str]) -> Iterable[Said]:
    for text, style in line:
        yield from _linked(text, _LOOKS.get(style, ""), links)
