"""Actions over time as lanes, one for each tool or each actor; drawn on the server."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape

from lineage.core.model.times import SECOND, Instant, format_instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.svg import fitted
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import many, safe
from lineage.serve.web.links import Links
from lineage.serve.web.templating import drawn

WIDTH: Final = 960  # units across time
LANES: Final = 12  # lanes that are drawn; the rest is one more lane
PARTS: Final = 6  # parts of the time axis, each a link to its list
_LANE: Final = 30  # units, height of a lane
_NAME: Final = 170  # units in front of the lanes
_OTHERS: Final = "others"


def lanes_of(
    items: Sequence[Document],
    lane_of: Callable[[Document], str | None],
    links: Links,
    asked: Mapping[str, str],
    *,
    complete: bool,
) -> Document | None:
    """Build what a page shows of actions over time; None if there are fewer than two.

    Args:
        items: The actions, in list order.
        lane_of: Returns the name of an action's lane.
        links: Builds links.
        asked: The filters of their list.
        complete: Whether the list is complete.
    """
    lanes = swimlanes(items, lane_of, lambda **span: links.to("/actions", **asked, **span))
    if lanes is None:
        return None
    return {
        **lanes,
        "drawing": drawn(lanes["drawing"]),
        "words": lanes_in_words(lanes["lanes"]),
        "looked_at": len(items),
        "complete": complete,
        "asked": asked,
    }


def swimlanes(
    items: Sequence[Document], lane_of: Callable[[Document], str | None], to: Callable[..., str]
) -> Document | None:
    """Draw actions as lanes from the first to the last of them; None if there are fewer than two.

    Args:
        items: The actions, in list order.
        lane_of: Returns the name of an action's lane.
        to: Returns the address of the list of actions with more parameters.
    """
    if len(items) < 2:  # noqa: PLR2004 (one action is no time)
        return None
    moments = [parse_instant(item["occurred_at"]) for item in items]
    first, last = min(moments), max(moments)
    span = max(last - first, SECOND)
    counted = Counter(lane_of(item) or "unknown" for item in items)
    names = [name for name, _ in sorted(counted.items(), key=lambda one: (-one[1], one[0]))]
    shown = names if len(names) <= LANES else [*names[: LANES - 1], _OTHERS]
    row = {name: number for number, name in enumerate(shown)}
    dots = [
        (row.get(lane_of(item) or "unknown", len(shown) - 1), round(WIDTH * (moment - first) / span), item)
        for item, moment in zip(items, moments, strict=True)
    ]
    return {
        "drawing": _drawn(shown, dots),
        "lanes": [{"name": name, "count": counted.get(name, 0)} for name in shown],
        "left_out": max(len(names) - LANES + 1, 0) if len(names) > LANES else 0,
        "begins": format_instant(first),
        "ends": format_instant(last),
        "parts": [_part(number, first, span, moments, to) for number in range(PARTS)],
    }


def _part(number: int, first: Instant, span: int, moments: Sequence[Instant], to: Callable[..., str]) -> Document:
    """Build one part of the time axis: the number of actions in it, and the link to their list."""
    start = first + span * number // PARTS
    end = first + span * (number + 1) // PARTS + (1 if number == PARTS - 1 else 0)
    params = {"from": format_instant(start), "to": format_instant(end)}
    return {"count": sum(start <= moment < end for moment in moments), "href": to(**params), "from": params["from"]}


def _drawn(names: Sequence[str], dots: Sequence[tuple[int, int, Document]]) -> str:
    width, height = _NAME + WIDTH + 16, len(names) * _LANE + 6
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    lines = [f'<svg class="dg lanes" {size} role="img" aria-label="What was done over time; the list has the same">']
    lines.append(f'<rect class="dg-time" x="{_NAME + 4}" y="0" width="{WIDTH}" height="{height}" fill="none"/>')
    for number, name in enumerate(names):
        y = number * _LANE + _LANE // 2 + 3
        lines.append(f'<text class="dg-under" x="0" y="{y + 4}">{escape(fitted(name, 24))}</text>')
        lines.append(f'<path class="dg-line" d="M{_NAME} {y}H{_NAME + WIDTH + 8}"/>')
    for lane, x, item in dots:
        y = lane * _LANE + _LANE // 2 + 3
        label = f"{when(item['occurred_at'])}: {item['operation']} {item['outcome']}, {item['action']}"
        look = "" if item["outcome"] == "succeeded" else " dg-bad"
        dot = f'<circle cx="{_NAME + x + 4}" cy="{y}" r="5"/>'
        lines.append(f'<g class="dg-dot{look}"><title>{escape(safe(label))}</title>{dot}</g>')
    return "\n".join([*lines, "</svg>"])


def lanes_in_words(lanes: Sequence[Document]) -> str:
    """Describe the lanes in words, for readers who cannot see them."""
    return "; ".join(f"{safe(lane['name'])}: {many(lane['count'], 'action')}" for lane in lanes)
