"""What is promised of a store on PostgreSQL beyond the answers: its faults, its roles, its repair, its restart."""

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
from lineage.store.rebuild import swap
from lineage.store.rebuild.diff import differences, twin
from lineage.store.store import Store, open_store
from tests.support import worlds

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


@contextmanager
def a_store(url: str, *, create: bool = True) -> Iterator[Store]:
    store = open_store(url, codec.read, create=create)
    try:
        yield store
    finally:
        store.close()


def a_service(store: Store, log: Log | None) -> Service:
    return Service(store, log, Trust(), lambda: START, source="urn:test")


def execute(url: str, *statements: str) -> list[Any]:
    engine = sa.create_engine(sa.make_url(url), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        results = [connection.exec_driver_sql(statement) for statement in statements]
        return results[-1].all() if results[-1].returns_rows else []


def unequal(store: Store, log: Log, folder: Path) -> list[str]:
    alone = twin(store, folder / f"{uuid4().hex}.db")
    project(log, alone, None, ends=store.positions())
    found = list(differences(store, alone))
    alone.close()
    return found


# Getting in


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


@pytest.mark.parametrize("name", WRONG)
def test_what_keeps_one_out_is_one_clear_sentence(postgres_url: str, name: str):
    """What is wrong with the way in is told with its remedy, and never with a password."""
    wrong, kind, words = WRONG[name]

    with pytest.raises(DelegraphError) as raised:
        open_store(wrong(postgres_url), codec.read, create=True)
    assert kind is type(raised.value)
    assert words in str(raised.value)
    assert "wrong-secret" not in str(raised.value)
    assert str(urlsplit(postgres_url).password) not in str(raised.value)


def test_a_url_that_cannot_be_read_is_not_repeated_with_its_password():
    """A slip in the URL does not bring the password into a message."""
    with pytest.raises(RefusedError) as raised:
        open_store("postgresql:/user:hush@host/db", codec.read)
    assert "hush" not in str(raised.value)


def test_the_password_may_be_given_apart(postgres_url: str):
    """A password that is handed in is used, whatever the URL says, and the store's own URL never shows it."""
    secret = str(urlsplit(postgres_url).password)
    bare = postgres_url.replace(f":{secret}@", "@")

    store = open_store(bare, codec.read, create=True, password=secret)
    assert {} == store.positions()
    assert secret not in store.url
    store.close()


def test_a_database_of_other_people_is_left_alone(postgres_url: str):
    """Where others keep tables nothing is made, and the message says so."""
    execute(postgres_url, "CREATE TABLE invoices (id int)")

    with pytest.raises(UnavailableError, match="not a delegraph store"):
        open_store(postgres_url, codec.read, create=True)
    assert [("invoices",)] == execute(postgres_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def test_an_empty_database_is_empty(postgres_url: str):
    """Without tables there is no store, and the message says how to make them."""
    with pytest.raises(UnavailableError, match="is empty; create its tables with 'delegraph init'"):
        open_store(postgres_url, codec.read)


def test_every_connection_says_who_it_is_and_has_limits(postgres_url: str):
    """Who looks at the server sees delegraph; a question does not run or wait for ever; the URL may say otherwise."""
    names = ("application_name", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    asked = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    with a_store(postgres_url) as store, store.connection() as connection:
        assert ("delegraph", "30s", "10s", "1min") == tuple(connection.exec_driver_sql(asked).one())
    own = f"{postgres_url}?options=-c%20statement_timeout%3D5s&application_name=mine"
    with a_store(own) as store, store.connection() as connection:
        assert ("mine", "5s", "10s", "1min") == tuple(connection.exec_driver_sql(asked).one())


def test_who_writes_and_says_nothing_loses_its_turn_soon(postgres_url: str):
    """A writer may take long; but frozen in the middle of its transaction it holds up the others for seconds alone."""
    asked = "SELECT current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout')"
    with a_store(postgres_url) as store, store._write() as connection:
        assert ("0", "20s") == tuple(connection.exec_driver_sql(asked).one())


# Faults of a store that is in use


def test_a_question_that_takes_too_long_is_given_up(postgres_url: str):
    """A statement beyond its time is an error that says how to allow more."""
    with (
        a_store(f"{postgres_url}?options=-c%20statement_timeout%3D50") as store,
        pytest.raises(UnavailableError, match="statement_timeout"),
        store.connection() as connection,
    ):
        connection.exec_driver_sql("SELECT pg_sleep(20)")


def test_a_question_cannot_write_and_sees_one_moment(postgres_url: str, tmp_path: Path):
    """What others write while a question is answered is no part of its answer; and a question writes nothing."""
    with a_log(tmp_path, 10) as log, a_store(postgres_url) as store, store.snapshot() as still:
        project(log, store, None)

        assert {} == still.positions()
        assert 0 == still.sizes()["fact"]
        assert 10 == store.sizes()["fact"]
        with pytest.raises(UnavailableError, match="read-only"), still.connection() as connection:
            connection.exec_driver_sql("DELETE FROM fact")


def test_the_server_may_be_stopped_and_started_under_a_store(own_postgres: Callable[[Path], Postgres], tmp_path: Path):
    """
    While the database is unavailable questions say so; when it is back they are answered, the first of them too, by
    the same store; and so are writers.
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


def test_a_server_that_goes_in_the_middle_of_a_batch_takes_nothing_of_it(
    own_postgres: Callable[[Path], Postgres], tmp_path: Path
):
    """A batch that is being written when the database dies is not there afterwards, and can be written then."""
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
    """A role of the server; it goes away after the database that it has rights in."""
    name = f'Reader "{uuid4().hex}"'
    quoted = '"' + name.replace('"', '""') + '"'
    execute(postgres, f"CREATE ROLE {quoted} LOGIN PASSWORD 'reading'")
    yield name
    execute(postgres, f"DROP ROLE {quoted}")


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{quote(role)}:reading@{parts.hostname}:{parts.port}").geturl()


def test_a_reader_may_ask_everything_and_write_nothing(role: str, postgres_url: str, tmp_path: Path):
    """Every question is answered for a role that may only read; what writes says that it may not."""
    with a_log(tmp_path, 5) as log, a_store(postgres_url) as store:
        project(log, store, None)
        store.grant_reader(role)
        store.grant_reader(role)
        with a_store(as_role(postgres_url, role), create=False) as reading:
            service = a_service(reading, log)
            assert "active" == service.status("token", "t1", at=START)["state"]
            reach = service.reach(Proposal(target=Target("principal", "human:alice"), at=START), stale=True)
            assert 5 == len(reach["kills"]["tokens"])
            assert reading.plan(reach["plan_digest"]) is None  # it is not kept, which is a warning in the log
            assert ["token:t1"] == reading.search("T1", limit=5)
            log.append([entry_of(event(5))])
            with pytest.raises(UnavailableError, match="lacks a privilege"):
                project(log, reading, None)


def test_a_role_that_is_not_there_is_told(postgres_url: str):
    """A reader must exist before it can be let in."""
    with a_store(postgres_url) as store, pytest.raises(RefusedError, match="create it with CREATE ROLE"):
        store.grant_reader("nobody at all")


# Repair


def test_what_was_damaged_is_found_and_made_again(role: str, postgres_url: str, tmp_path: Path):
    """
    fsck finds what is missing; rebuild makes it again from the log, and what a reader may do survives it.
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
    While the projection is made again, again and again, every question is answered with at least what was known before,
    and a consumer continues.
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
                reader.load_below(world, key_of("principal", "human:alice"), START)
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
def test_a_rebuild_that_did_not_come_to_its_end_is_in_nobodys_way(postgres_url: str, tmp_path: Path):
    """What a rebuild left behind is cleared away by the next; the store is the old one until then."""
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


def test_a_schema_of_other_people_is_not_cleared_away(postgres_url: str, tmp_path: Path):
    """Whose schema has the name that a rebuild would take keeps it."""
    with a_log(tmp_path, 2) as log, a_store(postgres_url) as store:
        project(log, store, None)
        execute(postgres_url, "CREATE SCHEMA public_rebuilt", "CREATE TABLE public_rebuilt.theirs (n int)")

        with pytest.raises(RefusedError, match="was not created by one"):
            maintenance.rebuild(a_service(store, log), lambda _: None)
        assert [] == execute(postgres_url, "SELECT * FROM public_rebuilt.theirs")


def test_two_do_not_rebuild_at_once(postgres_url: str):
    """The second is told that the first is at it."""
    with (
        a_store(postgres_url) as store,
        a_store(postgres_url) as other,
        swap.temporary_store(store),
        pytest.raises(UnavailableError, match="by another process"),
        swap.temporary_store(other),
    ):
        pass


def test_nothing_is_replaced_by_what_cannot_catch_up(postgres_url: str, tmp_path: Path):
    """A log that ends before what the store has read is told, and the store stays what it is."""
    with a_log(tmp_path, 10) as log, a_store(postgres_url) as store:
        project(log, store, None)

        with (
            pytest.raises(IntegrityError, match="nothing was replaced"),
            swap.temporary_store(store) as rebuilt,
        ):
            swap.exchange(store, rebuilt, lambda _positions: None)
        assert 10 == store.sizes()["fact"]


def test_random_worlds_are_the_same_on_both_databases(postgres_url: str, tmp_path: Path):
    """fsck compares row by row with SQLite, and finds nothing, whatever the world."""
    rng = random.Random(5)
    log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=lambda: START)
    with a_store(postgres_url) as store:
        for item in [item for _ in range(20) for item in worlds.world(rng)]:
            log.append([entry_of(codec.decode_line(json.dumps(item["event"]).encode()))])
        project(log, store, None)
        assert [] == unequal(store, log, tmp_path)
        assert len(set(store.search("", limit=1_000))) > 20
    log.close()
