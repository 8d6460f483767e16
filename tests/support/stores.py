"""A fresh store on either database, for tests that apply to both."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Engine

from lineage.store.database import engine as opening
from lineage.store.database.key_runs import key_runs
from lineage.store.database.sorted_runs import on_postgresql, sorted_ref
from lineage.store.database.tables import metadata
from tests.support import servers

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

Fresh = Callable[[], AbstractContextManager[str]]
"""Returns a URL for a store that does not exist yet."""


def fresh_places(request: pytest.FixtureRequest) -> Iterator[Fresh]:
    """Yield what a fixture over ``KINDS`` needs, for any number of stores."""
    if request.param == "sqlite":
        yield in_a_file
    else:
        with servers.fresh_database(request.getfixturevalue("postgres")) as database:
            yield in_schemas(database)


@contextmanager
def in_a_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/store.db"


def in_schemas(database: str) -> Fresh:
    """Yield URLs, each with a separate schema; a returned one is emptied and reused, which saves time."""
    engine = sa.create_engine(
        sa.make_url(database).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
        poolclass=sa.NullPool,
    )
    numbers, free = count(1), list[str]()

    @contextmanager
    def in_a_schema() -> Iterator[str]:
        schema = free.pop() if free else f"store_{next(numbers)}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        yield f"{database}?options={quote(f'-c search_path={schema}')}"
        written = {*metadata.tables, *on_postgresql.tables, sorted_ref.name, key_runs.name} - {"meta", "ref"}
        tables = ", ".join(f'{schema}."{table}"' for table in sorted(written))
        with engine.connect() as connection:
            connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY")
            connection.exec_driver_sql(f"DELETE FROM {schema}.meta WHERE name NOT IN ('id', 'secret')")
            connection.exec_driver_sql(f"INSERT INTO {schema}.run VALUES (1, 0, 0, (random() * 1e18)::bigint)")
        free.append(schema)

    return in_a_schema


@contextmanager
def quick_creation() -> Iterator[None]:
    """Create the tables of an empty SQLite store by the statements that all migrations together lead to.

    The migrations are run once for each process of the tests, and on every store that is not empty. Running them all
    again for each of some thousand stores takes a fourth of the time of the suite.
    """
    migrate, known = command.upgrade, list[str]()

    def upgrade(config: Config, revision: str, **more: Any) -> None:
        connection = config.attributes["connection"]
        if connection.dialect.name != "sqlite" or opening.revision_of(connection) is not None or revision != "head":
            migrate(config, revision, **more)
            return
        if not known:
            known.extend(_statements(migrate))
        for statement in known:
            connection.exec_driver_sql(statement)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(command, "upgrade", upgrade)
        yield


def _statements(migrate: Callable[..., None]) -> list[str]:
    """Return what creates the tables, with the rows that the migrations add."""
    config = Config()
    config.set_main_option("script_location", str(opening._MIGRATIONS))
    with in_a_file() as url:
        engine = opening.connect(url, create=True)
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            migrate(config, "head")
            dump = list(connection.connection.driver_connection.iterdump())
        engine.dispose()
    return [statement for statement in dump if statement not in ("BEGIN TRANSACTION;", "COMMIT;")]


def downgrade(engine: Engine, revision: str) -> None:
    """Migrate a store back to an older version."""
    config = Config()
    config.set_main_option("script_location", str(opening._MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
