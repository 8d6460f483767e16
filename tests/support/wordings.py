"""Whether statements that search only some runs of the index find the same as those that search all."""

import json
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from ingest import projector
from ingest.codec import api as codec
from ingest.log.port import Log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.events import Event, Target
from lineage.core.revocation.reach import Proposal
from lineage.serve.queries.service import Service
from lineage.store.reading import statements
from lineage.store.store import Store
from tests.support import worlds
from tests.support.postgres_stores import START

_KEYS = ("keys", "elements", "parties", "targets", "registered", "bound")


def some_events(seed: int, count: int = 8) -> list[Event]:
    """Return the events of some worlds that share their names."""
    rng = random.Random(seed)
    items = [item for _ in range(count) for item in worlds.world(rng)]
    return [codec.decode_line(json.dumps(item["event"]).encode()) for item in items]


def in_small_batches(log: Log, store: Store) -> None:
    """Project a log in batches of nine records."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(projector, "BATCH", 9)
        project(log, store, None)


def documents(store: Store, log: Log | None) -> dict[str, Any]:
    """Return what is answered about everything that some events name."""
    service = Service(store, log, Trust(), lambda: START * 2, source="urn:test")
    at = START + 3_600_000_000
    answers: dict[str, Any] = {}
    with store.reader(trust=None) as facts:
        keys = [key for (key,) in facts.connection.execute(sa.text("SELECT DISTINCT key FROM name"))]
    for kind, id_ in sorted(key.split(":", 1) for key in keys if ":" in key):
        if kind in ("token", "delegation"):
            answers[f"status {id_}"] = service.status(kind, id_, at=at)
            answers[f"chain {id_}"] = service.chain(kind, id_, at=at)
        if kind in ("token", "delegation", "principal", "client", "session"):
            answers[f"reach {kind} {id_}"] = service.reach(Proposal(target=Target(kind, id_), at=at))
        if kind == "action":
            answers[f"who {id_}"] = service.who(id_, at=at)
    return answers


def worded_as(wording: str) -> dict[str, Mapping[str, Any]]:
    """Return the statements about facts that have a wording."""
    constants = vars(statements).items()
    return {name: each for name, each in constants if isinstance(each, dict) and wording in each and name != "RUNS"}


def unequal_wordings(connection: sa.Connection, wording: str, asked: list[list[int]]) -> Iterator[tuple[str, int, int]]:
    """Yield each statement that finds something else if it is worded so: its name, how many keys, and the role."""
    for name, worded in worded_as(wording).items():
        roles = range(1, 12) if "role" in worded[wording].compile(dialect=connection.dialect).params else [0]
        for some in asked:
            values = {**dict.fromkeys(_KEYS, some), "most": 1_000_000, "span": 0, "after": -(1 << 63), "killed": [7]}
            for role in roles:
                rows = [
                    sorted(map(repr, connection.execute(worded[each], {**values, "role": role})))
                    for each in (connection.dialect.name, wording)
                ]
                if rows[0] != rows[1]:
                    yield name, len(some), role
