"""Who handed what to whom, as a document: the incident, what is cut and said to be, the filters, the command line."""

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
    """The incident; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("principals")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The incident on each database."""
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
    On both databases: Alice let the planner, the planner the mailer; the scraper used what the mailer holds.
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
    What is drawn of everything holds what is drawn around one person, with the same counts.
    """
    whole = {(edge["from"], edge["to"]): edge for edge in drawn(anywhere.service)["edges"]}
    around = drawn(anywhere.service, of=("principal", "agent:mailer"))

    assert around["edges"]
    assert all(whole[edge["from"], edge["to"]]["delegations"] == edge["delegations"] for edge in around["edges"])


def test_a_day_is_replayed(world: World):
    """
    Before anything was granted there is nobody; each grant appears when it was given.
    """
    moments = [ASKED - hours * HOUR for hours in (24, 2, 1, 0)]
    found = [drawn(world.service, at) for at in moments]

    assert (0, 0) == (len(found[0]["nodes"]), len(found[0]["edges"]))
    assert [len(one["edges"]) for one in found] == sorted(len(one["edges"]) for one in found)
    assert found[1]["issued_later"] > 0


def test_only_what_was_known_then(world: World):
    """
    Nothing was recorded before the first event came.
    """
    found = principals_view(world.service, Shown(), at=ASKED, known_at=1)

    assert found is not None
    assert ([], True) == (found["nodes"], found["complete"])


@pytest.mark.slow
def test_what_is_too_large_to_be_looked_at_is_marked_from_the_index(anywhere: World, monkeypatch: pytest.MonkeyPatch):
    """
    Where findings are not looked for, the theft is drawn if an index of findings is kept, and else it is not.
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


def test_the_blast_radius_is_laid_over_it(world: World):
    """
    What the plan says of the leaked token is what the picture marks.
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
    By the kind of a principal, by the state, by the tool that something was used at.
    """
    assert kept <= edges(drawn(world.service, **how))


def test_a_filter_for_what_is_nowhere_leaves_nothing(world: World):
    """
    A tool that nobody used, and a state that nothing is in, are answers.
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
def test_what_cannot_be_is_refused_by_name(world: World, how: dict[str, Any], message: str):
    """
    A filter that is wrong names what is wrong and what there is.
    """
    with pytest.raises(RefusedError, match=message):
        drawn(world.service, **how)


def test_what_nobody_names_is_not_found(world: World):
    """
    An id that no fact names is not an empty picture, and neither is a target.
    """
    nobody = ("principal", "agent:nobody")

    assert (None, None) == (
        principals_view(world.service, Shown(of=nobody), at=ASKED),
        principals_view(world.service, Shown(target=nobody), at=ASKED),
    )


@pytest.mark.parametrize("most", [1, 3, 5])
def test_what_is_left_out_is_counted(world: World, most: int):
    """
    However few are shown, the numbers say how many are not; who is shown stands with those above them.
    """
    whole, some = drawn(world.service), drawn(world.service, most=most)

    assert len(some["nodes"]) <= most
    assert not some["complete"]
    assert len(whole["nodes"]) == len(some["nodes"]) + some["left_out"]["principals"]
    assert len(whole["edges"]) == len(some["edges"]) + some["left_out"]["edges"]


def test_of_many_elements_the_living_and_latest_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    Of a long day so many are read, those of the moment asked about, and the rest is counted.
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
    A table for people, and the document and four pictures for tools; bad input is refused with 2, no id with 3.
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
    From Alice to the effect; where the token was in other hands the link is broken, and the rest is not.
    """
    document = world.service.who("mail-7", at=ASKED)
    assert document is not None
    picture = picture_of_chain(document)

    assert [ALICE, "agent:planner", "agent:mailer", "agent:scraper", "mail-7"] == [node.id for node in picture.nodes]
    assert [False, False, True, False] == [edge.broken for edge in picture.edges]
    assert ["5 scopes", "2 scopes (3 fewer)", "possible theft", "succeeded"] == [edge.label for edge in picture.edges]


def test_several_chains_are_no_one_picture(tmp_path: Path):
    """
    Two drawings in one file would be none.
    """
    found = invoke("who", "a", "b", "--format", "svg", "--store", f"sqlite:///{tmp_path}/store.db")

    assert (2, True) == (found.exit_code, "name one id" in found.output)
