"""The process that keeps findings: it delivers what it writes at once, and measures every rule."""

import re
import threading
from functools import partial
from pathlib import Path

from ingest.codec import api as codec
from lineage.core.findings.options import DEFAULT
from lineage.core.findings.rules.catalogue import RULES
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.settings import Settings
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.finding_metrics import FindingMetrics
from lineage.serve.processes.finding_process import FindingProcess
from lineage.serve.processes.health_server import Health
from lineage.store.store import open_store

AN_HOUR = 3_600.0


def test_a_write_wakes_the_delivering_threads(tmp_path: Path):
    """
    A thread that would look again in an hour looks as soon as something is written, even during its turn.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    process = FindingProcess(Settings(), store, FindingKeeper(store, None, DEFAULT), 1)
    news = process._news["feeds"] = threading.Event()
    turns = [threading.Event() for _ in range(3)]
    waiting = iter(turns)

    def turn() -> bool:
        number = turns.index(one := next(waiting))
        if number == 0:
            process._tell_of(1)  # while it delivers what was written before
        one.set()
        return False

    stopped = threading.Event()
    with background_threads({"feeds": partial(process._each_time, turn, seconds=AN_HOUR, news=news)}, stopped):
        try:
            assert turns[1].wait(60)
            process._tell_of(2)
            assert turns[2].wait(60)
        finally:
            stopped.set()
            news.set()
    store.close()


def test_the_metrics_have_the_time_of_every_rule_from_the_beginning(tmp_path: Path):
    """
    Rules that have not been evaluated yet have a series too, because Prometheus computes no rate from its first value.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    keeper = FindingKeeper(store, None, DEFAULT)
    shown = FindingMetrics(Health(), store, keeper, list).exposition().decode()
    store.close()

    assert set(RULES) == set(re.findall(r'^delegraph_rule_seconds_total\{rule="(.*?)"\} 0\.0$', shown, re.MULTILINE))
