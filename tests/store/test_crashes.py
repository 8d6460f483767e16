"""Crashes: whatever is killed, and whatever runs concurrently, nothing is lost and nothing is repeated.

Real processes over a file of some thousands of events, killed with SIGKILL at random times. After the same command is
repeated, the result must equal that of an undisturbed import.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.opening import open_log
from lineage.core.model.events import digest
from lineage.serve.commands import maintenance
from lineage.serve.config.wiring import Settings, now, opened_service
from lineage.store.store import open_store
from tests.support.crashes import events, here
from tests.support.places import ROOT
from tests.support.spool_processes import until

MANY = 15_000  # takes a few seconds with its overhead
FEW = 6_000
KILLS = 12
TIMES = 4  # the file is in the log this often, which is more than one batch of the consumer
# The findings of these depend on when the order was recorded, which differs in every store.
WHEN_RECORDED = {"used-after-revocation", "used-while-suspended", "tainted-use", "granted-after-revocation"}
COUNTS = ["accepted", "duplicates", "conflicts", "unauthorised", "quarantined"]


def content_digest(event: dict[str, Any]) -> str:
    """Return the digest of an event, envelope included."""
    return digest(codec.event_from_document(event))


@dataclass(frozen=True)
class History:
    """A file of events, its content, and a store that imported it without a fault."""

    file: Path
    made: list[dict[str, Any]]
    undisturbed: str


def history(folder: Path, count: int) -> History:
    made = events(count, random.Random(count))
    file = folder / "events.jsonl"
    file.write_text("".join(f"{json.dumps(event)}\n" for event in made), encoding="utf-8")
    url = f"sqlite:///{folder}/undisturbed.db"
    [counts] = here(url, "ingest", str(file))
    assert count == counts["read"] == sum(counts[key] for key in COUNTS)
    return History(file, made, url)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Return a history for processes that are killed within one run."""
    return history(tmp_path_factory.mktemp("many"), MANY)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Return a history for everything else."""
    return history(tmp_path_factory.mktemp("few"), FEW)


def start(*words: str) -> subprocess.Popen[bytes]:
    line = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
    return subprocess.Popen(
        [sys.executable, "-c", line, *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def finished(run: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Return the document of a command that ended successfully."""
    stdout, stderr = run.communicate(timeout=90)

    assert (0, b"") == (run.returncode, stderr), stderr
    return json.loads(stdout)


def killed(run: subprocess.Popen[bytes], after_seconds: float) -> bool:
    """Kill a process after a while; false if it had ended by itself."""
    time.sleep(after_seconds)
    run.kill()
    run.communicate()
    return run.returncode == -signal.SIGKILL


def facts_in(url: str) -> Counter[str]:
    """Count each content in a store."""
    store = open_store(url, codec.read)
    found = Counter(digest(stored.fact.event) for stored in store.facts())
    store.close()
    return found


def log_size(url: str) -> int:
    log = open_log(url, create=False, clock=now)
    size = sum(log.ends().values())
    log.close()
    return size


def without(document: Any, *keys: str) -> Any:
    if isinstance(document, dict):
        return {key: without(value, *keys) for key, value in document.items() if key not in keys}
    return [without(item, *keys) for item in document] if isinstance(document, list) else document


def answers(url: str, made: list[dict[str, Any]]) -> list[Any]:
    """Return a sample of the store's answers, without recording times and everything that depends on them."""
    tokens = [f"token:{event['token']}" for event in made if event["type"] == "token.issued"][:: len(made) // 50]
    actions = [event["action"] for event in made if event["type"] == "action.performed"][:: len(made) // 100]
    at = ("--at", "2024-05-02T00:00:00Z")
    lines = []
    for words in (
        ["status", *tokens, *at],
        ["chain", *tokens[::4], *at],
        ["reach", *tokens[::4], "principal:agent:a7", *at],
        ["who", *actions, *at],
        ["timeline", *tokens[::8]],
        ["conflicts"],
    ):
        lines += here(url, *words)
    for document in lines:
        if document.pop("findings_complete", True) is False:  # which part was examined depends on the store
            document["findings"] = []
        if "findings" in document:
            found = (one for one in document["findings"] if one["kind"] not in WHEN_RECORDED)
            document["findings"] = [{"id": one["id"], "why": one["why"]} for one in found]
    return without(lines, "recorded_at", "as_of", "then_as_known_then")


def assert_whole(url: str, history: History) -> None:
    """Check that a store has exactly the content of the file, answers like an undisturbed one, and is consistent."""
    facts = facts_in(url)
    assert {content_digest(event) for event in history.made} == set(facts)
    assert {1} == set(facts.values())
    [checked] = here(url, "fsck")
    assert checked["ok"]
    assert log_size(url) == checked["records"] == sum(checked["outcomes"].values())
    assert answers(history.undisturbed, history.made) == answers(url, history.made)


@pytest.mark.slow
def test_the_history_covers_the_relevant_cases(many: History):
    """
    The file has orders, lifts, duplicates and conflicts, and its facts are those of an undisturbed store.
    """
    made = many.made
    kinds = Counter(event["type"] for event in made)

    assert 500 < kinds["revocation.ordered"]
    assert 200 < kinds["revocation.lifted"]
    assert 500 < len(made) - len({content_digest(event) for event in made})
    assert {content_digest(event): 1 for event in made} == facts_in(many.undisturbed)


@pytest.mark.slow
def test_a_repeatedly_killed_ingest_loses_nothing(many: History, tmp_path: Path):
    """
    Killed twelve times at a random time, from the creation of the store on; then run once to the end.
    """
    rng = random.Random()
    url = f"sqlite:///{tmp_path}/delegraph.db"
    began = time.monotonic()
    finished(start("ingest", str(many.file), "--store", f"sqlite:///{tmp_path}/timed.db"))
    whole = time.monotonic() - began

    kills = [
        killed(start("ingest", str(many.file), "--store", url), rng.uniform(0.25, 0.95) * whole) for _ in range(KILLS)
    ]
    counts = finished(start("ingest", str(many.file), "--store", url))

    assert any(kills)
    assert MANY == counts["read"] == sum(counts[key] for key in COUNTS)
    assert_whole(url, many)


@pytest.mark.slow
def test_an_init_that_was_killed_can_be_repeated(tmp_path: Path):
    """
    Killed between the first byte and the last table, `init` completes the store.
    """
    rng = random.Random()
    url = f"sqlite:///{tmp_path}/delegraph.db"
    began = time.monotonic()
    finished(start("init", "--store", f"sqlite:///{tmp_path}/timed.db"))
    whole = time.monotonic() - began

    for n in range(3):
        killed(start("init", "--store", url), rng.uniform(0.5, 1.0) * whole)
        assert {"recorded_at": None, "behind": 0} == here(url, "init")[0]["as_of"]
        for file in tmp_path.glob("delegraph.db*"):
            file.rename(tmp_path / f"{n} {file.name}")


@pytest.mark.slow
def test_a_consumer_that_is_killed_loses_nothing(few: History, tmp_path: Path):
    """
    The log is complete and the consumer is killed within it: positions and facts are committed together, and the next
    one continues.
    """
    rng = random.Random()
    emitted, timed = tmp_path / "emitted.db", tmp_path / "timed.db"
    finished(start("emit", *[str(few.file)] * TIMES, "--store", f"sqlite:///{emitted}"))
    shutil.copy(emitted, timed)
    began = time.monotonic()
    finished(start("consume", "--drain", "--store", f"sqlite:///{timed}"))
    whole = time.monotonic() - began

    kills = []
    for n in range(KILLS // 3):
        shutil.copy(emitted, tmp_path / f"killed{n}.db")
        url = f"sqlite:///{tmp_path}/killed{n}.db"
        kills.append(killed(start("consume", "--store", url), rng.uniform(0.3, 1.0) * whole))
        store = open_store(url, codec.read, create=True)
        held, positions = sum(store.outcomes()), sum(store.positions().values())
        store.close()
        assert held == positions
        [consumed] = here(url, "consume", "--drain")
        assert (TIMES * FEW, 0) == (sum(consumed["outcomes"].values()), consumed["as_of"]["behind"])
        assert {content_digest(event): 1 for event in few.made} == facts_in(url)

    assert all(kills)
    assert_whole(url, few)


@pytest.mark.slow
def test_two_consumers_at_once_account_for_each_record_once(few: History, tmp_path: Path):
    """
    Two consumers drain one log into one store: together they project every record, and none twice.
    """
    url = f"sqlite:///{tmp_path}/delegraph.db"
    finished(start("emit", *[str(few.file)] * TIMES, "--store", url))
    here(url, "init")

    runs = [start("consume", "--drain", "--store", url) for _ in range(2)]
    consumed = [finished(run) for run in runs]

    assert TIMES * FEW == sum(document["records"] for document in consumed)
    assert_whole(url, few)


@pytest.mark.slow
def test_a_concurrent_consumer_does_not_change_the_result_of_ingest(few: History, tmp_path: Path):
    """
    A consumer follows while a file is ingested: the counts add up whichever of them projected, and SIGTERM ends it
    normally.
    """
    url = f"sqlite:///{tmp_path}/delegraph.db"
    here(url, "init")

    consumer = start("consume", "--store", url)
    until(lambda: listens_to(consumer.pid, signal.SIGTERM))
    counts = finished(start("ingest", str(few.file), "--store", url))
    consumer.send_signal(signal.SIGTERM)
    consumed = finished(consumer)

    assert FEW == counts["read"] == sum(counts[key] for key in COUNTS)
    assert FEW == sum(consumed["outcomes"].values())
    assert_whole(url, few)


def listens_to(pid: int, number: signal.Signals) -> bool:
    """Whether a process handles a signal."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    [caught] = [int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(caught >> number - 1 & 1)


@pytest.mark.slow
@pytest.mark.parametrize("command", [maintenance.fsck, maintenance.rebuild])
def test_records_that_come_during_fsck_or_rebuild_are_neither_lost_nor_reported(
    few: History, tmp_path: Path, command: Callable[..., dict[str, Any]]
):
    """
    Others append and project while fsck or rebuild is running: a consistent store is reported as such, and every record
    is there.
    """
    url = f"sqlite:///{tmp_path}/delegraph.db"
    here(url, "ingest", str(few.file))
    rest = tmp_path / "rest.jsonl"
    late = [{**event, "event_id": f"late {event['event_id']}"} for event in few.made[:50]]
    rest.write_text("".join(f"{json.dumps(event)}\n" for event in late), encoding="utf-8")

    with opened_service(Settings(store=url)) as service:
        document = command(service, lambda _done: here(url, "ingest", str(rest)))

    assert document.get("ok", True), document
    assert {content_digest(event): 1 for event in few.made + late} == facts_in(url)
    assert here(url, "fsck")[0]["ok"]


@pytest.mark.slow
def test_processes_that_start_together_share_one_store(few: History, tmp_path: Path):
    """
    Four processes ingest the same file into a missing store: one creates it, and each event is accepted once.
    """
    url = f"sqlite:///{tmp_path}/delegraph.db"
    file = tmp_path / "some.jsonl"
    some = few.made[:300]
    file.write_text("".join(f"{json.dumps(event)}\n" for event in some), encoding="utf-8")

    runs = [start("ingest", str(file), "--store", url) for _ in range(4)]
    counts = [finished(run) for run in runs]

    assert {300} == {document["read"] for document in counts} | {
        sum(document[key] for key in COUNTS) for document in counts
    }
    assert {content_digest(event): 1 for event in some} == facts_in(url)
    assert len({content_digest(event) for event in some}) == sum(
        document["accepted"] + document["conflicts"] for document in counts
    )
    assert here(url, "fsck")[0]["ok"]


@pytest.mark.slow
def test_concurrent_orders_all_take_effect(tmp_path: Path):
    """
    Three responders revoke three tokens at the same time: three orders, three dead tokens.
    """
    url = f"sqlite:///{tmp_path}/delegraph.db"
    file = tmp_path / "some.jsonl"
    tokens = [f"solo{n}" for n in range(3)]
    issued = {"type": "token.issued", "source": "urn:idp", "occurred_at": "2024-05-01T09:00:00Z", "subject": "human:a"}
    file.write_text("".join(json.dumps({**issued, "event_id": t, "token": t}) + "\n" for t in tokens), encoding="utf-8")
    here(url, "ingest", str(file))

    order = ("--reason", "test", "--by", "human:ruth", "--execute", "--store", url)
    runs = [start("revoke", f"token:{token}", *order) for token in tokens]
    given = [finished(run) for run in runs]

    assert 3 == len({document["revocation"] for document in given})
    assert 6 == log_size(url)
    assert ["revoked"] * 3 == [found["state"] for found in here(url, "status", *(f"token:{token}" for token in tokens))]


@pytest.mark.slow
def test_a_killed_rebuild_changes_no_answer(few: History, tmp_path: Path):
    """
    Killed at any time, `rebuild` has either swapped or not; every answer is the same.
    """
    rng = random.Random()
    url = f"sqlite:///{tmp_path}/delegraph.db"
    began = time.monotonic()
    finished(start("ingest", str(few.file), "--store", url))
    whole = time.monotonic() - began

    for _ in range(3):
        killed(start("rebuild", "--store", url), rng.uniform(0.3, 1.0) * whole)

    assert_whole(url, few)
