"""Write a picture as SVG, on the server: layers from left to right, text of at least 12 px, light and dark.

With its style sheet it is self-contained; without, it is part of a page whose style sheet has the same classes. Each
node is a link if it has a page, and has a title that says in words what colour and position mean.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from unicodedata import east_asian_width
from xml.sax.saxutils import escape, quoteattr

from lineage.serve.drawing.layout import COLUMN, LINE, Layout, layout
from lineage.serve.drawing.picture import Edge, Node, Picture
from lineage.serve.text.text_page import safe

WIDE, HIGH = 176, 52  # the size of a box in units
_ACROSS, _DOWN = 288, 72  # the distance between layers, and between rows
_MARGIN: Final = 12
_TALL: Final = 12  # rows that are visible at once
_LETTER: Final = 6.9  # the maximum width of a letter of the first line, in nearly every font
_EASE: Final = 16  # columns of the first line that fit as they are; a few more are drawn narrower
_SMALL: Final = 6.4  # the maximum width of a letter of the second line and of labels
_PLACES: Final = (0.5, 0.56, 0.44, 0.62, 0.38, 0.7, 0.3)  # positions along an edge for its label
_AT_TARGET: Final = (0.8, 0.74, 0.68)  # and of many edges that leave one box, whose middles are close to each other
_AT_SOURCE: Final = (0.2, 0.26, 0.32)  # and of many that arrive at one
_FAN: Final = 3  # edges at one box
_MOST_LABELS: Final = 120  # beyond this, labels would be illegible; titles and the table have the words

STYLE_SHEET: Final = """
.dg { --dg-ground: #fff; --dg-ink: #16202c; --dg-soft: #4d5b6b; --dg-edge: #7d8b9a; --dg-mark: #1f4fb8;
  --dg-bad: #ad1a1a; --dg-bad-tint: #fdebea; --dg-warn: #7d4a00; --dg-hit: #66309c; --dg-hit-tint: #f2eafa;
  background: var(--dg-ground); }
@media (prefers-color-scheme: dark) {
.dg { --dg-ground: #161d27; --dg-ink: #e7ecf2; --dg-soft: #a8b6c5; --dg-edge: #7c8da0; --dg-mark: #9dbdff;
  --dg-bad: #ff9a92; --dg-bad-tint: #3a1819; --dg-warn: #f3c163; --dg-hit: #d3adff; --dg-hit-tint: #2a1b3d; }
}
.dg text { font: 600 13px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; fill: var(--dg-ink); }
.dg .dg-under, .dg .dg-label { font-weight: 400; font-size: 12px; fill: var(--dg-soft); }
.dg .dg-label { paint-order: stroke; stroke: var(--dg-ground); stroke-width: 4px; stroke-linejoin: round; }
.dg a { text-decoration: none; }
.dg .dg-box { fill: var(--dg-ground); stroke: var(--dg-edge); stroke-width: 1.5; }
.dg .dg-mark { fill: none; stroke: var(--dg-soft); stroke-width: 2; }
.dg .dg-human .dg-mark { fill: var(--dg-mark); stroke: var(--dg-mark); }
.dg .dg-focus .dg-box { stroke: var(--dg-mark); stroke-width: 3; }
.dg .dg-line { fill: none; stroke: var(--dg-edge); stroke-width: 1.5; }
.dg .dg-head { fill: var(--dg-edge); }
.dg .dg-over .dg-box, .dg .dg-over .dg-line { stroke-dasharray: 4 4; }
.dg .dg-over text { fill: var(--dg-soft); }
.dg .dg-warn .dg-box, .dg .dg-warn .dg-line { stroke: var(--dg-warn); }
.dg .dg-warn .dg-head, .dg .dg-warn .dg-label { fill: var(--dg-warn); }
.dg .dg-bad .dg-box { stroke: var(--dg-bad); stroke-width: 2.5; fill: var(--dg-bad-tint); }
.dg .dg-bad .dg-line { stroke: var(--dg-bad); stroke-width: 2.5; }
.dg .dg-bad .dg-head, .dg .dg-bad .dg-label { fill: var(--dg-bad); }
.dg .dg-bad .dg-label { font-weight: 700; }
.dg .dg-hit .dg-box { stroke: var(--dg-hit); stroke-width: 2.5; fill: var(--dg-hit-tint); }
.dg .dg-hit .dg-line { stroke: var(--dg-hit); stroke-width: 2.5; }
.dg .dg-hit .dg-head, .dg .dg-hit .dg-label { fill: var(--dg-hit); }
.dg .dg-broken .dg-line { stroke-dasharray: 7 5; }
.dg-dense .dg-edge:not(.dg-bad, .dg-hit, .dg-warn, .dg-near) { opacity: 0.45; }
.dg a:focus-visible .dg-box { stroke: var(--dg-mark); stroke-width: 4; }
.dg .dg-sign rect { fill: var(--dg-ground); stroke: var(--dg-mark); stroke-width: 1.5; }
.dg .dg-sign text { font-size: 12px; fill: var(--dg-mark); }
.dg .dg-sign:focus-visible rect, .dg .dg-sign:hover rect { stroke-width: 4; }
"""


class _Spot(NamedTuple):
    x: float
    y: float


_MANY: Final = 120  # edges, beyond which those without a finding are pale, so that the boxes can be read
_SIGN: Final = _Spot(50, 24)  # the width of a sign with its distance from the corner, and its height


def as_svg(picture: Picture, *, alone: bool = True) -> str:
    """Write a picture.

    Args:
        picture: The picture.
        alone: Whether it is a self-contained file with its style sheet, or part of a page.
    """
    stand = layout((node.key for node in picture.nodes), ((edge.source, edge.target) for edge in picture.edges))
    stand = _from_the_top(stand)
    places = {key: _spot(place.layer, place.y) for key, place in stand.places.items()}
    runs = {id(edge): _run(edge, places, stand) for edge in picture.edges}
    width = max((spot.x for spot in places.values()), default=0) + WIDE + _MARGIN
    height = (
        max([HIGH, *(y for run in runs.values() for _, y in run), *(s.y + HIGH for s in places.values())]) + _MARGIN
    )
    height += _SIGN.y / 2 if any(node.sign for node in picture.nodes) else 0
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    name = f'role="group" aria-label={quoteattr(safe(picture.title))}'
    look = "dg dg-dense" if len(picture.edges) > _MANY else "dg"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{look}" {size} {name}>',
        f"<title>{escape(safe(picture.title))}</title>",
        *([f"<style>{STYLE_SHEET}</style>"] if alone else []),
        *([f"<desc>{escape(safe(picture.left_out))}</desc>"] if picture.left_out else []),
    ]
    labels = _labels(picture.edges, runs, places)
    ids = {node.key: node.id for node in picture.nodes}
    lines += [_edge(edge, runs[id(edge)], ids) for edge in picture.edges]
    lines += [_node(node, places[node.key]) for node in picture.nodes]
    lines += [_label(edge, labels[id(edge)]) for edge in picture.edges if id(edge) in labels]
    return "\n".join([*lines, "</svg>", ""])


def _from_the_top(stand: Layout) -> Layout:
    """Align all layers to the top if the layout is so tall that its middle would be out of sight."""
    if max((place.row for place in stand.places.values()), default=0) < _TALL:
        return stand
    places = {key: place._replace(y=place.row * LINE) for key, place in stand.places.items()}
    bends = {pair: [place._replace(y=place.row * LINE) for place in bends] for pair, bends in stand.bends.items()}
    return Layout(places, bends)


def _spot(layer: int, y: float) -> _Spot:
    return _Spot(_MARGIN + layer * _ACROSS, _MARGIN + y * _DOWN / LINE)


# Edges


def _run(edge: Edge, places: Mapping[str, _Spot], stand: Layout) -> list[_Spot]:
    """Return the points of an edge: a start, and then three for each curve."""
    start, end = places[edge.source], places[edge.target]
    if end.x <= start.x:
        return _back(start, end)
    via = stand.bends.get((edge.source, edge.target), ())
    at = _Spot(start.x + WIDE, start.y + HIGH / 2)
    points = [at]
    for place in via:
        bend = _spot(0, place.y)
        x, y = _MARGIN + place.x * _ACROSS / COLUMN, bend.y + HIGH / 2
        points += _curve(points[-1], _Spot(x, y))
        points += _curve(points[-1], _Spot(x + WIDE, y))
    return points + _curve(points[-1], _Spot(end.x - 8, end.y + HIGH / 2))


def _curve(one: _Spot, other: _Spot) -> list[_Spot]:
    half = (one.x + other.x) / 2
    return [_Spot(half, one.y), _Spot(half, other.y), other]


def _back(start: _Spot, end: _Spot) -> list[_Spot]:
    """Route an edge backwards, or within its layer: out on the right, and in from the left below the box."""
    out = _Spot(start.x + WIDE, start.y + HIGH / 2)
    below = max(start.y, end.y) + HIGH + 10
    if start == end:
        return [out, _Spot(out.x + 40, out.y), _Spot(out.x, below), _Spot(start.x + WIDE / 2, start.y + HIGH + 8)]
    far = end.x + WIDE / 2
    return [out, _Spot(out.x + 70, below), _Spot(far, below + 24), _Spot(far, end.y + HIGH + 8)]


def _edge(edge: Edge, run: list[_Spot], ids: Mapping[str, str]) -> str:
    path = f"M{run[0].x:g} {run[0].y:g}" + "".join(
        "C" + " ".join(f"{spot.x:g} {spot.y:g}" for spot in run[number : number + 3])
        for number in range(1, len(run), 3)
    )
    (x0, y0), (x, y) = run[-2], run[-1]
    dx, dy = (0, -1) if abs(x - x0) < 1 and y < y0 else (1, 0)
    head = f"M{x + 8 * dx:g} {y + 8 * dy:g}L{x - 5 * dy:g} {y - 5 * dx:g}L{x + 5 * dy:g} {y + 5 * dx:g}Z"
    classes = _classes("dg-edge", edge.tone, broken=edge.broken)
    return (
        f"<g class={quoteattr(classes)} data-from={quoteattr(safe(ids[edge.source]))} "
        f"data-to={quoteattr(safe(ids[edge.target]))}><title>{escape(safe(edge.title))}</title>"
        f'<path class="dg-line" d="{path}"/><path class="dg-head" d="{head}"/></g>'
    )


def _classes(base: str, *tones: str, broken: bool = False, focus: bool = False) -> str:
    classes = [base, *(f"dg-{tone}" for tone in tones if tone)]
    return " ".join([*classes, *(["dg-broken"] if broken else []), *(["dg-focus"] if focus else [])])


# Labels


def _labels(
    edges: Iterable[Edge], runs: Mapping[int, list[_Spot]], places: Mapping[str, _Spot]
) -> dict[int, tuple[_Spot, str]]:
    """Return the position and text of each edge's label; one that would overlap a box or a label is omitted."""
    written = sorted((edge for edge in edges if edge.label), key=lambda edge: (not edge.tone, edge.source, edge.target))
    if len(written) > _MOST_LABELS:
        written = [edge for edge in written if edge.tone in ("bad", "hit")][:_MOST_LABELS]
    leaving, arriving = Counter(edge.source for edge in written), Counter(edge.target for edge in written)
    occupied = [(spot.x - 2, spot.y - 2, spot.x + WIDE + 2, spot.y + HIGH + 2) for spot in places.values()]
    found: dict[int, tuple[_Spot, str]] = {}
    for edge in written:
        text = safe(edge.label)
        half = columns(text) * (_LETTER if edge.tone == "bad" else _SMALL) / 2
        from_many, to_many = arriving[edge.target] >= _FAN, leaving[edge.source] >= _FAN
        apart = () if from_many == to_many else _AT_TARGET if to_many else _AT_SOURCE
        boxes = [_label_box(_along(runs[id(edge)], part), half) for part in (*apart, *_PLACES)]
        free = [box for box in boxes if not any(_overlaps(box, other) for other in occupied)]
        if free or edge.tone == "bad":
            box = (free or boxes)[0]
            occupied.append(box)
            found[id(edge)] = _Spot((box[0] + box[2]) / 2, box[3] - 4), text
    return found


def _along(run: list[_Spot], part: float) -> _Spot:
    """Return a point of the last curve of an edge."""
    one, two, three, four = run[-4:]
    rest = 1 - part
    weights = (rest**3, 3 * rest * rest * part, 3 * rest * part * part, part**3)
    spots = (one, two, three, four)
    return _Spot(
        sum(weight * spot.x for weight, spot in zip(weights, spots, strict=True)),
        sum(weight * spot.y for weight, spot in zip(weights, spots, strict=True)),
    )


def _label_box(at: _Spot, half: float) -> tuple[float, float, float, float]:
    """Return the box of a label right above a point."""
    return at.x - half, at.y - 17, at.x + half, at.y - 1


def _overlaps(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _label(edge: Edge, label: tuple[_Spot, str]) -> str:
    (x, y), text = label
    classes = _classes("dg-on", edge.tone)
    written = f'<text class="dg-label" x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{escape(text)}</text>'
    if edge.href:
        written = f"<a href={quoteattr(edge.href)}>{written}</a>"
    return f"<g class={quoteattr(classes)}>{written}</g>"


# Nodes


def _node(node: Node, spot: _Spot) -> str:
    x, y = spot
    label, under = fitted(node.label, (WIDE - 38) / _LETTER), fitted(node.under, (WIDE - 38) / _SMALL)
    narrow = f' textLength="{WIDE - 40}" lengthAdjust="spacingAndGlyphs"' if columns(label) > _EASE else ""
    text = (
        f"<title>{escape(safe(node.title))}</title>"
        f'<rect class="dg-box" x="{x:g}" y="{y:g}" width="{WIDE}" height="{HIGH}" rx="8"/>'
        f"{_mark(node.kind, x + 16, y + HIGH / 2)}"
        f'<text x="{x + 31:g}" y="{y + 22:g}"{narrow}>{escape(label)}</text>'
        f'<text class="dg-under" x="{x + 31:g}" y="{y + 40:g}">{escape(under)}</text>'
    )
    classes = _classes("dg-node", node.kind, node.tone, focus=node.focus)
    if node.href:
        text = f"<a href={quoteattr(node.href)}>{text}</a>"
    if node.sign:
        text += _sign(node, x + WIDE - _SIGN.x, y + HIGH - 8)
    return f"<g class={quoteattr(classes)} data-id={quoteattr(safe(node.id))}>{text}</g>"


def _sign(node: Node, x: float, y: float) -> str:
    """Draw the sign on the border of a node, large enough to be hit with a finger."""
    title = quoteattr(safe(node.sign_title))
    return (
        f'<a class="dg-sign" href={quoteattr(node.sign_href)} aria-label={title}><title>{escape(safe(node.sign_title))}'
        f'</title><rect x="{x:g}" y="{y:g}" width="{_SIGN.x - 10:g}" height="{_SIGN.y:g}" rx="{_SIGN.y / 2:g}"/>'
        f'<text x="{x + (_SIGN.x - 10) / 2:g}" y="{y + 16:g}" text-anchor="middle">{escape(safe(node.sign))}</text></a>'
    )


def _mark(kind: str, x: float, y: float) -> str:
    """Draw the symbol of a kind: a person is a disc, an agent a hexagon, a service a square, a workload a diamond."""
    if kind == "human":
        return f'<circle class="dg-mark" cx="{x:g}" cy="{y:g}" r="7"/>'
    corners = {
        "agent": [(-8, 0), (-4, -7), (4, -7), (8, 0), (4, 7), (-4, 7)],
        "service": [(-7, -7), (7, -7), (7, 7), (-7, 7)],
        "workload": [(0, -9), (9, 0), (0, 9), (-9, 0)],
        "effect": [(-7, -7), (3, -7), (8, 0), (3, 7), (-7, 7)],
    }.get(kind, [(-7, 6), (0, -8), (7, 6)])
    points = " ".join(f"{x + dx:g},{y + dy:g}" for dx, dy in corners)
    return f'<polygon class="dg-mark" points="{points}"/>'


def fitted(text: str, room: float) -> str:
    """Shorten a text to a number of columns: a third of them for its beginning, the rest for its end."""
    shown = safe(text)
    if columns(shown) <= room:
        return shown
    head = _within(shown, room / 3)
    tail = _within(shown[::-1], room - 1 - columns(head))[::-1]
    return f"{head}\u2026{tail}"


def _within(text: str, room: float) -> str:
    """Return the beginning of a text, no wider than a number of columns."""
    end = 0
    while end < len(text) and columns(text[: end + 1]) <= room:
        end += 1
    return text[:end]


def columns(text: str) -> int:
    """Return the width of a text in columns; East Asian letters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
