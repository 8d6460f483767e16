"""The export of a case, checked by a program that knows only its documentation and finds any tampering."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.opening import open_log
from lineage.core.model.events import digest
from lineage.serve.cli.demo import incident_path
from lineage.serve.config.wiring import now
from tests.support import case_checker
from tests.support.desk import Desk

BY = ("--by", "human:dana@example.com")
LEAK = "token:https://idp.example#mailer-1"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Create the incident, two orders, and a case with an item of each kind and a history."""
    desk = Desk(tmp_path_factory.mktemp("export"))
    desk.run("ingest", str(incident_path()))
    desk.run("revoke", "principal:agent:mailer", "--reason", "compromise", *BY, "--id", "P1", "--execute")
    desk.run("revoke", LEAK, "--reason", "credential_leak", *BY, "--id", "L1", "--execute")
    theft = next(one["id"] for one in desk.one("findings")["items"] if one["kind"] == "wielder-mismatch")
    items = (LEAK, "token:https://idp.example#archive-1", "action:mail-7", "principal:agent:mailer", theft)
    desk.run("case", "open", "Leaked token of the müller", *items, *BY, "--id", "INC-1", "--note", "<b>bold</b> 😀")
    ranges = ("--actions", "agent=agent:mailer&from=2026-11-02T09:00:00Z&tool=mail")
    desk.run("case", "add", "INC-1", "revocation:L1", "decision:decision-44", "delegation:grant-mail", *ranges, *BY)
    desk.run("case", "remove", "INC-1", "principal:agent:mailer", "--by", "human:eve")
    desk.run("case", "assign", "INC-1", "human:eve", *BY)
    desk.run("case", "close", "INC-1", "--reason", "over", "--by", "human:eve")
    return desk


@pytest.fixture(scope="module")
def document(desk: Desk) -> Json:
    return desk.one("case", "export", "INC-1")


def test_an_independent_program_checks_every_statement(desk: Desk):
    """
    The program gets only the file, and imports nothing from delegraph.
    """
    file = desk.folder / "case.json"
    desk.run("case", "export", "INC-1", "--out", str(file))
    done = subprocess.run(
        [sys.executable, "-I", str(case_checker.__file__), str(file)], capture_output=True, check=False, text=True
    )

    assert (0, "every statement holds\n") == (done.returncode, done.stdout)


def test_an_export_states_something_of_each_kind(document: Json):
    """
    Otherwise the checks below would be vacuous.
    """
    values = {one["says"] for item in document["export"]["items"] for one in item["statements"]}
    kinds = {item["kind"] for item in document["export"]["items"]}

    assert {"stated", "named", "depends", "state", "found", "matches"} == values
    assert {"token", "action", "finding", "revocation", "decision", "delegation", "actions"} == kinds
    assert all(
        one["by"] for item in document["export"]["items"] for one in item["statements"] if one["says"] == "named"
    )


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every text, number and word of a document."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from leaves(value[key], (*path, key))
    else:
        yield path


def changed(document: Json, path: tuple[Any, ...]) -> Json:
    """Return the document with one leaf changed."""
    other = copy.deepcopy(document)
    at = other
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = f"{at[path[-1]]}x"
    return other


def test_every_change_of_an_export_is_found(document: Json):
    """
    Every leaf of the export is changed, one after the other.
    """
    assert [] == list(case_checker.faults(document))
    paths = list(leaves(document["export"], ("export",)))
    assert len(paths) > 500

    for path in paths:
        assert list(case_checker.faults(changed(document, path))), path


def first(export: Json, text: str) -> Json:
    return next(one for item in export["items"] for one in item["statements"] if one["says"] == text)


def without_event(export: Json) -> None:
    export["events"].pop(3)


def with_another_event(export: Json) -> None:
    event = {**export["events"][0]["event"], "event_id": "invented"}
    entry = {**export["events"][0], "event": event, "digest": case_checker.sha256(event)}
    entry["position"] = {**entry["position"], "offset": 4711}
    export["events"] = sorted([*export["events"], entry], key=lambda one: one["digest"])


def with_event_changed(export: Json) -> None:
    export["events"][0]["event"]["source"] = "https://evil.example"


def with_event_changed_and_its_digest(export: Json) -> None:
    entry = next(one for one in export["events"] if one["event"].get("action") == "mail-7")
    entry["event"]["actor"] = "human:bob@example.com"
    before, entry["digest"] = entry["digest"], case_checker.sha256(entry["event"])
    text = json.dumps(export).replace(before, entry["digest"])
    export |= json.loads(text)
    export["events"].sort(key=lambda one: one["digest"])


TAMPERING: dict[str, Callable[[Json], Any]] = {
    "an event left out": without_event,
    "an event invented": with_another_event,
    "an event changed": with_event_changed,
    "an event changed, and its digest": with_event_changed_and_its_digest,
    "two events at one position": lambda e: e["events"][0].update(position=e["events"][1]["position"]),
    "the title": lambda e: e.update(title="Nothing happened"),
    "the status": lambda e: e.update(status="open"),
    "the assignee": lambda e: e.update(assignee="human:bob"),
    "the version": lambda e: e.update(version="0" * 16),
    "an item left out": lambda e: e["items"].pop(),
    "an item invented": lambda e: e["items"].append({**e["items"][0], "id": "t9"}),
    "the order of the items": lambda e: e["items"].reverse(),
    "who added an item": lambda e: e["items"][0].update(added_by="human:bob"),
    "when it was added": lambda e: e["items"][0].update(added_at="2020-01-01T00:00:00.000000Z"),
    "a change left out": lambda e: e["changes"].pop(1),
    "the author of a change": lambda e: e["changes"][1].update(by="human:bob"),
    "a note": lambda e: e["changes"][0].update(note="nothing"),
    "what an event states": lambda e: first(e, "stated").update(value="web.read"),
    "of what it states it": lambda e: first(e, "stated").update(of="action:other"),
    "a party of the chain": lambda e: first(e, "named").update(principal="human:bob@example.com"),
    "who names it": lambda e: first(e, "named").update(by="token:other"),
    "a dependency": lambda e: first(e, "depends").update(on="token:other"),
    "an order": lambda e: first(e, "state").update(revocation="R9"),
    "a path": lambda e: first(e, "state")["path"].insert(0, "token:other"),
    "a state": lambda e: first(e, "state").update(state="active"),
    "the evidence of a state": lambda e: first(e, "state").update(rests_on=first(e, "stated")["rests_on"]),
    "the rule of a finding": lambda e: first(e, "found").update(rule="cycle"),
    "the subject of a finding": lambda e: first(e, "found").update(subject="action:other"),
    "an action of a range": lambda e: first(e, "matches")["actions"].append("mail-9"),
    "a range": lambda e: first(e, "matches").update(of="actions:tool=crm"),
}


@pytest.mark.parametrize("tamper", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found_even_with_a_new_digest(document: Json, tamper: Callable[[Json], Any]):
    """
    Each statement follows from its own events, so making the whole consistent does not help.
    """
    other = copy.deepcopy(document)
    tamper(other["export"])
    other["sha256"] = case_checker.sha256(other["export"])

    assert list(case_checker.faults(other))


class Loading(HTMLParser):
    """Collects what a page loads or runs, and its links to other sites."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.targets: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        result = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object", "b") or any(name.startswith("on") for name in result):
            self.found.append(tag)
        if (to := result.get("href")) is not None:
            self.targets.add(to)
        if (name := result.get("id")) is not None:
            self.ids.add(f"#{name}")


def test_the_page_is_self_contained(desk: Desk, document: Json):
    """
    It loads nothing, runs nothing and shows all input as text; it contains every cited event.
    """
    file = desk.folder / "case.html"
    desk.run("case", "export", "INC-1", "--format", "html", "--out", str(file))
    text = file.read_text("utf-8")
    page = Loading()
    page.feed(text)

    assert [] == page.found
    assert page.targets <= page.ids
    assert {f"#e-{one['digest']}" for one in document["export"]["events"]} <= page.ids
    assert "&lt;b&gt;bold&lt;/b&gt; 😀" in text
    assert "url(" not in text


def test_a_failed_export_writes_no_file(desk: Desk):
    """
    This covers a missing case, and a path that cannot be written.
    """
    file = desk.folder / "none.json"
    desk.run("case", "export", "INC-9", "--out", str(file), exit=3)
    refused = desk.run("case", "export", "INC-1", "--out", str(desk.folder / "no" / "case.json"), exit=2)

    assert not file.exists()
    assert "cannot be written" in refused.stderr


def test_the_positions_are_those_of_the_log(desk: Desk, document: Json):
    """
    Each event is in the log where the export says.
    """
    log = open_log(desk.url, create=False, clock=now)
    for one in document["export"]["events"]:
        place = one["position"]
        [record] = log.read(place["topic"], place["partition"], place["offset"], limit=1).records
        assert record.value is not None
        assert one["digest"] == digest(codec.read(record.value))
    log.close()
