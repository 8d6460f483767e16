"""``delegraph deliver`` applies retention when it is due: with two processes, killed ones, and in its reports."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.core.model.events import ActionPerformed, Event
from lineage.serve.cli.main import main
from lineage.serve.commands import maintenance
from lineage.serve.commands.checkpoints import keys_of
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import now, opened_service
from lineage.serve.processes.retention_process import Retaining
from lineage.serve.queries.retention.deletions import deleted
from lineage.store.deletions import deletions
from lineage.store.retention_runs import last_run, note_run, only_run
from lineage.store.store import Store, open_store
from tests.support import stores
from tests.support.desk import Desk
from tests.support.kafka_worlds import started, wait_until

HOUR = 3_600_000_000
OLD = now() - 48 * HOUR
RECORDS = 3_000  # of which 2,816 are in full tiles


@pytest.fixture(params=stores.KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Write the settings of a store whose log has records of two days ago."""
    for fresh in stores.fresh_places(request):
        with fresh() as url:
            yield prepared(url, tmp_path)


def prepared(url: str, folder: Path, records: int = RECORDS) -> dict[str, str]:
    log = open_log(f"sqlite:///{folder}/log.db", create=True, clock=lambda: OLD)
    others = (ActionPerformed(f"filler-{number}", "noop", "succeeded") for number in range(records))
    log.append(entry_of(Event(body.action, "urn:filler", OLD, body)) for body in others)
    log.close()
    settings = {"store": url, "log": f"sqlite:///{folder}/log.db", "evidence_key_file": f"{folder}/key.pem"}
    desk = Desk(folder, (), {f"DELEGRAPH_{name.upper()}": value for name, value in settings.items()})
    desk.run("evidence", "keygen", settings["evidence_key_file"])
    store = open_store(url, codec.read, create=True)
    store.close()
    with opened_service(of(settings)) as service:
        service.catch_up()
    return {**settings, "retention_days": "1", "retention_every_hours": "24"}


def of(settings: dict[str, str], **more: str) -> Settings:
    return Settings.of(env={f"DELEGRAPH_{name.upper()}": value for name, value in {**settings, **more}.items()})


@contextmanager
def store_of(settings: dict[str, str]) -> Iterator[Store]:
    store = open_store(settings["store"], codec.read)
    try:
        yield store
    finally:
        store.close()


def earlier(store: Store) -> None:
    """Pretend that the last run began two hours earlier."""
    run = last_run(store)
    assert run is not None
    note_run(store, replace(run, started_at=run.started_at - 2 * HOUR))


def test_a_due_run_deletes_and_is_reported(settings: dict[str, str]):
    with store_of(settings) as store:
        clock = [now()]
        retaining = Retaining(of(settings), store, lambda: clock[0])
        before = retaining.document()["retention"]
        retaining.once()
        first = last_run(store)
        retaining.once()
        again = last_run(store)
        clock[0] += 25 * HOUR
        retaining.once()
        late = last_run(store)

        assert (None, True) == (before["last_run"], before["overdue"])
        assert first == again
        assert first is not None
        assert late is not None
        assert (2_816, "urn:delegraph:cli") == (first.records, first.by)
        assert (0, True) == (late.records, late.started_at > first.started_at)
        assert not retaining.document()["retention"]["overdue"]
        [one] = deletions(store)
        assert "decisions older than 1 days" == one.rule


def test_without_the_setting_nothing_is_deleted(tmp_path: Path):
    settings = prepared(f"sqlite:///{tmp_path}/store.db", tmp_path, 300)
    with store_of(settings) as store:
        retaining = Retaining(of(settings, retention_every_hours=""), store, now)
        retaining.once()

        assert {} == retaining.document()
        assert last_run(store) is None


def test_a_setting_without_an_age_or_a_key_is_refused(tmp_path: Path):
    settings = prepared(f"sqlite:///{tmp_path}/store.db", tmp_path, 300)
    with pytest.raises(RefusedError, match="set retention_days"):
        of(settings, retention_days="")
    for days in ("0", "-1", "a week", "36501"):
        with pytest.raises(RefusedError, match="retention_days"):
            of(settings, retention_days=days)
    with pytest.raises(RefusedError, match="retention_every_hours"):
        of(settings, retention_every_hours="0")
    with store_of(settings) as store, pytest.raises(RefusedError, match="no key to sign the certificates"):
        Retaining(of(settings, evidence_key_file=""), store, now).once()


def test_the_doctor_says_whether_it_is_late_or_failed(tmp_path: Path):
    settings = prepared(f"sqlite:///{tmp_path}/store.db", tmp_path, 300)
    env = {f"DELEGRAPH_{name.upper()}": value for name, value in settings.items()}

    def says(exit: int) -> tuple[bool, str]:
        result = CliRunner().invoke(main, ("doctor", "--json"), env=env)
        assert exit == result.exit_code
        checks = {one["check"]: one for one in json.loads(result.stdout)["checks"]}
        return checks["retention run"]["ok"], checks["retention run"]["says"]

    never = says(5)
    with store_of(settings) as store:
        Retaining(of(settings), store, now).once()
        well = says(0)
        run = last_run(store)
        assert run is not None
        note_run(store, replace(run, fault="the broker is gone"))
        failed = says(5)

    assert (False, "Retention has not run yet; it is due every 24 h: is 'delegraph deliver' running?") == never
    assert (True, True) == (well[0], "256 records deleted, 0 held" in well[1])
    assert (False, True) == (failed[0], failed[1].endswith("the broker is gone"))


# Real processes


def is_done(store: Store) -> bool:
    """Whether the last run has succeeded; until the next one begins, the last may be the one that was stopped."""
    run = last_run(store)
    assert run is None or run.fault is None or run.fault.startswith("this process was stopped"), run.fault
    return run is not None and run.has_succeeded


def has_begun(store: Store) -> bool:
    return last_run(store) is not None


def is_recorded(store: Store) -> bool:
    return bool(deletions(store))


def is_free(store: Store) -> bool:
    """Whether the lock of a killed process is released: PostgreSQL first completes the statement of that process."""
    try:
        with only_run(store):
            return True
    except UnavailableError:
        return False


def assert_deleted_once(settings: dict[str, str]) -> None:
    """Check that every record is in one deletion with a valid certificate, and that the store
    equals a fresh projection.
    """
    with opened_service(of(settings)) as service:
        keys = keys_of(service, Path(settings["evidence_key_file"]), None)
        items = deleted(service, keys.verifiers)["items"]
        assert 2_816 == sum(one["records"] for one in items)
        assert [] == [fault for one in items for fault in one["faults"]]
        assert service.who("filler-0", at=now()) is None
        assert [] == maintenance.fsck(service, lambda _records: None)["differences"]


@pytest.mark.slow
@pytest.mark.parametrize("moment", [has_begun, is_recorded])
def test_of_three_processes_one_is_killed_and_every_record_is_deleted_once(settings: dict[str, str], moment: object):
    """It is killed while it examines the facts, or while it builds the projection; two successors begin together."""
    with ExitStack() as stack, store_of(settings) as store:
        running = [stack.enter_context(delivering(settings))]
        wait_until(partial(moment, store), 240)  # type: ignore[arg-type]
        running[0].send_signal(signal.SIGKILL)
        running[0].wait()
        wait_until(partial(is_free, store), 60)
        earlier(store)
        running += [stack.enter_context(delivering(settings)) for _ in range(2)]
        wait_until(partial(is_done, store), 240)
        for each in running[1:]:
            each.send_signal(signal.SIGTERM)
        assert [0, 0] == [each.wait(timeout=60) for each in running[1:]]
    assert_deleted_once(settings)


@pytest.mark.slow
def test_a_stopped_process_ends_soon_and_the_next_completes_its_run(settings: dict[str, str]):
    with ExitStack() as stack, store_of(settings) as store:
        first = stack.enter_context(delivering(settings))
        wait_until(partial(has_begun, store), 240)
        began = time.monotonic()
        first.send_signal(signal.SIGTERM)
        assert 0 == first.wait(timeout=60)
        assert time.monotonic() - began < 30
        earlier(store)
        second = stack.enter_context(delivering(settings))
        wait_until(partial(is_done, store), 240)
        second.send_signal(signal.SIGTERM)
        assert 0 == second.wait(timeout=60)
    assert_deleted_once(settings)


@contextmanager
def delivering(settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = started("deliver", stderr=subprocess.DEVNULL, **settings)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
