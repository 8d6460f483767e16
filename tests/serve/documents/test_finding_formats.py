"""Findings and posture in the formats of other tools: OCSF, SARIF, CSV, JSON lines, and the HTML report."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.desk import Desk
from tests.support.finding_cases import A, done, granted, issued, moment, reissued

WIDE = reissued(scopes=["crm:read", "crm:write"])
# What OCSF requires of the two classes and their objects; the newest schema that a package carries takes both.
REQUIRED = {"activity_id", "category_uid", "class_uid", "finding_info", "metadata", "severity_id", "time", "type_uid"}
UNTIL = "2099-01-01T00:00:00Z"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.take(*WIDE, issued("t1", actor=A, delegation="d2", at=6), done("a1", token="t1", actor=A, at=7))
    return desk


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def suppress(desk: Desk, kind: str) -> str:
    [id_, *_] = [one["id"] for one in desk.one("findings")["items"] if one["kind"] == kind]
    desk.run("findings", "suppress", id_, "--by", "human:ir", "--reason", "a <pilot>", "--until", UNTIL)
    return id_


def test_lines_and_json_are_the_documents(desk: Desk):
    """
    JSON lines have one document per line, JSON has the list, and filters apply to both.
    """
    listed = desk.one("findings")

    assert listed["items"] == lines(desk.run("findings", "--format", "jsonl").output)
    assert listed["items"] == json.loads(desk.run("findings", "--format", "json").output)["items"]
    assert ["high"] == [
        one["severity"] for one in lines(desk.run("findings", "--format", "jsonl", "--severity", "high").output)
    ]


def test_a_table_has_a_row_for_each_finding_and_no_formula(desk: Desk):
    """
    Every finding is a row below the header, and no cell begins like a formula.
    """
    desk.take(granted("=cmd()", A, "agent:z", 8, parents=["d1"], scopes=["pay"]), issued("=t()", actor=A, at=9))
    rows = list(csv.DictReader(io.StringIO(desk.run("findings", "--format", "csv").output)))

    assert [one["id"] for one in desk.one("findings")["items"]] == [row["id"] for row in rows]
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert {"delegation:d2"} == {
        row["of"] for row in rows if row["kind"] == "scope-exceeds-parent" and "d2" in row["of"]
    }


def test_ocsf_distinguishes_detections_from_posture(desk: Desk):
    """
    A detection has class 2004, a posture check 2003; status and severity are OCSF's numbers.
    """
    suppressed = suppress(desk, "scope-exceeds-parent")
    events = {
        one["finding_info"]["uid"]: one for one in lines(desk.run("findings", "--all", "--format", "ocsf").output)
    }
    items = {one["id"]: one for one in desk.one("findings", "--all")["items"]}

    assert items.keys() == events.keys()
    for id_, event in events.items():
        assert REQUIRED <= event.keys()
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["class_uid"] == (2003 if "compliance" in event else 2004)
        assert (event["message"], event["severity"].lower()) == (items[id_]["why"], items[id_]["severity"])
        assert [fact["event_id"] for fact in items[id_]["facts"]] == [
            one["data"]["event_id"] for one in event["evidences"]
        ]
    assert (2004, 3, "Suppressed", 4) == tuple(
        events[suppressed][name] for name in ("class_uid", "status_id", "status", "severity_id")
    )
    assert {2003, 2004} == {event["class_uid"] for event in events.values()}


def test_ocsf_carries_the_delegations_root_first(desk: Desk):
    """
    Each names its parent, so that a reader sees where scopes were gained.
    """
    [event] = [
        one
        for one in lines(desk.run("findings", "--format", "ocsf").output)
        if one["finding_info"]["types"] == ["scope-exceeds-parent"]
    ]
    shown = [(one["uid"], one.get("parent_uid"), one["scopes"]) for one in event["unmapped"]["delegations"]]

    assert [("d1", None, ["crm:read"]), ("d2", "d1", ["crm:read", "crm:write"])] == shown


def test_sarif_has_rules_results_and_what_is_new(desk: Desk):
    """
    Each result names its rule, its level and a fingerprint; a baseline says which are new.
    """
    baseline = desk.folder / "known.json"
    desk.run("findings", "--write-baseline", str(baseline), "--severity", "high")
    suppressed = suppress(desk, "scope-exceeds-parent")
    document = json.loads(desk.run("findings", "--all", "--format", "sarif", "--baseline", str(baseline)).output)
    [run] = document["runs"]
    rules, results = run["tool"]["driver"]["rules"], run["results"]

    assert ("2.1.0", "delegraph") == (document["version"], run["tool"]["driver"]["name"])
    assert [one["id"] for one in desk.one("findings", "--all")["items"]] == [
        one["partialFingerprints"]["delegraphFinding/v1"] for one in results
    ]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in results)
    assert {"error", "warning", "note"} >= {one["level"] for one in results}
    states = {one["partialFingerprints"]["delegraphFinding/v1"]: one["baselineState"] for one in results}
    assert "unchanged" == states.pop(suppressed)
    assert {"new"} == set(states.values())
    assert [suppressed] == [
        one["partialFingerprints"]["delegraphFinding/v1"] for one in results if "suppressions" in one
    ]


def test_a_gate_counts_in_every_format(desk: Desk):
    """
    The exit code is that of the gate, however findings are written.
    """
    for name in ("json", "jsonl", "csv", "ocsf", "sarif", "table"):
        desk.run("findings", "--format", name, "--fail-on", "high", exit=7)
        desk.run("findings", "--format", name, "--fail-on", "critical")


def test_a_posture_is_a_report_and_compliance_findings(desk: Desk):
    """
    The report for an auditor and the events for a SIEM state pass, fail, who suppressed what and why, and what was not
    evaluated and why.
    """
    suppress(desk, "scope-exceeds-parent")
    items = desk.one("posture")["items"]
    events = lines(desk.run("posture", "--format", "ocsf", "--at", moment(60)).output)
    report = desk.run("posture", "--format", "html").output
    [accepted] = [item for item in items if item["kind"] == "scope-exceeds-parent"]
    numbers = {"pass": 1, "suppressed": 2, "fail": 3, "not_evaluated": 0}

    assert ("suppressed", "human:ir", "a <pilot>") == (
        accepted["outcome"],
        *(accepted["suppressed_by"][0][name] for name in ("by", "reason")),
    )
    assert all(REQUIRED | {"compliance"} <= event.keys() for event in events)
    assert len(items) == len(events) == len({event["finding_info"]["uid"] for event in events})
    desk_items = {item["kind"]: item for item in desk.one("posture", "--at", moment(60))["items"]}
    assert {event["compliance"]["control"]: event["compliance"]["status_id"] for event in events} == {
        kind: numbers[item["outcome"]] for kind, item in desk_items.items()
    }
    assert all(item["title"] in report.replace("&#x27;", "'") for item in items)
    assert "human:ir, until 2099" in report
    assert "a &lt;pilot&gt;" in report
    assert "<pilot>" not in report
