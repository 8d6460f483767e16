"""Processes that share a spool."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ingest.codec import api as codec
from ingest.producer.spool import Spool, SpoolEntry
from lineage.core.model.errors import UnavailableError
from lineage.core.model.events import ActionPerformed, Event, RevocationLifted
from lineage.core.model.records import TOPICS
from tests.support.places import ROOT

SOURCE = "urn:example:gateway"


MOMENT = 1_800_000_000_000_000


def event(number: int = 1, *, operation: str = "mail.send", source: str = SOURCE) -> Event:
    return Event(
        f"e{number}", source, MOMENT, ActionPerformed(f"x{number}", operation, "succeeded", token=f"t{number}")
    )


def order(number: int = 1) -> Event:
    return Event(f"o{number}", SOURCE, MOMENT, RevocationLifted(f"r{number}", "human:ruth"))


def opened(path: Path, *, limit_bytes: int = 10_000_000, limit_events: int = 100_000) -> Spool:
    return Spool(path, limit_bytes=limit_bytes, limit_events=limit_events, clock=lambda: MOMENT, durable=True)


def put(spool: Spool, *events: Event, numbered: bool = True, wait_seconds: float = 0) -> list[int | None]:
    kept = spool.put([SpoolEntry(event, numbered=numbered) for event in events], wait_seconds=wait_seconds)
    return [event.sequence for event in kept]


def waiting(spool: Spool) -> list[Event]:
    """Return all waiting events, in the order of arrival."""
    found = [found for topic in TOPICS for found in spool.read(topic, after=0, limit=100_000)]
    return [codec.decode(entry.value) for _, entry in sorted(found)]


def unsent(spool: Spool) -> list[str]:
    return [event.event_id for event in waiting(spool)]


def together(run: Callable[[int], None], count: int) -> None:
    threads = [threading.Thread(target=run, args=(thread,)) for thread in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def another(path: Path) -> subprocess.CompletedProcess[str]:
    """Run a process that opens the spool and closes it again."""
    line = "import sys; from tests.support.spool_processes import *; opened(Path(sys.argv[1])).close()"
    words = [sys.executable, "-c", line, str(path)]
    return subprocess.run(words, check=False, cwd=ROOT, capture_output=True, text=True)


def in_child(act: Callable[[], str]) -> str:
    """Return the output of a child of a fork, which ends like an ordinary program."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = act()
        except BaseException as error:  # noqa: BLE001
            result = f"{type(error).__name__}: {error}"
        os.write(writable, result.encode())
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable) as stream:
        result = stream.read()
    os.waitpid(child, 0)
    return result


def is_free(path: Path) -> bool:
    try:
        opened(path).close()
    except UnavailableError:
        return False
    return True


PUTTING = """
import json, sys, threading
from tests.support.spool_processes import *
spool = opened(Path(sys.argv[1]))
start = int(sys.argv[2])
def run(thread):
    for number in range(start + thread * 10_000, start + thread * 10_000 + 10_000):
        [kept] = spool.put([SpoolEntry(event(number), numbered=True)])
        sys.stdout.write(json.dumps([kept.event_id, kept.sequence]) + chr(10)); sys.stdout.flush()
threads = [threading.Thread(target=run, args=(thread,)) for thread in range(3)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
"""
