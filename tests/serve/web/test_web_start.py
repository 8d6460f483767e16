"""The start page: what needs attention and what is happening, each number with a link to its list."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.log.port import entry_of
from ingest.projector import project
from lineage.core.model.events import ActionPerformed, Event
from lineage.serve.cli.demo import ASKED
from lineage.serve.queries.overviews import attention
from lineage.serve.queries.service import Service
from lineage.serve.web import start_page
from lineage.serve.web.activity_bars import HIGH, bars, lasting
from lineage.serve.web.links import Links
from lineage.serve.web.start_page import alarm
from tests.support.http_worlds import World, api_over
from tests.support.kafka_worlds import wait_until
from tests.support.web_pages import Pages, text_of


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Return the incident; tests do not add to it."""
    folder = tmp_path_factory.mktemp("start")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield Pages(world)


def test_the_start_page_has_findings_and_figures(pages: Pages):
    """
    It has the theft, and the share of actions with a person at the root, the tokens and the depth, each as a link.
    """
    page = pages.get("/")
    text = text_of(page)

    assert "Possible token theft: agent:scraper" in text
    assert re.search(r"100% of actions.*13 alive.*5 parties", text, re.DOTALL)
    assert '<a href="/tokens?state=active">' in page.text
    assert '<a href="/findings?kind=wielder-mismatch">Possible thefts</a>' in page.text
    assert '<a href="/graph?view=principals">' in page.text


@pytest.mark.parametrize(
    ("worst", "shown"),
    [
        ("", None),
        ("medium:wielder-mismatch", None),
        ("high:cycle high:wielder-mismatch high:cycle", 1),
        ("critical:cycle high:wielder-mismatch", 0),
        ("high:cycle medium:wielder-mismatch", 0),
    ],
)
def test_a_possible_theft_is_shown_before_others_of_its_severity(worst: str, shown: int | None):
    """
    A worse finding still comes first, and one of medium severity is not shown in red.
    """
    found = [dict(zip(("severity", "kind"), one.split(":"), strict=True)) for one in worst.split()]

    assert (None if shown is None else found[shown]) is alarm(found)


def test_a_bar_is_a_list(pages: Pages):
    """
    Each bar of the activity links to the actions of its hours, and the lists add up to the number above.
    """
    html = pages.get("/").text
    total = int(re.search(r">(\d+) actions? in the seven days", html)[1])
    lists = [link.replace("&amp;", "&") for link in re.findall(r'href="(/actions\?from=[^"]+)" aria-label', html)]

    assert total == sum(len(pages.get(f"/v1{link}").json()["items"]) for link in lists)


def test_the_highest_bar_fills_the_height_and_none_is_invisible():
    """
    Both are visible even if one hour has far more actions than another.
    """
    hours = [{"hour": "2026-11-01T01:00:00Z", "facts": 1}, {"hour": "2026-11-05T13:00:00Z", "facts": 100_000}]
    found = bars({"from": "2026-11-01T00:00:00Z", "to": "2026-11-08T00:00:00Z", "by_hour": hours}, Links())

    assert [3, HIGH] == [bar["height"] for bar in found["bars"]]
    assert max(bar["x"] for bar in found["bars"]) < found["width"]


@pytest.mark.parametrize(("seconds", "expected"), [(5.2, "5 s"), (90, "2 min"), (7_200, "2 h"), (200_000, "2 d")])
def test_a_duration_is_shown_in_its_largest_unit(seconds: float, expected: str):
    """
    Readers should not have to convert seconds.
    """
    assert expected == lasting(seconds)


def test_a_number_of_conflicts_leads_to_their_list(tmp_path: Path):
    """
    The tile has the number of identities that the list has.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        pages = Pages(world)
        before = pages.get("/").text
        record(world.service, *(action(f"act-{n}", "same") for n in (1, 2)), action("act-3", "other"))
        after = pages.get("/").text

    assert ["0 identities", "1 identity"] == [
        re.search(r'<a href="/conflicts">([0-9][^<]*)</a>', html)[1] for html in (before, after)
    ]


@pytest.fixture
def slow_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Return a world in which nothing is quick, and which evaluates again without a pause."""
    monkeypatch.setattr("lineage.serve.queries.overviews.attention.QUICK", 0)
    monkeypatch.setattr("lineage.serve.web.latest_result.PAUSE", 0)
    monkeypatch.setattr("lineage.serve.web.latest_result.SHARE", 0)
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


class Gate:
    """What the start page computes, which waits until it may continue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.may_end, self.ended = threading.Event(), 0
        compute = getattr(start_page, name)

        def slowly(*args: Any) -> Any:
            assert self.may_end.wait(60)
            self.ended += 1
            return compute(*args)

        monkeypatch.setattr(start_page, name, slowly)


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch, "worst_findings")


@pytest.fixture
def conflicts(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch, "count_conflicts")


def test_findings_that_take_long_are_those_known_last(findings: Gate, slow_world: World):
    """
    Nobody waits for them: the page says that they are being evaluated, or as of when they are known, until they are
    evaluated again.
    """
    pages = Pages(slow_world)
    first, then = pages.get("/").text, pages.get("/?at=2020-01-01T00:00:00Z").text
    findings.may_end.set()
    wait_until(lambda: "Possible token theft" in pages.get("/").text)
    findings.may_end.clear()
    record(slow_world.service, action("late-1", "late-1"))
    old = pages.get("/").text
    findings.may_end.set()
    wait_until(lambda: "data-due" not in pages.get("/").text)
    last = pages.get("/").text

    assert "not counted: they are being evaluated" in first
    assert "not counted: evaluating them as of another time" in then
    assert "Findings are known as of" in old
    assert "Possible token theft" in old
    assert [True, False, True, False] == ["data-due" in html for html in (first, then, old, last)]
    assert "known as of" not in last
    assert 2 == findings.ended


def test_an_old_number_of_conflicts_is_shown_with_its_time(findings: Gate, conflicts: Gate, slow_world: World):
    """
    A number from before the last facts is not shown as the current one.
    """
    pages = Pages(slow_world)
    findings.may_end.set()
    first = tile(pages)
    conflicts.may_end.set()
    wait_until(lambda: "0 identities" in tile(pages))
    current = tile(pages)
    conflicts.may_end.clear()
    record(slow_world.service, action("late-1", "late-1"), action("late-2", "late-1"))
    old = tile(pages)
    conflicts.may_end.set()
    wait_until(lambda: "1 identity" in tile(pages))

    assert "See the list" in first
    assert "0 identities" in old
    assert [False, True, False] == ["known as of" in html for html in (current, old, tile(pages))]


def test_an_evaluation_that_fails_is_named_on_the_page(
    slow_world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """
    The page does not promise findings in a moment, the log has the reason, and the next success is shown.
    """
    broken = threading.Event()
    broken.set()

    def failing(compute: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            if broken.is_set():
                raise LookupError("a page of the store is damaged")
            return compute(*args, **kwargs)

        return run

    service = slow_world.service
    monkeypatch.setattr(service.store, "conflicts", failing(service.store.conflicts))
    monkeypatch.setattr(attention, "every_finding", failing(attention.every_finding))
    pages = Pages(slow_world)
    wait_until(lambda: "evaluating them failed" in pages.get("/").text and "counting them failed" in tile(pages))
    failed = pages.get("/").text
    broken.clear()
    wait_until(lambda: "data-due" not in pages.get("/").text)
    broken.set()
    record(service, action("late-1", "late-1"))
    wait_until(lambda: "evaluating them again failed" in pages.get("/").text)
    broken.clear()
    wait_until(lambda: "failed" not in pages.get("/").text)

    assert "they are being evaluated" not in failed
    assert {"a page of the store is damaged"} == {str(line.exc_info[1]) for line in caplog.records if line.exc_info}


def test_authentication_does_not_wait_for_the_start_page(findings: Gate, conflicts: Gate, slow_world: World):
    """
    What the start page computes in the background uses one thread, which nothing else needs.
    """
    pages = Pages(slow_world)
    pages.get("/")
    assert 200 == slow_world.get("/readyz").status_code
    working = [one.name for one in threading.enumerate() if one.name.startswith("delegraph-background")]
    for gate in (findings, conflicts):
        gate.may_end.set()
    slow_world.site.pools.close()

    assert 1 == len(working)
    assert not [one for one in threading.enumerate() if one.name in working]


def tile(pages: Pages) -> str:
    """Return the part of the start page about conflicts."""
    return re.search(r'<span class="label">Conflicts</span>.*?</li>', pages.get("/").text, re.DOTALL)[0]


def action(id_: str, event_id: str) -> Event:
    """Return the event of an action."""
    return Event(event_id, "urn:late", ASKED - 1, ActionPerformed(action=id_, operation="op", outcome="succeeded"))


def record(service: Service, *events: Event) -> None:
    """Append some events to the log, and project it."""
    service.require_log().append([entry_of(event) for event in events])
    project(service.require_log(), service.store, service.trust.table)


def test_the_start_page_shows_new_facts_immediately(tmp_path: Path):
    """
    An overview is reused only while nothing was recorded, and only briefly.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        pages, asked = Pages(world), []
        service = world.service
        before = service.as_of
        service.as_of = lambda: asked.append(1) or before()  # type: ignore[method-assign]
        pages.get("/")
        whole = len(asked)
        pages.get("/")
        again = len(asked) - whole
        log = service.require_log()
        body = ActionPerformed(action="late-1", operation="op", outcome="succeeded", tool="hammer")
        log.append([entry_of(Event("late-1", "urn:late", ASKED - 1, body))])
        project(log, service.store, service.trust.table)

        assert again < whole
        assert "90% of actions" in text_of(pages.get("/"))
