"""The graph around a thing: its document is bounded and complete, and the same graph always has the same layout."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage.core.model.keys import key_of
from lineage.serve.cli.demo import ASKED
from lineage.serve.drawing.layout import MOST_BENDS, layout
from lineage.serve.queries.graphs.graph_view import graph
from lineage.serve.web import view_models
from tests.support.http_worlds import World, api_over
from tests.support.web_pages import Pages, text_of

LEAKED = "https://idp.example#mailer-1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Create the incident; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("graph")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


# The layout


def test_dependents_are_to_the_right():
    """
    The layer of a node is its longest distance from a root, so every edge leads from left to right.
    """
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("x", "d")]
    found = layout("abcdx", edges).places

    assert {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0} == {node: place.layer for node, place in found.items()}


def test_the_members_of_a_cycle_are_laid_out():
    """
    An element that depends on itself, directly or through others, is laid out like any other.
    """
    found = layout("abc", [("a", "b"), ("b", "c"), ("c", "b"), ("a", "a")]).places

    assert [0, 1, 2] == [found[node].layer for node in "abc"]


def test_the_layout_does_not_depend_on_the_order_of_facts():
    """
    The same nodes and edges in any order have the same positions.
    """
    chance = random.Random(7)
    nodes = [f"n{number}" for number in range(60)]
    edges = [(f"n{chance.randrange(number)}", f"n{number}") for number in range(1, 60) for _ in range(2)]
    shuffled = [chance.sample(nodes, len(nodes)) for _ in range(3)]

    assert [layout(nodes, edges)] * 3 == [layout(some, chance.sample(edges, len(edges))) for some in shuffled]


def test_no_two_nodes_have_one_position():
    """
    In any graph, each node has its own position.
    """
    edges = [(f"n{number // 3}", f"n{number}") for number in range(1, 300)]
    found = layout([f"n{number}" for number in range(300)], edges).places

    assert 300 == len({(place.x, place.y) for place in found.values()})


def test_a_long_edge_passes_no_node():
    """
    In each layer between its ends an edge has its own position, so no line passes behind an unrelated node.
    """
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("x", "d"), ("b", "d")]
    found = layout("abcdx", edges)
    points = [*found.places.values(), *(bend for bends in found.bends.values() for bend in bends)]

    assert {("a", "d"): [1, 2], ("x", "d"): [1, 2], ("b", "d"): [2]} == {
        edge: [bend.layer for bend in bends] for edge, bends in found.bends.items()
    }
    assert len(points) == len({(place.x, place.y) for place in points})


def test_the_size_of_a_drawing_is_limited_despite_its_edges():
    """
    If edges would need more positions than a drawing can have, they are straight lines.
    """
    nodes = [f"n{number:04}" for number in range(MOST_BENDS + 3)]
    chain = list(itertools.pairwise(nodes))

    assert MOST_BENDS == len(layout(nodes[:-1], [*chain, (nodes[0], nodes[-2])]).bends[nodes[0], nodes[-2]])
    assert {} == layout(nodes, [*chain, (nodes[0], nodes[-1])]).bends


def test_a_count_of_parents_is_next_to_their_dependents():
    """
    A count is not drawn at the far left, with a line through everything in between.
    """
    found = layout(["a", "b", "c", "+1"], [("a", "b"), ("b", "c"), ("+1", "c")], before={"+1"})

    assert (1, {}) == (found.places["+1"].layer, found.bends)


# The document


def test_the_graph_of_a_token_has_its_ancestors_and_descendants(world: World):
    """
    It has all ancestors and descendants; their other neighbours are counted where they would be attached.
    """
    found = graph(world.service, "token", LEAKED, at=ASKED)

    assert {"grant-renewals", "grant-mail", "alice-login", "planner-1", "mailer-1", "relay-1", "archive-1"} == {
        node["id"].rpartition("#")[2] for node in found["nodes"]
    }
    assert [("below", 1), ("below", 1), ("above", 1)] == [(one["where"], one["count"]) for one in found["collapsed"]]
    assert [LEAKED] == [node["id"] for node in found["nodes"] if node["focus"]]


def test_every_edge_is_shown_or_counted(world: World):
    """
    However few elements are shown, every dependency of a shown element is an edge or part of a count.
    """
    whole = graph(world.service, "principal", "human:alice@example.com", at=ASKED)
    edges = {(edge["from"], edge["to"]) for edge in whole["edges"]}
    found = graph(world.service, "principal", "human:alice@example.com", at=ASKED, most=4)
    shown = {node["key"] for node in found["nodes"]}
    counted = {(one["of"], one["where"]): one["count"] for one in found["collapsed"]}

    assert len(shown) == 4
    for key in shown:
        below = sum(1 for above, other in edges if above == key and other not in shown)
        above = sum(1 for other, of in edges if of == key and other not in shown)
        # What nobody named in the whole graph either is counted there as well.
        collapsed = sum(one["count"] for one in whole["collapsed"] if one["of"] == key and one["where"] == "below")
        assert (below + collapsed, above) == (counted.get((key, "below"), 0), counted.get((key, "above"), 0))


def test_an_ungranted_element_is_a_node_of_unknown_state(world: World):
    """
    A missing parent is a node with the state unknown.
    """
    found = graph(world.service, "token", "https://idp.example#relay-2", at=ASKED)
    missing = next(node for node in found["nodes"] if node["id"].endswith("mailer-2"))

    assert (False, "unknown") == (missing["granted"], missing["state"])


def test_an_unknown_id_has_no_graph(world: World):
    """
    The graph of an unknown id is not a graph of one node.
    """
    assert graph(world.service, "token", "nothing", at=ASKED) is None


def test_the_drawing_has_every_node_and_every_line(world: World):
    """
    The drawing has each node, each count and each edge of the document; long ids keep their end.
    """
    found = graph(world.service, "token", LEAKED, at=ASKED)
    drawn = view_models.drawing(found)

    assert len(found["nodes"]) == len(drawn["nodes"])
    assert [f"+{one['count']}" for one in found["collapsed"]] == [one["label"] for one in drawn["collapsed"]]
    assert len(found["edges"]) + len(found["collapsed"]) == len(drawn["lines"])
    assert ("…" + "x" * 29 + "#end", "…" + "語" * 14 + "#end") == (
        view_models._short("x" * 100 + "#end"), view_models._short("語" * 100 + "#end"),
    )  # fmt: skip


def test_the_table_says_what_depends_on_what(world: World):
    """
    Readers who cannot see the drawing find each of its edges in the table, in the dossier and on the page.
    """
    of = "token:https%3A%2F%2Fidp.example%23relay-1"
    found = graph(world.service, "token", "https://idp.example#relay-1", at=ASKED)
    assert [(f"token:{LEAKED}", ["subject"]), ("token:https://idp.example#smtp-relay-id", ["actor"])] == sorted(
        (one["key"], one["roles"])
        for one in view_models.parents_of(found)["token:https://idp.example#relay-1"]["shown"]
    )
    for page in (f"/graph?of={of}", f"/dossier?of={of}"):
        text = text_of(Pages(world).get(page))
        assert "https://idp.example#mailer-1 subject" in text
        assert "https://idp.example#smtp-relay-id actor" in text


def test_a_workload_is_found_by_the_name_of_a_principal(world: World):
    """
    Principals and workloads share one namespace, in a graph as everywhere.
    """
    id_ = "spiffe://example.com/ns/agents/sa/mailer"
    found = graph(world.service, "workload", id_, at=ASKED)

    assert key_of("workload", id_) == f"principal:{id_}"
    assert ["https://idp.example#mailer-1"] == [node["id"] for node in found["nodes"] if node["focus"]]


def issue_to_zoe(world: World, count: int, **more: Any) -> None:
    """Issue a number of tokens to one person."""
    issued = {"type": "token.issued", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z", **more}
    events = [
        {**issued, "event_id": f"e{number}", "token": f"of-zoe-{number}", "subject": "human:zoe"}
        for number in range(count)
    ]
    assert 200 == world.post("/v1/events", "producer", json=events).status_code


def test_five_hundred_at_most_are_shown(tmp_path: Path):
    """
    The others are one count, and the document says that it is not complete.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        issue_to_zoe(world, 812, derived_from=[{"token": "parent", "role": "subject"}])
        found = graph(world.service, "token", "parent", at=ASKED)

        assert (500, [313], False) == (
            len(found["nodes"]), [one["count"] for one in found["collapsed"]], found["complete"],
        )  # fmt: skip


def test_an_incomplete_graph_says_so(tmp_path: Path):
    """
    Some of a person's many tokens are shown; document and page say that there are more.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        issue_to_zoe(world, 41)
        few, all_of_them = (graph(world.service, "principal", "human:zoe", at=ASKED, most=most) for most in (40, 41))
        page = Pages(world).get("/status?of=principal:human:zoe")

        assert (40, True, False) == (len(few["nodes"]), few["more_name_it"], few["complete"])
        assert (41, False, True) == (len(all_of_them["nodes"]), all_of_them["more_name_it"], all_of_them["complete"])
        assert "shown are the ones that expire last" in page.text
