"""Several targets over HTTP: one plan for all, one order each, all or none."""

from pathlib import Path
from typing import Any

import pytest

from lineage.core.model.errors import DriftError, OtherOrderError
from lineage.serve.client_problems import MissingError
from tests.support.http_clients import client_of
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.http_writes import event

MAILER = {"kind": "token", "id": LEAKED.removeprefix("token:")}
GRANT = {"kind": "delegation", "id": "grant-calendar"}
NOBODY = {"kind": "token", "id": "nobody"}
TWO = {"targets": [MAILER, GRANT], "reason": "compromise"}


def states(world: World) -> list[str]:
    return [
        world.get(f"/v1/status?of={one['kind']}:{one['id'].replace('#', '%23')}").json()["state"]
        for one in (MAILER, GRANT)
    ]


def ordered(world: World) -> int:
    return len(world.get("/v1/revocations").json()["items"])


def test_a_plan_over_two_targets_is_ordered_by_its_digest(api: World):
    """
    The plan lists what the orders kill; both orders are in force when the answer is sent, in the name of the caller.
    """
    plan = api.post("/v1/reach:batch", "investigator", json={"targets": [GRANT, MAILER]}).json()
    alive = states(api)
    response = api.post("/v1/revocations:batch", json={**TWO, "plan_digest": plan["plan_digest"], "incident": "INC-1"})
    done = response.json()

    assert 201 == response.status_code
    assert ["active", "active"] == alive
    assert ["revoked", "revoked"] == states(api)
    assert plan["kills"] == done["kills"]
    assert "wielder-mismatch" in {one["kind"] for one in plan["findings"]}
    assert ["INC-1.1", "INC-1.2"] == [one["revocation"] for one in done["targets"]]
    assert ("human:dana@example.com", False) == (done["ordered_by"], done["repeated"])


def test_a_drift_of_one_target_refuses_all(here: World):
    """
    One target has drifted: 409 with what is new, and the other target is not ordered either.
    """
    plan = here.post("/v1/reach:batch", json={"targets": TWO["targets"]}).json()
    assert 200 == here.post("/v1/events", "producer", json=[event(1)]).status_code
    response = here.post("/v1/revocations:batch", json={**TWO, "plan_digest": plan["plan_digest"]})

    assert (409, "drifted", ["token:t1"]) == (
        response.status_code, problem_type(response), response.json()["unlisted"],
    )  # fmt: skip
    assert (["active", "active"], 0) == (states(here), ordered(here))


@pytest.mark.parametrize("path", ["/v1/reach:batch", "/v1/revocations:batch"])
def test_every_unknown_target_is_listed(here: World, path: str):
    """
    Two of three are unknown: both are named, and nothing is ordered.
    """
    other = {"kind": "session", "id": "none"}
    body = {"targets": [NOBODY, MAILER, other]} | ({"reason": "test"} if "revocations" in path else {})
    response = here.post(path, json=body)

    assert (404, "not-found", ["session:none", "token:nobody"]) == (
        response.status_code, problem_type(response), response.json()["ids"],
    )  # fmt: skip
    assert (["active", "active"], 0) == (states(here), ordered(here))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (None, "targets: is missing"),
        ([], "targets: names no target"),
        ("token:t1", "targets: must be a list of objects"),
        ([MAILER, "token:t1"], "targets.1: must be an object"),
        ([{"kind": "tokens", "id": "t"}, MAILER, {"kind": "token"}], "targets.0.kind: is none of"),
        ([{"kind": "tokens", "id": "t"}, MAILER, {"kind": "token"}], "targets.2.id: is missing"),
        ([{**MAILER, "mode": "suspend"}], "targets.0.mode: there is no such field here"),
        ([NOBODY] * 1_001, "these are 1,001 targets, more than 1,000"),
    ],
)
def test_invalid_targets_are_named(here: World, targets: Any, message: str):
    """
    The message names each position in the list, and the remedy.
    """
    response = here.post("/v1/revocations:batch", json={**TWO, "targets": targets})

    assert 400 == response.status_code
    assert message in response.json()["detail"]


def test_a_repetition_with_the_same_key_is_one_incident(here: World):
    """
    The same request with the same key is answered again and ordered once; other targets with that key are 422.
    """
    key = {"Idempotency-Key": "case-1"}
    first, again = (here.post("/v1/revocations:batch", json=TWO, headers=key).json() for _ in range(2))
    other = here.post("/v1/revocations:batch", json={**TWO, "targets": [GRANT]}, headers=key)

    assert (False, True, first["incident"]) == (first["repeated"], again["repeated"], again["incident"])
    assert 2 == ordered(here)
    assert (422, "idempotency-key-reused") == (other.status_code, problem_type(other))


def test_an_incident_of_another_caller_cannot_be_used(here: World):
    """
    A request that names somebody else's incident orders nothing, and does not reveal that the incident exists.
    """
    body = {**TWO, "incident": "INC-1"}
    assert 201 == here.post("/v1/revocations:batch", json=body).status_code
    other = here.as_("responder", sub="human:eve@example.com").post("/v1/revocations:batch", json=body)

    assert (422, 2) == (other.status_code, ordered(here))


@pytest.mark.parametrize("incident", ["", "x" * 510, " padded", "ghp_" + "a1B2" * 9])
def test_an_invalid_incident_id_orders_nothing(here: World, incident: str):
    """
    It is empty, too long to append the number of an order, padded, or a credential.
    """
    response = here.post("/v1/revocations:batch", json={**TWO, "incident": incident})

    assert (400, 0) == (response.status_code, ordered(here))


def test_the_four_eyes_limit_counts_all_targets(tmp_path: Path):
    """
    Neither order alone needs a second person, but both together do: an approval of the common plan counts.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, four_eyes=4) as world:
        digest = world.post("/v1/reach:batch", json={"targets": TWO["targets"]}).json()["plan_digest"]
        body = {**TWO, "plan_digest": digest}
        alone = world.post("/v1/revocations:batch", json=body)
        own = world.post(f"/v1/plans/{digest}/approvals", json={})
        still = world.post("/v1/revocations:batch", json=body)
        second = world.as_("responder", sub="human:ruth@example.com")
        approved = second.post(f"/v1/plans/{digest}/approvals", json={}).json()
        plan = world.post("/v1/reach:batch", json={"targets": TWO["targets"]}).json()
        done = world.post("/v1/revocations:batch", json=body).json()

    assert (400, 201, 400) == (alone.status_code, own.status_code, still.status_code)
    assert 2 == len(approved["target"])
    assert ["human:dana@example.com", "human:ruth@example.com"] == [one["approved_by"] for one in plan["approvals"]]
    assert "human:ruth@example.com" == done["approved_by"]


def test_the_client_plans_and_orders_several(here: World):
    """
    The plan's digest is used; an unknown target, a drift and a reused key raise exceptions of the client.
    """
    client = client_of(here, "responder")
    plan = client.reach_of_several([LEAKED, GRANT])
    with pytest.raises(MissingError):
        client.revoke_several([LEAKED, NOBODY], reason="test")
    with pytest.raises(DriftError):
        client.revoke_several([LEAKED], reason="test", plan_digest=plan["plan_digest"])
    done = client.revoke_several([LEAKED, GRANT], reason="test", plan_digest=plan["plan_digest"], key="k")
    with pytest.raises(OtherOrderError):
        client.revoke_several([LEAKED], reason="test", key="k")

    assert plan["kills"] == done["kills"]
    assert ["revoked", "revoked"] == states(here)
