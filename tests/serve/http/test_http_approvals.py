"""Four eyes over HTTP: one person approves the plan, another one orders by its digest; nobody does both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lineage.core.model.times import SECOND, format_instant
from lineage.serve.text import render_orders
from lineage.store.plans import APPROVED_SECONDS
from tests.support.http_clients import client_of
from tests.support.http_worlds import ASKED, LEAKED, World, api_over, problem_type
from tests.support.http_writes import KILLED, ORDER, event
from tests.support.stores import KINDS, fresh_places
from tests.support.text import flat
from tests.support.web_pages import OF, Pages, text_of

DANA, EVE = "human:dana@example.com", "human:eve@example.com"
KEY = {"Idempotency-Key": "retry-1"}


@pytest.fixture(params=KINDS)
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return the API over the incident on either database; more than two elements need two people."""
    for place in fresh_places(request):
        with place() as url, api_over(url, tmp_path, four_eyes=KILLED - 1) as world:
            yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the same in a file."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, four_eyes=KILLED - 1) as world:
        yield world


def planned(world: World, **how: str) -> dict[str, Any]:
    return dict(world.get("/v1/reach", params={"of": LEAKED, **how}).json())


def approved(world: World, digest: str, who: str = EVE) -> httpx.Response:
    return world.as_("responder", sub=who).post(f"/v1/plans/{digest}/approvals")


def ordered(world: World, digest: str | None, **more: Any) -> httpx.Response:
    body = ORDER | more | ({"plan_digest": digest} if digest else {})
    return world.post("/v1/revocations", json=body)


def test_one_approves_and_another_orders(api: World):
    """
    The plan shows who approved and until when, and the order names the approver as authenticated.
    """
    plan = planned(api)
    alone = ordered(api, plan["plan_digest"])
    approval = approved(api, plan["plan_digest"])
    seen = planned(api)
    order = ordered(api, seen["plan_digest"])
    [document] = api.get(f"/v1/revocations/{order.json()['revocation']}").json()["orders"]

    assert (400, "refused", []) == (alone.status_code, problem_type(alone), plan["approvals"])
    until = format_instant(ASKED + APPROVED_SECONDS * SECOND)
    expected = {"approved_by": EVE, "approved_at": format_instant(ASKED), "expires_at": until}
    assert (201, expected | {"plan_digest": plan["plan_digest"], "target": plan["target"]}) == (
        approval.status_code, approval.json(),
    )  # fmt: skip
    assert [expected] == seen["approvals"]
    assert (201, DANA, EVE) == (order.status_code, order.json()["ordered_by"], order.json()["approved_by"])
    assert (DANA, EVE) == (document["ordered_by"], document["approved_by"])


def test_nobody_approves_their_own_order(here: World):
    """
    The second person is neither the one who orders, nor an alias of them, nor an agent.
    """
    alias = event(1, type="principal.registered", principal=DANA, kind="human", aliases=[EVE])
    alias = {name: value for name, value in alias.items() if name not in ("token", "subject", "derived_from")}
    here.post("/v1/events", "producer", json=[alias])
    digest = planned(here)["plan_digest"]
    agent = approved(here, digest, "agent:planner")
    approvals = [approved(here, digest, who).status_code for who in (DANA, EVE)]
    order = ordered(here, digest)

    assert (400, "refused") == (agent.status_code, problem_type(agent))
    assert ([201, 201], 400, "refused") == (approvals, order.status_code, problem_type(order))
    assert [] == here.get("/v1/revocations").json()["items"]


@pytest.mark.parametrize(
    "more",
    [
        {"mode": "suspend"},
        {"issued_before": "2026-11-02T23:00:00Z"},
        {"target": {"kind": "principal", "id": "agent:mailer"}},
    ],
    ids=["mode", "issued_before", "target"],
)
def test_an_approval_covers_one_order_only(here: World, more: dict[str, Any]):
    """
    A different order is not approved, even if it would kill no more than the plan lists.
    """
    digest = planned(here)["plan_digest"]
    approved(here, digest)
    order = ordered(here, digest, **more)

    assert order.status_code in (400, 409)
    assert [] == here.get("/v1/revocations").json()["items"]


def test_an_approval_does_not_cover_later_elements(here: World):
    """
    An order that ends more by now is refused as drifted; the current plan has no approval.
    """
    digest = planned(here)["plan_digest"]
    approved(here, digest)
    here.post("/v1/events", "producer", json=[event(1)])
    drifted, planned_again = ordered(here, digest), planned(here)
    alone = ordered(here, planned_again["plan_digest"])

    assert (409, 400, []) == (drifted.status_code, alone.status_code, planned_again["approvals"])


def test_an_approval_ends_after_an_hour_and_can_be_given_again(here: World):
    """
    It is no longer valid at the instant of its end; an order given with it can still be repeated.
    """
    digest = planned(here)["plan_digest"]
    approved(here, digest)
    here.clock.now = ASKED + APPROVED_SECONDS * SECOND
    late = ordered(here, digest)
    approved(here, digest)
    body = ORDER | {"plan_digest": digest}
    order = here.post("/v1/revocations", json=body, headers=KEY)
    here.clock.now += APPROVED_SECONDS * SECOND
    again = here.post("/v1/revocations", json=body, headers=KEY)

    assert (400, 201, 201) == (late.status_code, order.status_code, again.status_code)
    assert (True, EVE) == (again.json()["repeated"], again.json()["approved_by"])


@pytest.mark.parametrize("role", ["producer", "investigator", "receiver", "nobody"])
def test_approving_needs_the_role_for_ordering(here: World, role: str):
    """
    An approval by any other role is refused and not recorded.
    """
    digest = planned(here)["plan_digest"]
    response = here.as_(role).post(f"/v1/plans/{digest}/approvals")

    assert (403, []) == (response.status_code, planned(here)["approvals"])


def test_an_invalid_or_unknown_digest_is_not_approved(here: World):
    """
    A digest without a stored plan is not found, an invalid one is refused, and a body cannot name the approver.
    """
    digest = planned(here)["plan_digest"]
    path = f"/v1/plans/{digest}/approvals"
    answers = [
        here.post(f"/v1/plans/{'0' * 64}/approvals"),
        here.post("/v1/plans/none/approvals"),
        here.post(path, json={"approved_by": EVE}),
    ]

    assert [(404, "not-found"), (400, "parameter"), (400, "parameter")] == [
        (one.status_code, problem_type(one)) for one in answers
    ]
    assert [] == planned(here)["approvals"]


def test_the_page_of_a_plan_shows_and_accepts_approvals(here: World):
    """
    The page says that a second person is needed, has a button to approve, and then shows who approved until when.
    """
    dana, digest = Pages(here), planned(here)["plan_digest"]
    before = dana.get(f"/reach?of={OF}")
    path = f"/plans/{digest}/approvals"
    foreign = dana.send(path, origin="https://evil.example", of=LEAKED)
    looking = Pages(here, "investigator").send(path, of=LEAKED)
    given = dana.send(path, of=LEAKED, mode="revoke", cascade="true")
    after = dana.get(given.headers["location"])

    assert "A revocation of more than 2 elements needs another person to approve its plan first" in text_of(before)
    assert ([403, 403], 303) == ([foreign.status_code, looking.status_code], given.status_code)
    assert (200, True) == (after.status_code, f"{DANA}: good until" in text_of(after))


def test_the_command_line_and_the_client_support_approvals(here: World):
    """
    A playbook approves with the client, and the printed plan names who approved.
    """
    client = client_of(here, "responder")
    plan = client.reach(LEAKED)
    assert plan is not None
    given = client.approve(plan["plan_digest"])
    printed = flat(render_orders.plan(planned(here), mode="revoke", issued_before=None, cascade=True))

    assert (DANA, plan["plan_digest"]) == (given["approved_by"], given["plan_digest"])
    assert f"Approved by {DANA}, good until" in printed
