"""Write a picture as DOT, Mermaid and GraphML: whatever an id contains is only text in each of them.

Invisible characters in an id are escaped (``safe``), so that it is valid in XML as well.
"""

from collections.abc import Iterable
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from lineage.serve.drawing.picture import EFFECT, HUMAN, Edge, Node, Picture
from lineage.serve.text.text_page import safe

_DOT_COLOURS: Final = {"": "#4d5b6b", "bad": "#ad1a1a", "warn": "#7d4a00", "over": "#a9b5c2", "hit": "#66309c"}
_DOT_SHAPES: Final = {HUMAN: "ellipse", EFFECT: "note"}
_MERMAID_SHAPES: Final = {HUMAN: ("([", "])"), EFFECT: ("[/", "/]")}
_NODE_KEYS: Final = ("id", "kind", "label", "detail", "tone")
_EDGE_KEYS: Final = ("label", "detail", "tone", "broken")


def as_dot(picture: Picture) -> str:
    """Write DOT, for Graphviz: each node is named by its id, or by its key if the id is not unique."""
    names = _names(picture)
    lines = [
        f"digraph {_quoted(picture.title)} {{",
        "  rankdir=LR;",
        '  node [shape=box, style = rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif"];',
    ]
    for node in picture.nodes:
        shape = _DOT_SHAPES.get(node.kind, "box")
        lines.append(
            f"  {_quoted(names[node.key])} [label={_quoted(safe(node.label), safe(node.under))}, "
            f'tooltip={_quoted(safe(node.title))}, shape={shape}, color="{_DOT_COLOURS[node.tone]}"];'
        )
    for edge in picture.edges:
        look = ", style = dashed" if edge.broken else ""
        lines.append(
            f"  {_quoted(names[edge.source])} -> {_quoted(names[edge.target])} [label={_quoted(safe(edge.label))}, "
            f'tooltip={_quoted(safe(edge.title))}, color="{_DOT_COLOURS[edge.tone]}"{look}];'
        )
    lines += [f"  // {safe(line)}" for line in _left_out(picture)]
    return "\n".join([*lines, "}", ""])


def _names(picture: Picture) -> dict[str, str]:
    """Return the name of each node: its id if that is unique, else its key."""
    ids = [node.id for node in picture.nodes]
    once = {id_ for id_ in ids if ids.count(id_) == 1} if len(ids) < 1_000 else set(ids)  # noqa: PLR2004 (chains)
    return {node.key: node.id if node.id in once else f"{node.key} {node.id}" for node in picture.nodes}


def _quoted(*lines: str) -> str:
    """Quote a string for DOT: only quotes and backslashes are special in it."""
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def as_mermaid(picture: Picture) -> str:
    """Write Mermaid, for Markdown: nodes are numbered, and ids are in labels, where no character is special."""
    numbers = {node.key: f"n{number}" for number, node in enumerate(picture.nodes)}
    lines = ["flowchart LR"]
    for node in picture.nodes:
        opens, closes = _MERMAID_SHAPES.get(node.kind, ("[", "]"))
        label = "<br>".join(_spelled(text) for text in (node.label, node.under) if text)
        lines.append(f'  {numbers[node.key]}{opens}"{label}"{closes}')
    for edge in picture.edges:
        arrow = "-.->" if edge.broken else "-->"
        label = f'|"{_spelled(edge.label)}"|' if edge.label else ""
        lines.append(f"  {numbers[edge.source]} {arrow}{label} {numbers[edge.target]}")
    lines += ["  classDef bad stroke:#ad1a1a,stroke-width:3px", "  classDef warn stroke:#7d4a00,stroke-width:2px"]
    lines += ["  classDef over stroke-dasharray:4 3", "  classDef hit stroke:#66309c,stroke-width:3px"]
    lines += [f"  class {numbers[node.key]} {node.tone}" for node in picture.nodes if node.tone]
    bad = [str(number) for number, edge in enumerate(picture.edges) if edge.tone == "bad"]
    if bad:
        lines.append(f"  linkStyle {','.join(bad)} stroke:#ad1a1a,stroke-width:3px")
    lines += [f"  %% {_spelled(line)}" for line in _left_out(picture)]
    return "\n".join([*lines, ""])


def _spelled(text: str) -> str:
    """Escape a text for a label: letters, digits and harmless characters are unchanged, others become their number."""
    return "".join(char if char.isalnum() or char in " ,.:-/@_+" else f"#{ord(char)};" for char in safe(text))


def as_graphml(picture: Picture) -> str:
    """Write GraphML, for graph tools: ids, kinds, labels and findings as attributes."""
    numbers = {node.key: f"n{number}" for number, node in enumerate(picture.nodes)}
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
        *_keys("node", _NODE_KEYS),
        *_keys("edge", _EDGE_KEYS),
        f'  <graph id={quoteattr(safe(picture.title))} edgedefault="directed">',
    ]
    lines += [
        f'    <node id="{numbers[node.key]}">{_data("node", _NODE_KEYS, _node_values(node))}</node>'
        for node in picture.nodes
    ]
    for number, edge in enumerate(picture.edges):
        ends = f'source="{numbers[edge.source]}" target="{numbers[edge.target]}"'
        lines.append(f'    <edge id="e{number}" {ends}>{_data("edge", _EDGE_KEYS, _edge_values(edge))}</edge>')
    lines += [f"    <desc>{escape(safe(line))}</desc>" for line in _left_out(picture)]
    return "\n".join([*lines, "  </graph>", "</graphml>", ""])


def _keys(of: str, names: Iterable[str]) -> list[str]:
    return [f'  <key id="{of}_{name}" for="{of}" attr.name="{name}" attr.type="string"/>' for name in names]


def _data(of: str, names: Iterable[str], values: Iterable[str]) -> str:
    pairs = zip(names, values, strict=True)
    return "".join(f'<data key="{of}_{name}">{escape(safe(value))}</data>' for name, value in pairs)


def _node_values(node: Node) -> tuple[str, ...]:
    return node.id, node.kind, node.label, node.title, node.tone


def _edge_values(edge: Edge) -> tuple[str, ...]:
    return edge.label, edge.title, edge.tone, "true" if edge.broken else "false"


def _left_out(picture: Picture) -> list[str]:
    return [picture.left_out] if picture.left_out else []
