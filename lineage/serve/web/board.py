"""The board of a revocation, or of several under one incident: one row for each enforcement point, and the age."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from lineage.core.model.times import SECOND, Instant, parse_instant
from lineage.core.revocation.closure import ClosureVerdict
from lineage.serve.documents.core_documents import Document
from lineage.serve.web.activity_bars import lasting

_COUNTS: Final = ("covers", "delivered", "enforced", "rejected", "pending")


class Board(NamedTuple):
    """The content of a board.

    Attributes:
        points: One row for each enforcement point, sorted; those that have not confirmed come first.
        waiting: Those that have not confirmed everything.
        seconds: From the first order until everything was confirmed, or until now.
        is_over: Whether all of it is CLOSED.
        uncovered: The number of elements that no enforcement point covers.
    """

    points: Sequence[Document]
    waiting: Sequence[str]
    seconds: float
    is_over: bool
    uncovered: int

    @property
    def confirmed(self) -> str:
        """Return how many have confirmed, and how long that has taken: ``2 of 3, 41 s``."""
        return f"{len(self.points) - len(self.waiting):,} of {len(self.points):,}, {lasting(self.seconds)}"


def board_of(documents: Sequence[Document], contacts: Mapping[str, str], now: Instant) -> Board:
    """Combine the verdicts on some orders.

    Args:
        documents: The revocations, as the query ``revocation`` returns them; at least one.
        contacts: How to reach who runs each enforcement point.
        now: The instant of the verdicts.
    """
    points: dict[str, dict[str, Any]] = {}
    for document in documents:
        for one in document["receivers"]:
            row = points.setdefault(one["receiver"], {**dict.fromkeys(_COUNTS, 0), "open": 0, "by_hand": []})
            for name in _COUNTS:
                row[name] += one[name]
        for (receiver, _), items in document["open"].items.by_receiver.items():
            if receiver is not None:
                points[receiver]["open"] += items
        for one in document.get("by_hand", ()):
            points[one["receiver"]]["by_hand"].append(one["by"])
    rows = [{"receiver": name, "contact": contacts.get(name), **row} for name, row in sorted(points.items())]
    rows.sort(key=lambda row: not row["open"])
    is_over = all(document["verdict"] == ClosureVerdict.CLOSED for document in documents)
    return Board(
        points=rows,
        waiting=[row["receiver"] for row in rows if row["open"]],
        seconds=_seconds(documents, now, is_over=is_over),
        is_over=is_over,
        uncovered=sum(document["open"].items.by_receiver[None, "uncovered"] for document in documents),
    )


def _seconds(documents: Sequence[Document], now: Instant, *, is_over: bool) -> float:
    began = min(parse_instant(document["ordered_at"]) for document in documents)
    ended = max((parse_instant(document["closed_at"]) for document in documents), default=now) if is_over else now
    return max(0, ended - began) / SECOND
