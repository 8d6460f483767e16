"""What people do with the pages, and what they must not lose by it: slips, pastes, sessions that end, odd ids."""

import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from lineage.core.authority import rule, verdict
from lineage.core.findings.catalogue import RULES
from lineage.core.model.events import Target
from lineage.core.revocation import closure
from lineage.serve.commands.lift import lift_order
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.web import glossary, view_models
from lineage.serve.web.form_input import moment
from lineage.serve.web.templating import breakable
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.web_pages import Pages, hidden, text_of

OF, ID = quote(LEAKED, safe=""), LEAKED.partition(":")[2]
MOMENT = "at=2026-11-02T09%3A47%3A30Z&known_at=2026-11-02T10%3A20%3A00Z"
CORE = Path(rule.__file__).parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The incident; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("people")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """The incident, for a test that adds to it."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def _order(kind: str, id_: str, revocation: str, mode: str = "revoke") -> OrderRequest:
    return OrderRequest(target=Target(kind, id_), mode=mode, reason="test", ordered_by="human:x", revocation=revocation)


def _nobody(world: World) -> Pages:
    """A person whose session has ended."""
    return Pages(world, None)


# What they type


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2026-11-02", "2026-11-02T00:00:00Z"),
        ("2026-11-02 10:25", "2026-11-02T10:25:00Z"),
        ("2026-11-02 10:25:01.5 utc", "2026-11-02T10:25:01.5Z"),
        ("2026-11-02T10:25+01:00", "2026-11-02T10:25:00+01:00"),
        ("2026-11-02T10:25:00Z", "2026-11-02T10:25:00Z"),
        ("now", "now"),
        ("yesterday", "yesterday"),
        ("2026-11-02 10:25 or so", "2026-11-02 10:25 or so"),
    ],
)
def test_a_time_may_be_written_as_people_write_it(typed: str, meant: str):
    """
    A day, minutes, a space in place of the T; without a zone it is UTC. What is no time is not made one.
    """
    assert meant == moment(typed)


def test_a_time_that_was_typed_is_the_moment_of_the_page_and_of_its_links(world: World):
    """
    What was meant is what is looked at, what the document is asked for, and what goes along.
    """
    page = Pages(world).get("/who?action=mail-7&at=2026-11-02+09%3A47&known_at=")

    assert "Viewing: 2026-11-02T09:47:00Z" in text_of(page)
    assert "/v1/who?action=mail-7&amp;at=2026-11-02T09%3A47%3A00Z" in page.text


def test_a_time_that_is_none_is_refused_with_how_to_write_one(world: World):
    """
    The page says what would be right, and leads to the same page without it.
    """
    page = Pages(world).get("/who?action=mail-7&at=noonish")

    assert (400, True) == (page.status_code, "Write it as 2026-11-02T10:25:00Z" in text_of(page))
    assert '<a class="button" href="/who?action=mail-7">' in page.text


def test_white_space_around_what_was_pasted_is_not_part_of_it(here: World):
    """
    No id begins or ends with white space: it is dropped in the search, and in the confirmation.
    """
    person = Pages(here)
    found = person.get(f"/search?q={quote(f'  {ID}')}%0A")
    form = hidden(person.get(f"/reach?of={OF}"))
    given = person.send("/revocations", **form, reason="test", typed=f" {ID} ")

    assert ("1 thing contains https://idp.example#mailer-1" in text_of(found), 303) == (True, given.status_code)


def test_the_search_goes_on_at_the_moment_that_is_looked_at(world: World):
    """
    Anyone who has moved time and looks for something else still looks at that time: from any page, and from the start.
    """
    for path in (f"/who?action=mail-7&{MOMENT}", f"/?{MOMENT}"):
        form = re.search(
            r'<form[^>]* action="/search" role="search">(.*?)</form>', Pages(world).get(path).text, re.DOTALL
        )
        assert form
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[1]))
        assert {"at": "2026-11-02T09:47:30Z", "known_at": "2026-11-02T10:20:00Z"} == fields


# What goes wrong on the way


def test_anyone_who_finds_nothing_is_led_on(world: World):
    """
    A page that is not there has the way to all others, and the search filled in with what was looked for.
    """
    page = Pages(world).get("/who?action=mail-99")

    assert (404, True) == (page.status_code, 'aria-label="Main"' in page.text)
    assert 'type="search" value="mail-99"' in page.text


def test_whose_session_has_ended_gets_back_what_they_had_filled_in(here: World):
    """
    Nothing is ordered, everything that was typed stands on the page, and is sent again from there.
    """
    person = Pages(here)
    form = hidden(person.get(f"/reach?of={OF}")) | {"reason": "test", "note": "<said twice>", "typed": ID}
    refused = _nobody(here).send("/revocations", **form)
    again = hidden(refused)
    ordered = here.get("/v1/revocations").json()["total"]
    given = person.send("/revocations", **again)

    assert (401, 0, 303) == (refused.status_code, ordered, given.status_code)
    assert "What you entered is still here" in text_of(refused)
    assert "<said twice>" in text_of(refused)
    assert form == again


def test_a_form_of_somewhere_else_gets_nothing_back(world: World):
    """
    What another site has a browser send is not shown on a page of ours, to nobody.
    """
    refused = _nobody(world).send(
        "/revocations", origin="https://elsewhere.example", of=LEAKED, note="shown?", typed=ID
    )

    assert (403, False) == (refused.status_code, "shown?" in refused.text)


def test_a_lift_that_is_refused_keeps_the_note(world: World):
    """
    A slip in the confirmation of a lift is told with what was written, and the way back.
    """
    page = Pages(world).send("/revocations/rev-1/lift", typed="slip", note="a long story")

    assert (400, True) == (page.status_code, "a long story" in text_of(page))
    assert '<a class="button" href="/revocations/rev-1">Back to the revocation' in page.text


def test_a_revocation_may_be_called_anything(here: World):
    """
    Whatever stands in the id of a revocation, its page leads to its receipt, and its lift to it.
    """
    give_order(here.service, _order("principal", "agent:mailer", "a/b?c#d%e", mode="suspend"))
    person = Pages(here)
    board = person.get("/revocations").text
    link = re.search(r'href="(/revocations/a[^"]*)"', board)
    assert link
    page = person.get(html.unescape(link[1]))
    receipt = re.search(r'href="([^"]*/receipt)"', page.text)
    lift = re.search(r'action="([^"]*/lift)"', page.text)
    assert receipt
    assert lift
    here.clock.now += 1_000_000
    lifted = person.send(html.unescape(lift[1]), typed="a/b?c#d%e")

    assert [200, 200, 200] == [page.status_code, person.get(html.unescape(receipt[1])).status_code, lifted.status_code]


def test_a_large_revocation_is_read_page_by_page(here: World):
    """
    Its receipt beyond 300 elements, and what is open beyond 100, continue; together the pages have every element once.
    What is live on one of them asks again for that one.
    """
    root = {"type": "token.issued", "source": "urn:test:a", "event_id": "root", "occurred_at": "2026-11-02T10:00:00Z"}
    below = [
        root | {"event_id": f"e{n}", "token": f"many-{n:03}", "derived_from": [{"token": "many", "role": "subject"}]}
        for n in range(305)
    ]
    events = [event | {"subject": "human:x"} for event in (root | {"token": "many"}, *below)]
    assert 306 == here.post("/v1/events", "producer", json=events).json()["accepted"]
    give_order(here.service, _order("token", "many", "rev-many"))
    every = sorted(event["token"] for event in events)
    receipt = _turned(here, "/revocations/rev-many/receipt", '<th scope="row">')
    board = _turned(here, "/revocations/rev-many", "<li>")

    assert (every, 2) == (receipt[0], receipt[1])
    assert (every, 4) == (board[0], board[1])
    assert 'hx-get="/revocations/rev-many?after=100"' in Pages(here).get("/revocations/rev-many?after=100").text


def _turned(world: World, at: str, before: str) -> tuple[list[str], int]:
    """The tokens on a page and on those that it continues to, and how many pages these are; each has its document."""
    person, seen, count = Pages(world), [], 0
    while at:
        page, count = person.get(at), count + 1
        seen += re.findall(rf'{before}<span class="soft">token</span> <a[^>]*>([^<]*)<', page.text)
        document = re.findall(r'<a href="(/v1/[^"]*)"><code>', page.text)
        assert [200] == [world.get(html.unescape(address)).status_code for address in document]
        onward = re.search(r'rel="next" href="([^"]*)"', page.text)
        at = html.unescape(onward[1]) if onward else ""
    return seen, count


# What they read


def test_every_word_that_stands_for_something_is_explained():
    """
    Every state, every verdict and every kind of finding has its sentence; and none is explained that there is not.
    """
    text = "".join(path.read_text("utf-8") for path in (*CORE.glob("authority/*.py"), *CORE.glob("revocation/*.py")))
    found = set(re.findall(r'Finding\(\s*"([a-z-]+)"', text)) | set(re.findall(r'"([a-z]+-mismatch)"', text))

    assert {str(one) for one in verdict.State} == set(glossary.STATES)
    assert {str(one) for one in closure.ClosureVerdict} == set(glossary.VERDICTS)
    assert found | set(RULES) == set(glossary.FINDINGS)


def test_the_page_of_words_has_them_all(world: World):
    """
    What is explained stands on one page, to which every page leads.
    """
    said = text_of(Pages(world).get("/words"))

    assert all(
        meaning in said for words in (glossary.STATES, glossary.FINDINGS, glossary.TERMS) for meaning in words.values()
    )
    assert 'href="/words"' in Pages(world).get("/who?action=mail-7").text


@pytest.mark.parametrize("page", ["chain", "reach", "graph", "uses", "timeline", "diff"])
def test_no_page_about_a_token_is_a_dead_end(world: World, page: str):
    """
    From each of them one comes to all others, and each says which of them it is.
    """
    body = Pages(world).get(f"/{page}?of={OF}").text
    about = re.search(r'<nav class="around".*?</nav>', body, re.DOTALL)
    assert about
    links = re.findall(r'href="/(?:v1/)?([a-z]+)\?', about[0])

    assert ["chain", "reach", "graph", "uses", "timeline", "diff", "dossier", "dossier"] == links
    assert [page] == re.findall(r'href="/([a-z]+)\?[^"]*" aria-current', about[0])


def test_the_case_says_what_was_done_and_what_the_words_mean(world: World):
    """
    Who has nothing but the file finds in it what was done, on whose decision, what does not fit, and every word.
    """
    said = text_of(Pages(world).get("/dossier?of=action:mail-7"))

    for part in (
        "What was done",
        "press@rival.example",
        "permitted",
        "fewer than 50 recipients",
        "Possible token theft",
    ):
        assert part in said
    assert all(meaning in said for meaning in glossary.STATES.values())


def test_an_id_breaks_where_people_would_break_it():
    """
    A name in a long id stays whole; what stands in it stays text.
    """
    shown = [str(breakable(id_)) for id_ in ("https://idp.example#mailer-1", "human:a@b.example", "a/b&#39;<i>")]

    assert [
        "https://idp.example#<wbr>mailer-1",
        "human:<wbr>a@<wbr>b.example",
        "a/<wbr>b&amp;#<wbr>39;&lt;i&gt;",
    ] == shown


def test_the_start_of_an_empty_store_says_how_to_fill_it(tmp_path: Path):
    """
    Where nothing is recorded yet there is nothing to find, and the page says how events come in.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, empty=True) as world:
        said = text_of(Pages(world).get("/"))

        assert "Nothing is recorded yet. Ingest events with delegraph ingest FILE" in said


# What they must not take permanently


def _acted(action: str, at: str = "2026-11-02T10:00:00Z", **said: str) -> dict[str, str]:
    fact = {"type": "action.performed", "event_id": action, "source": "urn:test:a", "occurred_at": at}
    return fact | {"action": action, "operation": "db.drop", "outcome": "succeeded", **said}


def test_only_what_had_an_authority_that_held_is_said_to_fit_together(here: World):
    """
    No gap and no finding is good news of an action whose authority was seen and held, and of no other.
    """
    give_order(here.service, _order("token", ID, "rev-1"))
    after = _acted("after", "2026-11-02T10:30:00Z", token=ID, actor="agent:mailer")
    held = _acted("held", token="idp#short", actor="human:alice@example.com")
    issued = {"type": "token.issued", "event_id": "short", "source": "urn:test:a", "token": "idp#short"}
    issued |= {"subject": "human:alice@example.com", "occurred_at": "2026-11-02T09:59:00Z"}
    issued |= {"expires_at": "2026-11-02T10:30:00Z"}
    assert 200 == here.post("/v1/events", "producer", json=[_acted("orphan"), after, issued, held]).status_code
    said = {name: text_of(Pages(here).get(f"/who?action={name}")) for name in ("orphan", "after", "held")}

    assert {"orphan": False, "after": False, "held": True} == {
        name: "No gaps, no findings" in page for name, page in said.items()
    }


def test_the_page_of_an_agent_has_what_others_did_with_its_tokens(world: World):
    """
    The mail that someone else sent with the mailer's token is on the page of the mailer, with who did it.
    """
    shown = Pages(world).get("/status?of=principal:agent:mailer")
    [actions] = re.findall(r'<section class="sheet" aria-labelledby="did".*?</section>', shown.text, re.DOTALL)

    assert ("mail-4" in actions, "mail-7" in actions) == (True, True)
    assert "agent%3Ascraper" in actions


def test_the_actions_that_name_someone_are_not_said_to_be_all_that_was_done_with_their_tokens(world: World):
    """
    The mail was sent with the mailer's token, and by someone else: it is not among the actions that name the mailer.
    """
    shown = Pages(world).get("/actions?of=principal:agent:mailer")
    [actions] = re.findall(r'<section class="sheet" aria-label="Actions".*?</section>', shown.text, re.DOTALL)

    assert ("mail-4" in actions, "mail-7" in actions) == (True, False)
    said = text_of(shown)
    assert "Uses of its tokens by others are on the pages of the tokens" in said


def test_what_is_lifted_is_not_offered_to_be_lifted(here: World):
    """
    The page of an order that was lifted says so, and no more that it could be, or that it stands.
    """
    give_order(here.service, _order("token", ID, "rev-1", "suspend"))
    before = Pages(here).get("/revocations/rev-1").text
    lift_order(here.service, "rev-1", lifted_by="human:x")
    here.clock.now += 1_000_000
    after = Pages(here).get("/revocations/rev-1")

    assert "/revocations/rev-1/lift" in before
    assert "/revocations/rev-1/lift" not in after.text
    assert "Reinstated at 2026-11-02T10:25" in text_of(after)
    assert "stands for good" not in text_of(after)


def test_nobody_is_called_the_last_to_enforce_what_is_not_over(here: World):
    """
    One of two receivers has enforced it: how long that took is not how long it took to the last.
    """
    fact = {"type": "receiver.registered", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z"}
    names = ("urn:gateway", "urn:slow")
    assert (
        200
        == here.post(
            "/v1/events", "responder", json=[fact | {"event_id": name, "receiver": name} for name in names]
        ).status_code
    )
    give_order(here.service, _order("token", "https://idp.example#scraper-1", "rev-1"))
    body = {"outcome": "enforced", "token": "https://idp.example#scraper-1"}
    assert 201 == here.post("/v1/revocations/rev-1/acknowledgements", "receiver", json=body).status_code
    page = Pages(here).get("/revocations/rev-1")
    said = text_of(page)

    assert '<span class="id">urn:<wbr>slow</span>' in page.text  # breaks anywhere: the numbers beside it stay in sight
    assert "PARTIAL" in said
    assert "the last receiver enforced it" not in said
    assert "so far the last answer came" in said
    assert "Open1each element, at each receiver" in said


# The bars


def _row(**said: object) -> dict[str, object]:
    return {
        "delegation": None, "token": "t", "state": "active", "issued_at": "2026-11-02T09:00:00.000000Z",
        "expires_at": None, "scopes": [], "because": None, **said,
    }  # fmt: skip


def _chart(row: dict[str, object], now: str = "2026-11-02T10:00:00Z") -> dict[str, object]:
    doc = {"chain": [row], "tokens": ["t"], "delegations": []}
    chart = view_models.validity(doc, None, [("2026-11-02T09:30:00Z", "done")], besides=[(now, "now")])
    assert chart
    return chart


def test_a_bar_ends_where_an_order_took_effect_and_not_before():
    """
    What was valid when something was done is shown as valid then, whatever ended it later.
    """
    because = {"effective_at": "2026-11-02T09:45:00.000000Z"}
    chart = _chart(_row(state="revoked", because=because))
    row, (done, now) = chart["rows"][0], chart["marks"]

    assert row["x"] < done["x"] < row["x"] + row["width"] == row["dead_x"] < now["x"]
    assert "2026-11-02T09:45:00.000000Z" == row["dead_at"]


def test_a_bar_of_what_never_lived_has_no_valid_part():
    """
    A token that was issued after the order is dead from its first moment.
    """
    row = _chart(_row(state="cascaded", because={"effective_at": "2026-11-02T08:00:00.000000Z"}))["rows"][0]

    assert (0, row["x"], True) == (row["width"], row["dead_x"], row["dead_width"] > 0)


def test_now_is_marked_unless_the_bars_would_vanish():
    """
    Weeks later the hour of the incident is still what the chart shows.
    """
    names = [
        [mark["name"] for mark in _chart(_row(), now)["marks"]]
        for now in ("2026-11-02T10:00:00Z", "2026-12-24T00:00:00Z")
    ]

    assert [["done", "now"], ["done"]] == names


def test_a_bar_is_not_shown_as_valid_where_nothing_says_when_it_ended():
    """
    A hop says that an order ended it, and not when; of a chain longer than the graph it is counted instead.
    """
    dead, alive = _row(delegation="d", token=None, state="cascaded"), _row()
    doc = {"chain": [dead, alive], "tokens": ["t", "far"], "delegations": ["d"]}
    chart = view_models.validity(doc, None, [])
    assert chart

    assert (["token:t"], 2) == ([row["key"] for row in chart["rows"]], chart["left_out"])


def test_a_suspension_is_not_called_the_end():
    """
    What an order stops until it is lifted is drawn and named apart from what it ends; what lies beyond the scale is no
    colour of it.
    """
    ends = {"effective_at": "2026-11-02T09:45:00.000000Z"}
    late = {"effective_at": "2026-12-24T00:00:00.000000Z"}

    assert [["suspended"], ["revoked"], []] == [
        _chart(_row(state=state, because=because))["ended"]
        for state, because in (("suspended", ends), ("cascaded", ends), ("revoked", late))
    ]


def test_a_long_chain_says_of_each_element_when_it_ended(here: World):
    """
    An order on the first of eighty delegations ended all of them, and each bar says so.
    """
    fact = {"type": "delegation.granted", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z"}
    grants = [
        fact | {"event_id": f"hop-{number}", "delegation": f"hop-{number}", "delegator": f"agent:{number}"}
        | {"delegatee": f"agent:{number + 1}", "parents": [f"hop-{number - 1}"] if number else []}
        for number in range(80)
    ]  # fmt: skip
    assert 200 == here.post("/v1/events", "producer", json=grants).status_code
    give_order(here.service, _order("delegation", "hop-0", "rev-1"))
    chart = re.search(
        r'<section class="sheet chart".*?</section>', Pages(here).get("/chain?of=delegation:hop-79").text, re.DOTALL
    )
    assert chart

    assert (1, 79) == tuple(chart[0].count(f">{word}</strong> from") for word in ("revoked", "revoked (inherited)"))


def test_what_changed_for_the_better_says_what_had_stopped_it(here: World):
    """
    A suspension that was lifted is why something is active again.
    """
    give_order(here.service, _order("token", ID, "rev-1", "suspend"))
    here.clock.now += 60_000_000
    lift_order(here.service, "rev-1", lifted_by="human:x")
    here.clock.now += 60_000_000
    said = text_of(Pages(here).get(f"/diff?of={OF}&from=2026-11-02T10:25:30Z&to=now"))

    assert "no longer suspended:by rev-1: test" in said
