"""What a search says about each thing it finds: equal to the lists of that kind, on both databases, and bounded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.log.port import entry_of
from ingest.projector import project
from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.events import ActionPerformed, Event, TokenIssued
from lineage.core.model.times import parse_instant
from lineage.serve.cli.demo import ASKED
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.inventory import descriptions as queries
from lineage.serve.queries.inventory.descriptions import LATEST, descriptions
from lineage.serve.queries.inventory.inventory import ElementFilter, held
from lineage.serve.queries.inventory.search import search
from lineage.serve.queries.service import Service
from tests.support.http_worlds import World, api_over

EARLIER = parse_instant("2026-11-02T09:15:00Z")


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Create the incident on each database."""
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with api_over(url, tmp_path) as world:
        yield world


def described(service: Service, *keys: str, **when: Any) -> list[Any]:
    things = [dict(zip(("kind", "id"), key.split(":", 1), strict=True)) for key in keys]
    return descriptions(service, things, **{"at": ASKED, "known_at": None, **when})


def recorded(service: Service, events: list[Event]) -> None:
    log = service.require_log()
    log.append([entry_of(event) for event in events])
    project(log, service.store, service.trust.table)


def everything(service: Service) -> list[dict[str, Any]]:
    """Return every name that a search can find."""
    return [{"kind": one["kind"], "id": one["id"]} for text in (":", "Alice") for one in search(service, text)["items"]]


@pytest.mark.parametrize("until", [None, EARLIER], ids=["now", "earlier"])
def test_a_description_is_the_item_of_its_list(anywhere: World, until: int | None):
    """Actions, tokens and delegations are described as in their lists; a tool's actions are the latest in that list."""
    service = anywhere.service
    things = everything(service)
    at = ASKED if until is None else until
    found = dict(zip(((one["kind"], one["id"]) for one in things), descriptions(
        service, things, at=at, until=until, known_at=None
    ), strict=True))  # fmt: skip
    expected: dict[tuple[str, str], Any] = {}
    listed = actions(service, ActionFilter(), at=at, limit=1_000)
    assert listed is not None
    expected |= {("action", one["action"]): one for one in listed["items"]}
    for kind in ("token", "delegation"):
        for one in held(service, kind, ElementFilter(), at=at)["items"]:
            expected[kind, one[kind]] = {name: one[name] for name in one if name not in ("last_used_at", "used")}
    for kind in ("tool", "operation", "resource"):
        for id_ in {thing["id"] for thing in things if thing["kind"] == kind}:
            with_it = actions(service, ActionFilter(end=until, **{kind: id_}), at=at)
            assert with_it is not None
            if with_it["items"]:
                expected[kind, id_] = {"actions": with_it["items"][:LATEST]}

    used = ("action", "token", "delegation", "tool", "operation", "resource")
    assert expected == {key: found[key] for key in found if key[0] in used and found[key]}
    assert {("token", "https://idp.example#mailer-2")} == {
        key for key in found if found[key] == {}
    }  # nobody granted it


def test_a_person_recognises_what_has_no_list(anywhere: World):
    """A principal has its name, kind, owner and agent; a session its first holder; a decision what was decided."""
    person, alias, workload, session, decision = described(
        anywhere.service,
        "principal:human:alice@example.com",
        "principal:okta|00u7alice",
        "principal:spiffe://example.com/ns/agents/sa/mailer",
        "session:https://idp.example#session-alice-0830",
        "decision:decision-52",
    )

    assert ("Alice Ng", "human", "active") == (person["display_name"], person["principal_kind"], person["state"])
    assert "human:alice@example.com" == alias["known_as"]
    assert ("workload", "agent:mailer") == (workload["principal_kind"], workload["agent"])
    assert ("okta|00u7alice", "2026-11-02T08:30:02.000000Z") == (session["subject"], session["since"])
    assert (True, "mail.send", "press@rival.example") == (
        decision["permitted"], decision["operation"], decision["resource"]["id"]
    )  # fmt: skip


def test_an_unknown_thing_has_no_description(anywhere: World):
    """This covers an unknown action, a tool that nobody used, and an id with a character that no database stores."""
    assert [None, None, None] == described(anywhere.service, "action:none", "tool:none", "resource:a\\u0000")
    assert [{}] == described(anywhere.service, "token:none")


def test_before_it_was_recorded_nothing_is_known(anywhere: World):
    """As known before the first record, no action with the tool is known."""
    assert [None] == described(anywhere.service, "tool:mail", known_at=parse_instant("2026-11-01T00:00:00Z"))


def test_a_tool_of_very_many_actions_is_described_from_a_few(anywhere: World, monkeypatch: pytest.MonkeyPatch):
    """An action that two sources report may match anything, so that the index leads to few that really do."""
    service, first = anywhere.service, ASKED - 10_000_000
    twice = [
        Event(f"{source}{n}", f"urn:{source}", first + n, ActionPerformed(
            action=f"twice-{n}", operation="x", outcome="succeeded", tool="other"
        ))
        for source in ("a", "b")
        for n in range(100)
    ]  # fmt: skip
    recorded(service, twice)
    assert ["mail-7", "mail-4", "mail-3"] == _done(described(service, "tool:mail"))
    monkeypatch.setattr(queries, "_EXAMINED", 20)
    assert [None] == described(service, "tool:mail")


def test_a_client_of_very_many_tokens_is_not_counted(anywhere: World):
    """It says that there are too many, and reads only a few."""
    recorded(anywhere.service, [
        Event(f"t{n}", "urn:a", ASKED, TokenIssued(token=f"t{n}", subject="human:a", client="crowd", expires_at=None))
        for n in range(30)
    ])  # fmt: skip
    assert [None] == [one["tokens"] for one in described(anywhere.service, "client:crowd")]


def _done(found: list[Any]) -> list[str]:
    return [one["action"] for one in found[0]["actions"]]
