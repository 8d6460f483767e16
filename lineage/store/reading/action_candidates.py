"""Find candidate actions by the index of mentions, without reading facts.

The result may be too large (facts may be unauthorised, or not known then), never too small. If it would be very large,
it is not gathered, because scanning the actions in chronological order is then faster.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from lineage.core.model.references import RefRole
from lineage.core.model.times import Instant
from lineage.store.database.dialects import values_of
from lineage.store.database.sorted_runs import found_by
from lineage.store.database.tables import ref, span_of

NAMING: Final = (RefRole.NAMES, RefRole.PRIOR)
USING: Final = (RefRole.USES,)
ACTING: Final = (RefRole.ACTS, RefRole.ASKS)
MENTIONING: Final = (RefRole.USES, RefRole.MENTIONS, RefRole.ACTS, RefRole.ASKS)


class TooManyCandidatesError(Exception):
    """There are more candidates than are gathered."""


@cache
def _about(dialect: str, roles: tuple[int, ...], *, bounded: bool) -> sa.Select[Any]:
    """Select the rows that mention one of some keys in one of some roles."""
    of_role = ref.c.role.in_([sa.literal_column(str(role)) for role in roles])
    until = ref.c.until > sa.bindparam("span") if bounded else ref.c.until == 0
    return found_by(dialect, ref.c.key, "keys", [ref.c.about], until, of_role).limit(sa.bindparam("most"))


@cache
def _below(dialect: str) -> sa.Select[Any]:
    """Select some elements and everything that depends on them."""
    below = values_of("keys").cte("below", recursive=True)
    depends = (ref.c.until > 0, ref.c.role == sa.literal_column(str(RefRole.DEPENDS)))
    below = below.union(found_by(dialect, ref.c.key, below, [ref.c.about], *depends))
    return sa.select(below.c.key).limit(sa.bindparam("most"))


class Candidates:
    """Gathers the hashes of actions, within a budget for one question."""

    def __init__(self, connection: Connection, most: int) -> None:
        """Use a snapshot of the store, and read at most ``most`` rows of it."""
        self._connection = connection
        self._left = most

    def naming(self, names: Collection[int]) -> set[int]:
        """Return the elements that name or assert some names, and everything that depends on these."""
        return self.below(self._found(_about(self._dialect, NAMING, bounded=True), names))

    def held(self, names: Collection[int], at: Instant) -> set[int]:
        """Return the elements that some names may hold at an instant: those naming them, and tokens exchanged for them.

        Only the token with which a token was exchanged may tell who uses it.
        """
        naming = self._found(_about(self._dialect, NAMING, bounded=True), names, span_of(at))
        return naming | self._found(_about(self._dialect, (RefRole.DEPENDS,), bounded=True), naming, span_of(at))

    def below(self, elements: Collection[int]) -> set[int]:
        """Return some elements and everything that depends on them."""
        return self._found(_below(self._dialect), elements)

    def acts(self, keys: Collection[int], roles: Sequence[int]) -> set[int]:
        """Return the actions and decisions that mention some keys in some roles, and the actions of these decisions."""
        found = self._found(_about(self._dialect, tuple(roles), bounded=False), keys)
        return found | self._found(_about(self._dialect, USING, bounded=False), found)

    @property
    def _dialect(self) -> str:
        return self._connection.dialect.name

    def _found(self, statement: sa.Select[Any], keys: Collection[int], span: int = 0) -> set[int]:
        if not keys:
            return set()
        asked = {"keys": list(keys), "most": self._left + 1, "span": span}
        rows = self._connection.execute(statement, asked).scalars().all()
        self._left -= len(rows)
        if self._left < 0:
            raise TooManyCandidatesError
        return set(rows)
