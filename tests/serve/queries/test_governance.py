"""The four questions of governance: which agents were active, what one might do, what it held, and what it did."""

from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.support.finding_cases import AL, A, B, done, granted, issued, moment, ordered, registered

DAY = 24 * 60


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.take(
        registered(A, owner=AL, aliases=["alias|a"]),
        granted("d1", AL, A, scopes=["crm:read"], expires_at=moment(DAY)),
        granted("d2", A, B, 5, parents=["d1"], scopes=["crm:read", "crm:write"], expires_at=moment(DAY)),
        issued("t1", actor=A, delegation="d1", at=6, expires_at=moment(60)),
        issued("t2", actor=B, delegation="d2", at=7, expires_at=moment(DAY)),
        done("a1", token="t1", actor="alias|a", at=10, tool="crm"),
        done("a2", token="t2", actor=B, at=20, tool="crm"),
        done("a3", token="t2", actor=B, at=90, tool="mail"),
        ordered("r1", "delegation:d2", 100),
    )
    return desk


def test_active_agents_are_counted_between_two_instants(desk: Desk):
    """
    Agents that acted or were granted something count; aliases are one agent, and people are not agents.
    """
    whole = {item["known_as"]: item for item in desk.one("governance", "active")["items"]}
    later = desk.one("governance", "active", "--from", moment(80), "--to", moment(95))["items"]

    assert {A, B} == set(whole)
    assert [(1, 1, 1), (2, 1, 1)] == [
        tuple(whole[agent][name] for name in ("actions", "tokens", "delegations")) for agent in (A, B)
    ]
    assert AL == whole[A]["owner"]
    assert [(B, 1, 0)] == [(item["known_as"], item["actions"], item["tokens"]) for item in later]


def test_what_an_agent_might_do_is_limited_by_the_grants_above(desk: Desk):
    """
    Only live grants count, with effective scopes; after a revocation or the expiry there are none.
    """
    then = desk.one("governance", "allowed", B, "--at", moment(30))

    assert ["crm:read"] == then["effective_scopes"]
    assert [("delegation", "d2"), ("token", "t2")] == [(item["kind"], item["id"]) for item in then["items"]]
    assert ["crm"] == then["tools"]
    assert [] == desk.one("governance", "allowed", B, "--at", moment(101))["items"]
    assert ["d1"] == [item["id"] for item in desk.one("governance", "allowed", A, "--at", moment(70))["items"]]
    assert ["d1"] == [item["id"] for item in desk.one("governance", "allowed", "alias|a", "--at", moment(70))["items"]]


def test_what_an_agent_held_says_what_ended_it(desk: Desk):
    """
    A token ended by expiry, a delegation by revocation; elements outside the span are left out.
    """
    between = ("--from", moment(50), "--to", moment(120))

    def ends(agent: str, *words: str) -> dict[str, str]:
        return {item["id"]: item["ended_by"] for item in desk.one("governance", "held", agent, *words)["items"]}

    assert {"d1": None, "t1": "expiry"} == ends(A, *between)
    assert {"d2": "r1", "t2": "r1"} == ends(B, *between)
    assert {"d1": None} == ends(A, "--from", moment(60), "--to", moment(120))
    assert {} == ends(B, "--to", moment(5))


def test_what_an_agent_did_has_the_chain(desk: Desk):
    """
    Actions are latest first, each with its chain from the human down.
    """
    did = desk.one("governance", "done", B, "--to", moment(95))["items"]

    assert ["a3", "a2"] == [item["action"] for item in did]
    assert {AL} == {item["human"] for item in did}
    assert [[AL, A, B]] * 2 == [item["chain"] for item in did]
    assert ["a1"] == [item["action"] for item in desk.one("governance", "done", A)["items"]]


def test_nothing_is_cut_without_saying_so(desk: Desk):
    """
    Document and text show a limit; an unknown agent is not found, and an empty span is refused.
    """
    cut = desk.one("governance", "done", B, "--limit", "1")

    assert (1, 2, False) == (len(cut["items"]), cut["total"], cut["complete"])
    assert "NOT ALL: 1 of 2" in desk.run("governance", "done", B, "--limit", "1").output
    for question in ("allowed", "held", "done"):
        assert "agent:b" in desk.run("governance", question, B).output
        desk.run("governance", question, "agent:nobody", exit=3)
    desk.run("governance", "active", "--from", moment(5), "--to", moment(5), exit=2)
