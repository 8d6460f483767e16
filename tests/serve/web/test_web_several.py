"""Several targets on pages without scripts: selected, planned, confirmed by typing, and followed on a board."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from lineage.deliver.http.signing_keys import new_keys
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.http_writes import event
from tests.support.web_pages import Pages, hidden, text_of

GRANT = "delegation:grant-calendar"
PLAN = "/revoke?" + urlencode([("of", LEAKED), ("of", GRANT)])
FORM = "/revocations:batch"
WALL = "https://wall.example"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def states(here: World) -> list[str]:
    return [here.get(f"/v1/status?of={quote(key)}").json()["state"] for key in (LEAKED, GRANT)]


def ordered(here: World) -> int:
    return len(here.get("/v1/revocations").json()["items"])


def send(person: Pages, page: httpx.Response, **form: str) -> httpx.Response:
    return person.send(FORM, **hidden(page, FORM), **form)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/tokens", LEAKED),
        ("/delegations", GRANT),
        ("/principals", "principal:agent:mailer"),
        ("/actions?agent=agent:mailer", LEAKED),
    ],
)
def test_targets_are_selected_in_every_list(here: World, path: str, key: str):
    """
    Each row has a checkbox, and the list a button; without the role, or at another time, there is neither.
    """
    page = Pages(here).get(path).text
    later = Pages(here).get(f"{path}{'&' if '?' in path else '?'}at=2026-11-02T09:00:00Z").text
    investigator = Pages(here, "investigator").get(path).text

    assert f'name="of" value="{key}" form="picked"' in page
    assert 'id="picked" action="/revoke"' in page
    assert "picked" not in later
    assert "picked" not in investigator


def test_selected_targets_are_planned_confirmed_and_followed(here: World):
    """
    The plan says what each ends and what they share; once confirmed, all are ordered; the board shows their progress.
    """
    person = Pages(here)
    plan = person.get(PLAN)
    given = send(person, plan, reason="compromise", typed="2 targets", note="<b>")
    board = person.get(given.headers["location"])

    assert "Revoking 2 targets together would end 5 elements" in text_of(plan)
    assert 303 == given.status_code
    assert re.fullmatch(r"/incidents/inc-[0-9a-f]{32}", given.headers["location"])
    assert ["revoked", "revoked"] == states(here)
    assert "0 of 2 revocations are over; 0 of 0 enforcement points have confirmed." in text_of(board)
    assert "5 elements are covered by no registered enforcement point." in text_of(board)


def test_a_form_that_is_sent_twice_is_one_incident(here: World):
    """
    The form contains an idempotency key.
    """
    person = Pages(here)
    plan = person.get(PLAN)
    fields = {"reason": "compromise", "typed": "2 targets"}

    assert 1 == len({send(person, plan, **fields).headers["location"] for _ in range(2)})
    assert 2 == ordered(here)


def test_a_drift_is_shown_and_nothing_is_ordered(here: World):
    """
    A child was issued after the plan: 409 marks it, and the form is that of the new plan.
    """
    person = Pages(here)
    plan = person.get(PLAN)
    here.post("/v1/events", "producer", json=[event(1)])
    refused = send(person, plan, reason="compromise", typed="2 targets")
    before = ordered(here)
    given = send(person, refused, reason="compromise", typed="2 targets")

    assert (409, 0, 303) == (refused.status_code, before, given.status_code)
    assert "the plan has drifted" in text_of(refused)
    assert "t1 new since the plan" in text_of(refused)


@pytest.mark.parametrize("typed", ["", "2", "2 target", "3 targets"])
def test_nothing_is_ordered_without_confirmation(here: World, typed: str):
    """
    The page says so, keeps the input, and nothing is ordered.
    """
    person = Pages(here)
    answer = send(person, person.get(PLAN), reason="compromise", note="kept", typed=typed)

    assert (400, 0) == (answer.status_code, ordered(here))
    assert 'value="kept"' in answer.text
    assert "nothing was revoked" in text_of(answer)


def test_a_single_target_has_its_own_page_and_no_target_is_refused(here: World):
    """
    A plan that is not stored or has a single target is refused, and so is a form from another site.
    """
    person = Pages(here)
    one = person.get(f"/revoke?of={quote(LEAKED, safe='')}")
    none = person.get("/revoke")
    unknown = person.get(PLAN + "&of=token:nobody")
    single = here.get(f"/v1/reach?of={quote(LEAKED, safe='')}").json()["plan_digest"]
    answers = [
        person.send(FORM, plan_digest=digest, typed="2 targets", reason="test") for digest in ("0" * 64, single, "")
    ]
    foreign = person.send(FORM, origin="https://evil.example", **hidden(person.get(PLAN), FORM), typed="2 targets")
    investigator = Pages(here, "investigator").send(FORM, **hidden(person.get(PLAN), FORM), typed="2 targets")

    assert (303, f"/reach?of={quote(LEAKED, safe='')}") == (one.status_code, one.headers["location"])
    assert [400, 404, 400, 400, 400, 403, 403] == [
        answer.status_code for answer in (none, unknown, *answers, foreign, investigator)
    ]
    assert 0 == ordered(here)


def test_an_incident_is_completed_on_its_board(here: World):
    """
    Register, deliver again and mark by hand apply to both orders; each row says who is open, and the proof covers both.
    """
    here.site = replace(here.site, keys=new_keys())
    person = Pages(here)
    plan = person.get(PLAN)
    path = send(person, plan, reason="compromise", typed="2 targets").headers["location"]
    unknown = text_of(person.get(path))
    registered = person.send("/receivers", receiver=WALL, incident=path.rpartition("/")[2])
    again = person.send(f"{path}/deliveries", receiver=WALL)
    partial = text_of(person.get(path))
    marked = person.send(f"{path}/marks", receiver=WALL, reason="phoned")
    closed = person.get(path)
    twice = person.send(f"{path}/marks", receiver=WALL, reason="phoned")
    proof = person.send(f"{path}/proofs")
    [order] = here.get("/v1/revocations?limit=1").json()["items"]

    assert "0 of 0, 0 s" in unknown
    assert [(303, f"{path}#board")] * 3 == [
        (one.status_code, one.headers["location"]) for one in (registered, again, marked)
    ]
    assert "0 of 1, 0 s" in partial
    assert "1 of 1, 0 s" in text_of(closed)
    assert "confirmed by hand" in text_of(closed)
    assert 2 == closed.text.count("/signed-receipt")
    assert (400, 200) == (twice.status_code, proof.status_code)
    assert "Not everything is shown to be denied" in text_of(proof)
    assert 2 == text_of(proof).count("delegraph-stop-proof")
    assert f'href="{path}"' in person.get(f"/revocations/{order['revocation']}").text


def test_the_board_of_an_incident_requires_a_responder_and_our_own_form(here: World):
    """
    The rules are those of the page of a revocation; an unknown incident is not found.
    """
    person = Pages(here)
    path = send(person, person.get(PLAN), reason="compromise", typed="2 targets").headers["location"]
    forms = {f"{path}/marks": {"receiver": WALL, "reason": "x"}, f"{path}/deliveries": {}, f"{path}/proofs": {}}
    investigator = Pages(here, "investigator")

    assert [403] * 3 == [investigator.send(form, **value).status_code for form, value in forms.items()]
    assert [403] * 3 == [
        person.send(form, origin="https://evil.example", **value).status_code for form, value in forms.items()
    ]
    assert [404] * 3 == [
        person.send(form.replace("inc-", "nix-"), **value).status_code for form, value in forms.items()
    ]
    assert "What to do next" not in text_of(investigator.get(path))


def test_an_incident_that_does_not_exist_is_not_found(here: World):
    """
    It is treated like any unknown id.
    """
    assert 404 == Pages(here).get("/incidents/none").status_code
