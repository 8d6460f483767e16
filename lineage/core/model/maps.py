"""The large maps of a world, from keys to what is known: in memory, unless a keeper moves what is old out of it."""

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

V = TypeVar("V")

ELEMENTS: Final = "elements"
"""Maps by the key of an element, of what an element names, or of a decision."""
DECISIONS: Final = "decisions"
"""Maps by the id of a decision."""
ACTIONS: Final = "actions"
"""Maps by the id of an action."""


class Maps:
    """Creates maps that keep everything in memory."""

    def of_values(self, of: str, *, prefix: str = "") -> dict[str, Any]:  # noqa: ARG002 (see ``MovableMaps``)
        """Create a map of values that are replaced as a whole.

        Args:
            of: What the map is by, as listed above.
            prefix: What its keys begin with, in addition to those of other maps by the same.
        """
        return {}

    def of_collections(
        self,
        of: str,  # noqa: ARG002 (see ``MovableMaps``)
        make: Callable[[], V],
        size: Callable[[V], int] = len,  # type: ignore[assignment]  # noqa: ARG002 (see ``MovableMaps``)
    ) -> defaultdict[str, V]:
        """Create a map of collections that are changed in place.

        Args:
            of: What the map is by, as listed above.
            make: Makes an empty collection.
            size: Counts the members of a collection.
        """
        return defaultdict(make)

    def trim(self, alive: AbstractSet[str]) -> None:
        """Move what is old out of memory, if there is too much, but not what is alive. Call it between changes only."""


IN_MEMORY: Final = Maps()
