"""A witness cosigns what extends the last checkpoint and nothing else, over real HTTP."""

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.testclient import TestClient

from lineage.core.evidence import merkle, notes
from lineage.core.evidence.checkpoints import Checkpoint
from lineage.core.evidence.notes import KeyKind, Note, NoteError
from lineage.core.evidence.witnessing import Submission, parse_submission
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid, note_keys
from lineage.deliver.tlog.witness import Witness, app_of
from lineage.serve.cli.main import main
from tests.support.places import INCIDENT

ORIGIN = "log.example/orders/0"
SECONDS = 1_790_000_000
LEAVES = [merkle.hash_leaf(str(number).encode()) for number in range(600)]
FORK = [*LEAVES[:5], *(merkle.hash_leaf(b"x%d" % number) for number in range(600))]


def keys_of(name: str, kind: KeyKind) -> NoteKeys:
    private = Ed25519PrivateKey.generate()
    return note_keys(name, kind, private, [private.public_key()])


LOG = keys_of("log.example", KeyKind.ED25519)
OWN = keys_of("witness.example/w1", KeyKind.COSIGNATURE)


def submission(old: int, size: int, leaves: list[bytes] = LEAVES, keys: NoteKeys = LOG) -> Submission:
    def subtree(level: int, index: int) -> bytes:
        return merkle.hash_complete(leaves[index << level : (index + 1) << level])

    head = Checkpoint(ORIGIN, size, merkle.root(size, subtree))
    proof = merkle.consistency_proof(min(old, size), size, subtree)
    return Submission(old, tuple(proof), Note(head.text, (keys.sign(head.text),)), head)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    witness = Witness(OWN, {ORIGIN: LOG.verifiers}, tmp_path / "state.db", lambda: SECONDS * 1_000_000)
    return TestClient(app_of(witness))


def post(client: TestClient, asked: Submission | str | bytes) -> httpx.Response:
    response: httpx.Response = client.post("/add-checkpoint", content=asked if isinstance(asked, bytes) else str(asked))
    return response


def test_what_extends_the_last_checkpoint_is_cosigned(client: TestClient):
    """The cosignature states the time; the same checkpoint is cosigned again, since the answer may have been lost."""
    for old, size in ((0, 5), (5, 5), (5, 300), (300, 600)):
        asked = submission(old, size)
        response = post(client, asked)

        assert response.status_code == HTTPStatus.OK, response.text
        (signature,) = notes.parse_signatures(response.text)
        found = notes.verified(Note(asked.note.text, (signature,)), OWN.verifiers, is_valid)
        assert {OWN.verifiers[0]: SECONDS} == found


def test_an_old_size_that_is_not_the_last_one_is_corrected(client: TestClient):
    post(client, submission(0, 5))
    response = post(client, submission(0, 9))

    assert (HTTPStatus.CONFLICT, "5\n", "text/x.tlog.size") == (
        response.status_code,
        response.text,
        response.headers["content-type"],
    )


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (submission(7, 9, FORK), HTTPStatus.UNPROCESSABLE_ENTITY),
        (submission(7, 7, FORK), HTTPStatus.CONFLICT),
        (submission(7, 5), HTTPStatus.BAD_REQUEST),
        (submission(7, 9, keys=keys_of("log.example", KeyKind.ED25519)), HTTPStatus.FORBIDDEN),
        (Submission(7, (), submission(7, 9).note, submission(7, 9).head), HTTPStatus.UNPROCESSABLE_ENTITY),
    ],
    ids=["a fork", "a fork of the same size", "fewer records", "another key", "no proof"],
)
def test_what_does_not_extend_it_is_refused(client: TestClient, asked: Submission, status: HTTPStatus):
    """The witness then continues from where it was."""
    assert post(client, submission(0, 7)).status_code == HTTPStatus.OK
    assert status == post(client, asked).status_code
    assert post(client, submission(7, 9)).status_code == HTTPStatus.OK


def test_another_log_is_unknown(client: TestClient):
    head = Checkpoint("other.example", 1, bytes(32))
    response = post(client, Submission(0, (), Note(head.text, (LOG.sign(head.text),)), head))
    assert response.status_code == HTTPStatus.NOT_FOUND


def test_a_signature_that_is_not_valid_is_refused(client: TestClient):
    asked = submission(0, 5)
    other = Checkpoint(ORIGIN, 6, asked.head.root)
    response = post(client, Submission(0, (), Note(other.text, asked.note.signatures), other))
    assert response.status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"old", b"old -1\n\n", b"old 01\n\n" + str(submission(0, 5).note).encode(), b"\xff" * 20, b"x" * 70_000,
        b"old 0\n" + base64.b64encode(bytes(32)) + b"\n", b"old 0\nAAAA\n\n" + str(submission(0, 5).note).encode(),
        b"old 0\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\n" + str(submission(0, 5).note).encode(),
    ],
    ids=range(9),
)  # fmt: skip
def test_other_requests_are_refused(client: TestClient, raw: bytes):
    response = post(client, raw)
    assert response.status_code in {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
    assert post(client, submission(0, 5)).status_code == HTTPStatus.OK


def test_a_submission_is_read_as_it_is_written():
    asked = submission(5, 300)
    assert asked == parse_submission(str(asked))
    with pytest.raises(NoteError):
        parse_submission("old 5\n")


def test_a_witness_remembers_after_a_restart(tmp_path: Path):
    """Otherwise it would cosign a second history."""
    state = tmp_path / "state.db"
    for asked, status in ((submission(0, 7), HTTPStatus.OK), (submission(0, 7, FORK), HTTPStatus.CONFLICT)):
        witness = Witness(OWN, {ORIGIN: LOG.verifiers}, state, lambda: SECONDS * 1_000_000)
        assert status == post(TestClient(app_of(witness)), asked).status_code


def test_a_key_that_was_replaced_is_refused(tmp_path: Path):
    """The old key is refused once a later key has signed a cosigned checkpoint, also after a restart."""
    later = keys_of("log.example", KeyKind.ED25519)
    both = (*LOG.verifiers, *later.verifiers)
    for asked, status in (
        (submission(0, 5), HTTPStatus.OK),
        (submission(5, 7, keys=later), HTTPStatus.OK),
        (submission(7, 9), HTTPStatus.FORBIDDEN),
        (submission(7, 7), HTTPStatus.FORBIDDEN),
        (submission(7, 9, keys=later), HTTPStatus.OK),
    ):
        witness = Witness(OWN, {ORIGIN: both}, tmp_path / "state.db", lambda: SECONDS * 1_000_000)
        response = post(TestClient(app_of(witness)), asked)
        assert status == response.status_code, response.text


# The real thing: two processes


class Site:
    """A store with the incident, a key and the settings of a witness."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "DELEGRAPH_STORE": f"sqlite:///{folder}/store.db",
            "DELEGRAPH_EVIDENCE_KEY_FILE": f"{folder}/log.pem",
            "DELEGRAPH_EVIDENCE_ORIGIN": "log.example",
            "DELEGRAPH_CONFIG": f"{folder}/delegraph.toml",
        }
        (folder / "delegraph.toml").write_text("")
        self.run("evidence", "keygen", str(folder / "log.pem"))
        self.run("evidence", "keygen", str(folder / "witness.pem"))
        self.run("ingest", str(INCIDENT))
        self.key: str = self.checkpoint()["key"]

    def run(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main, arguments, env=self.env)
        assert code == result.exit_code, result.output
        return result.stdout

    def checkpoint(self, *, code: int = 0) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("evidence", "checkpoint", "--json", code=code))
        return document

    def follow(self, url: str, key: str) -> None:
        (self.folder / "delegraph.toml").write_text(f'[witnesses.second]\nurl = "{url}"\nkey = "{key}"\n')

    @contextmanager
    def witness(self) -> Iterator[tuple[str, str]]:
        """Run ``delegraph witness`` and yield its address and its key."""
        command = [
            *(sys.executable, "-c", "from lineage.serve.cli.main import main; main()", "witness"),
            *("--key", str(self.folder / "witness.pem"), "--name", "witness.example/w1"),
            *("--log", "log.example/decisions/0", self.key, "--state", str(self.folder / "state.db")),
            *("--http", "127.0.0.1:0"),
        ]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as process:
            try:
                assert process.stderr is not None
                url, key = (process.stderr.readline().rstrip().rpartition(" ")[2] for _ in range(2))
                yield url, key
            finally:
                process.terminate()
                process.wait(10)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.slow
def test_a_checkpoint_is_cosigned_by_another_process(site: Site):
    """It counts as witnessed, the bundle verifies with the witness's key, and later records are cosigned too."""
    with site.witness() as (url, key):
        site.follow(url, key)
        (first,) = site.checkpoint()["checkpoints"]
        site.run("ingest", str(INCIDENT))
        (second,) = site.checkpoint()["checkpoints"]
        site.run("evidence", "who", "mail-7", "--out", str(site.folder / "who.json"))

    assert second["size"] > first["size"]
    for one in (first, second):
        found = notes.verified(notes.parse_note(one["note"]), [notes.parse_key(key)], is_valid)
        assert abs(time.time() - (found[notes.parse_key(key)] or 0)) < 600
        assert one["witnessed_at"] is not None
    verifier = site.folder / "verify.py"
    verifier.write_text(site.run("evidence", "--verifier"))
    command = [sys.executable, str(verifier), str(site.folder / "who.json"), "--key", site.key, "--witness", key]
    result = subprocess.run([*command, "--need", "1"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.slow
def test_an_unavailable_witness_is_reported(site: Site):
    """The checkpoint is signed anyway, and is cosigned when the witness is back."""
    with site.witness() as (url, key):
        pass
    site.follow(url, key)
    away = site.checkpoint(code=5)
    assert [("second", "log.example/decisions/0")] == [(one["witness"], one["origin"]) for one in away["faults"]]
    assert away["checkpoints"][0]["witnessed_at"] is None

    with site.witness() as (url, key):
        site.follow(url, key)
        back = site.checkpoint()
    assert back["checkpoints"][0]["witnessed_at"] is not None


@pytest.mark.slow
def test_a_second_history_is_not_cosigned(site: Site, tmp_path: Path):
    """The operator signs another history under the same name with the same key; the witness has seen the first."""
    with site.witness() as (url, key):
        site.follow(url, key)
        site.checkpoint()
        other = site.folder / "other"
        other.mkdir()
        lines = INCIDENT.read_text(encoding="utf-8").splitlines(keepends=True)
        (other / "events.jsonl").write_text("".join([*lines[1:], lines[0]]), encoding="utf-8")
        site.env["DELEGRAPH_STORE"] = f"sqlite:///{other}/store.db"
        site.run("ingest", str(other / "events.jsonl"))
        (fault,) = site.checkpoint(code=5)["faults"]

    assert (
        "it refuses with 409: the log signed two checkpoints with 44 records: it shows two histories" in fault["fault"]
    )


@pytest.mark.parametrize(("needed", "message"), [("2", "is 2, but 1 are configured"), ("0", "write a number from 1")])
def test_a_number_of_witnesses_that_cannot_be_reached_is_refused(site: Site, needed: str, message: str):
    """No checkpoint would ever count as witnessed."""
    site.follow("https://w.example", OWN.verifiers[0].text)
    env = site.env | {"DELEGRAPH_EVIDENCE_WITNESSES": needed}
    result = CliRunner().invoke(main, ("evidence", "checkpoint"), env=env)

    assert 2 == result.exit_code
    assert message in result.stderr


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('url = "https://w.example"\n', "'key' of"),
        ('url = "http://w.example"\nkey = "KEY"\n', "must begin with https://"),
        ('url = "https://w.example"\nkey = "LOG"\n', "is the key of a log, not of a witness"),
        ('url = "https://w.example"\nkey = "KEY"\nport = 3\n', "unknown setting 'port'"),
        ('url = "https://w.example"\nkey = "KEY"\ntimeout_seconds = -1\n', "must be a positive number"),
    ],
)
def test_invalid_settings_are_named(site: Site, table: str, message: str):
    keys = {"KEY": OWN.verifiers[0].text, "LOG": LOG.verifiers[0].text}
    for word, key in keys.items():
        table = table.replace(f'"{word}"', f'"{key}"')
    config = f"[witnesses.second]\n{table}"
    (site.folder / "delegraph.toml").write_text(config)
    result = CliRunner().invoke(main, ("evidence", "checkpoint"), env=site.env)

    assert result.exit_code == 2
    assert message in result.stderr
