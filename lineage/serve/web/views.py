"""What a page shows of a document beside the document itself: pure functions of it, so that no template computes."""

from collections.abc import Collection, Sequence
from typing import Final

from lineage.core.times import parse_instant
from lineage.serve import phrases, render
from lineage.serve.documents import Document

WIDTH: Final = 1_000  # units across the chart of validity
ROW: Final = 30  # units from one bar to the next
_BEFORE: Final = 0.06  # of the span that is shown, in front of the first moment
_BEHIND: Final = 0.22  # and behind the last
_TICKS: Final = 4


def hops(doc: Document) -> list[Document]:
    """The chain as it is shown: of each party by what it stands there, and which scopes it kept, lost and gained."""
    shown: list[Document] = []
    above: Sequence[str] = ()
    before: str | None = None
    for hop in doc["chain"]:
        element = render.element(hop)
        same = element is not None and element == before
        kept, lost, gained = phrases.scopes(hop, [] if same else above)
        shown.append(
            {
                **hop,
                "element": _key(hop),
                "same": same,
                "word": render.word(hop, same=same),
                "kept": kept,
                "lost": lost,
                "gained": gained,
            }
        )
        above = hop["scopes"] or above
        before = element
    return shown


def cut(items: Sequence[Document], ends: int) -> tuple[list[Document], int, list[Document]]:
    """The two ends of a long list, and how many are left out between them."""
    if len(items) <= 2 * ends:
        return list(items), 0, []
    return list(items[:ends]), len(items) - 2 * ends, list(items[-ends:])


def _key(hop: Document) -> str | None:
    return next((f"{kind}:{hop[kind]}" for kind in ("delegation", "token") if hop[kind] is not None), None)


# The chart of validity


def validity(doc: Document, graph: Document | None, marks: Sequence[tuple[str, str]]) -> Document | None:
    """When each token and delegation that led to something was valid, as bars on one scale; None if nothing says.

    Args:
        doc: The document of ``who`` or ``chain``.
        graph: The graph around it, which says it of each of its tokens and delegations; None: the hops alone.
        marks: Moments that matter, each with what it is called.
    """
    elements = _timed(doc, graph)
    if not elements:
        return None
    moments = {name: parse_instant(moment) for moment, name in marks}
    starts = [parse_instant(hop["issued_at"]) for hop in elements.values()]
    first, last = min([*starts, *moments.values()]), max([*starts, *moments.values()])
    span = max(last - first, 60_000_000)
    left, right = first - int(span * _BEFORE), last + int(span * _BEHIND)

    def across(moment: int) -> int:
        return round(WIDTH * (min(max(moment, left), right) - left) / (right - left))

    rows = []
    for place, (key, hop) in enumerate(elements.items()):
        begins = across(parse_instant(hop["issued_at"]))
        ends_at = None if hop["expires_at"] is None else parse_instant(hop["expires_at"])
        beyond = ends_at is None or ends_at > right
        ends = WIDTH if ends_at is None or beyond else across(ends_at)
        rows.append(
            {
                "key": key,
                "kind": key.partition(":")[0],
                "id": key.partition(":")[2],
                "state": hop["state"],
                "issued_at": hop["issued_at"],
                "expires_at": hop["expires_at"],
                "x": begins,
                "y": place * ROW,
                "width": max(ends - begins, 4),
                "beyond": beyond,
            }
        )
    return {
        "width": WIDTH,
        "height": len(rows) * ROW,
        "rows": rows,
        "marks": [{"x": across(moment), "name": name} for name, moment in moments.items()],
    }


def _timed(doc: Document, graph: Document | None) -> dict[str, Document]:
    """What is known to have been issued, by key: delegations, then tokens, each root first."""
    nodes = {node["key"]: node for node in (graph["nodes"] if graph else ())}
    hops = {key: hop for hop in doc["chain"] if (key := _key(hop)) is not None}
    led = [f"delegation:{id_}" for id_ in doc["delegations"]] + [f"token:{id_}" for id_ in doc["tokens"]]
    found = {key: nodes.get(key) or hops.get(key) for key in (*led, *hops)}
    return {key: one for key, one in found.items() if one is not None and one["issued_at"] is not None}


def totals(kills: Document) -> int:
    """How many elements a plan lists."""
    return len(kills["tokens"]) + len(kills["delegations"])


def killed(plan: Document, new: Collection[str]) -> list[Document]:
    """What a plan lists, element by element; first what is new in it."""
    listed = [
        {"kind": kind, "id": id_, "new": f"{kind}:{id_}" in new}
        for kind, ids in (("delegation", plan["kills"]["delegations"]), ("token", plan["kills"]["tokens"]))
        for id_ in ids
    ]
    return sorted(listed, key=lambda one: not one["new"])


# The drawing of a graph

NODE: Final = (240, 40)  # units, width and height of a node
COLLAPSED: Final = 90  # units, width of a node that stands for others
_MARGIN: Final = 16
_SHOWN: Final = 34  # characters of an id that fit into a node; the table beside has all of it


def drawing(doc: Document) -> Document:
    """The graph as shapes: where boxes stand, what is written in them, and how the lines run."""
    width, height = NODE
    boxes = {node["key"]: node for node in (*doc["nodes"], *doc["collapsed"])}
    places = {key: (node["x"] + _MARGIN, node["y"] + _MARGIN) for key, node in boxes.items()}
    wide = {node["key"]: width for node in doc["nodes"]} | {one["key"]: COLLAPSED for one in doc["collapsed"]}
    lines = [(edge["from"], edge["to"]) for edge in doc["edges"]]
    lines += [
        (one["of"], one["key"]) if one["where"] == "below" else (one["key"], one["of"]) for one in doc["collapsed"]
    ]
    return {
        "width": max((x for x, _ in places.values()), default=0) + width + _MARGIN,
        "height": max((y for _, y in places.values()), default=0) + height + _MARGIN,
        "node_width": width,
        "node_height": height,
        "collapsed_width": COLLAPSED,
        "nodes": [
            {
                "x": places[node["key"]][0],
                "y": places[node["key"]][1],
                "state": node["state"],
                "focus": node["focus"],
                "label": _short(node["id"]),
                "under": f"{node['kind']}, {node['state'].replace('_', ' ')}",
            }
            for node in doc["nodes"]
        ],
        "collapsed": [
            {"x": places[one["key"]][0], "y": places[one["key"]][1], "label": f"+{one['count']:,}"}
            for one in doc["collapsed"]
        ],
        "lines": [_line(places[above], places[below], wide[above]) for above, below in lines],
    }


def _line(above: tuple[int, int], below: tuple[int, int], width: int) -> str:
    """A curve from the right of one box, so wide, to the left of another."""
    height = NODE[1]
    x, y = above[0] + width, above[1] + height // 2
    to_x, to_y = below[0], below[1] + height // 2
    half = (x + to_x) // 2
    return f"M{x} {y}C{half} {y} {half} {to_y} {to_x} {to_y}"


def _short(id_: str) -> str:
    return id_ if len(id_) <= _SHOWN else f"…{id_[1 - _SHOWN :]}"
