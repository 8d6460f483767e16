"""How statements on SQLite ask in which runs of the index a key may be: a function that the connection of a reader has.

The function answers from filters that its process has in memory (``reading.possible_runs``).
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Integer

from lineage.store.database.dialects import values_of

IN_RUNS_ON_SQLITE: Final = "sqlite in runs"  # the wording of statements that use this, instead of the name of SQLite
RUNS_OF: Final = "delegraph_runs_of"  # returns the numbers of runs, as JSON


def runs_of_each(key: sa.ColumnElement[int]) -> Any:
    """Return the runs that may have a key as a table with the column ``value``, to be joined with that of the key."""
    runs: sa.Function[str] = sa.Function(RUNS_OF, key)
    return sa.func.json_each(runs).table_valued(sa.column("value", Integer))


def runs_of_keys_on_sqlite(keys: str) -> sa.Select[int]:
    """Select the runs that may have one of some keys, the parameter of that name; a run may be repeated."""
    asked = values_of(keys).subquery()
    runs = runs_of_each(asked.c.key)
    return sa.select(runs.c.value.label("id")).select_from(asked.join(runs, sa.true()))
