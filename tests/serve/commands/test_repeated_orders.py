"""An order that is repeated with its id after it was lifted: it is not in force, and the answer begins with that."""

from pathlib import Path
from typing import Any

import pytest

from lineage.core.model.times import format_instant
from lineage.serve.config.wiring import now
from tests.support.desk import LATER, WORLD, Desk, lifted, ordered, token

BY = ("--reason", "test", "--by", "human:ruth", "--execute", "--id")
SUSPEND = ("revoke", "token:t1", "--mode", "suspend", *BY, "r1")
NOTHING = {"tokens": [], "delegations": []}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """WORLD, ingested."""
    desk = Desk(tmp_path)
    desk.take(*WORLD)
    return desk


def flat(desk: Desk, *words: str) -> str:
    return " ".join(desk.run(*words).stdout.split())


def lift(desk: Desk, revocation: str = "r1", by: str = "human:bob") -> dict[str, Any]:
    return desk.one("lift", revocation, "--by", by)


def lift_in(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("lifted_at", "lifted_by") if name in answer}


def test_a_suspension_that_was_lifted_is_not_called_in_force(desk: Desk):
    """
    Its repetition begins with that, names the lift, and says what to do to suspend again; the token stays active.
    """
    first = desk.one(*SUSPEND)
    done = lift(desk)
    again, text = desk.one(*SUSPEND), flat(desk, *SUSPEND)

    assert {} == lift_in(first)
    assert {"lifted_at": done["lifted_at"], "lifted_by": "human:bob"} == lift_in(again)
    assert (True, NOTHING) == (again["repeated"], again["kills"])
    assert text.startswith("NOT IN FORCE, not repeated: r1 (suspend token:t1, test, by human:ruth) was reinstated at ")
    assert "by human:bob. To suspend it again, repeat the command with another --id." in text
    assert "lift r1" not in text
    assert "active" == desk.state("token:t1")


def test_a_lifted_suspension_claims_nothing_that_another_order_ended(desk: Desk):
    """
    What is dead because of a later order is not listed as suspended by this one.
    """
    desk.one(*SUSPEND)
    lift(desk)
    desk.one("revoke", "token:t1", *BY, "r2")
    again = desk.one(*SUSPEND)

    assert (NOTHING, "revoked") == (again["kills"], desk.state("token:t1"))


@pytest.mark.parametrize("mode", ["revoke", "suspend"])
def test_an_order_that_was_cancelled_is_not_called_scheduled(desk: Desk, mode: str):
    """
    It never takes effect, and it will end nothing, on a token too.
    """
    later = ("revoke", "token:t1", "--mode", mode, "--effective-at", "2098-01-01T00:00:00Z", *BY, "r1")
    given = desk.one(*later)
    done = lift(desk)
    again, text = desk.one(*later), flat(desk, *later)

    assert {} == lift_in(given)
    assert {"lifted_at": done["lifted_at"], "lifted_by": "human:bob"} == lift_in(again)
    assert NOTHING == again["kills"]
    assert text.startswith(
        f"NOT IN FORCE, not repeated: r1 ({mode} token:t1, test, by human:ruth) never takes effect: "
    )
    assert "cancelled at 20" in text
    assert "SCHEDULED" not in text
    assert "To cancel it" not in text


def test_a_scheduled_order_is_cancelled_by_a_lift_that_takes_effect_before_it(desk: Desk):
    """
    That lift is in the future too, and nothing is suspended at any time.
    """
    later = (*SUSPEND, "--effective-at", "2098-01-01T00:00:00Z")
    desk.one(*later)
    desk.take({**lifted("r1", effective_at="2097-01-01T00:00:00Z"), "occurred_at": format_instant(now())})

    assert "never takes effect: cancelled at 2097-01-01" in flat(desk, *later)
    assert NOTHING == desk.one(*later)["kills"]


def test_a_lift_with_effect_in_the_future_leaves_the_order_in_force(desk: Desk):
    """
    Until then it is in force, and the answer names no lift.
    """
    desk.one(*SUSPEND)
    desk.take({**lifted("r1", effective_at="2097-01-01T00:00:00Z"), "occurred_at": format_instant(now())})
    again = desk.one(*SUSPEND)

    assert ({}, ["t1", "t2"]) == (lift_in(again), again["kills"]["tokens"])
    assert flat(desk, *SUSPEND).startswith("ALREADY IN FORCE, not repeated: r1 ")
    assert "suspended" == desk.state("token:t1")


def test_a_permanent_revocation_stays_in_force_after_a_lift(desk: Desk):
    """
    A lift of a revocation of a token has no effect, so the answer names none.
    """
    words = ("revoke", "token:t1", *BY, "r1")
    desk.one(*words)
    lift(desk)

    assert {} == lift_in(desk.one(*words))
    assert flat(desk, *words).startswith("ALREADY IN FORCE, not repeated: r1 ")


def test_a_lifted_revocation_of_a_person_says_that_what_it_ended_stays_revoked(desk: Desk):
    """
    New authority is active, and the old is not.
    """
    words = ("revoke", "principal:human:alice", *BY, "r1")
    desk.one(*words)
    lift(desk)
    desk.take({**token("t9", expires_at=LATER), "occurred_at": format_instant(now())})
    text = flat(desk, *words)

    assert text.startswith("NOT IN FORCE, not repeated: r1 (revoke principal:human:alice, test, by human:ruth)")
    assert "What it ended stays revoked: 2 tokens and 2 delegations" in text
    assert ["active", "cascaded"] == [desk.state("token:t9"), desk.state("token:t1")]


def test_one_of_two_equal_orders_that_is_in_force_counts(desk: Desk):
    """
    A lift ends what was given before it under the id; the same order of another system, given later, is in force.
    """
    desk.one(*SUSPEND)
    lift(desk)
    desk.take({**ordered("r1", "token", "t1", mode="suspend"), "occurred_at": format_instant(now())})

    assert {} == lift_in(desk.one(*SUSPEND))
    assert flat(desk, *SUSPEND).startswith("ALREADY IN FORCE, not repeated: r1 ")
    assert "suspended" == desk.state("token:t1")


def test_another_person_does_not_repeat_an_order_that_was_lifted(desk: Desk):
    """
    It is another order under the same id, refused as before the lift.
    """
    desk.one(*SUSPEND)
    lift(desk)
    refused = desk.run(*SUSPEND, "--by", "human:bob", exit=2)

    assert "with another ordered_by" in refused.stderr


def test_an_incident_says_which_of_its_orders_were_lifted(desk: Desk):
    """
    Each target has its lift, if any; the answer begins with how many of the orders are not in force.
    """
    file = desk.folder / "targets.txt"
    file.write_text("token:t1\nprincipal:agent:reporter\n", encoding="utf-8")
    words = ("revoke", "--targets", str(file), "--mode", "suspend", *BY, "INC-1")
    first = desk.one(*words)
    before = flat(desk, *words)
    done = lift(desk, "INC-1.2")
    again, partly = desk.one(*words), flat(desk, *words)
    lift(desk, "INC-1.1")
    wholly = flat(desk, *words)

    assert [{}, {}] == [lift_in(one) for one in first["targets"]]
    assert [{}, {"lifted_at": done["lifted_at"], "lifted_by": "human:bob"}] == [
        lift_in(one) for one in again["targets"]
    ]
    assert before.startswith("INC-1 was ordered before; nothing was ordered again.")
    assert partly.startswith("NOT IN FORCE: 1 of 2 orders of INC-1. It was ordered before; nothing was ordered again.")
    assert "token:t1, by INC-1.2, lifted at 20" in partly
    assert wholly.startswith("NOT IN FORCE: 2 of 2 orders of INC-1.")
    assert "To suspend these again, name them in a command with another --id." in wholly
