"""Consumers are upgraded first; records that they cannot read yet wait in quarantine, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import schemas
from tests.support.places import ROOT

TOKEN = {"type": "token.issued", "token": "t1", "subject": "human:alice"}
JUDGED = {
    "type": "finding.judged",
    "finding": "F-0f1e2d3c4b5a69788796",
    "judgement": "suppressed",
    "by": "human:ir@example.com",
    "reason": "A test of the gateway",
}

CASE = {
    "type": "case.changed",
    "case": "INC-1",
    "change": "opened",
    "by": "human:ir@example.com",
    "title": "A leak",
    "items": [{"kind": "token", "id": "t1"}],
}
HOLD = {
    "type": "hold.changed",
    "hold": "LIT-1",
    "change": "placed",
    "by": "human:counsel@example.com",
    "reason": "A lawsuit",
    "case": "INC-1",
}


def event(number: int, body: dict[str, Any], **fields: Any) -> dict[str, Any]:
    envelope = {"event_id": f"e{number}", "source": "urn:test", "occurred_at": "2026-11-01T09:00:00Z"}
    return {**envelope, **body, **fields}


class Command:
    """The command line with the schemas up to one version, in separate processes."""

    def __init__(self, folder: Path, version: int) -> None:
        self.folder = folder
        overlay = folder / f"version-{version}"
        shutil.copytree(
            Path(schemas.__file__).parent, overlay / "schemas", ignore=shutil.ignore_patterns("__pycache__")
        )
        lock = overlay / "schemas" / "lock.json"
        shipped = [entry for entry in json.loads(lock.read_text("utf-8")) if entry["version"] <= version]
        lock.write_text(json.dumps(shipped), "utf-8")
        self.environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(overlay), str(ROOT)])}

    def __call__(self, *words: str, events: list[dict[str, Any]] | None = None) -> dict[str, Any]:
        if events is not None:
            file = self.folder / "events.jsonl"
            file.write_text("".join(f"{json.dumps(one)}\n" for one in events), "utf-8")
            words = (*words, str(file))
        program = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
        options = ["--store", f"sqlite:///{self.folder}/store.db", "--json"]
        done = subprocess.run(
            [sys.executable, "-c", program, *words, *options],
            capture_output=True,
            check=False,
            cwd=self.folder,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr.decode()
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.mark.slow
def test_records_unknown_to_the_first_version_are_imported_after_the_upgrade(tmp_path: Path):
    """
    A later type, field and schema wait as `unknown-schema` or `unknown-field`, and become facts.
    """
    older, now = Command(tmp_path, 1), Command(tmp_path, schemas.latest().version)
    lines = [event(1, TOKEN), event(2, TOKEN, token="t2", single_use=True), event(3, JUDGED)]
    from_file = older("ingest", events=lines)
    now("emit", events=[event(4, TOKEN, token="t3"), event(5, JUDGED)])
    from_log = older("consume", "--drain")["outcomes"]
    waiting = older("quarantine")["items"]

    retried = now("quarantine", "--retry")
    checked = now("fsck")

    assert (1, 2) == (from_file["accepted"], from_file["quarantined"])
    assert (1, 2) == (from_log["accepted"], from_log["quarantined"])
    assert ["unknown-field", *["unknown-schema"] * 3] == sorted(item["reason"] for item in waiting)
    assert (4, 4, 0) == (retried["read"], retried["taken_up"], retried["waiting"])
    assert (5, 0, 0) == tuple(checked["outcomes"][name] for name in ("accepted", "unauthorised", "quarantined"))
    assert ["active"] * 3 == [now("status", f"token:{token}")["state"] for token in ("t1", "t2", "t3")]


@pytest.mark.slow
def test_the_latest_version_reads_records_of_the_first(tmp_path: Path):
    """
    A log filled by producers of the first version is read, with the same digests.
    """
    older, now = Command(tmp_path, 1), Command(tmp_path, schemas.latest().version)
    older("emit", events=[event(1, TOKEN)])
    now("emit", events=[event(1, TOKEN), event(2, TOKEN, token="t2")])

    outcomes = now("consume", "--drain")["outcomes"]

    assert (2, 1, 0) == tuple(outcomes[name] for name in ("accepted", "duplicates", "conflicts"))


@pytest.mark.slow
def test_a_case_and_a_hold_unknown_to_the_second_version_are_imported_after_the_upgrade(tmp_path: Path):
    """
    A case and a hold of newer versions wait in quarantine, and are complete afterwards.
    """
    older, now = Command(tmp_path, 2), Command(tmp_path, schemas.latest().version)
    now("emit", events=[event(1, TOKEN), event(2, JUDGED), event(3, CASE), event(4, HOLD)])
    from_log = older("consume", "--drain")["outcomes"]
    retried = now("quarantine", "--retry")

    assert (0, 4) == (from_log["accepted"], from_log["quarantined"])  # all are written with the newer schema
    assert 0 == retried["waiting"]
    assert ("A leak", 1) == tuple(now("case", "show", "INC-1")[name] for name in ("title", "contains"))
