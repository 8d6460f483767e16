"""A log on Kafka with a delivery process, and short forms of its events."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ingest.codec import api as codec
from lineage.core.model.records import TOPICS, Position, Record
from lineage.core.model.times import format_instant, parse_instant
from lineage.serve.config.wiring import now
from lineage.store.store import open_store
from tests.support.kafka_worlds import started
from tests.support.store_histories import write

NOW = now()


Event = dict[str, Any]


class Desk:
    """A store, and events that are added to it as if projected."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = open_store(url, codec.read, create=True)
        self._next = {topic: count() for topic in TOPICS}
        self._ids = count()

    def add(self, *events: Event) -> None:
        records = []
        for event in events:
            topic = "orders" if event["type"].startswith("revocation.") else "decisions"
            whole = {"event_id": f"e{next(self._ids)}", "source": "desk", "occurred_at": format_instant(NOW), **event}
            value = codec.encode(codec.decode_line(json.dumps(whole).encode()))
            recorded_at = max(NOW, parse_instant(whole["occurred_at"]))  # otherwise it would be given earlier
            records.append(Record(Position(topic, 0, next(self._next[topic])).number, recorded_at, value))
        write(self.store, records)


def token(id_: str, *parents: str, **more: Any) -> Event:
    derived = [{"token": parent, "role": "subject"} for parent in parents]
    fields = {"type": "token.issued", "token": id_, "subject": "human:ana", **more}
    return {**fields, "derived_from": derived} if derived else fields


def order(revocation: str, target: str, **more: Any) -> Event:
    kind, _, id_ = target.partition(":")
    fields = {"type": "revocation.ordered", "revocation": revocation, "target": {"kind": kind, "id": id_}}
    return {**fields, "ordered_by": "human:bo", "reason": "compromise", **more}


def lift(revocation: str, at: int) -> Event:
    fields = {"type": "revocation.lifted", "revocation": revocation, "lifted_by": "human:bo"}
    return {**fields, "occurred_at": format_instant(at)}


@contextmanager
def delivering(store: str, log: str) -> Iterator["Delivering"]:
    """Run ``delegraph deliver`` in a separate process; it is killed in the end if it is still running."""
    with tempfile.NamedTemporaryFile(prefix="delegraph-", suffix=".log") as log_file:
        run = started("deliver", "--json", "--store", store, "--log", log, stderr=log_file)
        found = Delivering(run, Path(log_file.name))
        try:
            yield found
        finally:
            found.kill()


@dataclass
class Delivering:
    """A delivery process, and the file with its output."""

    run: subprocess.Popen[bytes]
    log_file: Path

    def output(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def leave(self) -> Event:
        """Ask it to stop, and return its final document."""
        self.run.send_signal(signal.SIGTERM)
        stdout, _ = self.run.communicate(timeout=60)

        assert self.run.returncode == 0, self.output()
        return json.loads(stdout)

    def kill(self) -> None:
        self.run.kill()
        self.run.wait()
        self.run.stdout.close()
