"""Settings of the rules: what they change, and what is refused."""

from pathlib import Path
from typing import Any

import pytest

from lineage.core.findings.options import DEFAULT, Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.errors import RefusedError
from lineage.serve.config.finding_settings import THRESHOLDS
from lineage.serve.config.settings import Settings
from tests.support.desk import Desk
from tests.support.finding_cases import D1, T1, A, done, reissued

WIDE = [*reissued(scopes=["crm:read", "crm:write"])]
ACCEPTED = """
[[findings.exceptions]]
rule = "scope-exceeds-parent"
{pattern}
reason = "a pilot"
by = "human:ir"
until = {until}
"""


def options(tmp_path: Path, text: str) -> Options:
    file = tmp_path / "delegraph.toml"
    file.write_text(text, encoding="utf-8")
    return Settings.of(env={"DELEGRAPH_CONFIG": str(file)}).findings


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    file = tmp_path / "delegraph.toml"
    file.write_text("", encoding="utf-8")
    return Desk(tmp_path, env={"DELEGRAPH_CONFIG": str(file)})


def set_(desk: Desk, text: str) -> None:
    (desk.folder / "delegraph.toml").write_text(text, encoding="utf-8")


def of_kind(desk: Desk, kind: str, *options: str) -> list[dict[str, Any]]:
    return [one for one in desk.one("findings", *options)["items"] if one["kind"] == kind]


def test_every_threshold_that_a_rule_reads_can_be_set():
    """
    Each threshold in the table is an existing field, and each setting that rules declare is in the table or elsewhere.
    """
    others = {"sensitive", "broad", "caching", "restating", "exceptions", "scope_match", "implies", "operations"}
    others |= {"audiences"}

    assert set() == {name for rule in RULES.values() for name in rule.settings} - THRESHOLDS.keys() - others
    assert all(hasattr(DEFAULT, threshold.field) for threshold in THRESHOLDS.values())


def test_a_rule_can_be_switched_off_or_made_less_severe(desk: Desk):
    """
    The setting of a rule counts in the list, in the chain and for a gate.
    """
    desk.take(*WIDE)
    set_(desk, '[findings.scope-exceeds-parent]\nseverity = "low"')
    assert {"low"} == {one["severity"] for one in of_kind(desk, "scope-exceeds-parent")}
    assert "low" in {one["severity"] for one in desk.one("chain", "delegation:d2")["findings"]}
    desk.run("findings", "--fail-on", "high")
    set_(desk, "[findings.scope-exceeds-parent]\nenabled = false")

    assert [] == of_kind(desk, "scope-exceeds-parent")
    assert "scope-exceeds-parent" in {each["kind"] for each in desk.one("findings")["not_evaluated"]}


def test_the_table_of_scopes_says_what_an_operation_needs(desk: Desk):
    """
    Without it nobody knows whether mail.send is in crm:read; a scope may contain others, by a table or by a prefix.
    """
    desk.take(D1, T1, done("a1", "mail.send", token="t1", actor=A))
    assert [] == of_kind(desk, "action-outside-scope")
    set_(desk, '[scopes]\n"mail.send" = ["mail:send"]')
    assert ["action:a1"] == [one["of"] for one in of_kind(desk, "action-outside-scope")]
    set_(desk, '[scopes]\n"mail.send" = ["mail:send"]\n[scopes.implies]\n"crm:read" = ["mail:send"]')

    assert [] == of_kind(desk, "action-outside-scope")


@pytest.mark.parametrize("pattern", ['of = "delegation:d*"', 'principal = "agent:b"', 'source = "https://idp*"', ""])
def test_an_exception_suppresses_until_it_expires(desk: Desk, pattern: str):
    """
    What it covers is suppressed until its end; then the expired exception is itself a finding.
    """
    desk.take(*WIDE)
    set_(desk, ACCEPTED.format(pattern=pattern, until="2099-01-01T00:00:00Z"))
    assert [] == of_kind(desk, "scope-exceeds-parent")
    assert ["suppressed"] == [one["status"] for one in of_kind(desk, "scope-exceeds-parent", "--all")]
    desk.run("findings", "--fail-on", "high")
    set_(desk, ACCEPTED.format(pattern=pattern, until="2026-01-01T00:00:00Z"))

    assert ["new"] == [one["status"] for one in of_kind(desk, "scope-exceeds-parent")]
    assert 1 == len(of_kind(desk, "exception-expired"))


def test_an_exception_covers_nothing_else(desk: Desk):
    """
    Another thing, rule or party is reported as before.
    """
    desk.take(*WIDE)
    for pattern in ('of = "delegation:x*"', 'principal = "agent:z"', 'source = "urn:*"'):
        set_(desk, ACCEPTED.format(pattern=pattern, until="2099-01-01T00:00:00Z"))
        assert ["new"] == [one["status"] for one in of_kind(desk, "scope-exceeds-parent")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[findings.scope-exceeds]\nenabled = false",
            "did you mean scope-exceeds-parent",
        ),
        ("[findings]\nleeway = 3", "'leeway', which is no setting"),
        ("[findings]\nleeway_seconds = -1", "write a whole number from 0 to 3,600"),
        ("[findings]\nleeway_seconds = true", "write a whole number"),
        ('[findings]\ndormant_days = "30"', "write a whole number"),
        ("[findings]\ndecision_share = 1.5", "write a number from 0.01 to 1"),
        ("[findings.cycle]\ndormant_days = 3", "no setting of this rule"),
        ('[findings.cycle]\nseverity = "awful"', "there are critical, high"),
        ('[findings.cycle]\nenabled = "no"', "write true or false"),
        ("[findings]\ndormant_days = 3\n[findings.dormant-but-alive]\ndormant_days = 4", "set twice"),
        ('[findings]\nsensitive = "pay"', "must be a list of strings"),
        (ACCEPTED.format(pattern="", until='"soon"'), "needs an 'until'"),
        (ACCEPTED.format(pattern="", until="2027-01-01T00:00:00"), "needs an 'until'"),
        (ACCEPTED.format(pattern="off = 3", until="2027-01-01T00:00:00Z"), "'off', which is no setting"),
        (ACCEPTED.format(pattern="of = 3", until="2027-01-01T00:00:00Z"), "must be a pattern"),
        ('[[findings.exceptions]]\nrule = "cycle"\nby = "human:ir"\nuntil = 2027-01-01T00:00:00Z', "'reason'"),
        ('[[findings.exceptions]]\nrule = "cycles"', "did you mean cycle?"),
        ('[scopes]\nmatch = "fuzzy"', "there are exact, prefix"),
        ('[scopes]\n"mail.send" = "mail:send"', "must be a list of strings"),
        ("[audiences]\nmail = 3", "must be the audience"),
        ("findings = 3", "must be a table"),
    ],
)
def test_invalid_input_is_refused(tmp_path: Path, text: str, message: str):
    """
    The message names what is wrong, where, and the valid values.
    """
    with pytest.raises(RefusedError, match=message) as refused:
        options(tmp_path, text)

    assert str(tmp_path / "delegraph.toml") in str(refused.value)
