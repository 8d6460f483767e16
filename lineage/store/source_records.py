"""Data about foreign logs besides their events: the memory of adapters, and counts of outcomes.

None of it is projected from the log, so a rebuild does not change it.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import sqlalchemy as sa

from lineage.core.model.times import Instant
from lineage.store.database.dialects import storable, wait_for_turn, writing
from lineage.store.database.tables import source_count, source_memory
from lineage.store.store import Store

_FORGET: Final = source_memory.delete().where(
    source_memory.c.source == sa.bindparam("of"),
    source_memory.c.topic == sa.bindparam("in_topic"),
    source_memory.c.key == sa.bindparam("at_key"),
)

# An index entry of PostgreSQL takes at most 2,704 bytes. Ids have at most 512: a longer key is useless after a restart.
_LONGEST_KEY: Final = 2_000

Remembered = tuple[str, str, str | None]
"""Topic, key and value in JSON; a value of None deletes the entry."""

Outcome = tuple[str, str]
"""The outcome of records (``record``, ``event``, ``skipped``, ``quarantined``), and the reason."""


class Count(NamedTuple):
    """The number of records of a source with one outcome; the columns of the table.

    Attributes:
        source: The name of the source.
        format: The format of its log.
        outcome: The outcome.
        reason: The reason; may be empty.
        records: The number of records.
        came_at: When the last of them arrived.
        latest: The latest time that any of them states, by the clock of the foreign log.
    """

    source: str
    format: str
    outcome: str
    reason: str
    records: int
    came_at: Instant
    latest: Instant | None


class SourceRecords:
    """The records about sources in a store."""

    def __init__(self, store: Store) -> None:
        """Use a store."""
        self._store = store

    def remembered(self, source: str, topic: str | None = None) -> list[Remembered]:
        """Return the memory of a source's adapter, oldest entry first, for one topic or for all."""
        table = source_memory.c
        query = sa.select(table.topic, table.key, table.value).where(table.source == storable(source))
        if topic is not None:
            query = query.where(table.topic == topic)
        with self._store.connection() as connection:
            return [(row.topic, row.key, row.value) for row in connection.execute(query.order_by(table.id))]

    def keep(
        self,
        source: str,
        format_: str,
        changes: Iterable[Remembered],
        counts: Mapping[Outcome, int],
        *,
        came_at: Instant,
        latest: Instant | None,
    ) -> None:
        """Store changes of an adapter's memory, and add to the counts, in one transaction."""
        of = storable(source)
        rows = [
            (topic, kept_key, value)
            for topic, key, value in changes
            if len((kept_key := storable(key)).encode()) <= _LONGEST_KEY
        ]
        with writing(self._store.engine) as connection:
            wait_for_turn(connection)
            if rows:
                connection.execute(_FORGET, [{"of": of, "in_topic": topic, "at_key": key} for topic, key, _ in rows])
            kept = [
                {"source": of, "topic": topic, "key": key, "value": value}
                for topic, key, value in rows
                if value is not None
            ]
            if kept:
                connection.execute(source_memory.insert(), kept)
            for (outcome, reason), count in counts.items():
                self._add(connection, (of, format_, outcome, storable(reason)), count, came_at, latest)

    @staticmethod
    def _add(
        connection: sa.Connection, key: tuple[str, str, str, str], count: int, came_at: Instant, latest: Instant | None
    ) -> None:
        source, format_, outcome, reason = key
        table = source_count.c
        mine = (table.source == source, table.format == format_, table.outcome == outcome, table.reason == reason)
        found = connection.execute(sa.select(table.records, table.latest).where(*mine)).first()
        if found is None:
            values = {"source": source, "format": format_, "outcome": outcome, "reason": reason}
            connection.execute(
                source_count.insert(), [values | {"records": count, "came_at": came_at, "latest": latest}]
            )
            return
        moments = [moment for moment in (found.latest, latest) if moment is not None]
        connection.execute(
            source_count.update()
            .where(*mine)
            .values(records=found.records + count, came_at=came_at, latest=max(moments, default=None))
        )

    def counts(self) -> list[Count]:
        """Return the counts of every source, sorted."""
        table = source_count.c
        query = sa.select(source_count).order_by(table.source, table.format, table.outcome, table.reason)
        with self._store.connection() as connection:
            return [Count(*row) for row in connection.execute(query)]
