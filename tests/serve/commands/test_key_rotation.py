"""Rotation of the key that signs checkpoints: nobody accepts what a stolen old key signs."""

import base64
import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import Note, NoteError, parse_key, parse_note
from lineage.core.evidence.rotation import Rotation, parse_rotation, rotations_in, signed_rotation
from lineage.deliver.tlog.note_keys import KeyKind, NoteKeys, is_valid, load_note_keys, note_keys
from lineage.serve.cli.main import main
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import opened_service
from lineage.serve.queries.evidence_bundle import who_statement
from tests.support import bundles
from tests.support.places import ROOT

ORIGIN = "audit.example/agents"


def keys_of(byte: int) -> NoteKeys:
    private = Ed25519PrivateKey.from_private_bytes(bytes([byte]) * 32)
    return note_keys(ORIGIN, KeyKind.ED25519, private, [private.public_key()])


OLD, NEW = keys_of(1), keys_of(2)
ROTATION = Rotation(ORIGIN, OLD.verifiers[0], NEW.verifiers[0], (("decisions/0", 44), ("orders/0", 3)))


class Desk:
    """The command line over one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {"DELEGRAPH_STORE": f"sqlite:///{folder}/store.db", "DELEGRAPH_EVIDENCE_ORIGIN": ORIGIN}
        self.sign_with("old.pem")

    def sign_with(self, *files: str) -> None:
        """Use these keys, of which the first signs."""
        combined = self.folder / "keys.pem"
        combined.write_text(
            "".join((self.folder / file).read_text() for file in files if (self.folder / file).exists())
        )
        combined.chmod(0o600)
        self.env["DELEGRAPH_EVIDENCE_KEY_FILE"] = str(combined)

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=self.env)

    def document(self, *arguments: str) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def rotate(self) -> Result:
        return self.run(
            "evidence",
            "rotate",
            str(self.folder / "new.pem"),
            "--by",
            "human:ops@example.com",
            "--reason",
            "Once a year",
        )

    def check(self, note: str, *keys: str) -> Result:
        (self.folder / "note").write_text(note, encoding="utf-8")
        return self.run(
            "evidence", "check", str(self.folder / "note"), *(part for key in keys for part in ("--key", key))
        )


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, dict[str, str]]:
    """Create the incident, a checkpoint by the old key, a rotation, and one by the new key; return keys and notes."""
    desk = Desk(tmp_path_factory.mktemp("rotated"))
    for name in ("old.pem", "new.pem"):
        assert desk.run("evidence", "keygen", str(desk.folder / name)).exit_code == 0
    assert desk.run("ingest", str(ROOT / "examples" / "incident.jsonl")).exit_code == 0
    desk.sign_with("old.pem")
    before = desk.document("evidence", "checkpoint")
    fields = {"old": before["key"], "before": before["checkpoints"][0]["note"], "combined": before["combined"]}
    assert desk.rotate().exit_code == 0
    refused = desk.run("evidence", "checkpoint")
    assert (2, True) == (refused.exit_code, "was replaced by" in refused.stderr)
    desk.sign_with("new.pem", "old.pem")
    after = desk.document("evidence", "checkpoint")
    notes = {one["origin"]: one["note"] for one in after["checkpoints"]}
    return desk, fields | {"new": after["key"], "after": notes[f"{ORIGIN}/orders/0"]}


def resigned(desk: Desk, note: str) -> str:
    """Sign the same text with the stolen old key."""
    stolen = load_note_keys(ORIGIN, KeyKind.ED25519, desk.folder / "old.pem")
    text = note.rpartition("\n\n")[0] + "\n"
    return str(Note(text, (stolen.sign(text),)))


def test_each_key_is_valid_for_its_own_checkpoints(rotated: tuple[Desk, dict[str, str]]):
    desk, notes = rotated
    for note, key in (
        (notes["before"], "old"),
        (notes["combined"], "old"),
        (notes["after"], "new"),
    ):
        result = desk.check(note, notes[key])
        assert result.exit_code == 0, result.stderr


def test_a_stolen_old_key_is_refused_later(rotated: tuple[Desk, dict[str, str]]):
    """Not even genuine records are accepted."""
    desk, notes = rotated
    result = desk.check(resigned(desk, notes["after"]), notes["old"], notes["new"])

    assert result.exit_code == 6
    assert "which had been replaced by then" in result.stderr


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda note: note.replace("\n44\n", "\n43\n"), 6, "is not valid"),
        (lambda note: note.replace(ORIGIN, "other.example"), 6, "no key that you trust signed"),
        (lambda note: "nothing", 2, "that is not a checkpoint"),
        (lambda note: "", 2, "that is not a checkpoint"),
    ],
    ids=["a size", "an origin", "a text", "nothing"],
)
def test_a_checkpoint_of_another_log_is_refused(
    rotated: tuple[Desk, dict[str, str]], change: Any, code: int, message: str
):
    desk, known = rotated
    result = desk.check(change(known["before"]), known["old"])

    assert code == result.exit_code
    assert message in result.stderr


def test_a_second_history_is_refused(rotated: tuple[Desk, dict[str, str]]):
    """It is signed with the right key."""
    desk, notes = rotated
    keys = load_note_keys(ORIGIN, KeyKind.ED25519, desk.folder / "new.pem")
    for head, filters in (
        (Checkpoint(f"{ORIGIN}/decisions/0", 44, bytes(32)), "shows another history"),
        (Checkpoint(f"{ORIGIN}/decisions/0", 9_999, bytes(32)), "covers 9,999 records"),
    ):
        result = desk.check(str(Note(head.text, (keys.sign(head.text),))), notes["new"])
        assert (6, True) == (result.exit_code, filters in result.stderr)


def test_the_old_key_cannot_be_rotated_again(rotated: tuple[Desk, dict[str, str]], tmp_path: Path):
    desk, _ = rotated
    shutil.copytree(desk.folder, tmp_path, dirs_exist_ok=True)
    copied = Desk(tmp_path)
    copied.sign_with("old.pem")

    assert 2 == copied.rotate().exit_code
    copied.sign_with("new.pem", "old.pem")
    assert 2 == copied.rotate().exit_code  # to itself


@pytest.mark.parametrize("part", ["nothing", "the envelope", "the checkpoint of orders", "the combined checkpoint"])
def test_the_verifier_refuses_a_stolen_old_key(rotated: tuple[Desk, dict[str, str]], tmp_path: Path, part: str):
    """The bundle contains the rotation and its content is true, but the reader still trusts the old key."""
    desk, result = rotated
    bundle = tmp_path / "who.json"
    assert desk.run("evidence", "who", "mail-7", "--out", str(bundle)).exit_code == 0
    old, new = (load_note_keys(ORIGIN, KeyKind.ED25519, desk.folder / name) for name in ("old.pem", "new.pem"))
    statement = bundles.statement_of(json.loads(bundle.read_text(encoding="utf-8")))
    if part == "the checkpoint of orders":
        tree = bundles.tree_of(statement, "orders")
        tree["checkpoint"] = resigned(desk, tree["checkpoint"])
    elif part == "the combined checkpoint":
        statement["predicate"]["combined"] = resigned(desk, statement["predicate"]["combined"])
    envelope = bundles.resigned(old if part == "the envelope" else new, statement)
    bundle.write_text(json.dumps(envelope), encoding="utf-8")
    found = bundles.verified_alone(bundle, "--key", result["old"], "--key", result["new"])

    said = {
        "nothing": "VERIFIED, if you trust",
        "the envelope": f"WRONG: the bundle is signed by a key of {ORIGIN} that",
        "the checkpoint of orders": f"WRONG: the checkpoint of {ORIGIN}/orders/0 is signed by a key that",
        "the combined checkpoint": f"WRONG: the checkpoint of {ORIGIN}/decisions/0 and {ORIGIN}/orders/0 is signed by",
    }
    assert (int(part != "nothing"), True) == (found.returncode, found.stdout.startswith(said[part])), found.stdout
    assert ("had been replaced before" in found.stdout) == (part != "nothing")


def test_a_bundle_names_the_rotations_even_if_it_has_not_all_orders(rotated: tuple[Desk, dict[str, str]]):
    """Otherwise a verifier that is given the old key could not know that it was replaced."""
    desk, known = rotated
    with opened_service(Settings.of(env=desk.env)) as service:
        statement = who_statement(service, ORIGIN, "mail-7", at=service.clock(), most_orders=0)
    assert statement is not None
    tree = bundles.tree_of(statement, "orders")
    values = [base64.b64decode(record["value"]) for record in tree["records"]]

    assert not tree["complete"]
    assert any(known["new"].encode() in value for value in values)


def test_fsck_finds_what_a_stolen_old_key_signed(rotated: tuple[Desk, dict[str, str]], tmp_path: Path):
    """It reports a later checkpoint of genuine records, of a partition or the combined one, but not earlier ones."""
    desk, notes = rotated
    shutil.copytree(desk.folder, tmp_path, dirs_exist_ok=True)
    copied = Desk(tmp_path)
    assert copied.document("fsck")["ok"]
    with sqlite3.connect(tmp_path / "store.db") as connection:
        rows = connection.execute("SELECT id, origin, size, note FROM checkpoint ORDER BY id").fetchall()
        for id_, *_, note in rows:
            connection.execute("UPDATE checkpoint SET note = ? WHERE id = ?", (resigned(copied, note), id_))
    found = copied.run("fsck", "--json")
    differences = json.loads(found.stdout)["differences"]

    new = parse_key(notes["new"]).id
    later = [(origin, size) for _, origin, size, note in rows if parse_note(note).signatures[0].key_id == new]
    assert found.exit_code == 6
    assert [f"the checkpoint of {origin} with {size:,} records" for origin, size in later] == [
        one.removeprefix("checkpoint: ").partition(", signed ")[0] for one in differences
    ]
    assert all(f"which had been replaced by {notes['new']}" in one for one in differences)


# The note of a rotation


def note_of(rotation: Rotation = ROTATION, *signers: NoteKeys) -> str:
    return signed_rotation(rotation, *(keys.sign(rotation.text).line for keys in signers or (NEW, OLD)))


def test_a_rotation_is_read_as_it_is_written():
    assert ROTATION == parse_rotation(note_of(), is_valid)
    assert ROTATION == parse_rotation(note_of(ROTATION, NEW), is_valid)  # the old key was lost


def test_the_old_key_signs_nothing_beyond_the_sizes_of_its_rotation():
    allowed = [("decisions/0", 44), ("orders/0", 3), ("decisions/1", 0)]
    for tree, size in allowed:
        assert not ROTATION.forbids(Checkpoint(f"{ORIGIN}/{tree}", size, bytes(32)))
        assert ROTATION.forbids(Checkpoint(f"{ORIGIN}/{tree}", size + 1, bytes(32)))


@pytest.mark.parametrize(
    "raw",
    [
        note_of(ROTATION, OLD),
        note_of().replace("44", "45"),
        note_of(ROTATION._replace(new=OLD.verifiers[0]), OLD),
        note_of(ROTATION._replace(sizes=(("decisions/0", 1), ("decisions/0", 2)))),
        note_of(ROTATION._replace(sizes=(("decisions/x", 1),))),
        note_of(ROTATION._replace(sizes=(("decisions/0", -1),))),
        note_of().replace("checkpoint key rotated", "3"),
        "",
        "\n\n\n",
    ],
    ids=range(9),
)
def test_an_invalid_rotation_retires_no_key(raw: str):
    """An example is one that the new key has not signed."""
    with pytest.raises(NoteError):
        parse_rotation(raw, is_valid)
    assert [] == rotations_in([raw], ORIGIN, is_valid)


def test_the_earliest_rotation_of_a_key_counts():
    later = ROTATION._replace(sizes=(("decisions/0", 9_000),))
    assert [ROTATION] == rotations_in([note_of(), note_of(later)], ORIGIN, is_valid)
    assert [] == rotations_in([note_of()], "other.example", is_valid)


def test_the_documented_rotation_has_valid_signatures():
    """The vector has text, keys and signature lines."""
    text = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    pattern = r"```text\n(audit\.example/agents\ncheckpoint key rotated.*?)```.*?```text\n(— .*?)```"
    [(result, lines)] = re.findall(pattern, text, re.DOTALL)

    assert (result, f"{result}\n{lines}") == (ROTATION.text, note_of())
