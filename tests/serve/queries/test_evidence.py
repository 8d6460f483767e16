"""Checkpoints and proofs on the command line: others can verify valid ones, and every change is found."""

import base64
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lineage.core.evidence import merkle
from lineage.core.evidence.checkpoints import parse_checkpoint, parse_proof
from lineage.core.evidence.notes import parse_key, parse_note, verified
from lineage.deliver.tlog.note_keys import is_valid
from lineage.serve.cli.main import main
from tests.support.places import INCIDENT

RECORDS = 44  # of that file


class Desk:
    """The command line over one store, with a key."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "store.db"
        self.key = folder / "key.pem"
        self.env = {"DELEGRAPH_STORE": f"sqlite:///{self.file}", "DELEGRAPH_EVIDENCE_KEY_FILE": str(self.key)}

    def run(self, *arguments: str, **env: str | None) -> Result:
        return CliRunner().invoke(main, arguments, env=self.env | env)

    def document(self, *arguments: str) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self.file)) as connection, connection:
            assert connection.execute(statement).rowcount, "the statement changes something"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Create the incident, with a checkpoint of its first half and one of all of it."""
    desk = Desk(tmp_path_factory.mktemp("signed"))
    lines = INCIDENT.read_text(encoding="utf-8").splitlines(keepends=True)
    assert desk.run("evidence", "keygen", str(desk.key)).exit_code == 0
    for number, part in enumerate((lines[: RECORDS // 2], lines[RECORDS // 2 :])):
        half = desk.file.with_suffix(f".{number}.jsonl")
        half.write_text("".join(part), encoding="utf-8")
        assert desk.run("ingest", str(half)).exit_code == 0
        desk.document("evidence", "checkpoint")
    return desk


@pytest.fixture
def desk(signed: Desk, tmp_path: Path) -> Desk:
    """Return a copy that a test may change."""
    shutil.copytree(signed.file.parent, tmp_path, dirs_exist_ok=True)
    return Desk(tmp_path)


def test_every_record_is_proved_under_the_earliest_checkpoint(signed: Desk):
    """Only the public key and the proof are needed."""
    key = parse_key(signed.document("evidence", "checkpoint")["key"])
    for offset in range(RECORDS):
        proof = parse_proof(signed.run("prove-record", f"decisions/0/{offset}").stdout)
        checkpoint = parse_checkpoint(proof.checkpoint)
        leaf = merkle.hash_leaf(proof.extra)

        assert [key] == list(verified(proof.checkpoint, [key], is_valid))
        assert checkpoint.root == merkle.root_of_inclusion(leaf, offset, checkpoint.size, proof.path)
        assert checkpoint.size == (RECORDS // 2 if offset < RECORDS // 2 else RECORDS)


def test_a_proof_as_a_document_says_what_the_record_is(signed: Desk):
    """The record is named by its position, or as the event of a source."""
    result = signed.document("prove-record", "gw-7", "--source", "https://gateway.example")
    assert result == signed.document("prove-record", result["position"])
    assert result["proof"] == [base64.b64encode(each).decode() for each in parse_proof(result["tlog_proof"]).path]


def test_adjacent_records_prove_that_there_is_none_between(signed: Desk):
    result = signed.document("prove-record", "decisions/0/7", "--next")
    assert (7, 8) == (result["first"]["index"], result["next"]["index"])
    assert ("decisions/0/7", "decisions/0/8", 0) == (
        result["first"]["position"],
        result["next"]["position"],
        result["next"]["gap"],
    )


def test_two_checkpoints_are_consistent(signed: Desk):
    result = signed.document("evidence", "consistency", "decisions/0", "22", "44")
    proof = [base64.b64decode(each) for each in result["proof"]]
    roots = [bytes.fromhex(result[side]["root"]) for side in ("old", "new")]

    assert merkle.is_consistent(22, 44, *roots, proof)
    note = signed.document("evidence", "checkpoint")["checkpoints"][0]["note"]
    assert roots[1] == parse_checkpoint(parse_note(note)).root


def test_an_unchanged_partition_is_not_signed_again(signed: Desk):
    again = signed.document("evidence", "checkpoint")
    assert (0, [RECORDS], [False]) == (
        again["signed"],
        [one["size"] for one in again["checkpoints"]],
        [one["new"] for one in again["checkpoints"]],
    )


def test_a_rebuild_keeps_checkpoints_and_makes_equal_trees(desk: Desk):
    before = desk.document("prove-record", "decisions/0/30")
    assert desk.run("rebuild").exit_code == 0
    assert before == desk.document("prove-record", "decisions/0/30")
    assert desk.document("fsck")["ok"]


def test_a_rotated_key_verifies_what_it_signed(desk: Desk):
    """The new key is first in the file, and the old one follows."""
    old = desk.document("evidence", "checkpoint")
    fresh = desk.file.with_name("fresh.pem")
    assert desk.run("evidence", "keygen", str(fresh)).exit_code == 0
    desk.key.write_text(fresh.read_text() + desk.key.read_text())
    extra = desk.file.with_name("extra.jsonl")
    extra.write_text(INCIDENT.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert desk.run("ingest", str(extra)).exit_code == 0
    new = desk.document("evidence", "checkpoint")

    assert new["key"] != old["key"]
    keys = [parse_key(each["key"]) for each in (old, new)]
    assert [keys[0]] == list(verified(parse_note(old["checkpoints"][0]["note"]), keys, is_valid))
    assert [keys[1]] == list(verified(parse_note(new["checkpoints"][0]["note"]), keys, is_valid))


CHANGES = {
    "a value in the log": 'UPDATE log_record SET value = zeroblob(9) WHERE topic = 0 AND "offset" = 9',
    "a time in the log": 'UPDATE log_record SET recorded_at = recorded_at - 1 WHERE topic = 0 AND "offset" = 9',
    "a record of the log dropped": 'DELETE FROM log_record WHERE topic = 0 AND "offset" = 9',
    "the log truncated": 'DELETE FROM log_record WHERE topic = 0 AND "offset" > 30',
    "a tile": "UPDATE tile SET data = CAST(zeroblob(54) || substr(data, 55) AS BLOB) WHERE level = 0",
    "the size of a tree": "UPDATE tree SET size = size - 1",
    "the root of a checkpoint": "UPDATE checkpoint SET root = zeroblob(32) WHERE id = 1",
    "a larger checkpoint": "UPDATE checkpoint SET size = 45, note = replace(note, '44', '45') WHERE id = 2",
    "a note that cannot be read": "UPDATE checkpoint SET note = 'x'",
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found(desk: Desk, change: str):
    """fsck reports where."""
    desk.execute(CHANGES[change])
    result = desk.run("fsck", "--json")

    assert result.exit_code == 6, result.output
    assert result.stdout


@pytest.mark.parametrize("change", [name for name in CHANGES if "log" in name])
def test_a_rebuild_refuses_a_log_that_was_changed(desk: Desk, change: str):
    """Otherwise it would remove the only trace of the change."""
    desk.execute(CHANGES[change])
    result = desk.run("rebuild")

    assert result.exit_code == 6
    assert "nothing was replaced" in result.stderr


def test_a_changed_tree_is_not_signed(desk: Desk):
    extra = desk.file.with_name("extra.jsonl")
    extra.write_text(INCIDENT.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert desk.run("ingest", str(extra)).exit_code == 0
    desk.execute(CHANGES["a tile"])
    result = desk.run("evidence", "checkpoint")

    assert result.exit_code == 6
    assert "are not those under its checkpoint of 44 records" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("prove-record", "decisions/0/44"), 3, "There is no record decisions/0/44"),
        (("prove-record", "orders/7/0"), 3, "There is no record orders/7/0"),
        (("prove-record", "gw-7"), 2, "name its source: delegraph prove-record gw-7 --source URI"),
        (("prove-record", "gw-99", "--source", "https://gateway.example"), 3, "There is no record gw-99"),
        (("prove-record", "decisions/0/" + "9" * 500), 2, "is not the position of a record"),
        (("prove-record", "../0/1"), 2, "is not the position of a record"),
        (("evidence", "consistency", "decisions/0", "5", "45"), 2, "has 44 records"),
        (("evidence", "consistency", "decisions/0", "5", "4"), 2, "the smaller first"),
        (("evidence", "consistency", "decisions", "5"), 2, "is not a partition of the log"),
        (("evidence", "keygen", "KEY"), 2, "must not be overwritten"),
        (("evidence", "keygen", "/nowhere/at/all/key.pem"), 2, "cannot be written"),
    ],
)
def test_a_missing_proof_is_reported(signed: Desk, arguments: tuple[str, ...], code: int, message: str):
    result = signed.run(*(str(signed.key) if each == "KEY" else each for each in arguments))

    assert code == result.exit_code
    assert message in " ".join(result.stderr.split())


def test_a_record_beyond_the_checkpoint_has_no_proof_yet(desk: Desk):
    extra = desk.file.with_name("extra.jsonl")
    extra.write_text(INCIDENT.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    assert desk.run("ingest", str(extra)).exit_code == 0
    result = desk.run("prove-record", "decisions/0/44")

    assert result.exit_code == 2
    assert "no checkpoint covers decisions/0/44 yet: it is record 45 of its partition; sign one with" in result.stderr


@pytest.mark.parametrize("content", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_without_a_key_is_refused(desk: Desk, content: str):
    desk.key.write_text(content)
    result = desk.run("evidence", "checkpoint")

    assert result.exit_code == 2
    assert str(desk.key) in result.stderr


def test_without_a_key_the_error_says_how_to_make_one(signed: Desk):
    result = signed.run("evidence", "checkpoint", DELEGRAPH_EVIDENCE_KEY_FILE=None)

    assert result.exit_code == 2
    assert "delegraph evidence keygen" in result.stderr


def test_a_key_file_is_readable_by_its_owner_only(signed: Desk):
    assert signed.key.stat().st_mode & 0o777 == 0o600


def test_a_missing_sequence_number_has_proved_neighbours(desk: Desk):
    """Each neighbour is proved."""
    events = [json.loads(line) for line in INCIDENT.read_text(encoding="utf-8").splitlines()]
    numbers = sorted({one.get("sequence", 0) for one in events if one["source"] == "https://gateway.example"} - {0})
    beyond = desk.document("evidence", "absence", "https://gateway.example", str((numbers or [0])[-1] + 5))

    assert beyond["after"] is None
    assert (beyond["before"] is not None) == bool(numbers)
    if numbers:
        present = desk.run("evidence", "absence", "https://gateway.example", str(numbers[0]))
        assert present.exit_code == 2
        assert "did send number" in present.stderr
