"""Exports of actions and events are valid in the formats of other tools: OCSF API Activity, and Timesketch."""

import json
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from tests.support.desk import Desk
from tests.support.finding_cases import A, done, granted, issued
from tests.support.places import INCIDENT


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The incident, and actions with few fields, with ids that need escaping."""
    desk = Desk(tmp_path_factory.mktemp("formats"))
    desk.run("ingest", str(INCIDENT))
    desk.take(
        granted("d1", "human:alice", A, 1, scopes=["crm:read"]),
        issued("t1", actor=A, delegation="d1", at=2),
        done("a1", token="t1", actor=A, at=3),
        done('="quoted"\n<b>', actor=None, at=4),
    )
    return desk


@cache
def validator() -> Any:
    return Draft202012Validator(OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0")).get_class_schema("api_activity"))


def lines(desk: Desk, *asked: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in desk.run(*asked).output.splitlines()]


def test_every_action_is_an_api_activity_by_the_schema(desk: Desk):
    """
    There is one event for each action, with the human and the delegations.
    """
    listed = desk.one("actions", "--limit", "1000")["items"]
    events = lines(desk, "actions", "--limit", "1000", "--format", "ocsf")

    assert [one["action"] for one in listed] == [event["metadata"]["uid"] for event in events]
    assert [] == [error.message for event in events for error in validator().iter_errors(event)]
    mail = next(event for event in events if event["metadata"]["uid"] == "mail-7")
    assert "human:alice@example.com" == mail["actor"]["invoked_by"] == mail["unmapped"]["human"]
    assert ("mail.send", "mail", "Create") == (
        mail["api"]["operation"], mail["api"]["service"]["name"], mail["activity_name"],
    )  # fmt: skip
    assert mail["unmapped"]["delegations"]
    assert [None, *(one["uid"] for one in mail["unmapped"]["delegations"][:-1])] == [
        one.get("parent_uid") for one in mail["unmapped"]["delegations"]
    ]


@pytest.mark.parametrize("wrong", [{"severity_id": "high"}, {"time": None}, {"actor": 1}, {"no_such_attribute": 1}])
def test_the_schema_refuses_what_is_wrong(desk: Desk, wrong: dict[str, Any]):
    """
    The check above can fail.
    """
    event = lines(desk, "actions", "--limit", "1000", "--format", "ocsf")[0]

    assert [] != list(validator().iter_errors({**event, **wrong}))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("actions", "--limit", "1000"), "Action performed"),
        (("timeline", "principal:agent:mailer"), "Event occurred"),
    ],
)
def test_lines_for_timesketch_have_what_it_needs(desk: Desk, asked: tuple[str, ...], message: str):
    """
    There is one flat line for each item, in order, with a message, a time in two formats, and the meaning of the time.
    """
    items = desk.one(*asked)["items"]
    found = lines(desk, *asked, "--format", "timesketch")

    assert [item["occurred_at"] for item in items] == [line["datetime"] for line in found]
    assert found
    for line in found:
        assert (message, "delegraph") == (line["timestamp_desc"], line["data_type"])
        assert line["message"]
        assert line["timestamp"] > 1_500_000_000_000_000
        assert not [name for name, value in line.items() if isinstance(value, dict | list) or value is None]
