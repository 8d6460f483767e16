"""The statements of the hot paths against SQLite's planner: each goes through an index, whatever the store holds."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from ingest import codec
from lineage.store import projection, questions
from lineage.store.sql import among
from lineage.store.store import open_store
from lineage.store.tables import fact

STATEMENTS = {
    "facts above": questions._FACTS_ABOVE,
    "keys below": questions._KEYS_BELOW,
    "a party": questions._PARTY,
    "facts about": questions._FACTS_ABOUT,
    "facts referring": questions._FACTS_REFERRING,
    "facts mentioning": questions._FACTS_MENTIONING,
    "elements naming": questions._NAMING,
    "bounds of a batch": projection._BOUNDS,
    "stored parents of a batch": projection._PARENTS,
    "identities of a batch": sa.select(fact.c.n).where(among(fact.c.ident, "keys")),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_reads_a_whole_table(tmp_path: Path, name: str):
    """
    A question costs what it is about and not what the store holds: facts and references are searched, never scanned.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    with store.connection() as connection:
        compiled = STATEMENTS[name].compile(dialect=connection.dialect)
        values = tuple("[1, 2]" if parameter == "keys" else 1 for parameter in compiled.positiontup)
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]
    store.close()

    assert plan
    assert [] == [step for step in plan if step.startswith(("SCAN fact", "SCAN ref", "SCAN sighting"))]
