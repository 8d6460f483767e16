"""Queries whose answers are cached, on a random world."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.model.records import Record
from lineage.serve.cache.question_cache import QuestionCache
from lineage.serve.queries.service import Service
from lineage.store.store import Store, open_store
from tests.support import worlds
from tests.support.desk import Desk, day
from tests.support.store_histories import records_of

AT = worlds.moment_of(day("10:00"))


def service_of(store: Store, *, keeps: bool, trust: Trust | None = None) -> Service:
    result = trust or Trust()
    worlds_kept = QuestionCache(store, None, result.table, log_inside=True) if keeps else None
    return Service(store, None, result, lambda: AT, source="urn:test", worlds=worlds_kept)


def in_order(items: list[dict[str, Any]]) -> list[Record]:
    """Return records of a log in the given order."""

    class Unshuffled(random.Random):
        def sample(self, population: Any, k: int, **_: Any) -> list[Any]:  # type: ignore[override]
            return list(population)[:k]

    return records_of(items, Unshuffled())


@contextmanager
def counted(store: Store) -> Iterator[list[str]]:
    """Yield the list of statements that a store runs within the block."""
    lines: list[str] = []

    def hear(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        lines.append(statement)

    sa.event.listen(store.engine, "before_cursor_execute", hear)
    try:
        yield lines
    finally:
        sa.event.remove(store.engine, "before_cursor_execute", hear)


@contextmanager
def keeping_at(desk: Desk) -> Iterator[tuple[Store, Service]]:
    store = open_store(desk.url, codec.read)
    try:
        yield store, service_of(store, keeps=True)
    finally:
        store.close()
