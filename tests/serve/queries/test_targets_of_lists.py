"""Lists write targets, which ``revoke --targets`` reads."""

from pathlib import Path

import pytest

from tests.support.desk import LATER, Desk, derived, done, registered, token


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    held = {"actor": "agent:mailer", "expires_at": LATER}
    desk.take(registered("agent:mailer", "agent"), token("t1", **held), derived("t2", "t1", **held), token("t3"))
    desk.take(done("a1", "09:30", token="t3"), done("a2", "09:45", token="t1"), done("a3", "09:50", token="t1"))
    desk.take(done("a4", "09:55", actor="agent:mailer"))
    return desk


def targets(desk: Desk, *words: str) -> list[str]:
    return desk.run(*words, "--format", "targets").stdout.splitlines()


def test_each_list_writes_what_can_be_revoked_in_it(desk: Desk):
    """The lists are the tokens of one agent, the actions since a moment (each token once), people and agents."""
    since = targets(desk, "actions", "--from", "2024-05-01T09:40:00Z")

    assert ["token:t1", "token:t2"] == sorted(targets(desk, "tokens", "--holder", "agent:mailer"))
    assert ["# action a4 names neither a token nor a delegation", "token:t1"] == since
    assert ["principal:agent:mailer"] == targets(desk, "principals", "--kind", "agent")
    assert [] == targets(desk, "delegations")


def test_what_a_list_writes_is_revoked_together(desk: Desk):
    """The targets come from a file or standard input; an incomplete list says so."""
    found = desk.run("tokens", "--holder", "agent:mailer", "--format", "targets")
    order = ("revoke", "--targets", "-", "--reason", "compromise", "--by", "human:ruth", "--execute")
    desk.run(*order, stdin=found.stdout.encode())
    part = desk.run("tokens", "--limit", "1", "--format", "targets")

    assert ["revoked", "revoked", "active"] == [desk.state(f"token:{one}", "--at", "now") for one in ("t1", "t2", "t3")]
    assert "there are more" in part.stderr
