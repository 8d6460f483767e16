"""Logs of hostile records, everything that a projection wrote of them, and whether a process runs."""

import json
import random
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ingest.codec import api as codec
from lineage.core.model.records import DECISIONS, ORDERS, TOPICS, Position, Record
from lineage.store.database.sorted_runs import SORTED
from lineage.store.database.tables import act, fact, name, position, quarantine, ref, sighting, tile, tree
from lineage.store.store import Store
from tests.support import worlds
from tests.support.partitioned_log import PartitionedLog

START = 1_790_000_000_000_000
PARTITIONS = [(DECISIONS, 0), (DECISIONS, 1), (DECISIONS, 2), (ORDERS, 0), (ORDERS, 1)]
TABLES = (fact, sighting, position, act, tree, tile)


def hostile_values(rng: random.Random, count: int) -> list[tuple[str, bytes | None]]:
    """Generate events of small worlds with their topics: many are repeated, in conflict, misrouted or unreadable."""
    values: list[tuple[str, bytes | None]] = []
    while len(values) < count:
        for item in worlds.world(rng):
            values.append((item["via"], codec.encode(codec.decode_line(json.dumps(item["event"]).encode()))))
            kind = rng.random()
            if kind < 0.15:
                values.append(rng.choice(values))  # again, maybe in another partition
            elif kind < 0.2:
                values.append((rng.choice(TOPICS), rng.randbytes(rng.randrange(80))))
            elif kind < 0.25:
                values.append((rng.choice(TOPICS), values[-1][1]))  # an order among decisions does not count
            elif kind < 0.27:
                values.append((rng.choice(TOPICS), None))
            elif kind < 0.3 and (broken := values[-1][1]):
                values.append((rng.choice(TOPICS), broken[: rng.randrange(len(broken))]))
    return values


def hostile_log(rng: random.Random, count: int, *, gaps: bool = False, most: int = 1_000_000) -> PartitionedLog:
    """Build a log of hostile values in several partitions."""
    partitions: dict[tuple[str, int], list[Record]] = {place: [] for place in PARTITIONS}
    offsets = dict.fromkeys(PARTITIONS, 0)
    for at, (topic, value) in enumerate(hostile_values(rng, count)):
        place = rng.choice([each for each in PARTITIONS if each[0] == topic])
        headers = (("origin", rng.randbytes(4)),) if rng.random() < 0.1 else ()
        number = Position(*place, offsets[place]).number
        partitions[place].append(Record(number, START + at * 1_000, value, headers))
        offsets[place] += 1 + (rng.randrange(1, 9) if gaps and rng.random() < 0.03 else 0)
    return PartitionedLog(partitions, most=most)


def rows_of(store: Store) -> dict[str, list[Any]]:
    """Return everything that a projection wrote, in order; entries of the index without the runs that they are in."""
    columns = {table.name: list(table.c) for table in TABLES}
    columns |= {table.name: [column for column in table.c if column.name != "id"] for table in (quarantine, name)}
    if store.engine.dialect.name == "sqlite":
        columns |= {table.name: [column for column in table.c if column.name != "run"] for table in SORTED}
    else:
        columns[ref.name] = list(ref.c)
    with store.connection() as connection:
        return {
            table: [tuple(row) for row in connection.execute(sa.select(*some).distinct().order_by(*some))]
            for table, some in columns.items()
        }


def store_outcomes(rows: dict[str, list[Any]]) -> list[int]:
    """Count conflicts, duplicates and unreadable records, so that the test can check that the log is hostile."""
    outcome = [column.name for column in fact.c].index("outcome")
    return [sum(row[outcome] == 1 for row in rows["fact"]), len(rows["sighting"]), len(rows["quarantine"])]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but is not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
