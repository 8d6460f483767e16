"""Findings by severity of each principal in the list: the same from the index and by evaluation,
and null without either.
"""

import time
from pathlib import Path

import pytest

from lineage.core.model.times import format_instant
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.findings import findings_of_parties, kept_list
from lineage.serve.queries.inventory.inventory import PrincipalFilter, principals
from lineage.serve.queries.service import Service
from tests.support.http_worlds import World, api_over
from tests.support.web_pages import Pages, text_of


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Create the incident on each database."""
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with api_over(url, tmp_path) as world:
        yield world


def severities(service: Service) -> dict[str, dict[str, int] | None]:
    found: Document = principals(service, PrincipalFilter(), at=service.clock())
    return {item["id"]: item["by_severity"] for item in found["items"]}


def test_the_thief_and_the_mailer_have_severe_findings(anywhere: World):
    """
    The thief has the theft, because it acted, and the delegation to it on an untrusted instruction; the mailer has the
    findings about its token; Bob has nothing severe.
    """
    found = severities(anywhere.service)

    assert 3 == found["agent:scraper"]["high"]
    assert 1 == found["agent:mailer"]["high"]
    assert "high" not in found["human:bob@example.com"]


@pytest.mark.slow
def test_the_index_says_the_same(anywhere: World, monkeypatch: pytest.MonkeyPatch):
    """
    The index and an evaluation agree; in a large store without an index the numbers are unknown.
    """
    service = anywhere.service
    evaluated = severities(service)
    monkeypatch.setattr(findings_of_parties, "EVALUATED", 0)
    assert {None} == set(severities(service).values())
    keeper = FindingKeeper(service.store, service.trust.table, service.options, monotonic=time.monotonic)
    keeper.sweep(service.clock())
    assert kept_list.asked_of_index(service, service.clock(), None) is not None, format_instant(service.clock())

    assert evaluated == severities(service)


def test_the_page_shows_them(tmp_path: Path):
    """
    Each number on the page of principals leads to the findings of that principal.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        page = Pages(world).get("/principals?kind=agent")

    assert "2 high" in text_of(page)
    assert 'class="severity high" href="/status?of=principal%3Aagent%3Ascraper#findings"' in page.text
