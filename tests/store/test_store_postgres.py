"""The contract of a store on PostgreSQL besides its answers: errors, roles, repair, restart."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import pytest
import sqlalchemy as sa

from compose.native.postgres import Postgres
from ingest.codec import api as codec
from ingest.log.port import Log, entry_of
from ingest.opening import open_log
from ingest.projector import project
from ingest.trust_file import Trust
from lineage.core.model.errors import DelegraphError, IntegrityError, RefusedError, UnavailableError
from lineage.core.model.events import Event, Target, TokenIssued
from lineage.core.model.keys import key_of
from lineage.core.revocation.reach import Proposal
from lineage.serve.commands import maintenance
from lineage.serve.queries.service import Service
from lineage.store.acts_in_time import COLUMNS
from lineage.store.plans import stored_plan
from lineage.store.reading.descendants import load_below
from lineage.store.rebuild import swap
from lineage.store.store import Store, open_store
from tests.support import worlds
from tests.support.postgres_stores import a_store, execute, unequal

pytestmark = pytest.mark.postgres
START = 1_790_000_000_000_000


def event(number: int) -> Event:
    body = TokenIssued(token=f"t{number}", subject="human:alice", expires_at=START * 2)
    return Event(event_id=f"e{number}", source="urn:s", occurred_at=START, body=body)


@contextmanager
def a_log(folder: Path, events: int) -> Iterator[Log]:
    log = open_log(f"sqlite:///{folder}/log.db", create=True, clock=lambda: START)
    log.append(entry_of(event(number)) for number in range(events))
    yield log
    log.close()


def a_service(store: Store, log: Log | None) -> Service:
    return Service(store, log, Trust(), lambda: START, source="urn:test")


# Connecting


WRONG: dict[str, tuple[Callable[[str], str], type[DelegraphError], str]] = {
    "another password": (
        lambda url: url.replace(f":{urlsplit(url).password}@", ":wrong-secret@"),
        RefusedError,
        "refuses this user and password",
    ),
    "another password in the query": (
        lambda url: url.replace(f":{urlsplit(url).password}@", "@") + "?password=wrong-secret",
        RefusedError,
        "refuses this user and password",
    ),
    "no such database": (lambda url: f"{url}-not", UnavailableError, "create the database with createdb"),
    "nobody listens": (
        lambda url: url.replace(f":{urlsplit(url).port}/", ":1/"),
        UnavailableError,
        "Connection refused",
    ),
    "no such host": (lambda url: url.replace("127.0.0.1", "nobody.invalid"), UnavailableError, "does not answer"),
    "TLS of a server that has none": (
        lambda url: f"{url}?sslmode=require",
        RefusedError,
        "check sslmode and sslrootcert",
    ),
    "an unknown parameter": (lambda url: f"{url}?colour=red", RefusedError, "colour"),
    "an unknown setting": (lambda url: f"{url}?options=-c%20colour%3Dred", RefusedError, "colour"),
    "a schema that is not there": (
        lambda url: f"{url}?options=-c%20search_path%3Dnowhere",
        RefusedError,
        "create it with CREATE SCHEMA",
    ),
    "another driver": (
        lambda url: url.replace("postgresql://", "postgresql+asyncpg://"),
        RefusedError,
        "write postgresql://",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_a_failed_connection_is_reported_in_one_clear_sentence(postgres_url: str, name: str):
    """The message names the cause and its remedy, and never a password."""
    wrong, kind, words = WRONG[name]

    with pytest.raises(DelegraphError) as raised:
        open_store(wrong(postgres_url), codec.read, create=True)
    assert kind is type(raised.value)
    assert words in str(raised.value)
    assert "wrong-secret" not in str(raised.value)
    assert str(urlsplit(postgres_url).password) not in str(raised.value)


def test_an_invalid_url_is_not_repeated_with_its_password():
    """A mistake in the URL does not reveal the password in a message."""
    with pytest.raises(RefusedError) as raised:
        open_store("postgresql:/user:hush@host/db", codec.read)
    assert "hush" not in str(raised.value)


def test_the_password_may_be_given_separately(postgres_url: str):
    """A separate password is used, whatever the URL contains, and the store's own URL never shows it."""
    secret = str(urlsplit(postgres_url).password)
    without_password = postgres_url.replace(f":{secret}@", "@")

    store = open_store(without_password, codec.read, create=True, password=secret)
    assert {} == store.positions()
    assert secret not in store.url
    store.close()


def test_a_database_of_another_application_is_not_changed(postgres_url: str):
    """If it has other tables nothing is created, and the message says so."""
    execute(postgres_url, "CREATE TABLE invoices (id int)")

    with pytest.raises(UnavailableError, match="not a delegraph store"):
        open_store(postgres_url, codec.read, create=True)
    assert [("invoices",)] == execute(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def test_an_empty_database_is_not_a_store(postgres_url: str):
    """Without tables there is no store, and the message says how to create them."""
    with pytest.raises(UnavailableError, match="is empty; create its tables with 'delegraph init'"):
        open_store(postgres_url, codec.read)


def test_every_connection_has_a_name_and_time_limits(postgres_url: str):
    """The server shows delegraph; a query neither runs nor waits for ever; the URL may override both."""
    names = ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with a_store(postgres_url) as store, store.connection() as connection:
        assert ("delegraph", "30s", "10s", "1min") == tuple(connection.exec_driver_sql(asked).one())
    own = f"{postgres_url}?options=-c%20statement_timeout%3D5s&application_name=mine"
    with a_store(own) as store, store.connection() as connection:
        assert ("mine", "5s", "10s", "1min") == tuple(connection.exec_driver_sql(asked).one())


def test_the_packed_columns_are_not_compressed(postgres_url: str):
    """They are mostly hashes: the server would try to shorten each of them for nothing, with every batch."""
    with a_store(postgres_url) as store, store.connection() as connection:
        query = "SELECT attname FROM pg_attribute WHERE attrelid = 'act'::regclass AND attstorage = 'e' AND attnum > 0"
        found = set(connection.execute(sa.text(query)).scalars())

    assert set(COLUMNS) == found


def test_a_frozen_writer_soon_loses_its_turn(postgres_url: str):
    """A writer may take long; but frozen in the middle of its transaction it delays the others for seconds only."""
    asked = "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    with a_store(postgres_url) as store, store._write() as connection:
        assert ("0", "20s") == tuple(connection.exec_driver_sql(asked).one())


# Errors of a store in use


def test_a_connection_that_breaks_in_a_question_is_not_used_again(postgres_url: str):
    """
    The question fails with one clear sentence, and the next one is answered.
    """
    with a_store(postgres_url) as store, a_store(postgres_url, create=False) as other:

        def ask() -> None:
            with store.reader(trust=None) as reader:
                assert [] == reader.facts_about(["token:t1"])
                raw: Any = reader.connection.connection.driver_connection
                with other.connection() as killing:
                    killing.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (raw.info.backend_pid,))
                reader.facts_about(["token:t1"])

        with pytest.raises(UnavailableError, match=r"does not answer|cannot be reached|terminat"):
            ask()
        with store.reader(trust=None) as reader:
            assert [] == reader.facts_about(["token:t1"])


def test_a_query_that_takes_too_long_is_cancelled(postgres_url: str):
    """The error says how to allow more time."""
    with (
        a_store(f"{postgres_url}?options=-c%20statement_timeout%3D50") as store,
        pytest.raises(UnavailableError, match="statement_timeout"),
        store.connection() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(20)")


def test_a_query_is_read_only_and_sees_one_snapshot(postgres_url: str, tmp_path: Path):
    """Writes by others during a query are not part of its answer."""
    with a_log(tmp_path, 10) as log, a_store(postgres_url) as store, store.snapshot() as still:
        project(log, store, None)

        assert {} == still.positions()
        assert 0 == still.sizes()["fact"]
        assert 10 == store.sizes()["fact"]
        with pytest.raises(UnavailableError, match="read-only"), still.connection() as connection:
            connection.exec_driver_sql("DELETE FROM fact")


def test_a_store_survives_a_restart_of_the_server(own_postgres: Callable[[Path], Postgres], tmp_path: Path):
    """
    While the database is unavailable queries report it; when it is back, even the first of them is answered by the same
    store object, and so are writers.
    """
    server = own_postgres(tmp_path)
    with a_log(tmp_path, 20) as log, a_store(server.url()) as store:
        assert 20 == project(log, store, None)
        threads = [threading.Thread(target=store.positions) for _ in range(4)]  # some connections in the pool
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for end in (server.stop, server.kill):
            end()
            for _ in range(3):
                with pytest.raises(UnavailableError):
                    store.positions()
            with pytest.raises(UnavailableError):
                store.write(batch_of(log, 0))
            server.start()
            assert 20 == store.sizes()["fact"]

        log.append([entry_of(event(20))])
        assert 1 == project(log, store, None)
        assert [] == unequal(store, log, tmp_path)


def batch_of(log: Log, start: int) -> Any:
    from ingest.projector import read_records
    from lineage.core.model.records import DECISIONS, Batch

    records, following = log.read(DECISIONS, 0, start, limit=100)
    batch = Batch(advance={(DECISIONS, 0): (start, following)})
    read_records(records, None, batch)
    return batch


def test_a_batch_is_lost_as_a_whole_if_the_server_dies(own_postgres: Callable[[Path], Postgres], tmp_path: Path):
    """It is not there afterwards, and can be written again."""
    server = own_postgres(tmp_path)
    with a_log(tmp_path, 5) as log, a_store(server.url()) as store:
        store.bind(log.identity)
        batch = batch_of(log, 0)

        def dying() -> None:
            with store._write() as connection:
                store._projection.write(connection, batch)
                server.kill()

        with pytest.raises(UnavailableError):
            dying()
        server.start()

        assert {} == store.positions()
        store.write(batch)
        assert [] == unequal(store, log, tmp_path)


# A role that only reads


@pytest.fixture
def role(postgres: str) -> Iterator[str]:
    """Create a role of the server, dropped after the database in which it has privileges."""
    name = f'Reader "{uuid4().hex}"'
    quoted = '"' + name.replace('"', '""') + '"'
    execute(postgres, f"CREATE ROLE {quoted} LOGIN PASSWORD 'reading'")
    yield name
    execute(postgres, f"DROP ROLE {quoted}")


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{quote(role)}:reading@{parts.hostname}:{parts.port}").geturl()


def test_a_reader_may_query_everything_and_write_nothing(role: str, postgres_url: str, tmp_path: Path):
    """Every query is answered for a read-only role; a command that writes says that it may not."""
    with a_log(tmp_path, 5) as log, a_store(postgres_url) as store:
        project(log, store, None)
        store.grant_reader(role)
        store.grant_reader(role)
        with a_store(as_role(postgres_url, role), create=False) as reading:
            service = a_service(reading, log)
            assert "active" == service.status("token", "t1", at=START)["state"]
            reach = service.reach(Proposal(target=Target("principal", "human:alice"), at=START), stale=True)
            assert 5 == len(reach["kills"]["tokens"])
            assert stored_plan(reading, reach["plan_digest"]) is None  # it is not stored, which is a warning in the log
            assert ["token:t1"] == reading.search("T1", limit=5)
            log.append([entry_of(event(5))])
            with pytest.raises(UnavailableError, match="lacks a privilege"):
                project(log, reading, None)


def test_a_missing_role_is_reported(postgres_url: str):
    """A reader must exist before it can be granted access."""
    with a_store(postgres_url) as store, pytest.raises(RefusedError, match="create it with CREATE ROLE"):
        store.grant_reader("nobody at all")


# Repair


def test_damage_is_found_and_repaired(role: str, postgres_url: str, tmp_path: Path):
    """
    fsck finds missing rows; rebuild restores them from the log, and the privileges of a reader survive it.
    """
    with a_log(tmp_path, 50) as log, a_store(postgres_url) as store:
        project(log, store, None)
        store.grant_reader(role)
        service = a_service(store, log)
        checked = maintenance.fsck(service, lambda _: None)
        assert (True, 50) == (checked["ok"], checked["records"])
        execute(postgres_url, "DELETE FROM ref WHERE mod(n, 7) = 0", "DELETE FROM fact WHERE mod(n, 11) = 0")
        edition = store.edition()

        assert not maintenance.fsck(service, lambda _: None)["ok"]
        assert 50 == maintenance.rebuild(service, lambda _: None)["records"]
        assert maintenance.fsck(service, lambda _: None)["ok"]
        assert edition != store.edition()
        assert [("public",)] == execute(
            postgres_url, "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname != 'information_schema'"
        )
        with a_store(as_role(postgres_url, role), create=False) as reading:
            assert 50 == reading.sizes()["fact"]
            assert "active" == a_service(reading, log).status("token", "t11", at=START)["state"]
        log.append([entry_of(event(50))])
        assert 1 == project(log, store, None)
        assert maintenance.fsck(service, lambda _: None)["ok"]


@pytest.mark.slow
def test_questions_are_answered_and_facts_ingested_while_it_is_rebuilt(postgres_url: str, tmp_path: Path):
    """
    During repeated rebuilds every query is answered with at least the facts known before, and a consumer continues.
    """
    with a_log(tmp_path, 300) as log, a_store(postgres_url) as store, a_store(postgres_url) as consuming:
        project(log, store, None)
        done, faults = threading.Event(), list[str]()

        def watched(work: Callable[[], None]) -> threading.Thread:
            def run() -> None:
                try:
                    while not done.is_set():
                        work()
                except Exception as error:  # noqa: BLE001 (whatever it is, it fails the test)
                    faults.append(repr(error))

            thread = threading.Thread(target=run)
            thread.start()
            return thread

        def ask() -> None:
            before = sum(store.positions().values())
            with store.reader(trust=None) as reader:
                world = reader.world()
                reader.load_name(world, key_of("principal", "human:alice"))
                load_below(reader, world, key_of("principal", "human:alice"), START)
                known = len(world.graph)
            if known < before:
                faults.append(f"{known} elements of {before}")

        numbers = iter(range(300, 100_000))

        def consume() -> None:
            own = open_log(f"sqlite:///{tmp_path}/log.db", create=False, clock=lambda: START)
            own.append([entry_of(event(next(numbers)))])
            project(own, consuming, None)
            own.close()

        threads = [watched(ask), watched(ask), watched(consume)]
        for _ in range(3):
            maintenance.rebuild(a_service(store, log), lambda _: None)
        done.set()
        for thread in threads:
            thread.join()

        assert [] == faults
        project(log, store, None)
        assert [] == unequal(store, log, tmp_path)


@pytest.mark.slow
def test_an_unfinished_rebuild_does_not_disturb_the_next(postgres_url: str, tmp_path: Path):
    """The next one removes its remains; the store is unchanged until then."""
    with a_log(tmp_path, 20) as log, a_store(postgres_url) as store:
        project(log, store, None)
        execute(
            postgres_url,
            "CREATE SCHEMA public_rebuilt",
            f"COMMENT ON SCHEMA public_rebuilt IS '{swap._MARK}'",
            "CREATE TABLE public_rebuilt.fact (n int)",
        )
        assert 20 == store.sizes()["fact"]

        maintenance.rebuild(a_service(store, log), lambda _: None)
        assert [] == unequal(store, log, tmp_path)


def test_a_schema_of_another_application_is_not_dropped(postgres_url: str, tmp_path: Path):
    """It has the name that a rebuild would use, and is kept."""
    with a_log(tmp_path, 2) as log, a_store(postgres_url) as store:
        project(log, store, None)
        execute(postgres_url, "CREATE SCHEMA public_rebuilt", "CREATE TABLE public_rebuilt.theirs (n int)")

        with pytest.raises(RefusedError, match="was not created by one"):
            maintenance.rebuild(a_service(store, log), lambda _: None)
        assert [] == execute(postgres_url, "SELECT * FROM public_rebuilt.theirs")


def test_concurrent_rebuilds_are_refused(postgres_url: str):
    """The second process reports that another one is rebuilding."""
    with (
        a_store(postgres_url) as store,
        a_store(postgres_url) as other,
        swap.temporary_store(store),
        pytest.raises(UnavailableError, match="by another process"),
        swap.temporary_store(other),
    ):
        pass


def test_a_rebuild_that_cannot_catch_up_replaces_nothing(postgres_url: str, tmp_path: Path):
    """A log that ends before the store's positions is reported, and the store is unchanged."""
    with a_log(tmp_path, 10) as log, a_store(postgres_url) as store:
        project(log, store, None)

        with (
            pytest.raises(IntegrityError, match="nothing was replaced"),
            swap.temporary_store(store) as rebuilt,
        ):
            swap.exchange(store, rebuilt, lambda _positions: None)
        assert 10 == store.sizes()["fact"]


def test_random_worlds_are_the_same_on_both_databases(postgres_url: str, tmp_path: Path):
    """fsck compares row by row with SQLite, and finds no difference in any world."""
    rng = random.Random(5)
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    with a_store(postgres_url) as store:
        for item in [item for _ in range(20) for item in worlds.world(rng)]:
            log.append([entry_of(codec.decode_line(json.dumps(item["event"]).encode()))])
        project(log, store, None)
        assert [] == unequal(store, log, tmp_path)
        assert len(set(store.search("", limit=1_000))) > 20
    log.close()
