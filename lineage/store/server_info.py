"""The database server of a store: its version and its clock."""

from typing import NamedTuple

from lineage.core.model.times import Instant
from lineage.store.store import Store


class Database(NamedTuple):
    """A database server.

    Attributes:
        name: Its name, such as ``PostgreSQL`` or ``SQLite``.
        version: Its version, as it reports it.
        now: The time by its clock; None if it uses ours.
    """

    name: str
    version: str
    now: Instant | None


def database_of(store: Store) -> Database:
    """Query the version and the clock of the database server of a store."""
    with store.connection() as connection:
        if connection.dialect.name == "sqlite":
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar_one()
            return Database("SQLite", str(version), None)
        query = "SELECT current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        version, now = connection.exec_driver_sql(query).one()
        return Database("PostgreSQL", str(version), int(now))
