"""A reader who follows a request through the code opens only the modules that docs/architecture.md lists."""

import re
from importlib.util import find_spec

import pytest

from tests.support.places import ROOT
from tests.support.walks import Walk, walks

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
COUNTS = {
    title: (int(modules), int(findings))
    for title, modules, findings in re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
}
LISTS = dict(re.findall(r"\n\n\*\*([^*\n]+)\*\*\n\n```text\n(.+?)\n```", PAGE, re.DOTALL))


@pytest.fixture(scope="module")
def recorded() -> dict[str, Walk]:
    """Return the walks by their titles."""
    return {walk.title: walk for walk in walks()}


def listed(title: str) -> list[str]:
    """Return the modules of a list on the page."""
    lines = (line.split() for line in LISTS[title].splitlines())
    return [f"{folder}.{name}" for folder, *names in lines for name in names]


def test_no_request_enters_more_modules_than_the_page_says(recorded: dict[str, Walk]):
    """
    A change that makes a request enter another module fails here, and must be avoided or documented.
    """
    more = {
        title: (len(walk.modules), walk.findings)
        for title, walk in recorded.items()
        if len(walk.modules) > COUNTS[title][0] or walk.findings > COUNTS[title][1]
    }

    assert {} == more


@pytest.mark.parametrize("title", LISTS)
def test_a_request_enters_the_listed_modules_only(recorded: dict[str, Walk], title: str):
    """
    The lists are complete, and every listed module exists.
    """
    modules = listed(title)

    assert [] == [name for name in recorded[title].modules if name not in modules]
    assert [] == [name for name in modules if find_spec(name) is None]
    assert COUNTS[title][0] == len(modules)


def test_both_routes_are_listed():
    """
    The page lists a question and an order.
    """
    assert {"`GET /v1/who`, not cached", "an order on a page, given"} == LISTS.keys()
