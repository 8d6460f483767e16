"""The pages in a real Chromium, as a person uses them: one server, one browser, and the demo's incident."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.support.browsing import ID, OF, PAGES, SECONDS, eventually, serious, sign_in, site
from tests.support.kafka_worlds import wait_until

HOSTILE = "\"><img src=x onerror=alert(1)>'<script>alert(1)</script>"


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start ``delegraph demo --serve``, and return the link that it prints."""
    with site(tmp_path_factory.mktemp("demo"), "demo", "--serve") as link:
        yield link


@pytest.fixture(scope="module")
def signed_in(link: str, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cookies of someone who followed the link."""
    return sign_in(browser, link, tmp_path_factory.mktemp("browser"))


@pytest.fixture
def person(link: str, browser: Browser, signed_in: Path) -> Iterator[BrowserContext]:
    """Return a page that is signed in; check afterwards that it used no other host and the browser blocked nothing."""
    complaints: list[str] = []
    context = _somebody(link, browser, signed_in, complaints)
    yield context
    context.close()
    assert [] == complaints


def _somebody(link: str, browser: Browser, kept: Path, complaints: list[str], **how: object) -> BrowserContext:
    base = link.partition("/sign-in")[0]
    context = browser.new_context(base_url=base, storage_state=kept, **how)
    context.set_default_timeout(SECONDS * 1_000)
    context.on("request", lambda asked: None if asked.url.startswith(base) else complaints.append(asked.url))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))

    def record_message(message: ConsoleMessage) -> None:
        # The console also reports a 404 or a 409 of a page, which is expected.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    context.on("console", record_message)
    return context


@pytest.mark.slow
def test_part_of_a_name_finds_principals_in_the_graph(person: BrowserContext):
    """
    Matches are highlighted and counted, the rest is pale, Enter goes to the next one, and Escape ends the search.
    """
    page = person.new_page()
    page.goto("/graph?view=principals")
    every = page.locator("#drawn [data-id]").count()
    page.get_by_label("Find in the graph").fill("MAIL")
    message = page.locator("#finder output").inner_text()
    marked = page.locator("#drawn .dg-found").evaluate_all("found => found.map(one => one.dataset.id).sort()")
    page.keyboard.press("Enter")
    pale = page.locator("#drawn [data-id].dg-far").count()
    page.keyboard.press("Escape")

    assert (f"{len(marked)} of {every}", every - len(marked)) == (message, pale)
    assert "agent:mailer" in marked
    assert all("mail" in id_ for id_ in marked)
    assert 0 == page.locator("#drawn .dg-found, #drawn .dg-far").count()


@pytest.mark.slow
def test_a_person_finds_out_who_did_it_and_moves_time(person: BrowserContext):
    """
    They search on the start page and reach the sentence, then another time, which stays in the address and visible.
    """
    page = person.new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("mail-7")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="mail-7", exact=True).click()
    sentence = page.locator("h1").inner_text()
    page.get_by_text("(change)").click()
    page.get_by_label("As of").fill("2026-11-02T08:00:00Z")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**at=2026-11-02T08*")

    assert "mail.send was done by agent:scraper with token https://idp.example#mailer-1" in sentence
    eventually(page, ".moment", "Viewing: 2026-11-02T08:00:00Z")
    eventually(page, "h1", "at 2026-11-02T08:00:00Z: not yet valid")


@pytest.mark.slow
def test_who_mailed_the_rival_is_found_by_typing_a_part_of_its_name(person: BrowserContext):
    """
    A word on the start page leads to the resource and to the answer: the thief, for whom, and with whose token.
    """
    page = person.new_page()
    page.goto("/")
    page.keyboard.type("rival")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="press@rival.example").first.click()
    eventually(page, "main [role=alert]", "agent:scraper used a token issued to agent:mailer")
    eventually(page, ".facets", re.compile(r"By whom\s*agent:scraper.*For whom\s*Alice Ng", re.DOTALL))
    page.get_by_role("link", name="mail-7", exact=True).first.click()
    eventually(page, "h1", "mail.send was done by agent:scraper")


@pytest.mark.slow
def test_the_answer_is_two_clicks_from_the_start_page(person: BrowserContext):
    """
    Who mailed the price list to the rival, on whose authority, and that the token was stolen, by clicking alone:
    from what needs attention, and from the bar of the day through its list.
    """
    page = person.new_page()
    page.goto("/")
    eventually(page, ".note.bad", "High: Possible token theft")
    page.locator(".note.bad").get_by_role("link", name="action:mail-7", exact=True).click()
    page.wait_for_url("**/who?action=mail-7*")
    _is_the_answer(page)

    page.goto("/")
    page.locator("svg.bars a").last.click()
    page.wait_for_url("**/actions?*")
    page.get_by_role("row").filter(has_text="press@rival.example").get_by_role("link", name="mail-7").click()
    page.wait_for_url("**/who?action=mail-7*")
    _is_the_answer(page)


def _is_the_answer(page: Page) -> None:
    """Examine what a person reads there: the sentence, the warning, the chain, and what was sent."""
    eventually(page, "h1", re.compile("mail.send was done by agent:scraper.*issued to.*agent:mailer.*for.*alice"))
    eventually(page, "main [role=alert]", "agent:scraper used a token issued to agent:mailer")
    eventually(page, ".cards .human", "Alice Ng")
    eventually(page, ".cards .broken", "possible theft")
    eventually(page, "#what ~ dl", "press@rival.example")
    eventually(page, "#decision ~ dl", "price-list-2026.xlsx")


@pytest.mark.slow
def test_everything_that_was_done_for_alice_is_found_by_her_name(person: BrowserContext):
    """
    In the list of actions her first name is enough, and the list shows how it was resolved.
    """
    page = person.new_page()
    page.goto("/")
    page.get_by_role("link", name="Actions", exact=True).click()
    page.get_by_label("For which human").fill("alice")
    page.get_by_role("button", name="Show").click()
    eventually(page, "main", "was understood as principal human:alice@example.com")
    eventually(page, "h1", re.compile(r"\d+ actions that match"))
    for action in ("crm-1", "mail-7", "archive-5"):
        expect(page.get_by_role("link", name=action, exact=True)).to_be_visible()


@pytest.mark.slow
def test_which_agents_hold_what(person: BrowserContext):
    """
    In the list of agents the number of active tokens leads to the tokens, and a token to its chain.
    """
    page = person.new_page()
    page.goto("/")
    page.get_by_role("link", name="People", exact=True).click()
    page.get_by_label("Kind").select_option("agent")
    page.get_by_role("button", name="Show").click()
    eventually(page, "h1", "6 principals match")
    mailer = page.get_by_role("row").filter(has=page.get_by_role("link", name="agent:mailer", exact=True))
    expect(mailer).to_contain_text("1 high")
    mailer.get_by_role("cell", name="1", exact=True).get_by_role("link").click()
    page.get_by_role("link", name=ID, exact=True).click()
    eventually(page, "h1", "agent:mailer")


def test_the_graph_is_drawn_and_its_table_is_reached_by_keyboard(person: BrowserContext):
    """
    The drawing has as many nodes as the document; each is in the table, and is reached with a key.
    """
    page = person.new_page()
    page.goto(f"/graph?of={OF}")
    page.wait_for_selector("#drawing[data-drawn]")
    drawn = page.locator("#drawing").get_attribute("data-drawn")
    document = person.request.get(f"/v1/graph?of={OF}").json()
    page.locator("tr[data-key] a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/chain?**")

    assert len(document["nodes"]) + len(document["collapsed"]) == int(drawn)


def test_an_agent_is_reached_in_the_graph_of_principals_by_keyboard(person: BrowserContext):
    """
    Links lead from the start page to the graph and to the mailer, which is then highlighted with what leads to it, and
    on to its page.
    """
    page = person.new_page()
    page.goto("/")
    page.get_by_role("link", name="Graph", exact=True).click()
    page.wait_for_url("**/graph?view=principals*")  # with its script
    page.locator("svg.dg [data-id='agent:mailer'] a").focus()
    far = page.locator("svg.dg .dg-node.dg-far").count()
    near = page.locator("svg.dg .dg-edge:not(.dg-far)").count()
    page.keyboard.press("Enter")
    page.wait_for_url("**/status?of=principal*")

    assert (6, 3) == (far, near)
    eventually(page, "h1", "principal agent:mailer is active")


def test_a_day_is_replayed_by_keyboard(person: BrowserContext):
    """
    The slider starts at the beginning of the day, when nobody had a token, and moves on; the address has the time.
    """
    page = person.new_page()
    page.goto("/graph?view=principals")
    slider = page.get_by_label("Time of day")
    slider.press("Home")
    eventually(page, "h1", "0 principals")
    eventually(page, "#replay output", "2026-11-02 00:00 UTC")
    expect(page).to_have_url(re.compile("at=2026-11-02T00%3A00%3A00Z"))
    slider.press("End")
    eventually(page, "h1", "10 principals")
    expect(slider).to_be_focused()


def test_a_principal_is_expanded_by_keyboard(person: BrowserContext):
    """
    Enter on the sign of a box draws its neighbours; the focus stays on the box, whose sign now collapses them.
    """
    page = person.new_page()
    page.goto("/graph?view=principals&of=principal:agent:mailer")
    sign = page.locator(".dg-node[data-id='agent:planner'] .dg-sign")
    sign.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".dg-node[data-id='agent:researcher']")).to_be_visible()
    expect(sign).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".dg-node[data-id='agent:researcher']")).to_have_count(0)


def test_a_range_is_dragged_over_the_lanes(person: BrowserContext):
    """
    The first half of the lanes of the mail tool has the mails of the mailer, but not that of the thief, as a list, as
    CSV, and as an item of a case.
    """
    page = person.new_page()
    page.goto("/usage?tool=mail")
    lanes = page.locator("[data-ranges] .dg-time")
    lanes.scroll_into_view_if_needed()
    area = lanes.bounding_box()
    page.mouse.move(area["x"] - 2, area["y"] + 10)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] / 2, area["y"] + 10, steps=4)
    page.mouse.up()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    page.get_by_role("button", name="List this time").click()
    eventually(page, "h1", "2 actions")
    eventually(page, "main", "mail-4")
    page.get_by_role("link", name="Add this range of actions to a case").click()
    eventually(page, "main", "range of actions")

    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    asked = parse_qs(urlsplit(page.url).query)["of"][0]
    assert ["mail-4", "mail-3"] == [row["action"] for row in rows]
    assert asked.startswith("actions:from=2026-11-02T09")
    assert asked.endswith("&tool=mail")


def test_without_a_script_the_graph_of_principals_is_complete(link: str, browser: Browser, signed_in: Path):
    """
    The drawing, its links, the filters and the table need no script.
    """
    person = _somebody(link, browser, signed_in, [], java_script_enabled=False)
    page = person.new_page()
    page.goto("/graph?view=principals")
    page.get_by_label("Kind of principal").select_option("human")
    page.get_by_role("button", name="Show").click()
    humans = page.locator("svg.dg .dg-node").count()
    rows = page.locator("caption:has-text('The same') ~ tbody tr").count()
    page.locator("svg.dg [data-id='agent:planner'] a").click()
    person.close()

    assert (5, 3) == (humans, rows)


def test_without_a_script_nothing_is_offered_that_needs_one(link: str, browser: Browser, signed_in: Path):
    """
    The server's drawing is shown with its table; there is no button to copy, print or move it.
    """
    person = _somebody(link, browser, signed_in, [], java_script_enabled=False)
    page = person.new_page()
    page.goto(f"/graph?of={OF}")
    drawn = page.locator("#drawing svg .node").count()
    dead = page.locator("button:visible").all_inner_texts()
    page.goto(f"/chain?of={OF}")
    dead += page.locator("button:visible").all_inner_texts()
    person.close()

    assert drawn
    assert {"Find", "Apply"} >= set(dead)


@pytest.mark.slow
def test_an_order_is_planned_refused_confirmed_and_followed(person: BrowserContext):
    """
    An event arrives between the plan and the order, which is refused with the difference; confirmed again, it is given;
    going back does not order again; and the board updates itself.
    """
    plan, second_page = person.new_page(), person.new_page()
    plan.goto(f"/reach?of={OF}")
    second_page.goto("/")
    second_page.locator("form[action='/story/missing'] button").click()
    second_page.wait_for_url("**/#story")
    _confirm(plan)
    eventually(plan, "[role=alert][tabindex]", "Nothing was revoked: the blast radius has changed since you looked")
    new = plan.locator("tr.new th").all_inner_texts()
    _confirm(plan)
    plan.wait_for_url("**/revocations/rev-*")
    plan.go_back()  # back to the refused plan: it is loaded again, and nothing is sent again
    eventually(plan, "main", "Nothing would be revoked: nothing below it is active")
    plan.go_forward()
    eventually(plan, "#live h1", "PARTIAL")
    # A line that scales with the drawing would fill it completely: nothing enforced would look like everything.
    line = plan.locator("svg.meter .rail").evaluate("rail => getComputedStyle(rail).vectorEffect")
    first = plan.locator("#as-of").inner_text()
    second_page.goto("/")
    second_page.locator("form[action='/story/enforced'] button").click()
    eventually(plan, "#live h1", "CLOSED")
    second_page.goto("/revocations")
    eventually(second_page, "#live", "CLOSED")
    other = person.new_page()
    other.goto("/")
    other.locator("form[action='/story/born-dead'] button").click()
    eventually(second_page, "#live", "PARTIAL")
    eventually(plan, "#live h1", "PARTIAL")

    assert ["https://idp.example#mailer-2", "https://idp.example#relay-2"] == sorted(new)
    assert "non-scaling-stroke" == line
    assert first != plan.locator("#as-of").inner_text()  # the progress of the projection changes with it


def _confirm(page: Page) -> None:
    page.get_by_label("Reason").select_option("credential_leak")
    page.get_by_label("Type the id of the target").fill(ID)
    page.get_by_role("button", name="Revoke").click()


def test_input_survives_the_end_of_the_session(person: BrowserContext):
    """
    The session ends between the plan and the order: nothing is ordered, and after signing in elsewhere the same form
    is sent, as one order.
    """
    page = person.new_page()
    page.goto("/reach?of=token:https%3A%2F%2Fidp.example%23scraper-1&mode=suspend")
    page.get_by_label("Reason").select_option("test")
    page.get_by_label("Note").fill("three lines of care")
    page.get_by_label("Type the id of the target").fill("https://idp.example#scraper-1")
    session = person.cookies()
    person.clear_cookies()
    page.get_by_role("button", name="Suspend").click()
    eventually(page, "main", "What you entered is still here")
    kept = page.get_by_text("three lines of care").is_visible()
    person.add_cookies(session)
    page.get_by_role("button", name="Send it again").dblclick()
    page.wait_for_url("**/revocations/rev-*")

    assert kept
    eventually(page, "main", "three lines of care")


@pytest.mark.slow
def test_the_start_page_updates_itself_and_does_not_jump(person: BrowserContext):
    """
    New events appear without a reload; the scroll position and the input stay.
    """
    page = person.new_page()
    page.goto("/")
    page.locator("#q").fill("half a wo")
    page.evaluate("scrollTo(0, 200)")
    count = page.locator("[aria-label='Findings by severity']").inner_text()
    assert page.evaluate("document.getElementById('live').dataset.pause") == "5000"
    loose = {
        "type": "action.performed",
        "event_id": "loose-1",
        "source": "urn:test:browser",
        "occurred_at": "2026-11-02T10:25:00Z",
        "action": "loose-1",
        "operation": "files.delete",
        "outcome": "succeeded",
        "actor": "agent:unheard-of",
    }
    sent = person.request.post("/v1/events", data=[loose], headers={"Delegraph-Request": "1"})
    assert sent.ok, sent.text()
    expect(page.locator("[aria-label='Findings by severity']")).not_to_have_text(count, timeout=SECONDS * 1_000)

    assert ("half a wo", 200, "q") == (
        page.locator("#q").input_value(),
        page.evaluate("scrollY"),
        page.evaluate("document.activeElement.id"),
    )


def test_a_reloaded_list_keeps_what_was_expanded(person: BrowserContext):
    """
    The list of findings is loaded again; an expanded part stays expanded, and the counts above are updated.
    """
    page = person.new_page()
    page.goto("/findings")
    fold = page.locator("#live details", has_text="Not evaluated")
    fold.locator("summary").click()
    with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        page.evaluate("htmx.trigger(document.getElementById('live'), 'recorded')")
    page.wait_for_timeout(500)

    unfolded, counts = page.locator("#live details[open]").count(), page.locator("#counted h1").count()
    assert ("", 1, 1) == (fold.get_attribute("open"), unfolded, counts)


@pytest.mark.slow
def test_a_hidden_tab_sends_no_requests(person: BrowserContext):
    """
    In the background it stops listening; when it is visible again, it reloads once and listens again.
    """
    page = person.new_page()
    with page.expect_request("**/v1/live"):
        page.goto("/revocations")
    page.wait_for_load_state("load")
    asked: list[str] = []
    page.on("request", lambda request: "static" in request.url or asked.append(urlsplit(request.url).path))
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')) }",
        True,
    )
    page.wait_for_timeout(1_000)
    assert [] == asked
    page.evaluate(
        "() => { delete document.hidden; document.dispatchEvent(new Event('visibilitychange')) }",
    )
    page.wait_for_timeout(1_000)
    assert ["/revocations", "/v1/live"] == sorted(asked)


def test_the_board_says_when_it_is_not_live(link: str, browser: Browser, signed_in: Path):
    """
    It says so when the server becomes unavailable or the session ends, and when it is live again.
    """
    person = _somebody(link, browser, signed_in, [])  # failed requests are on the console as well
    page = person.new_page()
    page.goto("/revocations")
    asked_again = "htmx.trigger(document.getElementById('live'), 'recorded')"
    person.set_offline(True)
    page.evaluate(asked_again)
    eventually(page, "#live-state", "Not live: the server does not answer.")
    person.set_offline(False)
    session = person.cookies()
    person.clear_cookies()
    page.evaluate(asked_again)
    eventually(page, "#live-state", "Not live: your session has ended")
    person.add_cookies(session)
    page.evaluate(asked_again)
    expect(page.locator("#live-state")).to_be_hidden(timeout=SECONDS * 1_000)
    person.close()


def test_the_graph_is_moved_by_keyboard_and_leaves_the_wheel_to_the_page(person: BrowserContext):
    """
    Arrows move it, plus zooms in, zero shows all of it; the wheel scrolls the page, as everywhere else.
    """
    page = person.new_page()
    page.goto(f"/graph?of={OF}")
    page.wait_for_selector("#drawing[data-drawn]")
    box, views = page.locator("#drawing"), []
    box.focus()
    for key in ("ArrowRight", "ArrowDown", "+", "0"):
        before = box.get_attribute("data-view")
        page.keyboard.press(key)
        expect(box).not_to_have_attribute("data-view", before, timeout=SECONDS * 1_000)
        views.append(box.get_attribute("data-view"))
    box.hover()
    page.mouse.wheel(0, 300)
    wait_until(lambda: page.evaluate("window.scrollY") > 0)

    assert (4, views[-1]) == (len(set(views)), box.get_attribute("data-view"))


def test_an_id_is_copied_unchanged(person: BrowserContext):
    """
    The button next to an id copies it to the clipboard, byte for byte.
    """
    person.grant_permissions(["clipboard-read", "clipboard-write"])
    page = person.new_page()
    page.goto(f"/chain?of={OF}")
    page.get_by_role("button", name="Copy the id").click()
    page.get_by_role("button", name="Copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == ID


def test_what_is_printed_has_no_buttons(person: BrowserContext):
    """
    The printed page has the findings, without navigation, forms and the current time.
    """
    page = person.new_page()
    page.goto("/who?action=mail-7")
    page.emulate_media(media="print")
    hidden = [page.locator(name).first.is_hidden() for name in (".around", "nav", ".find", ".moment", ".copy")]

    assert ([True] * 5, True) == (hidden, page.locator("h1").is_visible())


@pytest.mark.slow
def test_without_javascript_everything_works(link: str, browser: Browser, signed_in: Path):
    """
    Without a script the server's drawing of the graph is shown, and a form gives an order.
    """
    context = _somebody(link, browser, signed_in, [], java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/graph?of={OF}")
    shapes = page.locator("#drawing svg g.node").count()
    page.goto("/reach?of=delegation:grant-report&mode=suspend")
    page.get_by_label("Reason").select_option("test")
    page.get_by_label("Type the id of the target").fill("grant-report")
    page.get_by_role("button", name="Suspend").click()
    page.wait_for_url("**/revocations/rev-*")
    page.get_by_text("Reinstate…").first.click()
    page.get_by_label("Type the id of the revocation").fill(page.url.rpartition("/")[2])
    page.get_by_role("button", name="Reinstate").click()
    heading = page.locator("h1").inner_text()
    context.close()

    assert (True, True) == (shapes > 0, "REINSTATED" in heading)


def test_markup_in_events_never_runs(person: BrowserContext):
    """
    Markup in the ids of an event is shown as text.
    """
    page = person.new_page()
    page.goto("/")
    event = {
        "type": "action.performed", "action": f"x{HOSTILE}", "operation": HOSTILE, "outcome": "succeeded",
        "source": "urn:test", "event_id": "hostile", "occurred_at": "2026-11-02T10:00:00Z", "token": f"t{HOSTILE}",
    }  # fmt: skip
    response = person.request.post("/v1/events", data=[event], headers={"Delegraph-Request": "1"})
    page.goto(f"/who?action={quote(f'x{HOSTILE}', safe='')}")
    sentence = page.locator("h1").inner_text()
    page.goto(f"/graph?of={quote(f'token:t{HOSTILE}', safe='')}")
    page.wait_for_selector("#drawing[data-drawn]")

    assert (1, True) == (response.json()["accepted"], f"{HOSTILE} was done by" in sentence)


@pytest.mark.slow
def test_pages_are_accessible(link: str, browser: Browser, signed_in: Path):
    """
    axe finds nothing serious on any page, no page scrolls sideways on a phone, and the dark theme is legible.
    """
    context = _somebody(link, browser, signed_in, [], viewport={"width": 390, "height": 800})
    page, found = context.new_page(), []
    for path in PAGES:
        page.goto(path)
        found += serious(page, {"resultTypes": ["violations"]})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found += [(path, "scrolls sideways", wide)] if wide > 0 else []
    context.close()
    night = _somebody(link, browser, signed_in, [], color_scheme="dark")
    page = night.new_page()
    for path in PAGES:
        page.goto(path)
        found += serious(page, {"runOnly": ["color-contrast"]})
    night.close()

    assert [] == found


@pytest.mark.slow
def test_the_incident_of_the_tour_is_proved_to_be_over(link: str, browser: Browser, signed_in: Path):
    """
    It leads from the start page to a signed CLOSED by links and buttons only: plan, order, enforcement by the gateway,
    and its reply to the proof.
    """
    context = _somebody(link, browser, signed_in, [], accept_downloads=True)
    page = context.new_page()
    page.goto(f"/reach?of={quote('token:https://idp.example#scraper-1', safe='')}")
    page.get_by_label("Reason").select_option("credential_leak")
    page.get_by_label("Type the id of the target").fill("https://idp.example#scraper-1")
    page.get_by_role("button", name=re.compile("^Revoke ")).click()
    page.wait_for_url("**/revocations/rev-*")
    board = page.url
    page.goto("/")
    page.locator("form[action='/story/enforced'] button").click()
    page.wait_for_url("**/#story")
    page.goto(board)
    page.get_by_role("button", name="Prove it now").click()
    eventually(page, "h1", "Every enforcement point denies all of it.")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download, signed").click()
    downloaded = json.loads(downloading.value.path().read_text(encoding="utf-8"))
    context.close()

    assert ("CLOSED", 1) == (downloaded["proof"]["verdict"], downloaded["proof"]["points"][0]["denied"])
    assert downloaded["jws"].count(".") == 2


@pytest.mark.slow
def test_several_targets_go_from_a_list_to_a_signed_receipt(person: BrowserContext):
    """
    With clicks and typing only: selected, planned, mistyped, confirmed, followed on the board, marked by hand, proved
    as far as possible, and signed.
    """
    page = person.new_page()
    page.goto("/tokens")
    for token in ("reporter-1", "calendar-1"):
        page.get_by_label(f"Choose token:https://idp.example#{token}", exact=True).check()
    page.get_by_role("button", name="Revoke selected").click()
    eventually(page, "h1", "Revoking 2 targets together would end")
    page.get_by_label("Reason").select_option("compromise")
    page.get_by_label("Type 2 targets to confirm").fill("2")
    page.get_by_role("button", name=re.compile("^Revoke ")).click()
    eventually(page, "[role=alert]", "Nothing was revoked")
    page.get_by_label("Type 2 targets to confirm").fill("2 targets")
    page.get_by_role("button", name=re.compile("^Revoke ")).click()
    page.wait_for_url("**/incidents/inc-*")
    incident = page.url
    eventually(page, "h1", "0 of 2 revocations are over; 0 of 1 enforcement point have confirmed")
    assert [] == serious(page, {"resultTypes": ["violations"]})
    for number in (1, 2):
        page.goto(incident)
        page.get_by_role("link", name=re.compile(rf"^inc-.*\.{number}$")).click()
        page.get_by_text("Mark by hand…").click()
        page.get_by_label("How do you know").fill("its operator showed me the refusal")
        page.get_by_role("button", name="Mark as enforced").click()
        page.wait_for_url("**#board")
        eventually(page, "h1", "CLOSED")
        eventually(page, "main", "its operator showed me the refusal")
    page.get_by_role("button", name="Prove it now").click()
    eventually(page, "h1", "Something is still accepted")  # a statement is not a proof
    eventually(page, "main", "0 of 3 denied")
    page.go_back()
    page.get_by_role("link", name="Signed receipt").click()
    eventually(page, "h1", "Enforced everywhere since")
    eventually(page, "main", "Marked by hand")
    page.goto(incident)
    eventually(page, "h1", "2 of 2 revocations are over; 1 of 1 enforcement point has confirmed")
