"""The activity of the last days as bars; each bar links to the list of actions in its time."""

from typing import Final

from lineage.core.model.times import HOUR, format_instant, parse_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.text.phrases import when
from lineage.serve.text.text_page import many
from lineage.serve.web.links import Links

HOURS: Final = 6  # the hours of one bar
HIGH: Final = 60  # units, of the highest bar
WIDE: Final = 20  # units, of one bar with its gap


def lasting(seconds: float) -> str:
    """Format a duration in its largest unit: `2 h`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def bars(activity: Document, links: Links) -> Document:
    """Build the bars from left to right, without empty ones; the table of the list says the same."""
    start, end = parse_instant(activity["from"]), parse_instant(activity["to"])
    counts: dict[int, int] = {}
    for one in activity["by_hour"]:
        number = (parse_instant(one["hour"]) - start) // (HOURS * HOUR)
        counts[number] = counts.get(number, 0) + one["facts"]
    highest = max(counts.values(), default=0)
    found = []
    for number, count in sorted(counts.items()):
        first = start + number * HOURS * HOUR
        params = {"from": format_instant(first), "to": format_instant(min(first + HOURS * HOUR, end))}
        height = max(round(HIGH * count / highest), 3)
        found.append(
            {
                "x": number * WIDE,
                "y": HIGH - height,
                "height": height,
                "href": links.to("/actions", **params),
                "title": f"{many(count, 'action')} from {when(params['from'])}",
            }
        )
    total = -(-(end - start) // (HOURS * HOUR))
    return {
        "bars": found,
        "width": max(total, 1) * WIDE,
        "height": HIGH,
        "bar": WIDE - 4,
        "begins": activity["from"],
        "ends": format_instant(start + max(total, 1) * HOURS * HOUR),
    }
