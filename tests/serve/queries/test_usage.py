"""How a tool or a resource was used: equal to a naive count of all actions, on both databases, and bounded."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.log.port import entry_of
from ingest.projector import project
from lineage.core.model.events import ActionPerformed, Event
from lineage.serve.cli.demo import ASKED
from lineage.serve.queries.activity import usage as queries
from lineage.serve.queries.activity.usage import UsageSubject, usage
from lineage.serve.queries.service import Service
from tests.support.http_worlds import World, api_over


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Create the incident on each database."""
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with api_over(url, tmp_path) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Create the incident, for a test that adds to it."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def used(service: Service, kind: str, id_: str, **when: Any) -> dict[str, Any]:
    found = usage(service, UsageSubject(kind, id_), at=ASKED, **when)
    assert found is not None
    return found


def counts(rows: list[dict[str, Any]], name: str = "name") -> dict[str, int]:
    return {row[name]: row["count"] for row in rows}


def test_the_mail_tool_of_the_incident(anywhere: World):
    """
    There are three mails for Alice: two by the mailer, one of them denied, and one by the thief, which is a finding.
    """
    found = used(anywhere.service, "tool", "mail")

    assert ({"agent:mailer": 2, "agent:scraper": 1}, {"human:alice@example.com": 3}) == (
        counts(found["actors"], "principal"),
        counts(found["humans"], "principal"),
    )
    assert ({"succeeded": 2, "denied": 1}, {"permitted": 2, "denied": 1}) == (
        counts(found["outcomes"]),
        counts(found["decisions"]),
    )
    assert {"permitted": ["mail-7", "mail-4"], "denied": ["mail-3"]} == {
        one["name"]: one["actions"] for one in found["decisions"]
    }
    assert {"renewals-november": 2, "press@rival.example": 1} == counts(found["resources"])
    assert ("high", "wielder-mismatch") == (found["findings"][0]["severity"], found["findings"][0]["kind"])
    assert (3, True, True) == (found["looked_at"], found["complete"], found["findings_complete"])


def test_an_unused_tool_is_not_found(world: World):
    """
    An unused tool has no page; before anything was recorded, no tool has.
    """
    assert usage(world.service, UsageSubject("tool", "hammer"), at=ASKED) is None
    assert usage(world.service, UsageSubject("tool", "mail"), at=ASKED, known_at=1) is None


def test_more_actions_than_are_examined(world: World, monkeypatch: pytest.MonkeyPatch):
    """
    The counts cover the latest actions, they add up to the number examined, and the document says so.
    """
    monkeypatch.setattr(queries, "LATEST", 40)
    log = world.service.require_log()
    outcomes = ["succeeded", "failed", "denied"]
    bodies = [
        ActionPerformed(action=f"drill-{n}", operation="turn", outcome=outcomes[n % 3], tool="drill", actor=f"a{n % 7}")
        for n in range(100)
    ]
    log.append([entry_of(Event(f"drill-{n}", "urn:drill", ASKED - 100 + n, body)) for n, body in enumerate(bodies)])
    project(log, world.service.store, world.service.trust.table)
    found = used(world.service, "tool", "drill")
    latest = bodies[60:]

    assert (40, False, False) == (found["looked_at"], found["complete"], found["findings_complete"])
    assert Counter(body.outcome for body in latest) == counts(found["outcomes"])
    assert Counter(body.actor for body in latest) == counts(found["actors"], "principal")
    assert [f"drill-{n}" for n in range(99, 59, -1)] == [item["action"] for item in found["items"]]
    assert {"unknown": 40} == counts(found["decisions"])
