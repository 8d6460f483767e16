"""Cursors of lists in time order: a place, and the question that it belongs to."""

import hashlib
from typing import Any, Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import canonical_json
from lineage.store.acts_in_time import Place

BAD_CURSOR: Final = "is not the `next` of this list; begin again without it"


def digest_of(question: dict[str, Any]) -> str:
    """Compute a digest that differs between different questions."""
    return hashlib.blake2b(canonical_json(question), digest_size=6).hexdigest()


def said_of(place: Place, digest: str) -> str:
    """Encode a place in the list of a question as a text.

    Examples:
        >>> place_of(said_of(Place(4711, 12), "ab"), "ab")
        Place(at=4711, n=12)
    """
    return f"{place.at:x}.{place.n:x}.{digest}"


def place_of(said: str, digest: str) -> Place:
    """Decode a place that ``said_of`` encoded.

    Raises:
        RefusedError: The text is not a place, or belongs to another question.
    """
    try:
        at, number, question = said.split(".")
        place = Place(int(at, 16), int(number, 16))
    except ValueError:
        raise RefusedError(f"after: {BAD_CURSOR}") from None
    if question != digest or not (0 <= place.at < 1 << 62 and 0 <= place.n < 1 << 62):
        raise RefusedError(f"after: {BAD_CURSOR}")
    return place
