"""Which tokens are said to stand where in status lists. Pure."""

from typing import Final

from lineage.core.model.events import StatusList, TokenIssued
from lineage.core.model.times import Instant

MOST_SHARING: Final = 100  # other tokens at one place that are named; of more it is only said that there are more
LARGEST: Final = 2**24  # entries of a list; what is said to stand beyond is in none


def is_listed(idx: int) -> bool:
    """Whether a place can be in a list."""
    return 0 <= idx < LARGEST


class Listings:
    """Tokens by their places, and how far each list goes.

    Attributes:
        tokens: The keys of the tokens that are said to stand at a place; two are one too many.
        last: The last place of each list that can be in one, by its URI.
        since: When the first token of each list was issued.
    """

    def __init__(self) -> None:
        """Start with no list."""
        self.tokens: dict[StatusList, tuple[str, ...]] = {}
        self.last: dict[str, int] = {}
        self.since: dict[str, Instant] = {}

    def add(self, body: TokenIssued, occurred_at: Instant) -> None:
        """Take in what one event says of a token."""
        place = body.status_list
        if place is None:
            return
        key = f"token:{body.token}"
        known = self.tokens.get(place, ())
        if key not in known:
            self.tokens[place] = (*known, key)
        if is_listed(place.idx):
            self.last[place.uri] = max(place.idx, self.last.get(place.uri, 0))
            issued_at = occurred_at if body.issued_at is None else body.issued_at
            self.since[place.uri] = min(issued_at, self.since.get(place.uri, issued_at))
