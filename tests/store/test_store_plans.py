"""The query plans of the hot paths: each statement uses an index, whatever the content of the store."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from benchmarks import events
from ingest.codec import api as codec
from ingest.projector import read_records
from lineage.core.model.records import DECISIONS, Batch, Position, Record
from lineage.store import acts_in_time
from lineage.store.database.dialects import values_of
from lineage.store.database.key_runs import IN_RUNS
from lineage.store.database.run_function import IN_RUNS_ON_SQLITE, RUNS_OF
from lineage.store.database.sorted_runs import ident_among
from lineage.store.database.tables import fact
from lineage.store.reading import acted, statements
from lineage.store.store import Store, open_store
from lineage.store.writing import projection
from tests.support import stores

FACTS = 50_000


def _by_dialect(which: int) -> dict[str, Any]:
    """Return one of the two statements that count what a principal did, for each database."""
    return {
        dialect: acted._statements(dialect, by_source=False, by_time=False)[which]
        for dialect in ("sqlite", "postgresql")
    }


STATEMENTS: dict[str, Any] = {
    "facts above": statements.FACTS_ABOVE,
    "keys below": statements.KEYS_BELOW,
    "a party": statements.PARTY,
    "facts about": statements.FACTS_ABOUT,
    "facts referring": statements.FACTS_REFERRING,
    "facts mentioning": statements.FACTS_MENTIONING,
    "elements naming": statements.NAMING,
    "number of elements besides": statements.COUNT_OTHERS,
    "first elements besides": statements.FIRST_OTHERS,
    "children": statements.CHILDREN,
    "number of children": statements.COUNT_CHILDREN,
    "numbers of facts that mention a thing": statements.numbers_mentioning(7, 100)[0],
    "numbers of facts that are about a thing": statements.numbers_mentioning(7, 100)[1],
    "facts at": statements.FACTS_AT,
    "actions of an actor": _by_dialect(0),
    "actions of the decisions of a requester": _by_dialect(1),
    "bounds of a batch": projection._BOUNDS,
    "stored parents of a batch": projection._PARENTS,
    "longest of a run": statements.LONGEST_NAMING_IN_RUN,
    "facts with some identities": sa.select(fact.c.n).where(ident_among(values_of("keys"))),
    "identities of a batch": projection._KNOWN,
    "earlier facts about the actions of a batch": acts_in_time._EARLIER,
}
# The wordings for many keys in many runs, on PostgreSQL.
NARROWED: dict[str, Any] = {
    f"{name}, in runs that may have them": worded[IN_RUNS]
    for name, worded in STATEMENTS.items()
    if isinstance(worded, dict) and IN_RUNS in worded
}
# Those on SQLite, whose connection has a function for that.
NARROWED_ON_SQLITE: dict[str, Any] = {
    f"{name}, in runs that may have them": worded[IN_RUNS_ON_SQLITE]
    for name, worded in {**STATEMENTS, "around": statements.AROUND, "nearby": statements.WITH_NEARBY}.items()
    if isinstance(worded, dict) and IN_RUNS_ON_SQLITE in worded
}
OF_REFERENCES = {"sorted_ref_pkey", "sorted_ref_upward"}
TABLES = {"fact", "sorted_ref", "sighting", "fact_pkey", "fact_run_ident", "fact_run_about", *OF_REFERENCES}
OF_FACTS_ALONE = {
    "facts about",
    "facts about, in runs that may have them",
    "facts at",
    "facts with some identities",
    "identities of a batch",
    "earlier facts about the actions of a batch",
}
OF_FACTS_ALONE |= {name for name in STATEMENTS if "are about" in name}
BY_KEY = re.compile(r"\b(about|key) = ")
BY_IDENTITY = re.compile(r"\b(about|ident|n) (=|>=)")
CONDITIONS = {"Index Cond", "Recheck Cond"}


def statement(name: str, dialect: Dialect) -> Any:
    """Return a statement as it is sent to a database."""
    narrowed = NARROWED_ON_SQLITE if dialect.name == "sqlite" else NARROWED
    found = STATEMENTS[name] if name in STATEMENTS else narrowed[name]
    return (found[dialect.name] if isinstance(found, dict) else found).compile(dialect=dialect)


@pytest.fixture(scope="module")
def on_sqlite(request: pytest.FixtureRequest) -> Iterator[Store]:
    with stores.in_a_file() as url:
        store = open_store(url, codec.read, create=True)
        yield store
        store.close()


@pytest.fixture(scope="module", params=["analyzed", "filled just now"])
def on_postgres(request: pytest.FixtureRequest, postgres: str) -> Iterator[Store]:
    """Create a store of some size, with or without statistics for the planner."""
    with stores.servers.fresh_database(postgres) as url:
        store = open_store(url, codec.read, create=True)
        with store.engine.begin() as connection:
            for table in ("fact", "sorted_ref", "sighting"):
                connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        values = [codec.encode(event) for event in events.a_day(FACTS)]
        for partition, part in enumerate((values, values[: FACTS // 10])):  # some of them twice
            batch = Batch(advance={(DECISIONS, partition): (0, len(part))})
            records = [
                Record(Position(DECISIONS, partition, offset).number, events.START, value)
                for offset, value in enumerate(part)
            ]
            read_records(records, None, batch)
            store.write(batch)
        with store.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            if request.param == "analyzed":
                connection.exec_driver_sql("ANALYZE")
        yield store
        store.close()


@pytest.mark.parametrize("name", [*STATEMENTS, *NARROWED_ON_SQLITE])
def test_no_statement_reads_a_whole_table(on_sqlite: Store, name: str):
    """
    The cost of a query depends on its subject and not on the store: facts and references are searched, never scanned.
    """
    with on_sqlite.connection() as connection:
        raw: Any = connection.connection.driver_connection
        raw.create_function(RUNS_OF, 1, lambda _: "[1]", deterministic=True)
        compiled = statement(name, connection.dialect)
        values = tuple("[1, 2]" if parameter in {"keys", "killed"} else 1 for parameter in compiled.positiontup)
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values)]

    assert plan
    whole = ("SCAN fact", "SCAN sorted", "SCAN sighting", "SEARCH fact USING INDEX")
    # All entries of a run are not found by a key either.
    assert [] == [step for step in plan if step.startswith(whole) or step.endswith("(run=?)")]
    assert [] == [step for step in plan if "AUTOMATIC" in step]


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", []):
        yield from steps(below)


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("name", [*STATEMENTS, *NARROWED])
@pytest.mark.parametrize("size", [1, 40, 2_000])
def test_no_statement_reads_a_whole_table_on_postgresql(on_postgres: Store, name: str, size: int):
    """The same on PostgreSQL, for a few keys and for many."""
    rng = random.Random(size)
    with on_postgres.connection() as connection:
        known = connection.exec_driver_sql("SELECT key FROM ref WHERE role = 1 ORDER BY n LIMIT 5000").scalars().all()
        keys = rng.sample(known, size)
        compiled = statement(name, connection.dialect)
        values = {parameter: keys if parameter in {"keys", "killed"} else 1 for parameter in compiled.params}
        values |= {"key": keys[0]} if "key" in values else {}
        values |= {"runs": [1] * len(keys)} if "runs" in values else {}
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", values).scalar_one()
    plan = found if isinstance(found, list) else json.loads(found)

    whole = [step for step in steps(plan[0]["Plan"]) if "Scan" in step["Node Type"] and not CONDITIONS & step.keys()]
    assert [] == [step["Node Type"] for step in whole if TABLES & {step.get("Relation Name"), step.get("Index Name")}]
    # A role or a run alone is no condition: it would be every row of it, for each key that is asked about.
    searched = [step for step in steps(plan[0]["Plan"]) if step.get("Index Name") in OF_REFERENCES]
    assert bool(searched) == (name not in OF_FACTS_ALONE)
    assert [] == [step["Index Cond"] for step in searched if not BY_KEY.search(step["Index Cond"])]
    of_facts = [step for step in steps(plan[0]["Plan"]) if step.get("Index Name", "").startswith("fact_")]
    assert [] == [step["Index Cond"] for step in of_facts if not BY_IDENTITY.search(step["Index Cond"])]
