"""Lists over HTTP and the forms of pages: one sort order at every size, and problems that name what is wrong."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from ingest.log.port import entry_of
from ingest.projector import project
from lineage.core.findings.options import DEFAULT
from lineage.core.model.events import ActionPerformed, Event
from lineage.deliver.http.problems import MEDIA_TYPE
from lineage.serve.commands.finding_keeper import FindingKeeper
from tests.support.http_clients import client_of
from tests.support.http_worlds import ASKED, World, api_over, problem_type
from tests.support.web_pages import Pages, text_of

ANY_SCRIPT = ["x" * 512, "é" * 256, "שלום", "日本語", "%_\\", "'; DROP TABLE fact"]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the API over the incident, which no test here changes."""
    folder = tmp_path_factory.mktemp("asking")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("actions?human=", "human"),
        (f"actions?agent={'x' * 513}", "agent"),
        ("actions?actor=%20a", "actor"),
        ("actions?token=a%00b", "token"),
        ("actions?delegation=%E2%80%AEx", "delegation"),
        ("actions?session=", "session"),
        ("actions?client=%0A", "client"),
        ("actions?tool=", "tool"),
        (f"actions?operation={'x' * 4_097}", "operation"),
        ("actions?resource=%20", "resource"),
        ("actions?text=%20%20", "text"),
        ("actions?outcome=maybe", "outcome"),
        ("actions?from=noonish", "from"),
        ("actions?from=2026-11-02T10:00:00Z&to=2026-11-02T09:00:00Z", "to"),
        ("actions?of=nothing", "of"),
        ("actions?of=robot:x", "of"),
        ("actions?after=nonsense", "after"),
        ("actions?limit=0", "limit"),
        ("actions?human=a&human=b", "human"),
        ("actions?people=alice", "people"),
        ("findings?fresh=maybe", "fresh"),
        ("search?q=a&at=noonish", "at"),
        ("search?q=a&known_at=noonish", "known_at"),
        ("tokens?state=dead", "state"),
        ("tokens?holder=", "holder"),
        ("tokens?issuer=", "issuer"),
        ("delegations?issuer=%20x", "issuer"),
        ("delegations?kind=x", "kind"),
        ("principals?kind=robot", "kind"),
        ("principals?state=expired", "state"),
        ("principals?after=nonsense", "after"),
        ("search?q=", "q"),
        ("search?q=%20%20", "q"),
        ("overview?at=noonish", "at"),
    ],
)
def test_an_invalid_filter_is_a_problem_that_names_it(api: World, asked: str, parameter: str):
    """Every filter is tried with every kind of invalid value."""
    response = api.get(f"/v1/{asked}")

    assert (400, MEDIA_TYPE) == (response.status_code, response.headers["content-type"])
    assert ("parameter", parameter) == (problem_type(response), response.json()["parameter"])


def test_findings_are_evaluated_now_if_fresh_ones_are_asked_for(tmp_path: Path):
    """
    Whatever an index has, `fresh` evaluates every rule; for a large store it is refused, with what would answer.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        FindingKeeper(world.service.store, None, DEFAULT).sweep(ASKED)
        kept, fresh = (world.get(f"/v1/findings{query}").json() for query in ("", "?fresh=true"))
        asked = list(client_of(world).findings(fresh=True))
        world.service.most = 2
        refused, answered = world.get("/v1/findings?fresh=true"), world.get("/v1/findings")

    assert ("kept" in kept, "kept" in fresh) == (True, False)
    assert kept["items"] == fresh["items"] == asked != []
    assert (400, "refused", 200) == (refused.status_code, problem_type(refused), answered.status_code)
    assert "without 'fresh' an index answers" in refused.json()["detail"]


def test_a_search_as_of_a_moment_finds_what_was_named_then(api: World):
    """The page and the document find an agent only from the first fact on that names it."""
    first = api.get("/v1/timeline?of=principal:agent:scraper&limit=1").json()["items"][0]
    before = (datetime.fromisoformat(first["occurred_at"]) - timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    client = client_of(api)

    assert [] == list(client.search("agent:scraper", at=before))
    assert "agent:scraper" in [one["id"] for one in client.search("agent:scraper", at=first["occurred_at"])]
    assert [] == list(client.search("agent:scraper", known_at="2026-11-01T00:00:00Z"))
    assert "Nothing contains that" in text_of(Pages(api).get(f"/search?q=agent:scraper&at={before}"))


@pytest.mark.parametrize("path", ["actions", "tokens", "delegations"])
def test_a_cursor_of_another_list_is_refused(api: World, path: str):
    """The `next` of a list is valid for that list with the same filters only."""
    following = api.get(f"/v1/{path}?limit=1").json()["next"]
    other = "human=human:bob@example.com" if path == "actions" else "holder=agent:mailer"
    answers = [api.get(f"/v1/{path}?{other}&after={following}"), api.get(f"/v1/search?q=a&after={following}")]

    assert [(400, "after")] * 2 == [(answer.status_code, answer.json()["parameter"]) for answer in answers]


@pytest.mark.parametrize("id_", ANY_SCRIPT)
def test_ids_in_every_script_can_be_used(api: World, id_: str):
    """They find nothing, and nothing fails, in the API and on the page."""
    pages = Pages(api)
    for path, name in (("actions", "human"), ("actions", "token"), ("tokens", "holder"), ("principals", "owner")):
        response = api.get(f"/v1/{path}?{name}={quote(id_, safe='')}")
        assert (200, []) == (response.status_code, response.json()["items"]), (path, name)
        assert 200 == pages.get(f"/{path}?{name}={quote(id_, safe='')}").status_code
    assert 200 == api.get(f"/v1/search?q={quote(id_, safe='')}").status_code


def test_the_order_of_a_list_does_not_change_when_it_grows(tmp_path_factory: pytest.TempPathFactory):
    """
    What happened earlier comes later in the list even if it was recorded afterwards, at any number of actions; a cursor
    from before the list grew stays valid.
    """
    folder = tmp_path_factory.mktemp("flip")
    with api_over(f"sqlite:///{folder}/store.db", folder, log_inside=True, empty=True) as world:

        def append(first: int, last: int) -> None:
            acts = [
                Event(
                    f"e{n}",
                    "urn:t",
                    ASKED - n * 1_000_000,
                    ActionPerformed(f"a{n:05}", "op", "succeeded", actor="agent:x"),
                )
                for n in range(first, last)
            ]
            assert world.service.log is not None
            world.service.log.append([entry_of(one) for one in acts])
            project(world.service.log, world.service.store, None)

        append(1, 2_001)
        before = world.get("/v1/actions?of=principal:agent:x&limit=3").json()
        append(2_001, 2_002)
        after = world.get("/v1/actions?of=principal:agent:x&limit=3").json()
        following = world.get(f"/v1/actions?of=principal:agent:x&limit=3&after={before['next']}").json()

    first, second = ["a00001", "a00002", "a00003"], ["a00004", "a00005", "a00006"]
    assert [first, first, second] == [[item["action"] for item in page["items"]] for page in (before, after, following)]


def test_a_page_accepts_names_and_times_as_people_type_them(api: World):
    """The form is filled in with what was understood, and says so; every name is a link."""
    shown = Pages(api).get("/actions?human=Alice&tool=mail&from=2026-11-02&to=&text=")

    assert 200 == shown.status_code
    assert "Alice was understood as principal human:alice@example.com" in text_of(shown)
    assert 'value="human:alice@example.com"' in shown.text
    assert ["mail-7" in shown.text, "mail-4" in shown.text, "crm-1" in shown.text] == [True, True, False]


def test_a_search_without_results_suggests_similar_names(api: World):
    """A typing mistake costs one click."""
    assert "Did you mean" in text_of(Pages(api).get("/search?q=alcie"))


@pytest.mark.parametrize("path", ["actions", "principals", "tokens", "delegations"])
def test_the_page_of_an_empty_list_says_what_to_do(api: World, path: str):
    """It is a page, not an error."""
    shown = Pages(api).get(f"/{path}?text=nosuchword")
    assert (200, True) == (shown.status_code, "matches all of these filters" in text_of(shown))
