"""Processes that emit events and can be killed in the meantime."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ingest.codec import api as codec
from ingest.log.sqlite_log import SqliteLog
from ingest.producer.api import Metrics, Producer, now
from lineage.core.model.events import ActionPerformed, Event
from lineage.core.model.records import TOPICS
from tests.support.places import ROOT

SOURCE = "urn:example:gateway"


ACTION: dict[str, Any] = {"type": "action.performed", "action": "x1", "operation": "mail.send", "outcome": "succeeded"}


class Desk:
    """A spool and an embedded log in a folder."""

    def __init__(self, folder: Path) -> None:
        self.spool = str(folder / "spool.db")
        self.log = folder / "log.db"
        self.url = f"sqlite:///{self.log}"

    def producer(self, **more: Any) -> Producer:
        return Producer(**{"url": self.url, "source": SOURCE, "spool": self.spool, **more})

    def logged(self) -> list[Event]:
        """Return the content of the log."""
        log = SqliteLog(str(self.log), create=False, clock=now)
        try:
            return [
                codec.decode(record.value)
                for topic in TOPICS
                for record in log.read(topic, 0, 0, limit=1_000_000).records
            ]
        finally:
            log.close()

    def actions(self) -> list[ActionPerformed]:
        return [event.body for event in self.logged() if isinstance(event.body, ActionPerformed)]


def counts(metrics: Metrics) -> tuple[int, int, int, int, bool]:
    return metrics.emitted, metrics.acknowledged, metrics.spooled, metrics.refused, metrics.sender_alive


EMITTING = """
import sys
from ingest.producer import Producer
from tests.support.producers import ACTION, SOURCE
from tests.support.spool_processes import together
producer = Producer(sys.argv[1], source=SOURCE, spool=sys.argv[2])
def run(thread):
    while True:
        emitted = producer.emit({**ACTION, "action": f"{sys.argv[3]}-{thread}"})
        sys.stdout.write(f"{emitted.event_id} {emitted.sequence}" + chr(10)); sys.stdout.flush()
together(run, 3)
"""


def killed_while_emitting(url: str, spool: str, run: int, seconds: float) -> dict[str, int]:
    """Kill an emitting process some time after its first events; return the ids and numbers that emit had returned."""
    words = [sys.executable, "-c", EMITTING, url, spool, str(run)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(10)]
    killer = threading.Timer(seconds, process.kill)
    killer.start()
    lines += process.stdout.readlines()
    killer.join()
    process.wait()
    process.stdout.close()
    acknowledged = {}
    for line in lines:
        if line.endswith("\n"):  # only complete lines
            name, sequence = line.split()
            acknowledged[name] = int(sequence)
    return acknowledged


def record(producer: Producer, operation: str) -> None:
    with producer.action(operation):
        pass


def opened_by(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the descriptor used to list the folder
        return ""
