"""Helpers of the tests of `collect`: records of a source, and a log and a store in memory that can fail."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Self

from ingest.codec import api as codec
from ingest.sources.adapters import FORMATS
from ingest.sources.inputs.file_follower import FileFollower
from ingest.sources.inputs.intake import SourceIntake
from ingest.sources.named import NamedSource
from lineage.core.model.errors import UnavailableError
from lineage.core.model.records import Position
from tests.support.places import ROOT

LINE = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"


def decision(number: int, **more) -> dict:
    """Build a decision of OPA: one event."""
    return {
        "decision_id": f"d-{number}",
        "timestamp": f"2026-03-01T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "path": "authz/allow",
        "input": {"user": "alice", "action": "read", "resource": f"r-{number}"},
        "result": True,
    } | more


def line(number: int, **more) -> bytes:
    """Build the same decision as a line."""
    return json.dumps(decision(number, **more)).encode() + b"\n"


class World:
    """A log, a quarantine and a keeper, in memory; each step may fail once, with or without having been done.

    Attributes:
        later: Microseconds by which its clock is ahead of that of the machine.
        failing: How many more steps succeed before one fails; None if none fails.
    """

    def __init__(self) -> None:
        self.log: list = []
        self.aside: dict = {}
        self.memory: dict = {}
        self.counts: Counter = Counter()
        self.failing: int | None = None
        self.fails_after = False
        self.later = 0

    def clock(self) -> int:
        return time.time_ns() // 1_000 + self.later

    def _step(self, doing) -> None:
        if self.failing is not None:
            self.failing -= 1
            if self.failing < 0:
                self.failing = None
                if self.fails_after:
                    doing()
                raise UnavailableError("it is away")
        doing()

    # The log

    def append(self, entries):
        entries = list(entries)
        self._step(lambda: self.log.extend(entries))
        return [Position("decisions", 0, number) for number in range(len(entries))]

    def ends(self):
        return {}

    # The quarantine

    def quarantine(self, records):
        for record in records:
            self._step(
                lambda record=record: self.aside.setdefault((record.origin, record.place, record.sha256), record)
            )

    # The keeper

    def remembered(self, source, topic=None):
        return [(*key, value) for key, value in self.memory.items() if topic in {None, key[0]}]

    def keep(self, source, format_, changes, counts, *, came_at, latest):
        changes = list(changes)

        def doing():
            for topic, key, value in changes:
                self.memory.pop((topic, key), None)
                if value is not None:
                    self.memory[topic, key] = value
            self.counts.update(counts)

        self._step(doing)

    # Access for tests

    def intake(self, name: str = "opa-eu", format_: str = "opa", **more) -> SourceIntake:
        """Create a new intake, as another process would."""
        assert format_ in FORMATS
        named = NamedSource(name=name, format=format_, **more)
        return SourceIntake(named, log=self, aside=self, keeper=self, clock=self.clock)

    def follower(self, *paths: Path | str, **more) -> FileFollower:
        """A new follower, as after a restart."""
        return FileFollower(self.intake(**more), [str(path) for path in paths], clock=self.clock)

    @property
    def decisions(self) -> Counter:
        """Return how often each decision was appended."""
        events = [codec.decode(entry.value) for entry in self.log]
        return Counter(event.body.decision for event in events if event.type == "decision.made")


def ids(numbers) -> set[str]:
    """Return the decisions of some numbers."""
    return {f"opa-eu#d-{number}" for number in numbers}


class Collector:
    """A running `delegraph collect`, which may be killed at any time."""

    def __init__(self, desk, *words: str, **env: str) -> None:
        self._desk, self._words, self._env = desk, words, env
        self.process: subprocess.Popen | None = None
        self.log = desk.folder / "collect.log"

    def __enter__(self) -> Self:
        with self.log.open("ab") as result:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LINE, "collect", "--store", self._desk.url, *self._words],
                env=os.environ | {"DELEGRAPH_CONFIG": str(self._desk.folder / "delegraph.toml")} | self._env,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=result,
            )
        return self

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()

    @property
    def output(self) -> str:
        """Return what it has logged so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def until(condition, seconds: float = 30.0, every: float = 0.02) -> float:
    """Wait until a condition holds, and return how many seconds that took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it never came to be"
        time.sleep(every)
    return time.monotonic() - began
