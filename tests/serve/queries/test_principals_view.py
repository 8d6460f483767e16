"""The graph of principals as a document: the incident, truncation, the filters, and the command line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.events import HOUR, START, a_day
from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.errors import RefusedError
from lineage.serve.cli.demo import ASKED
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.drawing.chain_picture import picture_of_chain
from lineage.serve.queries.graphs import principals_view as view
from lineage.serve.queries.graphs.principals_drawn import Shown
from lineage.serve.queries.graphs.principals_view import principals_view
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support.desk import invoke
from tests.support.http_worlds import LEAKED, World, api_over

ID = LEAKED.removeprefix("token:")
ALICE = "human:alice@example.com"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Create the incident; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("principals")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Create the incident on each database."""
    url = f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with api_over(url, tmp_path) as world:
        yield world


def drawn(service: Service, at: int = ASKED, **how: Any) -> dict[str, Any]:
    found = principals_view(service, Shown(**how), at=at)
    assert found is not None
    return found


def edges(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(edge["from"], edge["to"]) for edge in document["edges"]}


def test_the_incident_in_one_picture(anywhere: World):
    """
    On both databases: Alice delegated to the planner, the planner to the mailer; the scraper used the mailer's token.
    """
    found = drawn(anywhere.service, of=("token", ID))

    assert {(ALICE, "agent:planner"), ("agent:planner", "agent:mailer")} <= edges(found)
    assert [("agent:mailer", "agent:scraper", LEAKED, ["mail-7"])] == [
        (use["from"], use["to"], use["element"], use["actions"]) for use in found["uses"]
    ]
    assert ("Alice Ng", ["human:alice@example.com", "okta|00u7alice"]) == next(
        (node["display_name"], node["ids"]) for node in found["nodes"] if node["id"] == ALICE
    )


def test_the_whole_store_and_what_surrounds_a_person_agree(anywhere: World):
    """
    The graph of everything contains the graph around one person, with the same counts.
    """
    whole = {(edge["from"], edge["to"]): edge for edge in drawn(anywhere.service)["edges"]}
    around = drawn(anywhere.service, of=("principal", "agent:mailer"))

    assert around["edges"]
    assert all(whole[edge["from"], edge["to"]]["delegations"] == edge["delegations"] for edge in around["edges"])


def test_a_day_is_replayed(world: World):
    """
    Before the first grant it is empty; each grant appears when it was given.
    """
    moments = [ASKED - hours * HOUR for hours in (24, 2, 1, 0)]
    found = [drawn(world.service, at) for at in moments]

    assert (0, 0) == (len(found[0]["nodes"]), len(found[0]["edges"]))
    assert [len(one["edges"]) for one in found] == sorted(len(one["edges"]) for one in found)
    assert found[1]["issued_later"] > 0


def test_only_what_was_known_then(world: World):
    """
    Nothing is known before the first event was recorded.
    """
    found = principals_view(world.service, Shown(), at=ASKED, known_at=1)

    assert found is not None
    assert ([], True) == (found["nodes"], found["complete"])


@pytest.mark.slow
def test_a_large_graph_has_its_findings_from_the_index(anywhere: World, monkeypatch: pytest.MonkeyPatch):
    """
    If findings are not evaluated, the theft is marked only if there is an index of findings.
    """
    service, looked = anywhere.service, drawn(anywhere.service)
    monkeypatch.setattr(view, "EXAMINED", 0)
    without = drawn(service)
    keeper = FindingKeeper(service.store, service.trust.table, service.options, monotonic=lambda: 0.0)
    keeper.sweep(service.clock())
    kept = drawn(service, service.clock())

    assert ([], False) == (without["uses"], without["findings_complete"])
    assert [("agent:mailer", "agent:scraper", ["mail-7"])] == [
        (use["from"], use["to"], use["actions"]) for use in kept["uses"]
    ]
    assert looked["uses"][0]["why"] == kept["uses"][0]["why"]
    assert not kept["findings_complete"]


def test_the_blast_radius_is_marked(world: World):
    """
    The elements of the plan for the leaked token are marked.
    """
    found = drawn(world.service, target=("token", ID))
    marked = {(edge["from"], edge["to"]): edge["would_end"] for edge in found["edges"] if edge["would_end"]}

    assert {"tokens": 3, "delegations": 0} == found["target"]["would_end"]
    assert 3 == sum(marked.values())
    assert ("agent:planner", "agent:mailer") in marked


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"kinds": ("human",)}, {(ALICE, "agent:planner"), (ALICE, "service:smtp-relay")}),
        ({"states": ("active",)}, {(ALICE, "agent:planner")}),
        ({"tool": "mail"}, {(ALICE, "agent:planner"), ("agent:planner", "agent:mailer")}),
    ],
)
def test_filters_leave_what_was_asked_for(world: World, how: dict[str, Any], kept: set[tuple[str, str]]):
    """
    Filters are the kind of a principal, the state, and a tool that was used.
    """
    assert kept <= edges(drawn(world.service, **how))


def test_a_filter_without_matches_gives_an_empty_graph(world: World):
    """
    A tool that nobody used, or a state that nothing has, gives an empty graph.
    """
    assert ([], []) == (
        drawn(world.service, tool="no such tool")["edges"],
        drawn(world.service, states=("revoked",))["edges"],
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"kinds": ("robot",)}, "no kind of principal 'robot'; there are human"),
        ({"states": ("dead",)}, "no state 'dead'; there are revoked"),
        ({"of": ("action", "mail-7")}, "no kind to draw a graph around 'action'"),
        ({"target": ("action", "mail-7")}, "no kind of target 'action'"),
    ],
)
def test_an_invalid_filter_is_refused_by_name(world: World, how: dict[str, Any], message: str):
    """
    An invalid filter is named, with the valid values.
    """
    with pytest.raises(RefusedError, match=message):
        drawn(world.service, **how)


def test_an_unknown_id_is_not_found(world: World):
    """
    An unknown id, as the centre or as the target, is not an empty graph.
    """
    nobody = ("principal", "agent:nobody")

    assert (None, None) == (
        principals_view(world.service, Shown(of=nobody), at=ASKED),
        principals_view(world.service, Shown(target=nobody), at=ASKED),
    )


@pytest.mark.parametrize("most", [1, 3, 5])
def test_what_is_left_out_is_counted(world: World, most: int):
    """
    However few principals are shown, the others are counted, and the shown ones come with those above them.
    """
    whole, some = drawn(world.service), drawn(world.service, most=most)

    assert len(some["nodes"]) <= most
    assert not some["complete"]
    assert len(whole["nodes"]) == len(some["nodes"]) + some["left_out"]["principals"]
    assert len(whole["edges"]) == len(some["edges"]) + some["left_out"]["edges"]


def test_of_many_elements_the_living_and_latest_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Of a long day a limited number is read, the active ones at the requested time first, and the rest is counted.
    """
    url = f"sqlite:///{tmp_path}/store.db"
    events = [*a_day(3_000)]
    store, log = open_store(url, codec.read, create=True), open_log(url, create=True, clock=lambda: START)
    log.append([entry_of(event) for event in events])
    project(log, store, None)
    log.close()
    service = Service(store, None, Trust(), lambda: START, source="urn:test")
    monkeypatch.setattr(view, "READ", 100)
    middle, end = events[len(events) // 2].occurred_at, events[-1].occurred_at
    then, now = (principals_view(service, Shown(), at=at) for at in (middle, end))
    store.close()

    assert then is not None
    assert now is not None
    assert [1_364 - 100] * 2 == [one["left_out"]["elements"] for one in (then, now)]
    assert (0, 0) == (then["issued_later"], now["issued_later"])
    assert then["nodes"]
    assert edges(then).isdisjoint(edges(now))


# The command line


def test_the_command_line_draws_in_every_form(tmp_path: Path):
    """
    There are a table for people, and the document and four pictures for tools; invalid input exits with 2, an unknown
    id with 3.
    """
    store = f"sqlite:///{tmp_path}/store.db"
    invoke("ingest", "examples/incident.jsonl", "--store", store)
    asked = ("graph", "--view", "principals", "--store", store, "--at", "2026-11-02T10:25:00Z")
    table, document, dot, mermaid, graphml, svg = (
        invoke(*asked, "--format", form).output for form in ("text", "json", "dot", "mermaid", "graphml", "svg")
    )

    assert "agent:planner > agent:mailer" in table
    assert "Possible token theft: agent:scraper" in table
    assert {"nodes", "edges", "uses", "left_out", "complete"} <= set(json.loads(document))
    assert ("digraph", "flowchart LR") == (dot.split()[0], mermaid.splitlines()[0])
    assert [ET.fromstring(one).tag.rpartition("}")[2] for one in (graphml, svg)] == ["graphml", "svg"]
    assert 3 == invoke(*asked, "--of", "principal:agent:nobody").exit_code
    assert [2] * 4 == [
        invoke(*asked, *value).exit_code
        for value in (("--kind", "robot"), ("--state", "dead"), ("--of", "nothing"), ("--view", "elements"))
    ]


def test_a_chain_is_a_picture_with_a_broken_link(world: World):
    """
    It leads from Alice to the effect; the link where another party used the token is broken, and no other.
    """
    document = world.service.who("mail-7", at=ASKED)
    assert document is not None
    picture = picture_of_chain(document)

    assert [ALICE, "agent:planner", "agent:mailer", "agent:scraper", "mail-7"] == [node.id for node in picture.nodes]
    assert [False, False, True, False] == [edge.broken for edge in picture.edges]
    assert ["5 scopes", "2 scopes (3 fewer)", "possible theft", "succeeded"] == [edge.label for edge in picture.edges]


def test_several_chains_cannot_be_one_picture(tmp_path: Path):
    """
    Two drawings in one file would be invalid.
    """
    found = invoke("who", "a", "b", "--format", "svg", "--store", f"sqlite:///{tmp_path}/store.db")

    assert (2, True) == (found.exit_code, "name one id" in found.output)
