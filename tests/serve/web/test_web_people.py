"""How people use the pages: mistakes, pasted text, expired sessions and unusual ids lose no input."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pytest

from lineage.core.authority import rule, verdict
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.events import Target
from lineage.core.revocation import closure
from lineage.serve.commands.lift import lift_order
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.typed_times import complete_time
from lineage.serve.web import glossary, view_models
from lineage.serve.web.templating import breakable
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.web_pages import Pages, hidden, text_of

OF, ID = quote(LEAKED, safe=""), LEAKED.partition(":")[2]
MOMENT = "at=2026-11-02T09%3A47%3A30Z&known_at=2026-11-02T10%3A20%3A00Z"
CORE = Path(rule.__file__).parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the incident; tests do not add to it."""
    folder = tmp_path_factory.mktemp("people")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the incident, for a test that adds to it."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def _order(kind: str, id_: str, revocation: str, mode: str = "revoke") -> OrderRequest:
    return OrderRequest(target=Target(kind, id_), mode=mode, reason="test", ordered_by="human:x", revocation=revocation)


def _nobody(world: World) -> Pages:
    """A person whose session has ended."""
    return Pages(world, None)


# What they type


@pytest.mark.parametrize(
    ("typed", "expected"),
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
def test_a_time_may_be_written_as_people_write_it(typed: str, expected: str):
    """
    A day, minutes and a space instead of the T are accepted; without a zone it is UTC. Anything else is not a time.
    """
    assert expected == complete_time(typed)


def test_a_typed_time_applies_to_the_page_and_its_links(world: World):
    """
    The page, its document and its links use the time that was understood.
    """
    page = Pages(world).get("/who?action=mail-7&at=2026-11-02+09%3A47&known_at=")

    assert "Viewing: 2026-11-02T09:47:00Z" in text_of(page)
    assert "/v1/who?action=mail-7&amp;at=2026-11-02T09%3A47%3A00Z" in page.text


def test_an_invalid_time_is_refused_with_an_example(world: World):
    """
    The page shows the format, and links to the same page without the time.
    """
    page = Pages(world).get("/who?action=mail-7&at=noonish")

    assert (400, True) == (page.status_code, "Write it as 2026-11-02T10:25:00Z" in text_of(page))
    assert '<a class="button" href="/who?action=mail-7">' in page.text


def test_white_space_around_pasted_text_is_removed(here: World):
    """
    No id begins or ends with white space: it is removed in the search and in the confirmation.
    """
    person = Pages(here)
    found = person.get(f"/search?q={quote(f'  {ID}')}%0A")
    form = hidden(person.get(f"/reach?of={OF}"))
    given = person.send("/revocations", **form, reason="test", typed=f" {ID} ")

    assert ("1 thing contains https://idp.example#mailer-1" in text_of(found), 303) == (True, given.status_code)


def test_the_search_keeps_the_time(world: World):
    """
    A search from any page, or from the start page, keeps the selected time.
    """
    for path in (f"/who?action=mail-7&{MOMENT}", f"/?{MOMENT}"):
        form = re.search(
            r'<form[^>]* action="/search" role="search">(.*?)</form>', Pages(world).get(path).text, re.DOTALL
        )
        assert form
        fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form[1]))
        assert {"at": "2026-11-02T09:47:30Z", "known_at": "2026-11-02T10:20:00Z"} == fields


# What goes wrong on the way


def test_a_missing_page_offers_links(world: World):
    """
    The page for an unknown address has the navigation, and the search filled in with the requested id.
    """
    page = Pages(world).get("/who?action=mail-99")

    assert (404, True) == (page.status_code, 'aria-label="Main"' in page.text)
    assert 'type="search" value="mail-99"' in page.text


def test_input_survives_an_expired_session(here: World):
    """
    Nothing is ordered; the page keeps all input, and sends it again.
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


def test_a_form_from_another_site_is_not_echoed(world: World):
    """
    Input that another site makes a browser send is never shown on our pages.
    """
    refused = _nobody(world).send(
        "/revocations", origin="https://elsewhere.example", of=LEAKED, note="shown?", typed=ID
    )

    assert (403, False) == (refused.status_code, "shown?" in refused.text)


def test_a_lift_that_is_refused_keeps_the_note(world: World):
    """
    After a mistake in the confirmation of a lift, the page keeps the note and links back.
    """
    page = Pages(world).send("/revocations/rev-1/lift", typed="slip", note="a long story")

    assert (400, True) == (page.status_code, "a long story" in text_of(page))
    assert '<a class="button" href="/revocations/rev-1">Back to the revocation' in page.text


def test_a_revocation_may_have_any_id(here: World):
    """
    Whatever the id of a revocation contains, its page links to its receipt, and its lift to the revocation.
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
    The receipt has 300 elements per page and the open ones 100; all pages together have every element once. Live
    updates reload the shown page.
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
    """Return the tokens on a page and its continuations, and the number of pages; each has its document."""
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


def test_every_term_is_explained():
    """
    Every state, verdict and kind of finding has an explanation, and there is no explanation of anything else.
    """
    text = "".join(path.read_text("utf-8") for path in (*CORE.glob("authority/*.py"), *CORE.glob("revocation/*.py")))
    found = set(re.findall(r'Finding\(\s*"([a-z-]+)"', text)) | set(re.findall(r'"([a-z]+-mismatch)"', text))

    assert {str(one) for one in verdict.State} == set(glossary.STATES)
    assert {str(one) for one in closure.ClosureVerdict} == set(glossary.VERDICTS)
    assert found | set(RULES) == set(glossary.FINDINGS)


def test_the_glossary_has_all_terms(world: World):
    """
    All explanations are on one page, to which every page links.
    """
    text = text_of(Pages(world).get("/words"))

    assert all(
        meaning in text for words in (glossary.STATES, glossary.FINDINGS, glossary.TERMS) for meaning in words.values()
    )
    assert 'href="/words"' in Pages(world).get("/who?action=mail-7").text


@pytest.mark.parametrize("page", ["chain", "reach", "graph", "uses", "timeline", "diff"])
def test_no_page_about_a_token_is_a_dead_end(world: World, page: str):
    """
    Each of them links to all others, and marks itself.
    """
    body = Pages(world).get(f"/{page}?of={OF}").text
    about = re.search(r'<nav class="around".*?</nav>', body, re.DOTALL)
    assert about
    links = re.findall(r'href="/(?:v1/)?([a-z]+)\?', about[0])

    assert ["chain", "reach", "graph", "uses", "timeline", "diff", "dossier", "dossier"] == links
    assert [page] == re.findall(r'href="/([a-z]+)\?[^"]*" aria-current', about[0])


def test_the_dossier_says_what_was_done_and_explains_its_terms(world: World):
    """
    The file alone contains what was done, on whose decision, the findings, and the explanation of every term.
    """
    text = text_of(Pages(world).get("/dossier?of=action:mail-7"))

    for part in (
        "What was done",
        "press@rival.example",
        "permitted",
        "fewer than 50 recipients",
        "Possible token theft",
    ):
        assert part in text
    assert all(meaning in text for meaning in glossary.STATES.values())


def test_a_long_id_breaks_between_names():
    """
    A name in a long id is not broken, and the id remains text.
    """
    shown = [str(breakable(id_)) for id_ in ("https://idp.example#mailer-1", "human:a@b.example", "a/b&#39;<i>")]

    assert [
        "https://idp.example#<wbr>mailer-1",
        "human:<wbr>a@<wbr>b.example",
        "a/<wbr>b&amp;#<wbr>39;&lt;i&gt;",
    ] == shown


def test_the_start_of_an_empty_store_says_how_to_fill_it(tmp_path: Path):
    """
    If nothing is recorded yet, the page says how to ingest events.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, empty=True) as world:
        text = text_of(Pages(world).get("/"))

        assert "Nothing is recorded yet. Ingest events with delegraph ingest FILE" in text


# What they must not take permanently


def _acted(action: str, at: str = "2026-11-02T10:00:00Z", **fields: str) -> dict[str, str]:
    fact = {"type": "action.performed", "event_id": action, "source": "urn:test:a", "occurred_at": at}
    return fact | {"action": action, "operation": "db.drop", "outcome": "succeeded", **fields}


def test_only_an_action_with_valid_authority_is_called_consistent(here: World):
    """
    The absence of gaps and findings is reported as good only for an action whose authority was recorded and valid.
    """
    give_order(here.service, _order("token", ID, "rev-1"))
    after = _acted("after", "2026-11-02T10:30:00Z", token=ID, actor="agent:mailer")
    held = _acted("held", token="idp#short", actor="human:alice@example.com")
    issued = {"type": "token.issued", "event_id": "short", "source": "urn:test:a", "token": "idp#short"}
    issued |= {"subject": "human:alice@example.com", "occurred_at": "2026-11-02T09:59:00Z"}
    issued |= {"expires_at": "2026-11-02T10:30:00Z"}
    assert 200 == here.post("/v1/events", "producer", json=[_acted("orphan"), after, issued, held]).status_code
    text = {name: text_of(Pages(here).get(f"/who?action={name}")) for name in ("orphan", "after", "held")}

    assert {"orphan": False, "after": False, "held": True} == {
        name: "No gaps, no findings" in page for name, page in text.items()
    }


def test_the_page_of_an_agent_has_the_uses_of_its_tokens_by_others(world: World):
    """
    The mail that someone else sent with the mailer's token is on the page of the mailer, with the actor.
    """
    shown = Pages(world).get("/status?of=principal:agent:mailer")
    [actions] = re.findall(r'<section class="sheet" aria-labelledby="did".*?</section>', shown.text, re.DOTALL)

    assert ("mail-4" in actions, "mail-7" in actions) == (True, True)
    assert "agent%3Ascraper" in actions


def test_the_actions_of_a_principal_do_not_claim_to_include_all_uses_of_its_tokens(world: World):
    """
    The mail was sent by someone else with the mailer's token: it is not among the actions that name the mailer.
    """
    shown = Pages(world).get("/actions?of=principal:agent:mailer")
    [actions] = re.findall(r'<section class="sheet" aria-label="Actions".*?</section>', shown.text, re.DOTALL)

    assert ("mail-4" in actions, "mail-7" in actions) == (True, False)
    text = text_of(shown)
    assert "Uses of its tokens by others are on the pages of the tokens" in text


def test_a_lifted_order_cannot_be_lifted_again(here: World):
    """
    The page of a lifted order says so, and no longer offers to lift it or calls it in force.
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


def test_a_scheduled_revocation_of_a_token_is_cancelled_on_its_page(here: World):
    """
    Until it takes effect it is not permanent; once cancelled, the page says so and offers nothing more.
    """
    scheduled = replace(_order("token", ID, "rev-1"), effective_at=here.clock.now + 1_000_000_000)
    give_order(here.service, scheduled)
    before = Pages(here).get("/revocations/rev-1").text
    lift_order(here.service, "rev-1", lifted_by="human:x")
    here.clock.now += 2_000_000_000
    after = Pages(here).get("/revocations/rev-1")

    assert "/revocations/rev-1/lift" in before
    assert "/revocations/rev-1/lift" not in after.text
    assert "Reinstated at 2026-11-02T10:25" in text_of(after)
    assert "Permanent" not in before + text_of(after)


def test_an_open_revocation_has_no_last_receiver(here: World):
    """
    If one of two receivers has enforced it, its time is not shown as that of the last.
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
    text = text_of(page)

    assert (
        '<span class="id">urn:<wbr>slow</span>' in page.text
    )  # breaks anywhere, so that the numbers next to it stay visible
    assert "PARTIAL" in text
    assert "the last receiver enforced it" not in text
    assert "so far the last answer came" in text
    assert "Open1each element, at each receiver" in text


# The bars


def _row(**fields: object) -> dict[str, object]:
    return {
        "delegation": None, "token": "t", "state": "active", "issued_at": "2026-11-02T09:00:00.000000Z",
        "expires_at": None, "scopes": [], "because": None, **fields,
    }  # fmt: skip


def _chart(row: dict[str, object], now: str = "2026-11-02T10:00:00Z") -> dict[str, object]:
    doc = {"chain": [row], "tokens": ["t"], "delegations": []}
    chart = view_models.validity(doc, None, [("2026-11-02T09:30:00Z", "done")], extra=[(now, "now")])
    assert chart
    return chart


def test_a_bar_ends_where_an_order_took_effect_and_not_before():
    """
    What was valid at the time of an action is shown as valid then, even if it was ended later.
    """
    because = {"effective_at": "2026-11-02T09:45:00.000000Z"}
    chart = _chart(_row(state="revoked", because=because))
    row, (done, now) = chart["rows"][0], chart["marks"]

    assert row["x"] < done["x"] < row["x"] + row["width"] == row["dead_x"] < now["x"]
    assert "2026-11-02T09:45:00.000000Z" == row["dead_at"]


def test_the_bar_of_a_never_valid_token_has_no_valid_part():
    """
    A token that was issued after the order was never valid.
    """
    row = _chart(_row(state="cascaded", because={"effective_at": "2026-11-02T08:00:00.000000Z"}))["rows"][0]

    assert (0, row["x"], True) == (row["width"], row["dead_x"], row["dead_width"] > 0)


def test_now_is_marked_unless_the_bars_would_become_too_small():
    """
    Weeks later the chart still shows the hour of the incident.
    """
    names = [
        [mark["name"] for mark in _chart(_row(), now)["marks"]]
        for now in ("2026-11-02T10:00:00Z", "2026-12-24T00:00:00Z")
    ]

    assert [["done", "now"], ["done"]] == names


def test_a_bar_with_an_unknown_end_is_not_shown_as_valid():
    """
    A hop says that an order ended it, but not when; hops beyond the graph are counted instead.
    """
    dead, alive = _row(delegation="d", token=None, state="cascaded"), _row()
    doc = {"chain": [dead, alive], "tokens": ["t", "far"], "delegations": ["d"]}
    chart = view_models.validity(doc, None, [])
    assert chart

    assert (["token:t"], 2) == ([row["key"] for row in chart["rows"]], chart["left_out"])


def test_a_suspension_is_not_shown_as_an_end():
    """
    A suspended element has its own colour and name; times outside the scale have no colour.
    """
    ends = {"effective_at": "2026-11-02T09:45:00.000000Z"}
    late = {"effective_at": "2026-12-24T00:00:00.000000Z"}

    assert [["suspended"], ["revoked"], []] == [
        _chart(_row(state=state, because=because))["ended"]
        for state, because in (("suspended", ends), ("cascaded", ends), ("revoked", late))
    ]


def _grant_along_a_chain(world: World, grants: int) -> None:
    """Record delegations ``hop-0``, ``hop-1`` and so on, each from the holder of the one before."""
    fact = {"type": "delegation.granted", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z"}
    events = [
        fact | {"event_id": f"hop-{number}", "delegation": f"hop-{number}", "delegator": f"agent:{number}"}
        | {"delegatee": f"agent:{number + 1}", "parents": [f"hop-{number - 1}"] if number else []}
        for number in range(grants)
    ]  # fmt: skip
    assert 200 == world.post("/v1/events", "producer", json=events).status_code


def test_a_long_chain_shows_the_end_of_each_element(here: World):
    """
    An order on the first of eighty delegations ended all of them, and each bar shows it.
    """
    _grant_along_a_chain(here, 80)
    give_order(here.service, _order("delegation", "hop-0", "rev-1"))
    chart = re.search(
        r'<section class="sheet chart".*?</section>', Pages(here).get("/chain?of=delegation:hop-79").text, re.DOTALL
    )
    assert chart

    assert (1, 79) == tuple(chart[0].count(f">{word}</strong> from") for word in ("revoked", "revoked (inherited)"))


@pytest.mark.parametrize(
    ("grants", "shown", "folded"),
    [(4, [0, 1, 2, 3, 4], []), (6, [0, 1, 2, 5, 6], [3, 4]), (80, [0, 1, 2, 79, 80], [*range(3, 20), *range(61, 79)])],
)
def test_a_long_chain_shows_its_ends_and_folds_the_rest(here: World, grants: int, shown: list[int], folded: list[int]):
    """
    Up to five parties are shown; of more the first three and the last two, with the others to unfold, in order.
    """
    _grant_along_a_chain(here, grants)
    page = Pages(here).get(f"/chain?of=delegation:hop-{grants - 1}").text
    section = re.search(r'<section class="sheet" aria-labelledby="chain">.*?</section>', page, re.DOTALL)
    assert section
    parts = re.split(r"<details.*?</summary>(.*?)</details>", section[0], flags=re.DOTALL)
    found = [[int(one) for one in re.findall(r'class="head"><a[^>]*>agent:(?:<wbr>)?(\d+)<', part)] for part in parts]

    assert (shown, folded) == ([*chain.from_iterable(found[::2])], [*chain.from_iterable(found[1::2])])


def test_a_reactivated_element_says_what_had_suspended_it(here: World):
    """
    The reason is the lifted suspension.
    """
    give_order(here.service, _order("token", ID, "rev-1", "suspend"))
    here.clock.now += 60_000_000
    lift_order(here.service, "rev-1", lifted_by="human:x")
    here.clock.now += 60_000_000
    text = text_of(Pages(here).get(f"/diff?of={OF}&from=2026-11-02T10:25:30Z&to=now"))

    assert "no longer suspended:by rev-1: test" in text
