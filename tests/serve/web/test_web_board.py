"""The board of a revocation without scripts: from unknown to closed on one page."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from lineage.deliver.http.signing_keys import new_keys
from tests.support.http_worlds import World, api_over
from tests.support.http_writes import ORDER
from tests.support.web_pages import HOSTILE, Pages, text_of

WALL = "https://wall.example"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


@pytest.fixture
def board(here: World) -> str:
    """Return the path of a revocation that no enforcement point covers."""
    return f"/revocations/{here.post('/v1/revocations', json=ORDER).json()['revocation']}"


def test_from_unknown_to_closed_on_one_page(here: World, board: str):
    """
    Without an enforcement point: register one. Without an answer: deliver again, then mark by hand, with the author.
    """
    person = Pages(here)
    unknown = text_of(person.get(board))
    registered = person.send(
        "/receivers",
        receiver=WALL,
        revocation=board.rpartition("/")[2],
        issuers="https://idp.example",
        deadline_seconds="60",
    )
    partial = person.get(board)
    again = person.send(f"{board}/deliveries")
    marked = person.send(f"{board}/marks", receiver=WALL, reason="its operator showed me")
    closed = text_of(person.get(board))

    assert "3 elements are covered by no registered enforcement point" in unknown
    assert [(303, f"{board}#board")] * 3 == [
        (one.status_code, one.headers["location"]) for one in (registered, again, marked)
    ]
    assert "0 of 1, 0 s" in text_of(partial)
    assert "3 open" in text_of(partial)
    assert f'<option value="{WALL}">' in partial.text
    assert "1 of 1, 0 s" in closed
    assert f"{WALL}, 3 elements: marked by human:dana@example.com at" in closed
    assert "its operator showed me" in closed
    assert "What to do next" not in closed


def test_each_enforcement_point_has_a_row_with_its_contact_and_actions(here: World, board: str):
    """
    A row delivers again to one point only, and opens the form that marks it; afterwards it has no actions.
    """
    here.site = replace(here.site, contacts={WALL: "wall team, +44 20 7946 0000"})
    person = Pages(here)
    for receiver in (WALL, "urn:other"):
        person.send("/receivers", receiver=receiver)
    page = person.get(board).text
    elsewhere = person.send(f"{board}/deliveries", receiver="urn:nobody")
    again = person.send(f"{board}/deliveries", receiver=WALL)
    marking = person.get(f"{board}?mark={quote(WALL, safe='')}").text
    person.send(f"{board}/marks", receiver=WALL, reason="phoned")
    after = person.get(board).text

    assert "Contact: wall team, +44 20 7946 0000" in page
    assert f'aria-label="Deliver again to {WALL}"' in page
    assert (400, 303) == (elsewhere.status_code, again.status_code)
    assert "nothing is open at urn:nobody" in text_of(elsewhere)
    assert f'<option value="{WALL}" selected>' in marking
    assert f'aria-label="Deliver again to {WALL}"' not in after
    assert 'aria-label="Deliver again to urn:other"' in after
    assert "1 of 2, 0 s" in after


def test_an_investigator_has_no_actions_and_is_refused(here: World, board: str):
    """
    An investigator sees the board; a forged form is refused, and so is one from another site.
    """
    person = Pages(here, "investigator")
    forms = {
        "/receivers": {"receiver": WALL},
        f"{board}/marks": {"receiver": WALL, "reason": "x"},
        f"{board}/deliveries": {},
    }
    assert "What to do next" not in text_of(person.get(board))
    assert [403] * 3 == [person.send(path, **form).status_code for path, form in forms.items()]
    foreign = [
        Pages(here).send(path, origin=origin, **form).status_code
        for path, form in forms.items()
        for origin in ("https://evil.example", None)
    ]
    assert [403] * 6 == foreign
    assert 0 == here.get("/v1/receivers").json()["total"]


@pytest.mark.parametrize(
    ("path", "form", "message"),
    [
        ("/receivers", {}, "receiver: is missing"),
        ("/receivers", {"receiver": WALL, "deadline_seconds": "soon"}, "deadline_seconds: must be a whole number"),
        ("/receivers", {"receiver": WALL, "kinds": "principal"}, "is none of delegation, token"),
        ("{board}/marks", {"receiver": WALL}, "a mark by hand needs a reason"),
        ("{board}/marks", {"receiver": WALL, "reason": "x"}, "is not registered"),
        ("{board}/deliveries", {}, "nothing is open at an enforcement point"),
        ("/revocations/none/marks", {"receiver": WALL, "reason": "x"}, "No fact names it"),
    ],
)
def test_an_invalid_form_says_why(here: World, board: str, path: str, form: dict[str, str], message: str):
    """
    The answer is a page with the reason, and nothing is recorded.
    """
    answer = Pages(here).send(path.replace("{board}", board), **form)

    assert answer.status_code in (400, 404)
    assert message in text_of(answer)


def test_input_never_becomes_markup(here: World, board: str):
    """
    The id of a receiver and a reason are shown as text.
    """
    person = Pages(here)
    person.send("/receivers", receiver=HOSTILE)
    person.send(f"{board}/marks", receiver=HOSTILE, reason=HOSTILE)
    page = person.get(board)

    assert "marked by" in text_of(page)
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text


def test_a_button_makes_a_proof(here: World, board: str):
    """
    The page shows what each point replied; without a signing key it says what to configure.
    """
    Pages(here).send("/receivers", receiver=WALL)
    without = Pages(here).send(f"{board}/proofs")
    here.site = replace(here.site, keys=new_keys())
    person = Pages(here)
    offered = person.get(board).text
    page = person.send(f"{board}/proofs")
    foreign = person.send(f"{board}/proofs", origin="https://evil.example")

    assert "no signing key is configured" in text_of(without)
    assert f'action="{board}/proofs"' in offered
    assert (200, 403) == (page.status_code, foreign.status_code)
    assert "Not everything is shown to be denied." in text_of(page)
    assert "3 cannot be said" in text_of(page)
    assert "delegraph-stop-proof" in text_of(page)


def test_a_signed_receipt_can_be_printed_once_the_revocation_is_closed(here: World, board: str):
    """
    The answer is 409 while something is open; afterwards it has who confirmed, who marked by hand, and the signature.
    """
    here.site = replace(here.site, keys=new_keys())
    person = Pages(here)
    early = person.get(f"{board}/signed-receipt")
    person.send("/receivers", receiver=WALL)
    person.send(f"{board}/marks", receiver=WALL, reason="its operator showed me")
    offered = person.get(board).text
    page = person.get(f"{board}/signed-receipt")

    assert (409, 200) == (early.status_code, page.status_code)
    assert f'href="{board}/signed-receipt"' in offered
    assert f"{WALL}: 3 of 3 enforced" in text_of(page)
    assert "its operator showed me" in text_of(page)
