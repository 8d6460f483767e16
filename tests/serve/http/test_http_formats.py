"""Other formats over HTTP: lists as CSV, by the page and as files from the pages; chains as pictures."""

import csv
import io
import re
from collections.abc import Iterator

import pytest

from lineage.serve.documents.list_columns import COLUMNS
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.web import list_files
from tests.support.http_worlds import World, api_over, problem_type
from tests.support.web_pages import Pages

LEAKED = "token:https://idp.example%23mailer-1"
ASKED = {
    "/search": "q=mail",
    "/timeline": f"of={LEAKED}",
    "/uses": f"of={LEAKED}",
    "/diff": f"of={LEAKED}&from=2026-11-02T08:00:00Z&to=now",
    "/governance/allowed": "agent=agent:mailer",
    "/governance/held": "agent=agent:mailer",
    "/governance/done": "agent=agent:mailer",
}
TABLES = [question.path for question in QUESTIONS if "csv" in question.formats]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the incident in a file."""
    folder = tmp_path_factory.mktemp("formats")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_list_that_has_columns_is_offered():
    """Excluded are lists of the command line only (sources, API tokens), and receipts, which have their own format."""
    named = {path.rpartition("/")[2] for path in TABLES}

    assert set(COLUMNS) - {"sources", "api_tokens", "receipt"} | {"findings"} == named
    assert set(TABLES) - {"/findings", "/receivers"} == set(list_files.LISTS)


@pytest.mark.parametrize("path", TABLES)
def test_every_list_is_also_a_table(world: World, path: str):
    """The rows are the items of the document, and a repeated request gets 304."""
    text = f"/v1{path}?{ASKED.get(path, '')}"
    items = world.get(text).json()["items"]
    found = world.get(f"{text}&format=csv")
    again = world.get(f"{text}&format=csv", headers={"If-None-Match": found.headers["etag"]})

    assert (200, "text/csv; charset=utf-8") == (found.status_code, found.headers["content-type"])
    assert len(items) == len(rows_of(found.text))
    assert 304 == again.status_code


def test_a_table_that_is_cut_has_a_link_to_the_rest(world: World):
    """Following the links gives the whole list."""
    whole = rows_of(world.get("/v1/actions?format=csv").text)
    address, rows = "/v1/actions?format=csv&limit=2", []
    while address:
        page = world.get(address)
        rows += rows_of(page.text)
        link = re.fullmatch('<(.+)>; rel="next"', page.headers.get("link", ""))
        address = link[1] if link else ""

    assert (True, whole) == (len(whole) > 2, rows)


@pytest.mark.parametrize(("form", "begins"), [("svg", "<svg"), ("mermaid", "flowchart"), ("dot", "digraph")])
def test_a_chain_is_a_picture(world: World, form: str, begins: str):
    """Of an action, a token and a delegation, as on the command line."""
    for asked in ("who?action=mail-7", f"chain?of={LEAKED}"):
        found = world.get(f"/v1/{asked}&format={form}")
        assert (200, True) == (found.status_code, begins in found.text)


@pytest.mark.parametrize(
    "asked",
    [
        "who?action=mail-7&format=csv",
        "who?action=mail-7&action=mail-6&format=svg",
        "actions?format=svg",
        "actions?format=",
        "status?of=token:x&format=svg",
    ],
)
def test_an_unknown_format_is_refused(world: World, asked: str):
    """The problem names the parameter."""
    found = world.get(f"/v1/{asked}")

    assert (400, "parameter") == (found.status_code, problem_type(found))
    assert found.json()["parameter"] in ("format", "action")


# The files of the pages


@pytest.mark.parametrize("path", [*list_files.LISTS, "/findings"])
def test_the_page_of_a_list_links_the_whole_list_as_a_file(world: World, path: str):
    """The link keeps the filters, but not the cursor."""
    pages = Pages(world)
    more = "&limit=1" if path != "/search" else ""
    page = pages.get(f"{path}?{ASKED.get(path, '')}{more}")
    link = re.search(rf'href="({re.escape(path)}\.csv[^"]*)"', page.text)
    assert link, page.text
    found = pages.get(link[1].replace("&amp;", "&"))
    whole = world.get(f"/v1{path}?{ASKED.get(path, '')}").json()["items"]

    assert (200, "text/csv; charset=utf-8") == (found.status_code, found.headers["content-type"])
    assert len(whole) == len(rows_of(found.text))
    assert 401 == pages.nobody.get(f"{path}.csv?{ASKED.get(path, '')}").status_code


def test_a_file_that_is_cut_says_so_in_its_name(world: World, monkeypatch: pytest.MonkeyPatch):
    """A file has a limited number of items; its name tells later that there were more."""
    monkeypatch.setattr(list_files, "MOST", 3)
    found = Pages(world).get("/actions.csv?limit=1")

    assert 'attachment; filename="actions-first-3.csv"' == found.headers["content-disposition"]
    assert 3 == len(rows_of(found.text))
