"""Graphs as SVG, DOT, Mermaid and GraphML: any id is text in each format, and is read back unchanged."""

import io
import re
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.serve.drawing.picture import EFFECT, Edge, Node, Picture
from lineage.serve.drawing.svg import as_svg, columns, fitted
from lineage.serve.drawing.text_formats import as_dot, as_graphml, as_mermaid
from lineage.serve.text.text_page import safe

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    '"', "\\", '\\"', '"];x[label="', "a\\", "]]>", "</svg>", "<!--", "&amp;", "&#0;", "'", "-->", "%%", "end", "`x`",
    "subgraph x", "#quot;", "<script>alert(1)</script>", "\u202egnp", "\ufffe", "漢字漢字漢字漢字漢字漢字漢字漢字漢字",
    "اَلْعَرَبِيَّة",
    "javascript:alert(1)", "a" * 512, "é" * 256, "//", "/*", "{", "}", "<U+202E>", "\u200b",
)  # fmt: skip
IDS = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    st.text("\"\\;[]{}<>&#'`|-=%\n", min_size=1, max_size=12).map(lambda text: text.replace("\n", "\\n")),
)
TONES = st.sampled_from(["", "bad", "warn", "over", "hit"])


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    """Generate nodes with arbitrary ids and edges between them, including loops."""
    ids = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    nodes = tuple(
        Node(
            key=id_,
            id=id_,
            kind=draw(st.sampled_from(["human", "agent", "service", "workload", "unknown", EFFECT])),
            label=id_,
            under=draw(IDS),
            title=f"about {id_}",
            tone=draw(TONES),
            href=draw(st.sampled_from(["", "/status?of=x&at=y"])),
        )
        for id_ in ids
    )
    ends = draw(st.lists(st.tuples(st.sampled_from(ids), st.sampled_from(ids)), max_size=8, unique=True))
    edges = tuple(
        Edge(source=one, target=other, label=draw(IDS), title=draw(IDS), tone=draw(TONES), broken=draw(st.booleans()))
        for one, other in ends
    )
    return Picture(draw(IDS), nodes, edges, draw(st.sampled_from(["", "Incomplete: -- 3 left out."])))


@settings(max_examples=200)
@given(pictures())
def test_svg_is_xml_with_every_id_in_it(picture: Picture):
    """
    The drawing parses as XML, each node contains its id, and no id creates an element.
    """
    root = ET.fromstring(as_svg(picture))
    allowed = {
        f"{SVG}{name}"
        for name in ("svg", "title", "desc", "style", "g", "a", "rect", "circle", "polygon", "path", "text")
    }

    assert {safe(node.id) for node in picture.nodes} == {one.get("data-id") for one in root.iter(f"{SVG}g")} - {None}
    assert {one.tag for one in root.iter()} <= allowed
    assert len(picture.edges) == len(root.findall(f".//{SVG}path[@class='dg-line']"))


@settings(max_examples=200)
@given(pictures())
def test_graphml_is_read_back_by_networkx(picture: Picture):
    """
    A graph tool reads the nodes with their ids and the edges between them.
    """
    graph = nx.read_graphml(io.BytesIO(as_graphml(picture).encode()), force_multigraph=True)
    ids = nx.get_node_attributes(graph, "id")

    assert sorted(safe(node.id) for node in picture.nodes) == sorted(ids.values())
    assert sorted((safe(edge.source), safe(edge.target)) for edge in picture.edges) == sorted(
        (ids[one], ids[other]) for one, other in graph.edges()
    )


def dot_strings(line: str) -> list[str]:
    """Return the quoted strings of a line of DOT, as Graphviz reads them."""
    found = re.findall(r'"((?:[^"\\]|\\.)*)"', line, re.DOTALL)
    return [re.sub(r'\\(["\\])', r"\1", text) for text in found]


@settings(max_examples=200)
@given(pictures())
def test_dot_contains_every_id_as_one_string(picture: Picture):
    """
    A small parser of DOT's strings finds each id and each edge, and every line is terminated.
    """
    lines = [line for line in as_dot(picture).split("\n") if line.startswith('  "')]
    nodes = [dot_strings(line)[0] for line in lines if not re.match(r'  "(?:[^"\\]|\\.)*" -> ', line)]
    edges = [dot_strings(line)[:2] for line in lines if re.match(r'  "(?:[^"\\]|\\.)*" -> ', line)]

    assert [safe(node.id) for node in picture.nodes] == [safe(name) for name in nodes]
    assert [[edge.source, edge.target] for edge in picture.edges] == edges
    assert all(line.endswith("];") and line.count("[label=") >= 1 for line in lines)


@settings(max_examples=200)
@given(pictures())
def test_mermaid_labels_are_read_back(picture: Picture):
    """
    With character references resolved, each label is the id, and no special character is left unescaped.
    """
    labels = [
        found.group(1)
        for line in as_mermaid(picture).split("\n")
        if (found := re.match(r'  n\d+[(\[/]+"([^"]*)"', line))
    ]

    assert [safe(node.label) for node in picture.nodes] == [
        re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label.split("<br>")[0]) for label in labels
    ]
    assert not any(re.search(r'["`;\[\]{}()|&]', re.sub(r"#\d+;|<br>", "", label)) for label in labels)


@pytest.mark.parametrize("room", [8, 20, 26])
@given(IDS)
def test_text_in_a_box_fits(room: int, text: str):
    """
    However long or wide an id is, the part that is shown is no wider than its box.
    """
    assert columns(fitted(text, room)) <= room


def test_text_is_12_px_or_more():
    """
    No text in a drawing is too small to read.
    """
    nodes = (Node(key="a", id="a", kind="human", label="a", under="b", title="c"),)
    sizes = re.findall(r"(\d+(?:\.\d+)?)px (?:system|sans)|font-size: (\d+)px", as_svg(Picture("t", nodes, ())))

    assert sizes
    assert min(float(one or other) for one, other in sizes) >= 12


def test_boxes_do_not_overlap():
    """
    No two boxes overlap, for any number of principals.
    """
    nodes = tuple(Node(key=f"n{i}", id=f"n{i}", kind="agent", label="x", under="y", title="z") for i in range(60))
    edges = tuple(Edge(source=f"n{i // 3}", target=f"n{i}", label="1 token", title="") for i in range(1, 60))
    root = ET.fromstring(as_svg(Picture("t", nodes, edges)))
    boxes = [tuple(float(one.get(name)) for name in ("x", "y", "width", "height")) for one in root.iter(f"{SVG}rect")]

    assert 60 == len(boxes)
    assert not any(
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
        for number, one in enumerate(boxes)
        for other in boxes[:number]
    )


@pytest.mark.parametrize("outward", [True, False])
def test_a_label_of_many_edges_at_one_box_is_at_its_other_end(outward: bool):
    """
    Each is at the height of the box that only its edge has, not in the middle, where all the edges are close together.
    """
    ends = [f"end-{number}" for number in range(6)]
    nodes = tuple(
        Node(key=id_, id=id_, kind="agent", label=id_, under="", title="", href="/x") for id_ in ("hub", *ends)
    )
    pairs = [("hub", end) if outward else (end, "hub") for end in ends]
    edges = tuple(Edge(source=one, target=other, label=f"{n} token", title="") for n, (one, other) in enumerate(pairs))
    svg = as_svg(Picture("fan", nodes, edges))
    boxes = {text: float(y) for y, text in re.findall(r'y="([\d.]+)"[^>]*>(end-\d)</text>', svg)}
    labels = {f"end-{n}": float(y) for y, n in re.findall(r'dg-label" x="\d+" y="(\d+)"[^>]*>(\d) token', svg)}

    assert set(ends) == set(labels)
    for end, y in labels.items():
        assert end == min(boxes, key=lambda other, y=y: abs(boxes[other] - y))
