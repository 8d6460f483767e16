"""Bundles of evidence for tests: a store with the demo's incident, its bundles, and the verifier run by itself."""

import base64
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from click.testing import CliRunner

from lineage.core.evidence.notes import KeyKind
from lineage.core.model.events import canonical_json
from lineage.deliver.tlog.note_keys import NoteKeys, load_note_keys
from lineage.serve.cli.demo import incident_path
from lineage.serve.cli.main import main
from lineage.serve.commands.evidence_bundle import PAYLOAD_TYPE
from tests.support.verifier import FILE as VERIFIER

BY: Final = ("--by", "human:dana@example.com")
LEAK: Final = "token:https://idp.example#mailer-1"


class IncidentStore:
    """A store with the incident and an order, a key, and the bundles of both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key_file = folder / "key.pem"
        self.env = {
            "DELEGRAPH_STORE": f"sqlite:///{folder}/store.db",
            "DELEGRAPH_EVIDENCE_KEY_FILE": str(self.key_file),
        }
        self.run("evidence", "keygen", str(self.key_file))
        self.run("ingest", str(incident_path()))
        order = (LEAK, "--reason", "credential_leak", *BY, "--execute", "--json")
        self.revocation = json.loads(self.run("revoke", *order))["revocation"]
        self.key = json.loads(self.run("evidence", "checkpoint", "--json"))["key"]
        self.export("who", "mail-7")
        self.export("receipt", self.revocation)

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, arguments, env=self.env)
        assert result.exit_code == 0, result.output
        return result.stdout

    def export(self, name: str, asked: str) -> Path:
        """Write the bundle of an answer to a file with the name of the question."""
        file = self.folder / f"{name}.json"
        self.run("evidence", name, asked, "--out", str(file))
        return file

    def open_case(self, name: str) -> None:
        """Open a case with an item of most kinds, and with a history."""
        theft = next(
            one["id"]
            for one in json.loads(self.run("findings", "--json"))["items"]
            if one["kind"] == "wielder-mismatch"
        )
        items = (LEAK, "token:https://idp.example#archive-1", "action:mail-7", "principal:agent:mailer", theft)
        self.run("case", "open", "Leaked token of the müller", *items, *BY, "--id", name, "--note", "<b>bold</b> 😀")
        ranges = ("--actions", "agent=agent:mailer&from=2026-11-02T09:00:00Z&tool=mail")
        more = (f"revocation:{self.revocation}", "decision:decision-44", "delegation:grant-mail")
        self.run("case", "add", name, *more, *ranges, *BY)
        self.run("case", "remove", name, "token:https://idp.example#archive-1", "--by", "human:eve")
        self.run("case", "assign", name, "human:eve", *BY)
        self.run("case", "close", name, "--reason", "over", "--by", "human:eve")

    @property
    def keys(self) -> NoteKeys:
        return load_note_keys(self.key.partition("+")[0], KeyKind.ED25519, self.key_file)


def verified_alone(file: Path, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    """Run the verifier alone: in an empty folder, without this environment."""
    empty = file.parent / "elsewhere"
    empty.mkdir(exist_ok=True)
    shutil.copy(VERIFIER, empty / "verify.py")
    command = [python, "-I", "-S", "verify.py", str(file), *arguments]
    return subprocess.run(command, cwd=empty, capture_output=True, text=True, check=False, env={})


def statement_of(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return the statement in an envelope."""
    statement: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return statement


def resigned(keys: NoteKeys, statement: dict[str, Any]) -> dict[str, Any]:
    """Sign a changed statement again with its digests corrected, as a thief of the key would."""
    predicate = statement["predicate"]
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(canonical_json(predicate["answer"])).hexdigest()
    trust = predicate["trust"]
    predicate["trust_digest"] = "none" if trust is None else hashlib.sha256(canonical_json(trust)).hexdigest()
    return keys.sign_envelope(PAYLOAD_TYPE, canonical_json(statement))


def tree_of(statement: dict[str, Any], topic: str) -> dict[str, Any]:
    """Return the first tree of a topic in a statement."""
    return next(tree for tree in statement["predicate"]["trees"] if f"/{topic}/" in tree["checkpoint"])
