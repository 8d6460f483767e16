"""Cursors of lists: a position in the order of the list, and a digest of the question that it belongs to.

The position is that of an item, not a number of items: a list continues correctly even if items were added before it.
It is a place for a list in time order, a name for a list in the order of names, and otherwise a rank.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final, TypeVar

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import canonical_json
from lineage.store.acts_in_time import ListPosition

_T = TypeVar("_T")

Rank = tuple[int | str, ...]
"""The sort key of an item, different for every item of a list."""

BAD_CURSOR: Final = "is not the `next` of this list; begin again without it"


def digest_of(question: dict[str, Any]) -> str:
    """Compute a digest that differs between different questions."""
    return hashlib.blake2b(canonical_json(question), digest_size=6).hexdigest()


def cursor_at(place: ListPosition, digest: str) -> str:
    """Encode a place in the list of a question as a text.

    Examples:
        >>> place_of(cursor_at(ListPosition(4711, 12), "ab"), "ab")
        ListPosition(at=4711, n=12)
    """
    return f"{place.at:x}.{place.n:x}.{digest}"


def place_of(cursor: str, digest: str) -> ListPosition:
    """Decode a place that ``cursor_at`` encoded.

    Raises:
        RefusedError: The text is not a place, or belongs to another question.
    """
    try:
        at, number, question = cursor.split(".")
        place = ListPosition(int(at, 16), int(number, 16))
    except ValueError:
        raise RefusedError(f"after: {BAD_CURSOR}") from None
    if question != digest or not (0 <= place.at < 1 << 62 and 0 <= place.n < 1 << 62):
        raise RefusedError(f"after: {BAD_CURSOR}")
    return place


def cursor_after(name: str, digest: str) -> str:
    """Encode a name in the list of a question as a text.

    Examples:
        >>> name_of(cursor_after("agent:a.b", "ab"), "ab")
        'agent:a.b'
    """
    return f"{digest}.{name}"


def name_of(cursor: str, digest: str) -> str:
    """Decode a name that ``cursor_after`` encoded.

    Raises:
        RefusedError: The text belongs to another question.
    """
    question, dot, name = cursor.partition(".")
    if question != digest or not dot:
        raise RefusedError(f"after: {BAD_CURSOR}")
    return name


def ranked_page(
    items: Iterable[tuple[Rank, _T]], after: str | None, digest: str, limit: int | None
) -> tuple[list[_T], str | None]:
    """Cut a page from the items of a whole list.

    Args:
        items: Each with its rank, in the order of the ranks.
        after: The cursor of the page; None for the first.
        digest: The digest of the question.
        limit: The most items of a page; None for all.

    Returns:
        The page, and the cursor of the next one; None if there is none.

    Raises:
        RefusedError: The cursor belongs to another question.
    """
    behind = None if after is None else _rank_of(name_of(after, digest))
    try:
        rest = [one for one in items if behind is None or one[0] > behind]
    except TypeError:
        raise RefusedError(f"after: {BAD_CURSOR}") from None
    page = rest[:limit]
    following = cursor_after(canonical_json(page[-1][0]).decode(), digest) if len(page) < len(rest) else None
    return [item for _, item in page], following


def _rank_of(text: str) -> Rank:
    try:
        rank = json.loads(text)
    except ValueError:
        rank = None
    if not isinstance(rank, list) or not all(isinstance(one, int | str) for one in rank):
        raise RefusedError(f"after: {BAD_CURSOR}")
    return tuple(rank)
