"""Bundles of evidence: verified by one file that knows nothing of delegraph, and wrong wherever a byte is changed."""

import base64
import hashlib
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

import schemas
from lineage.core.evidence.notes import KeyKind
from lineage.core.model.events import canonical_json
from lineage.deliver.tlog.note_keys import NoteKeys, load_note_keys
from lineage.serve.cli.main import main
from tests.support.verifier import FILE as VERIFIER
from tests.support.verifier import load_verifier

ROOT = Path(__file__).parents[2]
INCIDENT = ROOT / "examples" / "incident.jsonl"
ORDER = ("token:https://idp.example#mailer-1", "--reason", "credential_leak", "--by", "human:dana@example.com")


class Case:
    """A store with the incident and an order, and its bundles."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_file = folder / "key.pem"
        self.env = {
            "DELEGRAPH_STORE": f"sqlite:///{folder}/store.db",
            "DELEGRAPH_EVIDENCE_KEY_FILE": str(self.key_file),
        }
        self.run("evidence", "keygen", str(self.key_file))
        self.run("ingest", str(INCIDENT))
        self.revocation = json.loads(self.run("revoke", *ORDER, "--execute", "--json"))["revocation"]
        self.key = json.loads(self.run("evidence", "checkpoint", "--json"))["key"]
        for name, asked in (("who", "mail-7"), ("receipt", self.revocation)):
            self.run("evidence", name, asked, "--out", str(folder / f"{name}.json"))

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, arguments, env=self.env)
        assert result.exit_code == 0, result.output
        return result.stdout

    @property
    def keys(self) -> NoteKeys:
        return load_note_keys(self.key.partition("+")[0], KeyKind.ED25519, self.key_file)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    return load_verifier()


def checked(file: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the verifier alone: in an empty folder, without this environment."""
    empty = file.parent / "elsewhere"
    empty.mkdir(exist_ok=True)
    shutil.copy(VERIFIER, empty / "verify.py")
    command = [python, "-I", "-S", "verify.py", str(file), *arguments]
    return subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False, env={})


def statement_of(envelope: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return statement


@pytest.mark.parametrize("name", ["who", "receipt"])
def test_a_bundle_is_verified_by_one_file(case: Case, name: str):
    result = checked(case.folder / f"{name}.json", "--key", case.key)

    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout.startswith(f"VERIFIED, if you trust the key of {case.keys.name}.\nProved:")
    assert "No order in the log under that checkpoint says otherwise." in result.stdout
    assert "Claimed only:" in result.stdout
    assert "Cannot be known:" in result.stdout


def test_other_pythons_verify_it_too(case: Case):
    """The oldest that it promises, where there is one."""
    others = [path for each in ("3.9", "3.10", "3.12", "3.13") if (path := shutil.which(f"python{each}"))]
    others += map(str, sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python")))
    runnable = [
        one for one in others if subprocess.run([one, "--version"], capture_output=True, check=False).returncode == 0
    ]
    if not runnable:
        pytest.skip("there is no other Python here")
    for python in runnable:
        assert checked(case.folder / "who.json", "--key", case.key, python=python).returncode == 0


def test_the_command_prints_the_verifier(case: Case):
    assert VERIFIER.read_text(encoding="utf-8") == case.run("evidence", "--verifier")


def test_the_verifier_is_one_file_of_the_standard_library():
    """Of at most 500 lines, and it knows every shipped schema."""
    text = VERIFIER.read_text(encoding="utf-8")
    imported = {
        word.strip(",") for line in text.splitlines() if line.startswith("import ") for word in line.split()[1:]
    }

    assert len(text.splitlines()) <= 500
    assert imported <= sys.stdlib_module_names
    for version in schemas.versions():
        assert f'"{version.fingerprint.hex()}": "{version.sha256}"' in text


def resigned(case: Case, statement: dict[str, Any]) -> dict[str, Any]:
    """Sign a changed statement again, with the answer's digest in order: what a thief of the key would do."""
    answer = statement["predicate"]["answer"]
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(canonical_json(answer)).hexdigest()
    trust = statement["predicate"]["trust"]
    statement["predicate"]["trust_digest"] = (
        "none" if trust is None else hashlib.sha256(canonical_json(trust)).hexdigest()
    )
    return case.keys.sign_envelope("application/vnd.in-toto+json", canonical_json(statement))


def tree_of(statement: dict[str, Any], topic: str) -> dict[str, Any]:
    return next(tree for tree in statement["predicate"]["trees"] if f"/{topic}/" in tree["checkpoint"])


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another human": lambda said: said["predicate"]["answer"].update(human="human:bob", root="human:bob"),
    "an agent left out": lambda said: said["predicate"]["answer"]["agents"].pop(),
    "a hop left out": lambda said: said["predicate"]["answer"]["chain"].pop(),
    "a state": lambda said: said["predicate"]["answer"]["authority"]["now"].update(state="active", because=None),
    "a gap that is none": lambda said: said["predicate"]["answer"]["gaps"].append(
        {"kind": "token", "id": "x", "why": ""}
    ),
    "no order": lambda said: tree_of(said, "orders")["records"].clear(),
    "an order that is not shown": lambda said: tree_of(said, "orders")["records"][0].update(value=None),
    "a value": lambda said: tree_of(said, "decisions")["records"][0].update(value="AAAA"),
    "a record left out": lambda said: tree_of(said, "decisions")["records"].pop(),
    "a record moved": lambda said: tree_of(said, "decisions")["records"][0].update(index=43),
    "a path": lambda said: tree_of(said, "decisions")["records"][0]["path"].pop(),
    "an earlier time": lambda said: said["predicate"].update(at="2026-11-02T09:30:00.000000Z"),
    "a source that may say nothing": lambda said: said["predicate"].update(trust={}),
    "a schema": lambda said: said["predicate"]["schemas"].update({"00" * 8: "{}"}),
    "a checkpoint of another size": lambda said: tree_of(said, "orders").update(
        checkpoint=tree_of(said, "orders")["checkpoint"].replace("\n1\n", "\n2\n")
    ),
    "a checkpoint without a signature": lambda said: tree_of(said, "orders").update(
        checkpoint=tree_of(said, "orders")["checkpoint"].partition("\n\n")[0] + "\n\n"
    ),
    "another kind": lambda said: said["predicate"].update(kind="poem"),
    "another predicate": lambda said: said.update(predicateType="https://example.com"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_even_if_it_is_signed_again(case: Case, tmp_path: Path, change: str):
    """By whoever has the key of the bundle; the records are under checkpoints that were signed before."""
    envelope = json.loads((case.folder / "who.json").read_text())
    statement = statement_of(envelope)
    before = json.dumps(statement)
    CHANGES[change](statement)
    assert before != json.dumps(statement), "the change changes something"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(resigned(case, statement)))
    result = checked(file, "--key", case.key)

    assert (1, "") == (result.returncode, result.stderr), result.stdout
    assert result.stdout.startswith("WRONG: ")


def test_a_state_of_the_receipt_is_derived_again(case: Case, tmp_path: Path):
    statement = statement_of(json.loads((case.folder / "receipt.json").read_text()))
    statement["predicate"]["answer"][0]["state"] = "suspended"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(resigned(case, statement)))
    result = checked(file, "--key", case.key)

    assert result.returncode == 1
    assert "and the receipt says suspended" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["who", "receipt"])
def test_a_changed_byte_is_found_wherever_it_is(case: Case, verifier: ModuleType, name: str):
    """Two thousand of them: in the envelope, and in what it holds."""
    raw = (case.folder / f"{name}.json").read_bytes()
    envelope = json.loads(raw)
    payload = base64.b64decode(envelope["payload"])
    rng = random.Random(name)

    def is_found(hostile: bytes) -> bool:
        try:
            verifier.verify(hostile, [verifier.parse_key(case.key)], [], 0)
        except Exception:  # noqa: BLE001 (of any kind: the command line says which)
            return True
        # The id of the key is a hint beside the signature.
        return json.loads(hostile)["payload"] == envelope["payload"]

    assert verifier.verify(raw, [verifier.parse_key(case.key)], [], 0)
    for _ in range(1_000):
        assert is_found(changed(raw, rng))
        assert is_found(json.dumps({**envelope, "payload": base64.b64encode(changed(payload, rng)).decode()}).encode())


def changed(data: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    found = bytearray(data)
    found[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(found)


def test_an_order_that_is_withheld_may_say_otherwise(case: Case, tmp_path: Path):
    """The answer may still follow from the rest, but the verifier does not claim that no order changes it."""
    statement = statement_of(json.loads((case.folder / "who.json").read_text()))
    tree_of(statement, "orders")["records"][0]["value"] = None
    statement["predicate"]["answer"]["authority"]["now"] = {"state": "active", "because": None}
    file = tmp_path / "withheld.json"
    file.write_text(json.dumps(resigned(case, statement)))
    result = checked(file, "--key", case.key)

    assert result.returncode == 0, result.stdout
    assert "1 of 1 records, all of them, 1 withheld" in result.stdout
    assert "No order in the log" not in result.stdout


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", 2), ("{}", 2), ("[]", 2), ("null", 2), ("{" * 100_000, 2), ("[" * 100_000, 2),
        ("\0" * 100, 2), ("é" * 50, 2),
        ('{"payload": 1, "payloadType": 2, "signatures": 3}', 2),
        ('{"payload": "AAAA", "payloadType": "x", "signatures": []}', 1),
        ('{"payload": "AAAA", "payloadType": "application/vnd.in-toto+json", "signatures": []}', 1),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_bundle_is_said(case: Case, tmp_path: Path, content: str, code: int):
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    result = checked(file, "--key", case.key)

    assert (code, "") == (result.returncode, result.stderr)
    assert "VERIFIED" not in result.stdout


def test_another_key_verifies_nothing(case: Case, tmp_path: Path):
    other = tmp_path / "other.pem"
    case.run("evidence", "keygen", str(other))
    stranger = load_note_keys("stranger.example", KeyKind.ED25519, other).verifiers[0].text
    result = checked(case.folder / "who.json", "--key", stranger)

    assert (1, "WRONG: the bundle is not signed by a key that you trust, or it was changed.\n") == (
        result.returncode,
        result.stdout,
    )


def test_a_missing_witness_is_said(case: Case):
    result = checked(case.folder / "who.json", "--key", case.key, "--need", "1")

    assert result.returncode == 1
    assert "has 0 of the 1 witnesses asked for" in result.stdout


@pytest.mark.parametrize(("name", "asked"), [("who", "nobody-did"), ("receipt", "rev-none")])
def test_what_no_fact_names_has_no_bundle(case: Case, tmp_path: Path, name: str, asked: str):
    target = tmp_path / "none.json"
    result = CliRunner().invoke(main, ("evidence", name, asked, "--out", str(target)), env=case.env)

    assert (3, False) == (result.exit_code, target.exists())


def test_a_file_is_not_overwritten(case: Case):
    file = case.folder / "who.json"
    before = file.read_bytes()
    result = CliRunner().invoke(main, ("evidence", "who", "mail-7", "--out", str(file)), env=case.env)

    assert (2, before) == (result.exit_code, file.read_bytes())
    assert "cannot be written: File exists" in result.stderr
