"""Lines over TCP: read whatever the state of the log, kept until the log has them, never ingested incomplete."""

import socket
import threading
import time
from pathlib import Path

import pytest

from ingest.sources.adapters.json_documents import RECORD_BYTES
from ingest.sources.inputs.file_follower import FileFollower
from ingest.sources.inputs.spool import LineSpool
from ingest.sources.inputs.tcp import LineReceiver
from lineage.core.model.errors import RefusedError, UnavailableError
from tests.support.collecting import World, ids, line, until


class Listening:
    """A receiver on loopback, its spool, and the follower of the spool."""

    def __init__(self, folder: Path, **more) -> None:
        self.world = World()
        self.folder, self.came = folder / "spool", threading.Event()
        self.spool = LineSpool(self.folder, **more)
        self.receiver = LineReceiver("opa-eu", ("127.0.0.1", 0), self.spool, self.came)
        self.follower = self.follow()

    def follow(self) -> FileFollower:
        return FileFollower(
            self.world.intake(),
            [str(self.folder)],
            clock=self.world.clock,
            origin=lambda _path: "tcp opa-eu",
            topic="tcp",
            finished=self.spool.finished,
        )

    def send(self, *chunks: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self.receiver.port)) as opened:
            for chunk in chunks:
                opened.sendall(chunk)

    def received(self) -> set[str]:
        self.follower.round()
        return set(self.world.decisions)


@pytest.fixture
def listening(tmp_path):
    """Start a receiver."""
    one = Listening(tmp_path)
    with one.receiver:
        yield one


def test_lines_of_several_senders_are_ingested_whole(listening):
    """
    However they are split on their way; the last one also without a line end.
    """
    listening.send(line(1)[:9], line(1)[9:] + line(2)[:30], line(2)[30:], line(3).rstrip())
    listening.send(line(4))

    until(lambda: listening.received() == ids({1, 2, 3, 4}))
    assert {} == listening.world.aside


def test_reading_does_not_wait_for_the_log(listening):
    """
    A sender is never delayed while the log is unavailable; afterwards every line is there, in the order of arrival.
    """
    listening.world.failing = 0
    began = time.monotonic()
    listening.send(*(line(number) for number in range(2_000)))
    assert time.monotonic() - began < 5

    until(
        lambda: (
            sum(path.stat().st_size for path in listening.folder.iterdir()) == sum(len(line(n)) for n in range(2_000))
        )
    )
    with pytest.raises(UnavailableError):
        listening.follower.round()
    assert ids(range(2_000)) == listening.received()


@pytest.mark.slow
def test_a_restart_continues_in_the_spool_and_removes_finished_segments(tmp_path, listening):
    """
    Another process continues in the same segment; once it is idle, neither the segment nor its position is left.
    """
    listening.send(line(1))
    until(lambda: listening.received() == ids({1}))
    listening.send(line(2))
    until(lambda: len(list(listening.folder.iterdir())) == 1 and listening.came.is_set())
    listening.follower.close()
    listening.follower = listening.follow()
    until(lambda: listening.received() == ids({1, 2}))
    assert 2 == listening.world.counts["record", ""]

    def is_empty() -> bool:
        listening.follower.round()
        return not list(listening.folder.iterdir()) and ("tcp" not in {topic for topic, _ in listening.world.memory})

    until(is_empty, 10)
    assert 0o700 == listening.folder.stat().st_mode & 0o777


def test_an_overlong_line_is_quarantined_with_its_beginning(listening):
    """
    It takes the memory of one line, and the next line is ingested.
    """
    listening.send(line(1), *[b"x" * 1_000_000] * (RECORD_BYTES // 1_000_000 + 5), b"\n" + line(2))

    until(lambda: listening.received() == ids({1, 2}))
    assert ["too-large"] == [record.reason for record in listening.world.aside.values()]


def test_garbage_is_quarantined_and_stops_nothing(listening):
    """
    This holds whatever a connection begins with.
    """
    listening.send(b"GET / HTTP/1.1\r\n\r\n", line(1))

    until(lambda: listening.received() == ids({1}))
    assert [("tcp opa-eu", "json")] == [(one.origin, one.reason) for one in listening.world.aside.values()]


@pytest.mark.slow
def test_a_full_spool_makes_the_sender_wait_and_loses_nothing(tmp_path):
    """
    Back-pressure begins as soon as the spool reaches its limit.
    """
    listening = Listening(tmp_path, most_bytes=100_000)
    many = 8_000
    with listening.receiver:
        sender = threading.Thread(target=listening.send, args=[line(number) for number in range(many)])
        sender.start()
        until(lambda: listening.spool.is_full)
        time.sleep(0.5)
        held = sum(path.stat().st_size for path in listening.folder.iterdir())
        assert held < 1_000_000

        def is_through() -> bool:
            listening.follower.round()
            return len(listening.world.decisions) == many

        until(is_through, 120)
        sender.join()
    assert {1} == set(listening.world.decisions.values())


def test_an_address_in_use_is_reported_with_the_source(listening):
    """
    The message says what to do.
    """
    with pytest.raises(RefusedError, match=r"the source 'other'.*give 'tcp' another address"):
        LineReceiver("other", ("127.0.0.1", listening.receiver.port), listening.spool, listening.came)


def test_an_invalid_host_name_is_reported_as_such(listening):
    """
    The lookup raises no OSError for a label that is too long.
    """
    with pytest.raises(RefusedError, match="not the name of a host"):
        LineReceiver("other", ("a" * 64 + ".example", 0), listening.spool, listening.came)
