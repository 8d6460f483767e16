"""The page of a tool, a resource or an operation: linked from everywhere, and each number has its list."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from ingest.log.port import entry_of
from ingest.projector import project
from lineage.core.model.events import ActionPerformed, Event
from lineage.serve.cli.demo import ASKED
from tests.support.http_worlds import api_over
from tests.support.web_pages import HOSTILE, OF, Pages, text_of

RESOURCE = "/usage?resource=press%40rival.example"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Return the incident; tests do not add to it."""
    folder = tmp_path_factory.mktemp("usage")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield Pages(world)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/who?action=mail-7", "/usage?tool=mail"),
        ("/who?action=mail-7", RESOURCE),
        ("/who?action=mail-7", "/usage?operation=mail.send"),
        ("/actions", "/usage?tool=mail"),
        ("/actions?resource=press%40rival.example", RESOURCE),
        (f"/uses?of={OF}", "/usage?tool=mail"),
        (f"/uses?of={OF}", RESOURCE),
        ("/timeline?of=action:mail-7", "/usage?tool=mail"),
        ("/status?of=principal:agent:mailer", "/usage?tool=mail"),
        ("/governance/done?agent=agent:mailer", "/usage?tool=mail"),
        ("/search?q=mail", "/usage?tool=mail"),
        ("/search?q=rival", RESOURCE),
    ],
)
def test_every_mention_links_to_its_page(pages: Pages, path: str, leads_to: str):
    """
    A tool, a resource and an operation are links wherever they occur.
    """
    assert f'href="{leads_to}"' in pages.get(path).text


def test_the_page_begins_with_the_theft(pages: Pages):
    """
    At the top is who mailed the rival: the finding, then by whom and for whom.
    """
    text = text_of(pages.get(RESOURCE))

    assert text.index("High: Possible token theft: agent:scraper") < text.index("was acted on in 1 action by 1 party")
    assert "By whom agent:scraper 1 action" in text
    assert "For whom Alice Ng 1 action" in text


def test_every_number_is_a_list_of_that_many(pages: Pages):
    """
    The counts of the mail tool link to lists with that many actions.
    """
    html = pages.get("/usage?tool=mail").text
    numbers = re.findall(r'<span class="count"><a href="([^"]+)">(\d+)<', html)

    assert 8 == len(numbers)
    for href, number in numbers:
        found = pages.get(f"/v1{unescape(href)}").json()
        assert (int(number), True) == (len(found["items"]), found["complete"])


@pytest.mark.parametrize(
    ("asked", "status", "names"),
    [
        ("", 400, "tool: give exactly one of tool, resource and operation"),
        ("?tool=mail&resource=x", 400, "tool: give exactly one"),
        ("?tool=mail&tool=crm", 400, "tool"),
        (f"?resource={'x' * 5_000}", 400, "resource"),
        ("?tool=hammer", 404, "hammer"),
        ("?tool=mail&at=noonish", 400, "at: 'noonish'"),
        ("?tool=mail&bolt=1", 400, "bolt"),
    ],
)
def test_an_invalid_request_names_what_is_wrong(pages: Pages, asked: str, status: int, names: str):
    """
    Neither an invalid request nor an unused tool gives an empty page.
    """
    page = pages.get(f"/usage{asked}")

    assert (status, True) == (page.status_code, names in text_of(page))


def test_a_range_of_time_is_chosen_by_typing(pages: Pages):
    """
    A form below the lanes lists the actions with the tool in a range; it is filled in with the whole range.
    """
    html = pages.get("/usage?tool=mail").text
    form = re.search(r'<form class="range"[^>]* action="/actions">(.*?)</form>', html, re.DOTALL)[1]
    result = dict(re.findall(r'<input [^>]*name="(\w+)" value="([^"]+)"', form))

    assert {"tool", "from", "to"} == set(result)
    assert 3 == len(pages.get("/v1/actions", params=result).json()["items"])


def test_each_filter_of_a_list_has_a_link_that_removes_it(pages: Pages):
    """
    Each filter above a list links to the list without it, with the other filters and the time.
    """
    asked = {"human": "alice", "tool": "mail", "from": "2026-11-02", "at": "2026-11-02T10:25:00Z"}
    html = pages.get("/actions", params=asked).text
    chips = [unescape(href) for href in re.findall(r'<li><a href="([^"]+)" title="Remove this filter">', html)]

    assert 3 == len(chips)
    for href, removed in zip(chips, ("human", "tool", "from"), strict=True):
        result = parse_qs(urlsplit(href).query)
        assert ({*asked} - {removed}, ["2026-11-02T10:25:00Z"]) == ({*result} - {"limit"}, result["at"])
        assert 200 == pages.get(href).status_code


@pytest.mark.parametrize(
    "id_",
    [
        "x" * 512,
        "é" * 256,
        "שלום עולם",
        "日本語の道具",
        "ب\u202eت",
        "%_\\",
        "'; DROP TABLE fact",
        HOSTILE,
        "a:b/c?d#e&f=g",
    ],
)
def test_a_tool_of_any_name_has_a_page(tmp_path: Path, id_: str):
    """
    Names may be in every script, right to left, of maximum length, or hostile: the page is complete, its links lead to
    the name, and nothing in it runs.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        log = world.service.require_log()
        body = ActionPerformed(action="odd-1", operation="op", outcome="succeeded", tool=id_, actor="agent:odd")
        log.append([entry_of(Event("odd-1", "urn:odd", ASKED - 1, body))])
        project(log, world.service.store, world.service.trust.table)
        pages = Pages(world)
        page = pages.get("/usage", params={"tool": id_})
        [link] = set(re.findall(r'href="(/usage\?tool=[^"&]+)"', pages.get("/who?action=odd-1").text))

        assert (200, 200) == (page.status_code, pages.get(unescape(link)).status_code)
        assert "was used in 1 action" in text_of(page)
        assert "<script>alert" not in page.text
        assert "\u202e" not in text_of(page)
