"""The pages without a browser: they show what the documents contain, safely; forms give orders."""

import html
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from benchmarks.http import PAGES_OF_ELEMENTS, PAGES_OF_NAMES
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import Target
from lineage.serve.cache.loader import WorldLoader
from lineage.serve.cli.demo import ASKED
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.config.limits import Limits
from lineage.serve.text import render_chain
from lineage.serve.web.links import Links
from lineage.serve.web.page_context import GRAPH_DRAWN
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.web_pages import ACTION, EVERY, HOSTILE, OF, Pages, hidden, text_of

ID = LEAKED.partition(":")[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the incident, an order on something else, and what needs attention; tests do not add to it."""
    folder = tmp_path_factory.mktemp("pages")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        target = Target("token", "https://idp.example#relay-3")
        give_order(world.service, OrderRequest(target=target, reason="test", ordered_by="human:x", revocation="rev-1"))
        event = {"type": "action.performed", "source": "urn:test:a", "outcome": "succeeded", "event_id": "same"}
        event |= {"occurred_at": "2026-11-02T10:00:00Z", "operation": "x"}
        world.post("/v1/events", "producer", json=[event | {"action": "a1"}, event | {"action": "a2"}, {"type": "odd"}])
        yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the incident, for a test that adds to it."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


# What they say


@pytest.mark.parametrize("path", EVERY)
def test_every_page_is_complete(world: World, path: str):
    """
    A page has one first-level heading and one main element, and no inline styles or scripts.
    """
    response = Pages(world).get(path)
    body = response.text

    assert (200, "text/html; charset=utf-8") == (response.status_code, response.headers["content-type"])
    assert (1, 1, 1) == (body.count("<h1"), body.count("<main"), body.count("</html>"))
    assert [] == re.findall(r"\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)", body)


@pytest.mark.parametrize(
    ("path", "of"),
    [(path, LEAKED) for path in PAGES_OF_ELEMENTS] + [(path, "principal:agent:mailer") for path in PAGES_OF_NAMES],
)
def test_every_page_that_the_benchmark_asks_for_exists(world: World, path: str, of: str):
    assert 200 == Pages(world).get(f"{path}?of={quote(of, safe='')}").status_code


@pytest.mark.parametrize("at", [None, "2026-11-02T09:47:30Z"])
def test_the_sentence_is_that_of_the_command_line(world: World, at: str | None):
    """
    The answer in one sentence has the same words on pages and on the command line.
    """
    asked = None if at is None else 1_793_612_850_000_000
    document = world.service.who("mail-7", at=ASKED if asked is None else asked)
    sentence = render_chain.who(document, at=asked, brief=True).first_line()
    page = Pages(world).get(ACTION if at is None else f"{ACTION}&at={at}")

    assert sentence in text_of(page)


def test_a_page_links_its_document(world: World):
    """
    Every answer has the address of its document, including the time.
    """
    page = Pages(world).get(f"{ACTION}&at=2026-11-02T09:47:30Z")
    address = re.search(r'<a href="(/v1/[^"]*)">', page.text)
    assert address

    assert "mail-7" == world.get(html.unescape(address[1])).json()["action"]


@pytest.mark.parametrize("path", EVERY[3:-3])
def test_the_document_of_a_page_exists_for_any_time(world: World, path: str):
    """
    The address of the document of a page is valid for any time; a page that does not depend on the time says so.
    """
    page = Pages(world).get(f"{path}{'&' if '?' in path else '?'}at=2026-11-02T10:24:00Z&known_at=2026-11-02T10:24:00Z")
    address = re.search(r'<a href="(/v1/[^"]*)">', page.text)
    if "rev-1" in path:  # ordered later than that
        assert 404 == page.status_code
    elif address:
        asked = html.unescape(address[1])
        response = world.get(asked)
        assert (200, 200) == (page.status_code, response.status_code)
        assert ("does not depend on as of" in text_of(page)) == ("at=2026" not in asked.replace("known_at", ""))


def test_the_page_of_a_principal_says_who_it_is(world: World):
    """
    The page of an agent says whom to call, and by which source; pages of other kinds of things do not.
    """
    agent, session = (Pages(world).get(path) for path in (EVERY[5], EVERY[7]))
    owner = re.search(r"<dt>Owner</dt><dd>(.*?)</dd>", agent.text, re.DOTALL)
    assert owner

    assert 'href="/status?of=principal%3Ahuman%3Aalice%40example.com"' in owner[1]
    assert "source: https://directory.example, 2026-11-02T08:00:01Z" in re.sub(r"<[^>]*>", "", owner[1])
    assert "runs as spiffe://example.com/ns/agents/sa/mailer from 2026-11-02T08:05:10Z, no expiry" in text_of(agent)
    assert [True, False] == ["Who it is" in text_of(page) for page in (agent, session)]


def test_the_page_of_an_alias_links_the_person(world: World):
    """
    An account is shown with the name of its person, and a link to them.
    """
    page = Pages(world).get("/status?of=principal:okta%7C00u7alice")

    assert "Alice Ng source: https://directory.example" in text_of(page)
    assert 'href="/status?of=principal%3Ahuman%3Aalice%40example.com"' in page.text


def test_an_unregistered_principal_is_shown_as_such(world: World):
    """
    The page of someone who is only mentioned says that nothing is known, like any other gap.
    """
    pages = [
        text_of(Pages(world).get(f"/status?of=principal:{who}")) for who in ("service:mail-archive", "agent:mailer")
    ]

    assert [True, False] == ["Not registered" in page for page in pages]


def test_a_delegation_is_not_called_unused_where_its_tokens_were_used(world: World):
    """
    Actions name tokens, so a delegation that no action names may still have been used.
    """
    for page in ("chain", "uses"):
        text = text_of(Pages(world).get(f"/{page}?of=delegation:grant-mail"))
        assert "No action names it directly" in text
        assert "never used" not in text


def test_a_search_begins_with_what_is_wrong_with_the_actions_it_shows(world: World):
    """
    Who looks for the rival's mailbox sees the theft first; one that nothing wrong was done to shows none.
    """
    pages = [Pages(world).get(f"/search?q={word}").text for word in ("rival", "mail-7", "price")]

    theft = "Possible token theft: agent:scraper used a token issued to agent:mailer"
    assert [True, True, False] == [theft in re.sub(r"<[^>]*>", "", page.partition("<h1")[0]) for page in pages]


def test_the_number_of_decisions_on_the_page_of_a_tool_unfolds_their_actions(world: World):
    """
    No list of actions has a filter for decisions, so the page lists them.
    """
    page = Pages(world).get("/usage?tool=mail").text
    found = re.search(r"<summary>denied <span[^>]*>1</span></summary>(.*?)</details>", page, re.DOTALL)
    assert found

    assert ["/who?action=mail-3"] == re.findall(r'href="([^"]*)"', found[1])


def test_a_search_says_what_it_found_and_where_it_looked(world: World):
    """Each result has a line by which a person recognises it; a file leads to what was done with it in one step."""
    mail, price, nothing = (
        text_of(Pages(world).get(f"/search?q={word}&at=2026-11-02T10:25:00Z")) for word in ("mail", "price", "alcie")
    )

    assert "mail-7 mail.send with mail on mailbox press@rival.example, succeeded 2026-11-02T09:47:29Z" in mail
    assert "by agent:scraper for human:alice@example.com (Alice Ng); authority active" in mail
    assert "https://idp.example#mailer-1 held by agent:mailer for human:alice@example.com (Alice Ng), active" in mail
    assert "drive-2 files.read with drive to /sales/price-list-2026.xlsx for Alice Ng by agent:researcher" in price
    assert "last acted on 2026-11-02T08:44:51Z by agent:researcher for human:alice@example.com (Alice Ng)" in price
    assert "principal human:alice@example.com Alice Ng, human, active" in nothing
    for page in (mail, price, nothing):
        assert "A search looks at ids, display names, tools, operations and resources" in page


def test_a_time_in_a_sentence_is_to_the_second(world: World):
    """The whole time is in the title, and what is typed into a range has no zeros after its seconds."""
    agent = Pages(world).get("/status?of=principal:agent:planner&at=2026-11-02T10:24:59.123456Z").text

    assert 'at <span class="time" title="2026-11-02T10:24:59.123456Z">2026-11-02T10:24:59Z</span>' in agent
    assert [] == re.findall(r'value="[^"]*\.0*Z"', agent)


def test_long_digests_are_shortened_in_links_only(here: World):
    """A link shows the ends of a digest and has the whole id as its title; the page of the thing shows all of it."""
    digest = "560d379e81bbe5488cbf8f1ae533e06dcdb461629ff7987c62a1eb0d0398be0a"
    event = {"type": "action.performed", "action": "x1", "operation": "read", "outcome": "succeeded"}
    event |= {"source": "urn:test:a", "event_id": "1", "occurred_at": "2026-11-02T10:00:00Z", "token": f"v#{digest}"}
    assert 1 == here.post("/v1/events", "producer", json=[event]).json()["accepted"]
    action, token = (Pages(here).get(path) for path in ("/who?action=x1", f"/chain?of=token:v%23{digest}"))

    assert f'title="v#{digest}">v#<wbr>560d379e…98be0a</a>' in action.text
    assert "Missing evidence (1) token v#560d379e…98be0a: no event granted this token" in text_of(action)
    assert f"Token v#{digest} Copy" in text_of(token)


def test_every_link_keeps_the_time(world: World):
    """
    The selected time is kept until the user leaves it.
    """
    page = Pages(world).get(f"{ACTION}&at=2026-11-02T09:47:30Z&known_at=2026-11-02T10:20:00Z")
    links = [
        html.unescape(link) for link in re.findall(r'href="(/(?:chain|status|reach|uses|timeline)\?[^"]*)"', page.text)
    ]

    assert links
    assert all("at=2026-11-02T09%3A47%3A30Z&known_at=2026-11-02T10%3A20%3A00Z" in link for link in links)
    assert "Viewing:" in text_of(page)


def test_an_empty_field_is_ignored(world: World):
    """
    The form that selects the time sends both fields; an empty one means now.
    """
    assert 200 == Pages(world).get(f"{ACTION}&at=&known_at=").status_code


def test_lost_scopes_are_shown(world: World):
    """
    Each hop shows which scopes it kept and which it lost.
    """
    lost = re.search(r'<div class="lost">(.*?)</div>', Pages(world).get(ACTION).text)
    assert lost

    assert {"crm:read", "files:read", "web:read"} == set(re.findall(r"<dd>([^<]*)</dd>", lost[1]))


def test_the_page_of_a_wide_graph_says_that_it_is_a_part_and_leads_to_more(here: World):
    """
    It has 200 elements unless its address says otherwise, in the picture, the table and its document; its links to
    other times do not say how many.
    """
    event = {"type": "token.issued", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z"}
    names = [f"w{number}" for number in range(GRAPH_DRAWN + 5)]
    tokens = [event | {"event_id": one, "token": one, "subject": "agent:wide"} for one in names]
    here.post("/v1/events", "producer", json=tokens)
    page = Pages(here).get("/graph?of=principal:agent:wide")
    more = re.search(r'<a href="(/graph[^"]*)">Show up to 500</a>', page.text)
    address = re.search(r'<a href="(/v1/[^"]*)">', page.text)
    assert more
    assert address
    whole = Pages(here).get(html.unescape(more[1]))

    assert [GRAPH_DRAWN, GRAPH_DRAWN + 5] == [one.text.count("<tr data-key=") for one in (page, whole)]
    assert GRAPH_DRAWN == len(here.get(html.unescape(address[1])).json()["nodes"])
    assert "Show up to" not in whole.text
    assert [] == re.findall(r'href="/graph[^"]*most=200', page.text)


def test_the_dossier_stands_alone(world: World):
    """
    A dossier is one file: its styles are in it, it runs nothing, and asks nobody for anything.
    """
    response = Pages(world).get("/dossier?of=action:mail-7")
    body = response.text

    assert 'attachment; filename="dossier-action_3Amail-7.html"' == response.headers["content-disposition"]
    assert "--ground" in body
    assert [] == re.findall(r"<script|<link|<img|\shref=\"(?!#)|\ssrc=|url\(", body)


@pytest.mark.parametrize("path", ["/static/delegraph.css", "/static/vendor/htmx.min.js", "/static/mark.svg"])
def test_our_own_files_are_public_and_cached(world: World, path: str):
    """
    A style sheet reveals nothing; its address changes with its content, so it may be cached forever.
    """
    response = Pages(world).nobody.get(path)

    assert (200, True) == (response.status_code, "immutable" in response.headers["cache-control"])


@pytest.mark.parametrize("name", ["../looks.py", "%2e%2e/looks.py", "vendor/SHA256SUMS", ""])
def test_no_other_file_is_served(world: World, name: str):
    """
    Only the listed files are served, and no path leads to another one.
    """
    assert 404 == Pages(world).nobody.get(f"/static/{name}").status_code


def test_a_large_number_of_mentions_is_detected_without_reading_them(world: World):
    """
    An index answers whether more than a number of facts mention a thing: a page that would have to read a hundred
    thousand of them says so instead.
    """
    with world.service.store.reader(trust=None) as reader:
        found = [reader.is_mentioned_more_than("principal:agent:mailer", most) for most in (0, 3, 10_000)]

    assert [True, True, False] == found


# What stands in events


def test_content_of_events_is_shown_as_text(here: World):
    """
    Markup in every field of every kind of event is shown on every page as text.
    """
    bad = HOSTILE
    sent = [
        {"type": "principal.registered", "principal": f"agent:{bad}", "kind": "agent", "display_name": bad,
         "purpose": bad, "owner": f"human:{bad}"},
        {"type": "delegation.granted", "delegation": f"d{bad}", "delegator": f"human:{bad}",
         "delegatee": f"agent:{bad}", "scopes": [bad], "task": bad, "purpose": bad, "audience": [bad]},
        {"type": "token.issued", "token": f"t{bad}", "subject": f"human:{bad}", "actor": f"agent:{bad}",
         "scopes": [bad], "delegation": f"d{bad}", "session": f"s{bad}", "client": f"c{bad}", "workload": f"w{bad}",
         "prior_actors": [bad],
         "derived_from": [{"token": f"missing{bad}", "role": "subject"}]},
        {"type": "decision.made", "decision": f"q{bad}", "permitted": True, "operation": bad, "token": f"t{bad}",
         "policy": {"id": bad, "version": bad}, "reasons": [bad], "context": {bad: bad}, "approved_by": f"human:{bad}"},
        {"type": "action.performed", "action": f"x{bad}", "operation": bad, "outcome": "succeeded", "tool": bad,
         "resource": {"type": bad, "id": bad}, "token": f"t{bad}", "actor": f"other{bad}", "decision": f"q{bad}"},
        {"type": "action.performed", "action": f"y{bad}", "operation": bad, "outcome": "succeeded", "tool": "other"},
        {"type": f"odd{bad}"},
    ]  # fmt: skip
    moment = {"source": "urn:test:<b>", "occurred_at": "2026-11-02T10:00:00Z"}
    events = [moment | {"event_id": f"{number}{bad}"} | event for number, event in enumerate(sent)]
    events.append(moment | {"event_id": f"0{bad}", "type": "principal.registered", "principal": bad, "kind": "agent"})
    assert 200 == here.post("/v1/events", "producer", json=events).status_code
    person = Pages(here)
    token, agent = quote(f"token:t{bad}", safe=""), quote(f"principal:agent:{bad}", safe="")
    paths = [
        f"/who?action={quote('x' + bad, safe='')}",
        *(
            f"/{page}?of={token}"
            for page in ("chain", "status", "reach", "uses", "timeline", "graph", "dossier", "actions")
        ),
        f"/diff?of={token}&from=2026-11-02T09:00:00Z&to=now",
        *(f"/{page}?of={agent}" for page in ("status", "reach", "timeline", "graph", "dossier")),
        f"/search?q={quote(bad, safe='')}",
        *("/findings", "/quarantine", "/conflicts", "/health"),
        f"/who?action={quote('no' + bad, safe='')}",
    ]

    for path in paths:
        response = person.get(path)
        assert response.status_code in ({200} if "?action=no" not in path else {404}), (path, text_of(response)[:300])
        # The reference: without what is escaped, there is no markup from events.
        assert [] == re.findall(r"<img|<script(?![^>]*\ssrc=)|<b>|2962962", response.text.replace("<b class", "")), path


def test_invisible_characters_are_spelled_out(here: World):
    """
    A control character that reverses the text around it is shown as its code point.
    """
    event = {
        "type": "action.performed", "action": "x1", "operation": "send\u202egnp", "outcome": "succeeded",
        "source": "urn:test:a", "event_id": "1", "occurred_at": "2026-11-02T10:00:00Z",
    }  # fmt: skip
    assert 1 == here.post("/v1/events", "producer", json=[event]).json()["accepted"]
    page = Pages(here).get("/who?action=x1")

    assert (True, False) == ("send<U+202E>gnp" in text_of(page), "\u202e" in page.text)


# What goes wrong


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/who?action=nothing", 404, "No fact names it"),
        ("/who", 400, "action"),
        (f"{ACTION}&at=yesterday", 400, "yesterday"),
        (f"{ACTION}&action=mail-8", 400, "a page shows one"),
        (f"{ACTION}&more=1", 400, "there is no such parameter"),
        ("/nowhere", 404, "nothing at this path"),
        ("/revocations/none", 404, "No fact names it"),
        ("/revocations/none/receipt", 404, "No fact names it"),
        ("/diff?of=nothing", 400, "KIND:ID"),
        ("/dossier?of=decision:x", 400, "there is no kind"),
    ],
)
def test_a_problem_is_a_page_for_people(world: World, path: str, status: int, words: str):
    """
    A browser gets an error page in the usual layout; a program gets the problem document.
    """
    page = Pages(world).get(path)

    assert (status, True) == (page.status_code, page.headers["content-type"].startswith("text/html"))
    assert words in text_of(page)


def test_an_unauthenticated_visitor_is_told_how_to_sign_in(world: World):
    """
    Without credentials there is neither page nor document, but a hint where to get them.
    """
    page = Pages(world).nobody.get(ACTION)

    assert (401, True, False) == (page.status_code, "Sign in" in text_of(page), "scraper" in page.text)


def test_an_unavailable_log_is_reported_with_when_to_try_again(tmp_path: Path):
    """
    A plan needs the log: without it the page is a 503 that says so and offers to try again.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        world.service.log = None
        world.service.worlds = WorldLoader(world.service.store, None, None)
        page = Pages(world).get(f"/reach?of={OF}")

        assert (503, True) == (page.status_code, "retry-after" in page.headers)
        assert "the log cannot be asked" in text_of(page)
        assert "Try again" in text_of(page)
        assert "cannot be asked for more" in text_of(Pages(world).get(ACTION))


def test_an_unavailable_store_is_reported(world: World):
    """
    The answer is 503.
    """

    class Away:
        def __getattr__(self, name: str) -> object:
            raise UnavailableError("the store is away")

    store, world.service.store = world.service.store, Away()
    try:
        page = Pages(world).get(ACTION)
    finally:
        world.service.store = store

    assert (503, True) == (page.status_code, "the store is away" in text_of(page))


# Orders


def test_an_order_is_given_by_typing_its_target(here: World):
    """
    The form contains the plan's digest; the order names the signed-in user, and the page of the revocation follows.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}"))
    answer = person.send("/revocations", **form, reason="credential_leak", note="<leaked>", typed=ID)
    page = person.get(answer.headers["location"])

    assert 303 == answer.status_code
    assert "human:dana@example.com" in text_of(page)
    assert "credential leak: <leaked>" in text_of(page)
    assert "revoked" == here.service.status("token", ID, at=here.clock.now)["state"]


def test_a_form_that_is_sent_twice_is_one_order(here: World):
    """
    The key in the form makes any number of clicks one order.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}")) | {"reason": "test", "typed": ID}
    answers = [person.send("/revocations", **form).headers["location"] for _ in range(2)]

    assert 1 == len(set(answers)) == here.get("/v1/revocations").json()["total"]


@pytest.mark.parametrize("typed", ["", "mailer-1", LEAKED])
def test_nothing_is_ordered_without_typing_the_id(here: World, typed: str):
    """
    The same page reports the mistake and keeps the input.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}"))
    answer = person.send("/revocations", **form, reason="test", note="kept", typed=typed)

    assert (400, 0) == (answer.status_code, here.get("/v1/revocations").json()["total"])
    assert "Nothing was revoked" in text_of(answer)
    assert 'value="kept"' in answer.text


def test_an_order_whose_plan_has_drifted_is_refused_and_shown_as_a_difference(here: World):
    """
    A token that was issued after the plan is named, marked, and part of the new plan.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}")) | {"reason": "test", "typed": ID}
    event = {
        "type": "token.issued", "event_id": "late", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z",
        "token": "late-child", "subject": "human:x", "derived_from": [{"token": ID, "role": "subject"}],
    }  # fmt: skip
    here.post("/v1/events", "producer", json=[event])
    refused = person.send("/revocations", **form)
    given = person.send("/revocations", **hidden(refused), reason="test", typed=ID)

    assert (409, 303) == (refused.status_code, given.status_code)
    assert "Nothing was revoked: the blast radius has changed" in text_of(refused)
    assert ["late-child"] == re.findall(r'<tr class="new">.*?<a[^>]*>([^<]*)</a>', refused.text, re.DOTALL)


def test_a_suspension_is_planned_given_and_lifted(here: World):
    """
    The order has the mode of the plan; a suspension can be lifted on its page, which lists the effect.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}&mode=suspend"))
    where = person.send("/revocations", **form, reason="test", typed=ID).headers["location"]
    state = here.service.status("token", ID, at=here.clock.now)["state"]
    here.clock.now += 1_000_000
    refused = person.send(f"{where}/lift", typed="something else")
    lifted = person.send(f"{where}/lift", typed=where.rpartition("/")[2])

    assert ("suspended", 400, 200) == (state, refused.status_code, lifted.status_code)
    assert "Active again: 3 tokens" in text_of(lifted)
    assert f'href="/chain?of={OF}"' in lifted.text


def test_what_a_lift_reactivates_is_listed_on_its_page(here: World):
    """
    Each is a link, and there are more than on the command line; the page names no command-line option.
    """
    issued = {"type": "token.issued", "source": "urn:test:a", "occurred_at": "2026-11-02T10:20:00Z"}
    issued |= {"subject": "human:alice@example.com", "derived_from": [{"token": ID, "role": "subject"}]}
    here.post("/v1/events", "producer", json=[{**issued, "event_id": f"e{n}", "token": f"t{n}"} for n in range(40)])
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}&mode=suspend"))
    where = person.send("/revocations", **form, reason="test", typed=ID).headers["location"]
    here.clock.now += 1_000_000
    lifted = person.send(f"{where}/lift", typed=where.rpartition("/")[2])

    assert "Active again: 43 tokens" in text_of(lifted)
    assert {f"t{n}" for n in range(40)} <= set(re.findall(r'href="/chain\?of=token%3A(t\d+)"', lifted.text))
    assert "--" not in text_of(lifted)


def test_an_unseen_target_can_be_revoked_on_pages(here: World):
    """
    An empty search and a missing plan link to the plan of an order in advance, which leads to the order; a mistyped
    confirmation is asked for again.
    """
    person = Pages(here)
    missing, found = person.get("/reach?of=token:leaked-1"), person.get("/search?q=leaked-1")
    ahead = "/reach?of=token%3Aleaked-1&unseen=true"
    form = hidden(person.get(ahead))
    wrong = person.send("/revocations", **form, reason="test", typed="leaked")
    given = person.send("/revocations", **hidden(wrong), reason="test", typed="leaked-1")
    state = here.get("/v1/status?of=token:leaked-1").json()["state"]

    assert (404, 200, 400, 303) == (missing.status_code, found.status_code, wrong.status_code, given.status_code)
    assert [True, True] == [f'href="{ahead.replace("&", "&amp;")}"' in page.text for page in (missing, found)]
    assert "revoked" == state
    assert "unseen" not in Pages(here, "investigator").get("/search?q=leaked-2").text


def test_future_elements_can_be_revoked_if_nothing_is_active(here: World):
    """
    The page of a plan that would end nothing has no form, but a link to revoke in advance what is issued later.
    """
    person = Pages(here)
    of = "session:https%3A%2F%2Fidp.example%23session-alice-0830&issued_before=1999-01-01"
    plain = person.get(f"/reach?of={of}")
    form = hidden(person.get(f"/reach?of={of}&unseen=true"))

    assert ("unseen=true" in plain.text, "plan_digest" in plain.text) == (True, False)
    assert ("true", True) == (form["unseen"], "plan_digest" in form)


@pytest.mark.parametrize("origin", [None, "null", "https://elsewhere.example"])
def test_a_form_from_another_site_orders_nothing(here: World, origin: str | None):
    """
    A form without an origin, or from another site, is refused whoever is signed in.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}")) | {"reason": "test", "typed": ID}
    answer = person.send("/revocations", origin=origin, **form)

    assert (403, 0) == (answer.status_code, here.get("/v1/revocations").json()["total"])


def test_an_investigator_is_offered_no_order(here: World):
    """
    An investigator sees the plan without a form, and is refused if one is sent anyway.
    """
    page = Pages(here, "investigator").get(f"/reach?of={OF}")
    form = hidden(Pages(here).get(f"/reach?of={OF}")) | {"reason": "test", "typed": ID}
    answer = Pages(here, "investigator").send("/revocations", **form)

    assert ("needs the role responder" in text_of(page), 403) == (True, answer.status_code)
    assert 'method="post"' not in page.text


def test_no_order_is_given_at_another_time(world: World):
    """
    A plan of the past is only shown: an order is given now.
    """
    page = Pages(world).get(f"/reach?of={OF}&at=2026-11-02T09:47:30Z")

    assert ("A revocation takes effect now" in text_of(page), False) == (True, 'method="post"' in page.text)


# Links


def test_a_link_keeps_the_time_unless_it_has_its_own():
    """
    A time in the link takes precedence.
    """
    links = Links("2026-11-02T09:00:00Z", None)

    assert "/chain?of=token%3Aa%26b&at=2026-11-02T09%3A00%3A00Z" == links.of("token", "a&b")
    assert "/who?action=x" == links.to("/who", action="x", at=None)
    assert "/revocations/a%2Fb%3F?at=2026-11-02T09%3A00%3A00Z" == links.of("revocation", "a/b?")
    assert "" == links.of("source", "https://idp.example")


def test_an_order_by_a_form_does_not_wait_for_events(tmp_path: Path):
    """
    An order from a page is given even while all threads for events are busy.
    """
    done = threading.Event()
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(workers=1)) as world:
        world.site.pools.events.later(lambda: done.wait(60))
        given = Pages(world).send("/revocations", of=LEAKED, typed=ID, reason="test")
        waited_for = done.is_set()
        done.set()

    assert (303, False) == (given.status_code, waited_for)
