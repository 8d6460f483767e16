"""Links in the sentences of pages: each id is one link to its own page, whatever its characters."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.core.model.events import Target
from lineage.core.revocation.reach import Proposal
from lineage.serve.cli import demo
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.history.diff import diff
from lineage.serve.text.text_page import Page, Piece, safe
from lineage.serve.web import linked_text
from lineage.serve.web.linked_text import TextSpan
from lineage.serve.web.links import Links

LINKS = Links()
# Short ids of few characters are often prefixes of each other; others are in any script, with spaces and punctuation.
IDS = st.text("ab .,;:()[]'\"<&é漢ع\u202e", min_size=1, max_size=5) | st.text(min_size=1, max_size=12)
KINDS = ("token", "delegation", "principal", "revocation", "action")


def target_of(span: TextSpan) -> tuple[str, str]:
    """Return the kind and the id in the address of a link."""
    address = urlsplit(span.href)
    if address.path.startswith("/revocations/"):
        return "revocation", unquote(address.path.removeprefix("/revocations/"))
    query = parse_qs(address.query, keep_blank_values=True)
    if address.path == "/who":
        return "action", query["action"][0]
    kind, _, id_ = query["of"][0].partition(":")
    return kind, id_


def linked(spans: list[TextSpan]) -> list[tuple[str, str, str]]:
    """Return the text and the target of every link."""
    return [(span.text, *target_of(span)) for span in spans if span.href]


@given(st.lists(st.tuples(st.sampled_from(KINDS), IDS), unique=True, min_size=1, max_size=6), st.data())
def test_each_id_of_a_line_becomes_one_link_to_its_page(things: list[tuple[str, str]], data: st.DataObject):
    """
    This holds even if an id is part of another or occurs in the surrounding words; the text does not change.
    """
    words = st.sampled_from(["", " by ", *(id_ for _, id_ in things)])
    pieces: list[str | Piece] = []
    for kind, id_ in things:
        pieces += [data.draw(words), Piece(id_, data.draw(st.sampled_from(["", "bold"])), names=f"{kind}:{id_}")]
    page = Page().line(*pieces)
    spans = linked_text.sentence(page, LINKS)

    assert page.first_line() == "".join(span.text for span in spans)
    assert [(safe(id_), kind, id_) for kind, id_ in things] == linked(spans)


def test_the_subject_of_a_page_has_no_link_and_times_are_formatted():
    """
    The same id of another kind is another thing.
    """
    page = Page().line(Piece("a", names="token:a"), Piece("a", names="principal:a"), Piece("10:00", is_time=True))

    assert [("a", "", ""), ("a", "", "/status?of=principal%3Aa"), ("10:00", "time", "")] == linked_text.sentence(
        page, LINKS, unlinked="token:a"
    )


@pytest.fixture(scope="module")
def documents() -> Iterator[dict[str, Document]]:
    """Return the answers about the demo's incident after its order."""
    with demo.throw_away() as (service, clock, _):
        demo.ingest(service, demo.incident_path())
        clock.now = demo.ORDERED
        planned = service.reach(Proposal(target=Target("principal", "agent:mailer"), at=clock.now))
        leaked = Target("token", demo.LEAKED)
        order = OrderRequest(target=leaked, reason="credential_leak", ordered_by="human:dana", revocation="rev-1")
        give_order(service, order)
        clock.now += 60_000_000
        found = {
            "who": service.who("mail-7", at=clock.now),
            "chain": service.chain("token", demo.LEAKED, at=clock.now),
            "status": service.status("token", demo.LEAKED, at=clock.now),
            "diff": diff(service, "token", demo.LEAKED, start=demo.ORDERED - 1, end=clock.now),
            "plan": planned,
        }
        yield {name: document for name, document in found.items() if document is not None}


SENTENCES: dict[str, Callable[[Document], list[TextSpan]]] = {
    "who": lambda doc: linked_text.of_who(doc, None, LINKS),
    "chain": lambda doc: linked_text.of_chain(doc, None, LINKS),
    "status": lambda doc: linked_text.of_status(doc, LINKS),
    "diff": lambda doc: linked_text.of_diff(doc, LINKS),
}


def renamed(value: Any, names: dict[str, str]) -> Any:
    """Return a document with other ids, alone and in keys."""
    if isinstance(value, dict):
        return {name: renamed(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, names) for item in value]
    if not isinstance(value, str):
        return value
    kind, _, id_ = value.partition(":")
    return names.get(value) or (f"{kind}:{names[id_]}" if id_ in names else value)


def test_the_sentences_of_the_incident_link_everything_named(documents: dict[str, Document]):
    """
    Links lead to the parties, the token, the order, its author and its target, but not to the subject of the page.
    """
    scraper, mailer, planner = (("principal", f"agent:{name}") for name in ("scraper", "mailer", "planner"))
    alice, dana = ("principal", "human:alice@example.com"), ("principal", "human:dana")
    leaked, order = ("token", demo.LEAKED), ("revocation", "rev-1")
    found = {name: [thing for _, *thing in linked(say(documents[name]))] for name, say in SENTENCES.items()}

    assert {
        "who": [scraper, leaked, mailer, alice, planner, mailer, order, dana, leaked],
        "chain": [order, dana, mailer, alice, planner, mailer],
        "status": [order, dana],
        "diff": [leaked],
    } == {name: [tuple(thing) for thing in things] for name, things in found.items()}


def test_the_sentences_of_a_plan_link_its_target(documents: dict[str, Document]):
    """
    The first sentence has its key, the second its id.
    """
    first, second = linked_text.of_plan(documents["plan"], LINKS, mode="revoke", issued_before=None, cascade=True)

    assert ("principal:agent:mailer", "principal", "agent:mailer") in linked(first)
    assert [("agent:mailer", "principal", "agent:mailer")] == linked(second)


@pytest.mark.parametrize("name", SENTENCES)
@given(ids=st.lists(IDS, unique=True, min_size=6, max_size=6))
def test_links_do_not_depend_on_how_ids_are_spelled(documents: dict[str, Document], name: str, ids: list[str]):
    """
    The same parts of a sentence are links whatever the ids are, each to the thing with that id.
    """
    known = ("agent:scraper", "agent:mailer", "agent:planner", "human:alice@example.com", "human:dana", "rev-1")
    names = dict(zip(known, ids, strict=True))
    say, document = SENTENCES[name], documents[name]
    expected = [(kind, names.get(id_, id_)) for _, kind, id_ in linked(say(document))]

    assert expected == [(kind, id_) for _, kind, id_ in linked(say(renamed(document, names)))]
