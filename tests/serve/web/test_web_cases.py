"""Cases on pages without scripts: opened from a finding, filled from lists, written to, closed, exported."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from lineage.serve.web.case_pages import address_of
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.secrets import JWT
from tests.support.web_pages import HOSTILE, Pages, text_of

THEFT = "finding:F-7ad89a5c2ebaf0cbebb4"
RANGE = "actions:agent=agent%3Amailer&from=2026-11-02T09%3A40%3A00.000000Z"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def opened(person: Pages, **form: str) -> str:
    """Open a case, and return its address."""
    response = person.send("/cases", **{"title": "Leaked token", **form})
    assert 303 == response.status_code, response.text
    return response.headers["location"]


def test_a_finding_becomes_a_case_and_lists_fill_it(world: World):
    """
    Each page has "Add to case", which offers the open cases and a new one.
    """
    person = Pages(world)
    [button] = re.findall(r'href="(/add-to-case\?[^"]*)"', person.get("/findings/F-7ad89a5c2ebaf0cbebb4").text)
    assert "To a new case" in text_of(person.get(unescape(button)))
    page = opened(person, items=f"{THEFT}\n{LEAKED}", note="seen at 10:15", key="k1")
    again = opened(person, items=f"{THEFT}\n{LEAKED}", note="seen at 10:15", key="k1")
    offered = person.get("/add-to-case", params={"of": ["action:mail-7", RANGE]})
    assert f'action="{page}/changes"' in offered.text
    assert 303 == person.send(f"{page}/changes", change="added", items=f"action:mail-7\n{RANGE}").status_code
    text = text_of(person.get(page))

    assert page == again
    assert "Items (4)" in text
    assert "seen at 10:15" in text
    for key in ("mail-7", LEAKED.removeprefix("token:"), "range of actions", "wielder-mismatch"):
        assert key in text
    assert "Leaked token" in text_of(person.get("/cases"))
    assert unescape(re.findall(r'href="(/add-to-case[^"]*actions[^"]*)"', person.get("/actions?tool=mail").text)[0])


def test_a_case_is_assigned_noted_closed_and_its_items_removed(world: World):
    """
    Each form is one change by the signed-in person.
    """
    person = Pages(world)
    page = opened(person, items=LEAKED)
    version = re.findall(r'name="version" value="([^"]*)"', person.get(page).text)[0]
    assert 303 == person.send(f"{page}/changes", change="assigned", assignee="human:eve", version=version).status_code
    late = person.send(f"{page}/changes", change="closed", note="over", version=version)
    person.send(f"{page}/changes", change="noted", note=HOSTILE)
    person.send(f"{page}/changes", change="removed", items=LEAKED)
    person.send(f"{page}/changes", change="closed", note="over")
    response = person.get(page)

    assert (409, True) == (late.status_code, "changed meanwhile" in text_of(late))
    assert HOSTILE not in response.text
    assert HOSTILE in unescape(response.text)
    for words in ("Assigned to human:eve", "Items (0)", "closed it", "Reopen the case"):
        assert words in text_of(response)
    assert page in person.get("/cases?status=closed").text
    assert page not in person.get("/cases?status=open").text


def test_the_export_is_a_download_of_the_page(world: World):
    """
    Both links lead to the API, which accepts the session of the page.
    """
    person = Pages(world)
    page = opened(person, items="action:mail-7")
    for address in re.findall(r'href="(/v1/cases/[^"]*)" download', person.get(page).text):
        assert 200 == person.get(address).status_code
    assert 2 == len(re.findall(r"/export", person.get(page).text))


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"title": "x", "items": "action:none"}, "action:none"),
        ({"title": "x", "items": "thing:x"}, "there is no kind"),
        ({"title": ""}, "needs a title"),
        ({"title": f"see {JWT}"}, "raw credential"),
    ],
)
def test_an_invalid_case_is_not_opened(world: World, form: dict[str, str], why: str):
    """
    The page says what is wrong, and repeats no credential.
    """
    person = Pages(world)
    response = person.send("/cases", **form)

    assert response.status_code in (400, 404)
    assert why in text_of(response)
    assert JWT not in response.text
    assert "No case" in text_of(person.get("/cases"))


def test_an_investigator_cannot_change_a_case(world: World):
    """
    An investigator sees cases without forms; a form from another site is refused.
    """
    page = opened(Pages(world), items=LEAKED)
    looking = Pages(world, "investigator")

    assert "<form method" not in looking.get(page).text
    assert 403 == looking.send("/cases", title="x").status_code
    assert 403 == Pages(world).send(f"{page}/changes", "https://evil.example", change="closed", note="x").status_code
    assert address_of("a/b é") == "/cases/a%2Fb%20%C3%A9"
