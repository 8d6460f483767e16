"""The spool: accepted events stay, whatever happens; events that do not fit are refused, and numbers have no gap."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.producer.spool import Spool
from lineage.core.model.errors import BadRecordError, CredentialError, RefusedError, UnavailableError
from lineage.core.model.records import TOPICS
from tests.support.spool_processes import (
    PUTTING,
    ROOT,
    another,
    event,
    in_child,
    is_free,
    opened,
    order,
    put,
    together,
    unsent,
    until,
    waiting,
)

# Stored events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = opened(path)
    yield spool
    spool.close()


def test_events_wait_in_the_order_in_which_they_were_put(spool: Spool):
    """By topic, encoded as the log accepts them, each with its key."""
    put(spool, event(1), order(2), event(3))

    [first, third] = spool.read("decisions", after=0, limit=10)
    [second] = spool.read("orders", after=0, limit=10)
    assert ["e1", "o2", "e3"] == [codec.decode(found.entry.value).event_id for found in (first, second, third)]
    assert [b"t1", b"r2", b"t3"] == [found.entry.key for found in (first, second, third)]
    assert [third] == spool.read("decisions", after=first.number, limit=10)


def test_acknowledged_events_are_removed_and_the_rest_stays(path: Path):
    """Only acknowledged events leave the spool, and a reopened spool has the rest."""
    spool = opened(path)
    put(spool, event(1), event(2), event(3))
    spool.acknowledge(spool.read("decisions", after=0, limit=2))
    spool.close()

    again = opened(path)
    assert ["e3"] == unsent(again)
    assert (1, 0) == again.holding()[:2]
    again.close()


def test_refused_events_are_set_aside_with_the_reason(path: Path):
    """They are stored separately, across a restart, until they are retried."""
    spool = opened(path)
    put(spool, event(1), event(2))
    spool.refuse(spool.read("decisions", after=0, limit=1)[0].number, "too-large", "the broker takes less")
    spool.close()

    again = opened(path)
    put(again, event(3))
    [refused] = again.refused()
    assert ("e1", "too-large", "the broker takes less") == (
        codec.decode(refused.entry.value).event_id,
        refused.reason,
        refused.detail,
    )
    assert ["e2", "e3"] == unsent(again)
    assert 1 == again.retry_refused()
    assert ["e2", "e3", "e1"] == unsent(again)
    assert [] == again.refused()
    again.close()


def test_the_reported_size_is_always_exact(path: Path):
    """It equals the size that a reopened spool finds in the file."""
    spool = opened(path)
    rng = random.Random(5)
    for number in range(60):
        put(spool, event(number), order(number))
        found = [each for topic in TOPICS for each in spool.read(topic, after=0, limit=100)]
        match rng.randrange(4):
            case 0:
                spool.acknowledge(rng.sample(found, len(found) // 2))
            case 1:
                spool.refuse(rng.choice(found[1:]).number, "too-large", "")
            case 2:
                spool.retry_refused()
    spool.refuse(found[0].number, "too-large", "")
    reported = spool.holding()[:3]
    spool.close()

    again = opened(path)
    assert reported == again.holding()[:3]
    assert min(reported) > 0
    again.close()


def test_files_are_accessible_only_to_their_owner(spool: Spool, path: Path):
    """Nobody else may read a spool: events say who did what."""
    put(spool, event())

    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()}
    assert dict.fromkeys(["spool.db", "spool.db-wal", "spool.db-shm", "spool.db.lock"], "0o600") == modes


# Numbers


def test_numbers_continue_after_a_restart(path: Path):
    """Each source has separate numbers, from 1 and without a gap, which continue where an earlier run ended."""
    first = opened(path)
    assert [1, 2] == put(first, event(1), event(2))
    assert [1] == put(first, event(3, source="urn:other"))
    first.acknowledge(first.read("decisions", after=0, limit=10))
    first.close()

    second = opened(path)
    assert [3, 2] == put(second, event(4), event(5, source="urn:other"))
    assert [None] == put(second, event(6), numbered=False)
    assert [4] == put(second, event(7))
    second.close()


def test_a_refused_event_uses_no_number(path: Path):
    """An event that is invalid, contains a credential, or finds no room leaves no gap."""
    spool = opened(path, limit_events=2)
    assert [1] == put(spool, event(1))
    with pytest.raises(BadRecordError, match="operation is empty"):
        put(spool, event(2), event(3, operation=""))
    with pytest.raises(CredentialError):
        put(spool, event(4, operation="Bearer abcdef0123456789abcdef"))
    assert [2] == put(spool, event(5))
    with pytest.raises(UnavailableError, match="is full"):
        put(spool, event(6))
    spool.acknowledge(spool.read("decisions", after=0, limit=1))

    assert [3] == put(spool, event(7))
    assert ["e5", "e7"] == unsent(spool)
    spool.close()


def test_many_threads_get_every_number_once(spool: Spool):
    """Concurrent threads get every number once, and nothing is lost."""
    numbers: list[int | None] = []

    def run(thread: int) -> None:
        for number in range(100):
            numbers.extend(put(spool, event(1_000 * thread + number)))

    together(run, 8)

    assert list(range(1, 801)) == sorted(number or 0 for number in numbers)
    assert list(range(1, 801)) == [found.sequence for found in waiting(spool)]
    assert (800, 0) == spool.holding()[:2]


def test_events_that_arrive_during_a_write_are_written_together(spool: Spool):
    """While one caller waits for the disk, the others gather, and are written in one transaction."""
    statements: list[str] = []
    spool._writer.set_trace_callback(statements.append)

    with spool._writing:  # as if a caller waited for the disk
        threads = [threading.Thread(target=put, args=(spool, event(number))) for number in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: spool.holding().waiting == 8)
        assert [] == unsent(spool)
    for thread in threads:
        thread.join()

    assert 1 == statements.count("COMMIT")
    assert 8 == len(unsent(spool))


# No room


def test_a_full_spool_refuses_and_reports_its_content(path: Path):
    """Nothing is dropped: above the limit of events or bytes, including refused ones, a put is refused."""
    spool = opened(path, limit_events=3)
    put(spool, event(1), event(2))
    spool.refuse(spool.read("decisions", after=0, limit=1)[0].number, "too-large", "")
    put(spool, event(3))

    with pytest.raises(UnavailableError, match=r"full: 2 events wait .* 1 were refused by it, .* not stored"):
        put(spool, event(4))
    size = spool.holding().size
    spool.close()

    small = opened(path, limit_bytes=size + 10)
    with pytest.raises(UnavailableError, match=f"{size:,} bytes"):
        put(small, event(4))
    small.close()


def test_events_that_can_never_fit_are_refused_at_once(path: Path):
    """More than the whole spool may contain is refused without waiting."""
    spool = opened(path, limit_events=2)
    with pytest.raises(RefusedError, match=r"exceed the limits of the spool"):
        put(spool, event(1), event(2), event(3), wait_seconds=1_000)
    spool.close()


def test_a_waiting_put_continues_when_there_is_room(path: Path):
    """A put blocks until the log has accepted an event, and no longer than its time limit."""
    spool = opened(path, limit_events=1)
    put(spool, event(1))
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"full after 0\.2 s"):
        put(spool, event(2), wait_seconds=0.2)
    assert time.monotonic() - began >= 0.2

    done: list[int | None] = []
    putting = threading.Thread(target=lambda: done.extend(put(spool, event(3), wait_seconds=60)))
    putting.start()
    spool.acknowledge(spool.read("decisions", after=0, limit=1))
    putting.join(30)
    assert [2] == done
    spool.close()


def test_a_failed_write_uses_no_number_and_stores_nothing(path: Path):
    """If the file cannot be written, the caller gets an error, and the next event gets the unused number."""
    spool = opened(path)
    put(spool, event(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE waiting")  # what no disk does, but it fails as any other fault of the file would

    with pytest.raises(UnavailableError, match=r"the spool .* cannot be used"):
        put(spool, event(2))
    other.execute("CREATE TABLE waiting (n INTEGER PRIMARY KEY, topic, 'key', value, put_at)")
    other.close()

    assert [2] == put(spool, event(3))
    assert ["e3"] == unsent(spool)
    spool.close()


# Ownership


def test_a_spool_has_one_owner_at_a_time(spool: Spool, path: Path):
    """A second opening, in another process or this one, is refused while it is open, and possible afterwards."""
    second = another(path)
    assert f"UnavailableError: the spool {path} is open in another process" in second.stderr
    with pytest.raises(UnavailableError, match="twice in this one; give each a file of its own"):
        opened(path)
    put(spool, event())  # and the attempt has not harmed the first one
    spool.close()

    third = another(path)
    assert ("", 0) == (third.stderr, third.returncode)


@pytest.mark.parametrize("make", ["text", "store", "version", "folder", "nowhere"])
def test_a_file_that_is_not_a_spool_is_not_changed(path: Path, make: str):
    """Another kind of file is refused by name."""
    match make:
        case "text":
            path.write_text("my diary " * 1_000)
        case "folder":
            path.mkdir()
        case "nowhere":
            path = path / "in" / "none"
        case _:
            with sqlite3.connect(path) as connection:
                marks = {"store": (0x64656C67, 0), "version": (0x64656C73, 99)}[make]
                connection.executescript("PRAGMA application_id = {}; PRAGMA user_version = {};".format(*marks))
                connection.execute("CREATE TABLE mine (x)")
            connection.close()
    before = path.read_bytes() if path.is_file() else None

    with pytest.raises(UnavailableError, match=str(path)):
        opened(path)
    assert before == (path.read_bytes() if path.is_file() else None)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_is_told_to_open_its_own(spool: Spool, path: Path):
    """In the child of a fork a put is refused with a remedy, and closing there does not affect the parent."""
    put(spool, event(1))

    result = in_child(lambda: str(put(spool, event(2))))
    assert f"RefusedError: the spool {path} was opened by process {os.getpid()}, before a fork" in result
    assert "must open a separate spool" in result
    assert "None" == in_child(lambda: str(spool.close()))
    assert [2] == put(spool, event(3))
    assert ["e1", "e3"] == unsent(spool)
    with pytest.raises(UnavailableError, match="is open in another process"):
        opened(path)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_outlives_its_parent_does_not_keep_the_spool(path: Path):
    """The next process can open the spool of a dead parent, although a child of it lives on."""
    line = (
        "import os, sys, time; from tests.support.spool_processes import *\n"
        "spool = opened(Path(sys.argv[1])); put(spool, event(1))\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60); os._exit(0)\n"
        "print(child, flush=True); os.kill(os.getpid(), 9)"
    )
    parent = subprocess.Popen([sys.executable, "-c", line, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.wait(30)
        until(lambda: is_free(path))
        spool = opened(path)
        assert ["e1"] == unsent(spool)
        spool.close()
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_a_closed_spool_accepts_nothing(spool: Spool):
    """After close a put is refused, and closing again is harmless."""
    spool.close()
    spool.close()
    with pytest.raises(RefusedError, match="is closed"):
        put(spool, event())


# Crashes


@pytest.mark.slow
def test_stored_events_survive_a_kill(path: Path):
    """After kill -9 at any time, every event for which put returned is there, and numbers have no gap."""
    acknowledged: dict[str, int] = {}
    rng = random.Random(7)
    for run in range(6):
        words = [sys.executable, "-c", PUTTING, str(path), str(run * 100_000)]
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        killer = threading.Timer(rng.uniform(0.0, 0.3), process.kill)
        killer.start()
        lines += process.stdout.readlines()
        killer.join()
        process.wait()
        process.stdout.close()
        acknowledged |= dict(json.loads(line) for line in lines if line.endswith("]\n"))

        spool = opened(path)
        kept = {event.event_id: event.sequence for event in waiting(spool)}
        spool.close()
        assert acknowledged == {name: kept[name] for name in acknowledged}
        assert list(range(1, len(kept) + 1)) == sorted(number or 0 for number in kept.values())
    assert len(acknowledged) > 50


# Properties


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 4)),
            st.tuples(st.just("acknowledge"), st.integers(0, 5)),
            st.tuples(st.just("refuse"), st.integers(0, 5)),
            st.tuples(st.just("retry"), st.just(0)),
            st.tuples(st.just("reopen"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_every_event_is_in_one_place(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]):
    """After any operations, each event that was put waits, is refused or was acknowledged, in the order of the puts."""
    path = tmp_path_factory.mktemp("spool") / "spool.db"
    spool = opened(path, limit_events=30)
    expected_waiting: list[str] = []
    expected_refused: list[str] = []
    number = sequence = 0
    for step, count in steps:
        found = spool.read("decisions", after=0, limit=100)
        match step:
            case "put":
                events = [event(number + place) for place in range(count)]
                number += count
                if len(expected_waiting) + len(expected_refused) + count <= 30:
                    assert list(range(sequence + 1, sequence + count + 1)) == put(spool, *events)
                    sequence += count
                    expected_waiting += [each.event_id for each in events]
                else:
                    with pytest.raises(UnavailableError):
                        put(spool, *events)
            case "acknowledge":
                spool.acknowledge(found[:count])
                expected_waiting = expected_waiting[count:]
            case "refuse" if count < len(found):
                spool.refuse(found[count].number, "too-large", "")
                expected_refused.append(expected_waiting.pop(count))
            case "retry":
                by_number = [codec.decode(item.entry.value).event_id for item in spool.refused()]
                assert sorted(expected_refused) == sorted(by_number)
                spool.retry_refused()
                expected_waiting += by_number
                expected_refused = []
            case "reopen":
                spool.close()
                spool = opened(path, limit_events=30)
        assert expected_waiting == unsent(spool)
        assert (len(expected_waiting), len(expected_refused)) == spool.holding()[:2]
    spool.close()
