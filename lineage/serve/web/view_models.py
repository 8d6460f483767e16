"""The content of pages in addition to a document, as pure functions of it, so that templates compute nothing."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final
from unicodedata import east_asian_width

from lineage.core.model.times import format_instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.picture import Edge, Picture
from lineage.serve.text import phrases, render_chain, render_lists

WIDTH: Final = 1_000  # width of the validity chart in units
_SEEN: Final = 4  # width of the shortest bar
_BEFORE: Final = 0.06  # fraction of the span shown before the first time
_BEHIND: Final = 0.22  # and after the last
_STRETCH: Final = 6  # how many times the relevant span the scale may grow for additional times
_MINUTE: Final = 60_000_000
_ENDED: Final = ("revoked", "cascaded", "suspended")
_LAST: Final = parse_instant("9999-12-31T23:59:59Z")


def hops(doc: Document) -> list[Document]:
    """Prepare the chain: the evidence of each party, and which scopes it kept, lost and gained."""
    shown: list[Document] = []
    above: Sequence[str] = ()
    before: str | None = None
    for hop in doc["chain"]:
        element = render_chain.element(hop)
        same = element is not None and element == before
        unchanged, lost, gained = phrases.scopes(hop, [] if same else above)
        shown.append(
            {
                **hop,
                "element": _key(hop),
                "same": same,
                "word": render_chain.word(hop, same=same),
                "kept": unchanged,
                "lost": lost,
                "gained": gained,
                "effective": phrases.effective_scopes(hop),
            }
        )
        above = hop["scopes"] or above
        before = element
    return shown


def cards(picture: Picture, shown: Sequence[Document]) -> list[Document]:
    """Build the chain as cards: each party with the arrow to it and the scopes it received; and the effect."""
    arrows: list[Edge | None] = [None, *picture.edges]
    steps = zip(picture.nodes, arrows[: len(picture.nodes)], strict=True)
    return [
        {
            "node": node,
            "edge": edge,
            "hop": shown[number] if number < len(shown) and not _passes_on(shown, number) else None,
        }
        for number, (node, edge) in enumerate(steps)
    ]


def _passes_on(shown: Sequence[Document], number: int) -> bool:
    """Whether a party is in the chain only as the grantor of what the next one received."""
    return number + 1 < len(shown) and bool(shown[number + 1]["same"])


def cut(items: Sequence[Document], ends: int) -> tuple[list[Document], int, list[Document]]:
    """Cut a long list to its two ends, and count what is left out."""
    if len(items) <= 2 * ends:
        return list(items), 0, []
    return list(items[:ends]), len(items) - 2 * ends, list(items[-ends:])


def _key(hop: Document) -> str | None:
    return next((f"{kind}:{hop[kind]}" for kind in ("delegation", "token") if hop[kind] is not None), None)


# The validity chart


def validity(
    doc: Document, graph: Document | None, marks: Sequence[tuple[str, str]], *, extra: Sequence[tuple[str, str]] = ()
) -> Document | None:
    """Build the validity chart of the tokens and delegations behind something; None if nothing is known.

    A bar ends, or changes colour, where an order took effect: what was valid before stays valid for that time.

    Args:
        doc: The document of ``who`` or ``chain``.
        graph: The graph around it, with the validity of its elements; None to use only the hops.
        marks: The relevant times with their labels.
        extra: Further times, shown unless they would make the bars too short to read.
    """
    elements, left_out = _timed(doc, graph)
    if not elements:
        return None
    moments = {name: parse_instant(moment) for moment, name in marks}
    starts = [parse_instant(one["issued_at"]) for one in elements.values()]
    first, last = min([*starts, *moments.values()]), max([*starts, *moments.values()])
    near = first + _STRETCH * max(last - first, _MINUTE)
    also = {name: found for moment, name in extra if first <= (found := parse_instant(moment)) <= near}
    orders = [parse_instant(one["because"]["effective_at"]) for one in elements.values() if one.get("because")]
    last = max([last, *also.values(), *(one for one in orders if one <= near)])
    span = max(last - first, _MINUTE)
    left, right = max(first - int(span * _BEFORE), 0), min(last + int(span * _BEHIND), _LAST)

    def across(moment: int) -> int:
        return round(WIDTH * (min(max(moment, left), right) - left) / (right - left))

    rows = [_bar(key, one, across) for key, one in elements.items()]
    return {
        "width": WIDTH,
        "rows": rows,
        "marks": [{"x": across(moment), "name": name} for name, moment in {**moments, **also}.items()],
        "begins": format_instant(left),
        "ends": format_instant(right),
        "ended": _looks(row["state"] for row in rows if row["dead_width"] and row["dead_x"] < WIDTH),
        "left_out": left_out,
    }


def _bar(key: str, one: Document, across: Callable[[int], int]) -> Document:
    """Build one bar: from issue to stated expiry, with a change of colour where an order ended it."""
    begins, because = parse_instant(one["issued_at"]), one.get("because")
    ends = _LAST if one["expires_at"] is None else parse_instant(one["expires_at"])
    dead_at = None if because is None else max(parse_instant(because["effective_at"]), begins)
    stops = ends if dead_at is None else min(dead_at, ends)
    return {
        "key": key,
        "state": one["state"],
        "look": one["state"] if one["state"] in ("unknown", "not_yet_valid") else "active",
        "issued_at": one["issued_at"],
        "expires_at": one["expires_at"],
        "dead_at": None if dead_at is None else format_instant(dead_at),
        "x": across(begins),
        "width": _wide(across(stops) - across(begins), at_all=stops > begins),
        "dead_x": 0 if dead_at is None else across(stops),
        "dead_width": 0 if dead_at is None else _wide(across(ends) - across(stops), at_all=ends > stops),
    }


def _wide(width: int, *, at_all: bool) -> int:
    """Widen a bar to be visible."""
    return max(width, _SEEN) if at_all else 0


def _looks(states: Iterable[str]) -> list[str]:
    """Return the style of ended bars: one colour for dead, one for suspended."""
    return sorted({"suspended" if state == "suspended" else "revoked" for state in states})


def _timed(doc: Document, graph: Document | None) -> tuple[dict[str, Document], int]:
    """Return the elements with a known time of issue, by key, and how many are left out; delegations, then tokens.

    Elements beyond the graph are left out unless their hop has all the data, which excludes when an order ended them.
    """
    nodes = {node["key"]: node for node in (graph["nodes"] if graph else ())}
    hops = {key: hop for hop in doc["chain"] if (key := _key(hop)) is not None}
    whole = {key: hop for key, hop in hops.items() if hop["state"] not in _ENDED or hop.get("because")}
    led = [f"delegation:{id_}" for id_ in doc["delegations"]] + [f"token:{id_}" for id_ in doc["tokens"]]
    found = {key: nodes.get(key) or whole.get(key) for key in (*led, *hops)}
    timed = {key: one for key, one in found.items() if one is not None and one["issued_at"] is not None}
    return timed, sum(one is None for one in found.values())


# The content of events

_PARTIES: Final = (
    "subject", "actor", "delegator", "delegatee", "on_behalf_of", "approved_by", "ordered_by", "lifted_by", "owner",
    "agent", "principal", "workload",
)  # fmt: skip
_KINDS: Final = {
    **dict.fromkeys(_PARTIES, "principal"),
    **{name: name for name in ("token", "delegation", "decision", "action", "revocation", "session", "client")},
    "parent_action": "action",
    "tool": "tool",
    "operation": "operation",
}


def fields(event: Document, of: str = "") -> list[tuple[str, str, str]]:
    """List the fields of an event with the kind of each id (else empty), so that it can be a link."""
    listed = render_lists.event_fields(event, of)
    return [
        (name, phrases.when(value) if name.endswith("_at") else value, _KINDS.get(name, "")) for name, value in listed
    ]


def totals(kills: Document) -> int:
    """Count the elements of a plan."""
    return len(kills["tokens"]) + len(kills["delegations"])


def killed(plan: Document, new: Collection[str]) -> list[Document]:
    """List the elements of a plan, new ones first."""
    listed = [
        {"kind": kind, "id": id_, "new": f"{kind}:{id_}" in new}
        for kind, ids in (("delegation", plan["kills"]["delegations"]), ("token", plan["kills"]["tokens"]))
        for id_ in ids
    ]
    return sorted(listed, key=lambda one: not one["new"])


# The graph as a table, and as a drawing


def parents_of(graph: Document) -> dict[str, Document]:
    """Return the parents of each element of a graph: the shown ones, and the number of others."""
    found: dict[str, Document] = {node["key"]: {"shown": [], "more": 0} for node in graph["nodes"]}
    for edge in graph["edges"]:
        found[edge["to"]]["shown"].append({"key": edge["from"], "roles": edge["roles"]})
    for one in graph["collapsed"]:
        if one["where"] == "above":
            found[one["of"]]["more"] += one["count"]
    return found


NODE: Final = (240, 40)  # width and height of a node in units
COLLAPSED: Final = 90  # width of a node that stands for others
_MARGIN: Final = 16
_SHOWN: Final = 34  # columns of an id that fit into a node; the table next to it has all of it
_EASE: Final = 30  # columns that fit unscaled; more are drawn narrower


def drawing(doc: Document) -> Document:
    """Convert the graph to shapes: boxes, their text, and the lines."""
    width, height = NODE
    boxes = {node["key"]: node for node in (*doc["nodes"], *doc["collapsed"])}
    places = {key: _inside(node) for key, node in boxes.items()}
    for one in doc["collapsed"]:
        if one["where"] == "above":  # on the side of the node that it is above
            x, y = places[one["key"]]
            places[one["key"]] = (x + width - COLLAPSED, y)
    wide = {node["key"]: width for node in doc["nodes"]} | {one["key"]: COLLAPSED for one in doc["collapsed"]}
    lines = [(edge["from"], edge["to"], [_inside(spot) for spot in edge["via"]]) for edge in doc["edges"]]
    lines += [
        (one["of"], one["key"], []) if one["where"] == "below" else (one["key"], one["of"], [])
        for one in doc["collapsed"]
    ]
    every = [*places.values(), *(spot for *_, via in lines for spot in via)]
    return {
        "width": max((x for x, _ in every), default=0) + width + _MARGIN,
        "height": max((y for _, y in every), default=0) + height + _MARGIN,
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
                "narrow": _columns(node["id"]) > _EASE,
                "under": ", ".join([node["kind"], phrases.label(node["state"]), *_worst(node)]),
                "wrong": bool(_worst(node)),
            }
            for node in doc["nodes"]
        ],
        "collapsed": [
            {"x": places[one["key"]][0], "y": places[one["key"]][1], "label": f"+{one['count']:,}"}
            for one in doc["collapsed"]
        ],
        "lines": [_line(places[above], places[below], wide[above], via) for above, below, via in lines],
    }


def _worst(node: Document) -> list[str]:
    found = node.get("findings")
    return [f"{found['worst']} finding"] if found and found["worst"] in phrases.ALARMING else []


def _inside(spot: Document) -> tuple[int, int]:
    return spot["x"] + _MARGIN, spot["y"] + _MARGIN


def _line(above: tuple[int, int], below: tuple[int, int], width: int, via: Sequence[tuple[int, int]]) -> str:
    """Draw a curve from the right of one box to the left of another, straight through the points between."""
    middle = NODE[1] // 2
    x, y = above[0] + width, above[1] + middle
    line = f"M{x} {y}"
    for number, (to_x, top) in enumerate([*via, below]):
        to_y, half = top + middle, (x + to_x) // 2
        line += f"C{half} {y} {half} {to_y} {to_x} {to_y}"
        x, y = to_x + NODE[0], to_y
        if number < len(via):
            line += f"H{x}"
    return line


def _short(id_: str) -> str:
    """Return the end of an id that fits, which distinguishes it from its neighbours."""
    room, start = _SHOWN - _columns(id_), 0
    if room >= 0:
        return id_
    room -= 1  # the ellipsis
    while room < 0:
        room += _columns(id_[start])
        start += 1
    return f"…{id_[start:]}"


def _columns(text: str) -> int:
    """Return its width in columns; East Asian letters take two."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text)
