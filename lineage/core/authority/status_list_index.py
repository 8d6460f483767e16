"""Index which tokens claim which entries of status lists. Pure."""

from typing import Final

from lineage.core.model.events import StatusList, TokenIssued
from lineage.core.model.times import Instant

# How many other tokens at one entry a finding names; beyond this it only says that there are more.
MOST_SHARING: Final = 100
LARGEST: Final = 2**24  # The number of entries of a list; a larger index is invalid.


def is_listed(idx: int) -> bool:
    """Whether an index is valid in a list."""
    return 0 <= idx < LARGEST


class Listings:
    """Tokens by status list entry, and the length of each list.

    Attributes:
        tokens: The keys of the tokens that claim an entry; more than one is a conflict.
        last: The highest valid index of each list, by its URI.
        since: When the first token of each list was issued.
    """

    def __init__(self) -> None:
        """Start without lists."""
        self.tokens: dict[StatusList, tuple[str, ...]] = {}
        self.last: dict[str, int] = {}
        self.since: dict[str, Instant] = {}

    def add(self, body: TokenIssued, occurred_at: Instant) -> None:
        """Add the entries that one event claims for a token."""
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
