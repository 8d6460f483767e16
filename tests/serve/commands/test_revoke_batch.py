"""Revoking several targets at once: one plan and one digest over all, one order each, all or nothing."""

from pathlib import Path

import pytest

from tests.support.desk import LATER, WORLD, Desk, derived, orders_in, token

BY = ("--reason", "compromise", "--by", "human:ruth")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.take(*WORLD, derived("t5", "t1", expires_at=LATER), token("t9", subject="human:zoe", expires_at=LATER))
    return desk


def listed(desk: Desk, *targets: str) -> str:
    file = desk.folder / "targets.txt"
    file.write_text("# what was stolen\n\n" + "".join(f"{target}\n" for target in targets), encoding="utf-8")
    return str(file)


def test_a_plan_over_several_targets_is_executed_by_its_digest(desk: Desk):
    """
    What they share is named; each gets an order under the incident; everything below ends, and a sibling stays active.
    """
    targets = ("--targets", listed(desk, "token:t1", "delegation:d2", "token:t1"))
    plan = desk.one("revoke", *targets, *BY)
    assert not plan["executed"]
    assert 1 == orders_in(desk), "a plan orders nothing"
    done = desk.one("revoke", *targets, *BY, "--execute", "--plan-digest", plan["plan_digest"], "--id", "INC-7")

    assert ["delegation:d2", "token:t1"] == [f"{t['target']['kind']}:{t['target']['id']}" for t in plan["targets"]]
    assert {"tokens": ["t1", "t2", "t5"], "delegations": ["d2"]} == plan["kills"] == done["kills"]
    assert ["token:t2"] == plan["shared"]
    assert ["INC-7.1", "INC-7.2"] == [one["revocation"] for one in done["targets"]]
    assert "INC-7" == done["incident"]
    states = {key: desk.state(key) for key in ("token:t1", "token:t2", "token:t5", "delegation:d2", "token:t9")}
    assert states == {
        "token:t1": "revoked", "token:t2": "cascaded", "token:t5": "cascaded", "delegation:d2": "revoked",
        "token:t9": "active",
    }  # fmt: skip
    facts = desk.one("timeline", "token:t1")["items"]
    assert "INC-7" in {fact["event"].get("txn") for fact in facts if fact["event"]["type"] == "revocation.ordered"}


def test_the_digest_is_that_of_a_set(desk: Desk):
    """
    The order and repetition of targets do not change the digest; another target or mode does.
    """

    def digest(*targets: str, more: tuple[str, ...] = ()) -> str:
        return str(desk.one("revoke", "--targets", listed(desk, *targets), *BY, *more)["plan_digest"])

    first = digest("token:t1", "token:t9")
    assert first == digest("token:t9", "token:t1", "token:t9")
    suspended = digest("token:t1", "token:t9", more=("--mode", "suspend"))
    others = {digest("token:t1"), digest("token:t1", "token:t5"), suspended}
    assert first not in others
    assert 3 == len(others)


def test_a_plan_that_has_drifted_revokes_nothing(desk: Desk):
    """
    A child issued since the plan, another set of targets, and the plan of a single order are each refused.
    """
    targets = ("--targets", listed(desk, "token:t1", "token:t9"))
    plan = desk.one("revoke", *targets, *BY)["plan_digest"]
    single = desk.one("revoke", "token:t1", *BY)["plan_digest"]
    desk.run("revoke", *targets, *BY, "--execute", "--plan-digest", single, exit=4)
    desk.run("revoke", "token:t1", *BY, "--execute", "--plan-digest", plan, exit=4)
    fewer = ("--targets", listed(desk, "token:t9"))
    desk.run("revoke", *fewer, *BY, "--execute", "--plan-digest", plan, exit=4)
    targets = ("--targets", listed(desk, "token:t1", "token:t9"))
    desk.take(derived("late", "t9", expires_at=LATER))
    drifted = desk.run("revoke", *targets, *BY, "--execute", "--plan-digest", plan, exit=4)

    assert "has drifted: the orders would kill 1 more" in drifted.stderr
    assert 1 == orders_in(desk)
    assert "active" == desk.state("token:t1")


def test_one_unknown_target_revokes_nothing(desk: Desk):
    """
    It is named, the exit code is 3, and the others stay active; with --unseen it is revoked in advance.
    """
    targets = ("--targets", listed(desk, "token:t1", "token:ghost-7"))
    refused = desk.ask("revoke", *targets, *BY, "--execute", exit=3)
    assert [{"error": "not_found", "id": "token:ghost-7"}] == refused
    assert ("active", 1) == (desk.state("token:t1"), orders_in(desk))

    desk.one("revoke", *targets, *BY, "--execute", "--unseen")
    desk.take(token("ghost-7", expires_at=LATER))
    assert "revoked" == desk.state("token:ghost-7")


def test_an_incident_is_ordered_once(desk: Desk):
    """
    A repetition orders nothing; other orders under its id are refused.
    """
    targets = ("--targets", listed(desk, "token:t1", "token:t9"))
    desk.one("revoke", *targets, *BY, "--execute", "--id", "INC-1")
    again = desk.one("revoke", *targets, *BY, "--execute", "--id", "INC-1")
    assert (True, ["INC-1.1", "INC-1.2"]) == (again["repeated"], [one["revocation"] for one in again["targets"]])
    desk.run("revoke", *targets, "--reason", "test", "--by", "human:ruth", "--execute", "--id", "INC-1", exit=2)
    documents = desk.one("revocations")["items"]

    assert {"INC-1.1", "INC-1.2", "r0"} == {one["revocation"] for one in documents}


@pytest.mark.parametrize("more", [(), ("--max-kills", "1"), ("--four-eyes", "1")])
def test_a_target_that_is_added_to_an_incident_is_not_ordered(desk: Desk, more: tuple[str, ...]):
    """
    The limit, the plan and the second person were checked without it, so it stays active, wherever it sorts.
    """
    desk.one("revoke", "--targets", listed(desk, "token:t2"), *BY, "--execute", "--id", "INC-3")
    for added in ("token:t9", "delegation:d1"):
        refused = desk.run(
            "revoke", "--targets", listed(desk, "token:t2", added), *BY, "--execute", "--id", "INC-3", *more, exit=2
        )
        assert "INC-3" in refused.stderr
        assert ("active", 2) == (desk.state(added), orders_in(desk))


def test_limits_count_what_all_orders_would_end_together(desk: Desk):
    """
    Three elements ended by three orders exceed a limit of two, though no single order ends so many.
    """
    targets = ("--targets", listed(desk, "token:t2", "token:t9", "token:t5"))
    desk.run("revoke", *targets, *BY, "--execute", "--max-kills", "2", exit=2)
    desk.run("revoke", *targets, *BY, "--execute", "--four-eyes", "2", exit=2)
    assert 1 == orders_in(desk)
    desk.one("revoke", *targets, *BY, "--execute", "--four-eyes", "2", "--approved-by", "human:carol")
    assert 4 == orders_in(desk)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("token:t1", "--targets", "FILE"), "token:t1"),
        ((), ""),
        (("--targets", "FILE"), "# none\n"),
        (("--targets", "FILE"), "nonsense of a kind\n"),
        (("--targets", "FILE"), "action:a1\n"),
        (("--targets", "FILE"), "".join(f"token:x{number}\n" for number in range(1_001))),
        (("--targets", "no-such-file"), ""),
    ],
)
def test_invalid_lists_of_targets_are_usage_errors(desk: Desk, words: tuple[str, ...], text: str):
    """
    This covers two ways at once, none, an empty file, a line without a kind, something without a state, and too many.
    """
    file = desk.folder / "given.txt"
    file.write_text(text, encoding="utf-8")
    given = [str(file) if word == "FILE" else word for word in words]

    refused = desk.run("revoke", *given, *BY, "--execute", "--unseen", exit=2)
    assert "Traceback" not in refused.output
    assert 1 == orders_in(desk)


def test_the_text_of_plan_order_and_repetition(desk: Desk):
    """
    The plan says how to execute it, the order what it ended, and a repetition that nothing was ordered.
    """
    targets = ("--targets", listed(desk, "token:t1", "token:t9"))
    plan = desk.run("revoke", *targets, *BY).stdout
    done = desk.run("revoke", *targets, *BY, "--execute", "--id", "INC-2").stdout
    again = desk.run("revoke", *targets, *BY, "--execute", "--id", "INC-2").stdout

    assert "Revoking 2 targets would end" in plan
    assert "--plan-digest" in plan
    assert "Revoked 2 targets as INC-2" in done
    assert "nothing was ordered again" in again


def test_targets_that_are_revoked_later_are_not_called_revoked(desk: Desk):
    """
    Until then nothing has ended.
    """
    targets = ("--targets", listed(desk, "token:t1", "token:t9"))
    done = desk.run("revoke", *targets, *BY, "--execute", "--effective-at", "2098-01-01T00:00:00Z").stdout

    assert done.startswith("Scheduled 2 targets as ")
    assert "not in force before 2098-01-01T00:00:00Z, which will end" in " ".join(done.split())
