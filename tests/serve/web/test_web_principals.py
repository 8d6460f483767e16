"""The pages of delegation: the graph, the chain as cards, and what a principal received, delegated and did."""

import random
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lineage.serve.drawing.svg import STYLE_SHEET
from lineage.serve.web.folding import nearest
from lineage.serve.web.principals_page import EXPANDED, replay
from lineage.serve.web.swimlanes import LANES, PARTS, swimlanes
from lineage.serve.web.templating import STATIC
from tests.support.http_worlds import api_over
from tests.support.web_pages import Pages, text_of

TOKEN = "token:https://idp.example#mailer-1"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Return the incident; tests do not add to it."""
    folder = tmp_path_factory.mktemp("principals")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield Pages(world)


def shown(pages: Pages, path: str, **fields: str) -> httpx.Response:
    return pages.get(path, params=fields)


def test_the_graph_begins_with_the_worst_finding(pages: Pages):
    """
    The theft comes first, then the drawing with links, and the same as a table.
    """
    html = shown(pages, "/graph", view="principals").text
    theft, picture, table = (html.index(part) for part in ("Possible token theft", 'class="dg"', "<caption>The same"))

    assert theft < picture < table
    assert '<a href="/status?of=principal%3Aagent%3Amailer">' in html
    assert html.count('class="dg-node') == 10
    assert "possible theft</text>" in html


def test_the_blast_radius_is_stated_and_marked(pages: Pages):
    """
    With a target the page says what would be revoked, marks it, and says that nothing has been revoked.
    """
    page = shown(pages, "/graph", view="principals", target=TOKEN)

    assert "a revocation would end 3 tokens and 0 grants. Nothing has been revoked." in text_of(page)
    assert "dg-hit" in page.text


def test_the_plan_links_the_graph_with_the_blast_radius(pages: Pages):
    """
    The page of a plan links to the same in the drawing.
    """
    html = shown(pages, "/reach", of=TOKEN).text
    [link] = [
        unescape(href) for href in re.findall(r'href="(/graph\?view=principals&amp;of=[^"]+&amp;target=[^"]+)"', html)
    ]

    assert "a revocation would end 3 tokens" in text_of(pages.get(link))


def test_filters_stay_in_the_form(pages: Pages):
    """
    Selected values stay selected, and an empty field is ignored.
    """
    html = shown(
        pages, "/graph", view="principals", kind="human", state="active", tool="", of="", target="", at=""
    ).text

    assert "<option selected>human</option>" in html
    assert '<option value="active" selected>' in html


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"kind": "robot"}, "kind: 'robot' is none of human"),
        ({"state": "dead"}, "state: 'dead' is none of revoked"),
        ({"of": "nothing"}, "of: "),
        ({"target": "action:x"}, "target: there is no kind 'action' here"),
        ({"at": "noonish"}, "at: 'noonish'"),
        ({"most": "0"}, "most: '0' is "),
    ],
)
def test_an_invalid_filter_is_named(pages: Pages, fields: dict[str, str], names: str):
    """
    The page says which field is invalid.
    """
    page = shown(pages, "/graph", view="principals", **fields)

    assert (400, True) == (page.status_code, names in text_of(page))


def test_what_has_ended_is_hidden(pages: Pages):
    """
    A year later some of it has expired: it is hidden, the page says so, and it is drawn on request.
    """
    later = {"view": "principals", "at": "2027-11-02T10:25:00Z"}
    folded, whole = shown(pages, "/graph", **later).text, shown(pages, "/graph", **later, over="true").text

    assert "with nothing alive hidden" in folded
    assert folded.count('class="dg-node') < whole.count('class="dg-node')
    assert "Hide what has ended" in whole


def links_of(html: str, name: str) -> list[str]:
    return [unescape(href) for href in re.findall(rf'<a class="{name}" href="([^"]+)"', html)]


def test_a_principal_is_expanded_and_collapsed_by_a_link(pages: Pages):
    """
    Without a script the sign on a box is a link: it draws the neighbours of the box, and then hides them again.
    """
    around = {"view": "principals", "of": "principal:agent:mailer"}
    first = shown(pages, "/graph", **around).text
    [planner] = [href for href in links_of(first, "dg-sign") if "expand=agent%3Aplanner" in href]
    more = pages.get(planner).text

    assert "agent:researcher" not in first
    assert "agent:researcher" in more
    assert "Fold away what surrounds agent:planner" in more
    [back] = [unescape(href) for href in re.findall(r'<a class="dg-sign" href="([^"]+)" aria-label="Fold away', more)]
    assert "agent:researcher" not in pages.get(back).text
    assert "6 principals, 4 relations" in first
    assert "7 principals, 6 relations" in more


def test_expanding_keeps_the_time_and_the_filters(pages: Pages):
    """
    Every sign links to the same page at the same time, with the same blast radius.
    """
    asked = {"view": "principals", "of": "principal:agent:mailer", "target": TOKEN, "at": "2026-11-02T10:00:00Z"}
    signs = links_of(shown(pages, "/graph", **asked).text, "dg-sign")

    assert signs
    assert all({"at", "target", "of", "view", "expand"} == set(parse_qs(urlsplit(href).query)) for href in signs)


def test_expanding_is_limited(pages: Pages):
    """
    Each expansion costs a query; an invalid id is named, and an unknown one adds nothing.
    """
    lines = [("view", "principals"), *(("expand", f"agent:a{number}") for number in range(EXPANDED + 1))]
    refused = pages.get("/graph", params=lines)
    unknown, plain = pages.get("/graph", params=lines[:2]), pages.get("/graph", params=lines[:1])

    assert (400, True) == (refused.status_code, "expand: is given 11 times" in text_of(refused))
    assert 200 == unknown.status_code
    assert unknown.text.count('class="dg-node') == plain.text.count('class="dg-node')


def test_a_day_is_replayed_by_links(pages: Pages):
    """
    Each hour of the day up to now is a link to the graph at that hour; it is empty in the first hours.
    """
    html = shown(pages, "/graph", view="principals").text
    hours = re.search(r'<p class="hours".*?</p>', html, re.DOTALL)[0]
    links = [unescape(href) for href in re.findall(r'href="([^"]+)"[^>]*>\d\d<', hours)]

    assert [f"2026-11-02T{hour:02}" for hour in range(11)] == [parse_qs(href)["at"][0][:13] for href in links]
    assert "0 principals" in text_of(pages.get(links[0]))
    assert "10 principals" in text_of(pages.get(links[-1]))


@pytest.mark.parametrize(
    ("at", "now", "hours", "days"),
    [
        (0, 0, 1, (False, False)),
        (1_800_000_000_000_000, 1_800_000_000_000_000, 9, (True, False)),
        (1_800_000_000_000_000 - 2 * 86_400_000_000, 1_800_000_000_000_000, 25, (True, True)),
    ],
)
def test_the_hours_of_a_day(at: int, now: int, hours: int, days: tuple[bool, bool]):
    """
    A past day has all its hours, today has those that have passed, and there is no day before the epoch.
    """
    found = replay(at, now)

    assert (hours, days) == (len(found["hours"]), (found["before"] is not None, found["after"] is not None))
    assert found["begins"] <= found["at"] <= found["ends"]


def test_the_blast_radius_has_a_short_name(pages: Pages):
    """
    `blast` stands for `target`, also in the links of the page.
    """
    page = shown(pages, "/graph", view="principals", blast=TOKEN)

    assert "Nothing has been revoked." in text_of(page)
    assert f'value="{TOKEN}"' in page.text


def test_the_graph_of_elements_is_still_there(pages: Pages):
    """
    Without a view the page draws the dependencies, as before.
    """
    assert "parents on the left" in shown(pages, "/graph", of=TOKEN).text


def test_the_chain_is_shown_as_cards_with_a_broken_link(pages: Pages):
    """
    From Alice to the mail, the scopes shrink, and the link to the party that used the token is broken.
    """
    html = shown(pages, "/who", action="mail-7").text
    cards = html[html.index('<ol class="cards">') : html.index("</ol>", html.index('<ol class="cards">'))]
    kinds = re.findall(r'<li class="(\w+) (\w*)( broken)?">', cards)

    assert [
        ("human", "", ""),
        ("agent", "", ""),
        ("agent", "", ""),
        ("agent", "bad", " broken"),
        ("effect", "", ""),
    ] == kinds
    assert ["5 scopes", "2 scopes (3 fewer)", "possible theft", "succeeded"] == re.findall(
        r'"arrow"[^>]*>([^<]*)<', cards
    )


@pytest.mark.parametrize("path", ["/who.svg", "/who.mmd", "/chain.dot", "/chain.graphml"])
def test_a_chain_is_a_file_for_those_who_may_see_it(pages: Pages, path: str):
    """
    The drawing of a chain is linked from its page and needs the same role; several chains, or none, are refused.
    """
    asked = {"action": "mail-7"} if path.startswith("/who") else {"of": TOKEN}
    [name] = asked
    page, file = shown(pages, path.partition(".")[0], **asked).text, shown(pages, path, **asked)
    several = pages.get(path, params=[(name, asked[name])] * 2)

    assert f'href="{path}?' in page
    assert (200, True) == (file.status_code, "agent:mailer" in file.text)
    assert 401 == pages.nobody.get(path, params=asked).status_code
    assert [400, 404] == [several.status_code, shown(pages, path, **{name: "token:none"}).status_code]


def test_the_page_of_a_principal_has_what_it_received_delegated_and_did(pages: Pages):
    """
    An agent's page says from whom, to whom, and its actions by tool over time; each part of the time links to a list.
    """
    html = shown(pages, "/status", of="principal:agent:mailer").text
    text = text_of(shown(pages, "/status", of="principal:agent:mailer"))

    assert "received fromagent:planner1 token, 1 grant" in text
    assert "handed toservice:smtp-relay1 token" in text
    assert "Done by it, or with what it held" in text
    assert re.search(r'href="/actions\?agent=agent%3Amailer&amp;from=[^"]+&amp;to=', html)


def test_the_page_of_a_person_has_everything_done_for_them(pages: Pages):
    """
    It includes all her ids and all actors.
    """
    text = text_of(shown(pages, "/status", of="principal:human:alice@example.com"))

    assert "Done for this person" in text
    assert all(action in text for action in ("crm-1", "mail-7", "archive-5"))


def test_a_page_draws_as_a_file_does():
    """
    A standalone file and the style sheet of the pages have the same rules for drawings.
    """
    sheet = (STATIC / "delegraph.css").read_text("utf-8")

    assert STYLE_SHEET[STYLE_SHEET.index(".dg text") :].strip() in sheet


# Lanes


def action(number: int, tool: str | None, outcome: str = "succeeded") -> dict[str, Any]:
    at = f"2026-11-02T{number // 60 % 24:02}:{number % 60:02}:00.000000Z"
    return {"action": f"a{number}", "operation": "op", "outcome": outcome, "tool": tool, "occurred_at": at}


def test_every_action_is_a_dot_in_a_lane_and_a_part():
    """
    However many tools there are, no dot is lost, the parts add up, and tools without their own lane share the last one.
    """
    chance = random.Random(3)
    items = [action(number, chance.choice([None, *(f"tool-{i}" for i in range(30))])) for number in range(300)]
    found = swimlanes(items, lambda one: one["tool"], lambda **span: f"/actions?{span['from']}")

    assert found is not None
    assert (300, LANES, PARTS) == (found["drawing"].count("<circle"), len(found["lanes"]), len(found["parts"]))
    assert 300 == sum(part["count"] for part in found["parts"])


def test_one_action_has_no_time():
    """
    Lanes need a range of time.
    """
    assert swimlanes([action(1, "mail")], lambda one: one["tool"], lambda **_: "") is None


# A large graph


def party(name: str, *, kind: str = "agent") -> dict[str, Any]:
    counts = {"alive": 1, "suspended": 0, "expired": 0, "revoked": 0}
    wrong = {"count": 0, "worst": None, "why": None}
    return {"id": name, "kind": kind, "focus": False, "tokens": counts, "delegations": counts, "findings": wrong}


def tie(giver: str, holder: str) -> dict[str, Any]:
    return {"from": giver, "to": holder, "findings": {"worst": None}}


def test_a_selection_prefers_findings_and_their_chains():
    """
    Of five hundred, a limited number is drawn, each with the chain above it, even if there is a cycle.
    """
    names = [f"n{number}" for number in range(500)]
    edges = [tie(f"n{number // 2}", f"n{number}") for number in range(1, 500)] + [tie("n499", "n0")]
    doc = {"nodes": [party(name) for name in names], "edges": edges, "uses": [{"from": "n400", "to": "n450"}]}
    few = nearest(doc, 60)
    kept = {node["id"] for node in few["nodes"]}

    assert 50 < len(kept) <= 60
    assert {"n400", "n450", "n200", "n100"} <= kept
    assert all({edge["from"], edge["to"]} <= kept for edge in few["edges"])
