"""The page of retention without scripts: holds are placed and released by forms, and shown where they apply."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from tests.support.http_worlds import World, api_over
from tests.support.web_pages import HOSTILE, Pages, text_of

ALICE = "human:alice@example.com"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def hold_of(person: Pages) -> str:
    """Return the id of the first hold on the page."""
    return re.findall(r'id="hold-([^"]+)"', person.get("/retention").text)[0]


def test_a_hold_is_placed_shown_where_it_applies_and_released(world: World):
    """
    The pages of the party and of an alias link to the hold until it is released.
    """
    person = Pages(world)
    placed = person.send("/holds", principal=ALICE, reason="Lawsuit 4711", key="k1")
    person.send("/holds", principal=ALICE, reason="Lawsuit 4711", key="k1")
    hold = hold_of(person)
    listed = text_of(person.get("/retention"))
    held = person.get(f"/status?of=principal:{ALICE}")
    other = text_of(person.get("/status?of=principal:agent:mailer"))
    released = person.send(f"/holds/{hold}/release", reason="Settled", typed=hold)
    after = text_of(person.get("/retention"))

    assert (303, "/retention#holds") == (placed.status_code, placed.headers["location"])
    assert "Legal holds (1)" in listed
    assert "Lawsuit 4711" in listed
    assert f'href="/retention#hold-{hold}"' in held.text
    assert "Under legal hold" in text_of(held)
    assert "Under legal hold" not in other
    assert 303 == released.status_code
    assert "0 holds" in after
    assert "Settled" in after
    assert "Under legal hold" not in text_of(person.get(f"/status?of=principal:{ALICE}"))


def test_a_case_says_that_it_is_held(world: World):
    person = Pages(world)
    case = person.send("/cases", title="A leak", items="action:mail-7").headers["location"]
    assert "Under legal hold" not in text_of(person.get(case))
    person.send("/holds", case=case.removeprefix("/cases/"), reason="Lawsuit")
    person.send("/holds", everything="true", reason="Audit of everything")
    text = text_of(person.get(case))

    assert 2 == text.count("Under legal hold")
    assert "Audit of everything" in text


def test_a_mistyped_confirmation_releases_nothing(world: World):
    person = Pages(world)
    person.send("/holds", everything="true", reason="Audit")
    hold = hold_of(person)
    response = person.send(f"/holds/{hold}/release", reason="Settled", typed="hold")
    again = [person.send(f"/holds/{hold}/release", reason="Settled", typed=hold) for _ in range(2)]

    assert (400, True) == (response.status_code, "nothing was released" in text_of(response))
    assert "Settled" in text_of(response)
    assert [303, 400] == [one.status_code for one in again]
    assert "is not in force" in text_of(again[1])


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"reason": "x"}, "names a principal"),
        ({"principal": "human:alcie", "reason": "x"}, "no fact names the principal human:alcie"),
        ({"case": "none", "reason": "x"}, "there is no case none"),
        ({"principal": ALICE}, "needs a reason"),
        ({"starts_at": "2026-11-03", "ends_at": "2026-11-02", "reason": "x"}, "before it begins"),
        ({"starts_at": "soon", "reason": "x"}, "starts_at"),
    ],
)
def test_an_invalid_hold_is_refused_and_the_input_stays(world: World, form: dict[str, str], said: str):
    response = Pages(world).send("/holds", **form)

    assert (400, True) == (response.status_code, said in text_of(response))
    assert all(value in text_of(response) for name, value in form.items() if not name.endswith("_at"))


def test_only_a_responder_changes_holds(world: World):
    person, reader = Pages(world), Pages(world, role="investigator")
    person.send("/holds", everything="true", reason="Audit")
    page = reader.get("/retention")

    assert 403 == reader.send("/holds", everything="true", reason="x").status_code
    assert 403 == reader.send(f"/holds/{hold_of(person)}/release", reason="x", typed=hold_of(person)).status_code
    assert "<form method" not in page.text
    assert "needs the role responder" in text_of(page)


def test_input_never_becomes_markup(world: World):
    person = Pages(world)
    person.send("/holds", principal=HOSTILE, unseen="true", reason=HOSTILE)
    response = person.get("/retention")

    assert HOSTILE not in response.text
    assert HOSTILE in unescape(response.text)


def test_the_plan_is_a_page_and_asks_for_an_age(world: World):
    person = Pages(world)
    plan = text_of(person.get("/retention/plan?before=2026-11-02 10:00"))
    assert "Nothing would be deleted" in plan
    assert "before" in text_of(person.get("/retention/plan"))
    assert "has not passed" in text_of(person.get("/retention/plan?before=2999-01-01"))
