"""The height of the pages on a phone: at most five screens, also for an agent with a hundred grants."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from benchmarks.events import HOUR, START, a_day
from benchmarks.measures import put
from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.model.events import Event
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support.browsing import PAGES, sign_in, site

TELEPHONE = {"width": 390, "height": 844}
MOST_SCREENS = 5
EVENTS = 4_400  # including a hundred grants to each of four agents
BUSY = (
    "/",
    "/principals",
    "/tokens",
    "/actions",
    "/delegations",
    "/findings",
    "/health",
    "/evidence",
    "/retention",
    "/retention/plan?before=now",
    "/search?q=planner",
    "/usage?tool=mail",
    "/graph?view=principals",
    "/graph?view=principals&most=500",
    "/graph?of=principal:agent:planner-1",
    "/status?of=principal:agent:planner-1",
    "/reach?of=principal:agent:planner-1",
    "/timeline?of=principal:agent:planner-1",
    "/actions?agent=agent:planner-1",
    "/governance/active",
    "/governance/allowed?agent=agent:planner-1",
    "/governance/held?agent=agent:planner-1",
    "/governance/done?agent=agent:planner-1",
)


def of_few_agents(event: Event, later: int) -> Event:
    """Return the event at a later time, with one of four planners."""
    fields = event.body._asdict()
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = re.sub(r"planner-(\d+)", lambda found: f"planner-{int(found[1]) % 4}", value)
    if fields.get("expires_at") is not None:
        fields["expires_at"] += later
    return event._replace(occurred_at=event.occurred_at + later, body=type(event.body)(**fields))


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the pages over a store in which every list is full."""
    folder = tmp_path_factory.mktemp("busy")
    url, now = f"sqlite:///{folder}/store.db", time.time_ns() // 1_000
    store = open_store(url, codec.read, create=True)
    log = open_log(url, create=True, clock=lambda: now)
    service = Service(store, log, Trust(), lambda: now, source="urn:test")
    put(service, (of_few_agents(event, now - HOUR - START) for event in a_day(EVENTS)))
    log.close()
    store.close()
    with site(folder, "serve", "--store", url) as link:
        yield link


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the pages over the incident of the demo."""
    with site(tmp_path_factory.mktemp("demo"), "demo", "--serve") as link:
        yield link


def too_tall(browser: Browser, link: str, folder: Path, paths: tuple[str, ...]) -> list[tuple[str, float]]:
    """Return the pages that are too tall, or wider than a phone, with their height in screens."""
    kept = sign_in(browser, link, folder)
    context = browser.new_context(base_url=link.partition("/sign-in")[0], storage_state=kept, viewport=TELEPHONE)
    page, found = context.new_page(), []
    for path in paths:
        page.goto(path)
        high, wide = page.evaluate(
            "[document.documentElement.scrollHeight, document.documentElement.scrollWidth - innerWidth]"
        )
        screens = round(high / TELEPHONE["height"], 1)
        if high > MOST_SCREENS * TELEPHONE["height"] or wide > 0:
            found.append((path, screens))
    context.close()
    return found


@pytest.mark.slow
def test_no_page_of_an_incident_is_taller_than_five_screens(browser: Browser, demo: str, tmp_path: Path):
    """On a phone every page of the demo has at most five screens; longer parts are collapsed."""
    assert [] == too_tall(browser, demo, tmp_path, PAGES)


@pytest.mark.slow
def test_no_page_of_a_busy_agent_is_taller_than_five_screens(browser: Browser, busy: str, tmp_path: Path):
    """With a hundred grants, hundreds of tokens and full lists, the page of an agent is no longer than others."""
    assert [] == too_tall(browser, busy, tmp_path, BUSY)
