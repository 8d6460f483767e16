"""The graph around a thing: its document is bounded and whole, and its layout is the same for the same graph."""

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
    """The incident; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("graph")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield world


# The layout


def test_what_depends_on_something_stands_to_its_right():
    """
    The layer of a node is the longest way to it from a root, so that every edge leads from left to right.
    """
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("x", "d")]
    found = layout("abcdx", edges).places

    assert {"a": 0, "b": 1, "c": 2, "d": 3, "x": 0} == {node: place.layer for node, place in found.items()}


def test_a_cycle_has_a_place_for_each():
    """
    What depends on itself, by itself or through others, is laid out like anything else.
    """
    found = layout("abc", [("a", "b"), ("b", "c"), ("c", "b"), ("a", "a")]).places

    assert [0, 1, 2] == [found[node].layer for node in "abc"]


def test_the_layout_does_not_know_in_which_order_things_came():
    """
    The same nodes and edges in any order give the same places.
    """
    chance = random.Random(7)
    nodes = [f"n{number}" for number in range(60)]
    edges = [(f"n{chance.randrange(number)}", f"n{number}") for number in range(1, 60) for _ in range(2)]
    shuffled = [chance.sample(nodes, len(nodes)) for _ in range(3)]

    assert [layout(nodes, edges)] * 3 == [layout(some, chance.sample(edges, len(edges))) for some in shuffled]


def test_no_two_stand_in_one_place():
    """
    Whatever the graph, each node has a place of its own.
    """
    edges = [(f"n{number // 3}", f"n{number}") for number in range(1, 300)]
    found = layout([f"n{number}" for number in range(300)], edges).places

    assert 300 == len({(place.x, place.y) for place in found.values()})


def test_a_line_over_several_layers_runs_past_what_stands_between():
    """
    In each layer between its ends an edge has a place of its own: no line leads behind what it has nothing to do with.
    """
    edges = [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"), ("x", "d"), ("b", "d")]
    found = layout("abcdx", edges)
    points = [*found.places.values(), *(bend for bends in found.bends.values() for bend in bends)]

    assert {("a", "d"): [1, 2], ("x", "d"): [1, 2], ("b", "d"): [2]} == {
        edge: [bend.layer for bend in bends] for edge, bends in found.bends.items()
    }
    assert len(points) == len({(place.x, place.y) for place in points})


def test_a_drawing_does_not_grow_without_end_for_its_lines():
    """
    Where edges would need more places than people could look at they run straight.
    """
    nodes = [f"n{number:04}" for number in range(MOST_BENDS + 3)]
    chain = list(itertools.pairwise(nodes))

    assert MOST_BENDS == len(layout(nodes[:-1], [*chain, (nodes[0], nodes[-2])]).bends[nodes[0], nodes[-2]])
    assert {} == layout(nodes, [*chain, (nodes[0], nodes[-1])]).bends


def test_what_stands_for_others_above_stands_right_before_what_depends_on_them():
    """
    A number is not drawn at the far left, with a line through all that lies between.
    """
    found = layout(["a", "b", "c", "+1"], [("a", "b"), ("b", "c"), ("+1", "c")], before={"+1"})

    assert (1, {}) == (found.places["+1"].layer, found.bends)


# The document


def test_the_graph_of_a_token_is_what_it_depends_on_and_what_depends_on_it(world: World):
    """
    All above and all below stand in it; what is beside is counted where it would hang.
    """
    found = graph(world.service, "token", LEAKED, at=ASKED)

    assert {"grant-renewals", "grant-mail", "alice-login", "planner-1", "mailer-1", "relay-1", "archive-1"} == {
        node["id"].rpartition("#")[2] for node in found["nodes"]
    }
    assert [("below", 1), ("below", 1), ("above", 1)] == [(one["where"], one["count"]) for one in found["collapsed"]]
    assert [LEAKED] == [node["id"] for node in found["nodes"] if node["focus"]]


def test_every_edge_is_shown_or_counted(world: World):
    """
    However few are shown, what a shown element depends on, and what depends on it, is an edge or part of a number.
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


def test_what_nobody_granted_stands_in_the_graph_and_says_so(world: World):
    """
    A missing parent is a node of state unknown: a gap is an answer.
    """
    found = graph(world.service, "token", "https://idp.example#relay-2", at=ASKED)
    missing = next(node for node in found["nodes"] if node["id"].endswith("mailer-2"))

    assert (False, "unknown") == (missing["granted"], missing["state"])


def test_what_no_fact_names_has_no_graph(world: World):
    """
    An id that was never heard of is no graph of one node.
    """
    assert graph(world.service, "token", "nothing", at=ASKED) is None


def test_the_drawing_has_every_node_and_every_line(world: World):
    """
    What is drawn is what the document says: each node, each number, each edge; long ids keep their end.
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
    Anyone who does not see the drawing reads each of its lines in the table, in the case as on the page.
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


def test_a_workload_is_asked_for_by_the_name_of_a_principal(world: World):
    """
    Principals and workloads are one namespace, in a graph as everywhere.
    """
    id_ = "spiffe://example.com/ns/agents/sa/mailer"
    found = graph(world.service, "workload", id_, at=ASKED)

    assert key_of("workload", id_) == f"principal:{id_}"
    assert ["https://idp.example#mailer-1"] == [node["id"] for node in found["nodes"] if node["focus"]]


def issue_to_zoe(world: World, count: int, **more: Any) -> None:
    """So many tokens of one person."""
    issued = {"type": "token.issued", "source": "urn:test:a", "occurred_at": "2026-11-02T10:00:00Z", **more}
    events = [
        {**issued, "event_id": f"e{number}", "token": f"of-zoe-{number}", "subject": "human:zoe"}
        for number in range(count)
    ]
    assert 200 == world.post("/v1/events", "producer", json=events).status_code


def test_five_hundred_at_most_are_shown(tmp_path: Path):
    """
    Of more than five hundred the rest is one number, and the document says that it is not complete.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        issue_to_zoe(world, 812, derived_from=[{"token": "parent", "role": "subject"}])
        found = graph(world.service, "token", "parent", at=ASKED)

        assert (500, [313], False) == (
            len(found["nodes"]), [one["count"] for one in found["collapsed"]], found["complete"],
        )  # fmt: skip


def test_a_graph_that_leaves_out_some_that_name_it_says_so(tmp_path: Path):
    """
    Of many tokens of one person some are shown; that there are more is in the document, and on its page.
    """
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        issue_to_zoe(world, 41)
        few, all_of_them = (graph(world.service, "principal", "human:zoe", at=ASKED, most=most) for most in (40, 41))
        page = Pages(world).get("/status?of=principal:human:zoe")

        assert (40, True, False) == (len(few["nodes"]), few["more_name_it"], few["complete"])
        assert (41, False, True) == (len(all_of_them["nodes"]), all_of_them["more_name_it"], all_of_them["complete"])
        assert "shown are the ones that expire last" in page.text
