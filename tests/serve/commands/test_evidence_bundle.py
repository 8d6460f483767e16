"""Bundles of evidence: one file that knows nothing of delegraph verifies them, and finds any changed byte."""

import base64
import collections
import json
import random
import re
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
from lineage.core.evidence import merkle
from lineage.core.evidence.checkpoints import parse_checkpoint
from lineage.core.evidence.notes import KeyKind, parse_note, verified
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid, load_note_keys
from lineage.serve.cli.main import main
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import opened_service
from lineage.serve.queries.evidence_bundle import who_statement
from tests.support.bundles import IncidentStore, resigned, statement_of, tree_of, verified_alone
from tests.support.verifier import FILE as VERIFIER
from tests.support.verifier import load_verifier


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> IncidentStore:
    """Create the incident with a case."""
    store = IncidentStore(tmp_path_factory.mktemp("incident"))
    store.open_case("INC-1")
    store.export("case", "INC-1")
    return store


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    return load_verifier()


@pytest.mark.parametrize("name", ["who", "receipt", "case"])
def test_a_bundle_is_verified_by_one_file(store: IncidentStore, name: str):
    result = verified_alone(store.folder / f"{name}.json", "--key", store.key)

    assert (0, "") == (result.returncode, result.stderr)
    assert result.stdout.startswith(f"VERIFIED, if you trust the key of {store.keys.name}.\nProved:")
    assert "No order in the log under that checkpoint says otherwise." in result.stdout
    assert "Claimed only:" in result.stdout
    assert "Cannot be known:" in result.stdout


def test_other_pythons_verify_it_too(store: IncidentStore):
    """The oldest supported version is used, if it is installed."""
    others = [path for each in ("3.9", "3.10", "3.12", "3.13") if (path := shutil.which(f"python{each}"))]
    others += map(str, sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python")))
    runnable = [
        one for one in others if subprocess.run([one, "--version"], capture_output=True, check=False).returncode == 0
    ]
    if not runnable:
        pytest.skip("there is no other Python here")
    for python in runnable:
        assert verified_alone(store.folder / "who.json", "--key", store.key, python=python).returncode == 0


def test_the_command_prints_the_verifier(store: IncidentStore):
    assert VERIFIER.read_text(encoding="utf-8") == store.run("evidence", "--verifier")


def test_the_verifier_is_one_file_of_the_standard_library():
    """It has at most 500 lines, and knows every shipped schema."""
    text = VERIFIER.read_text(encoding="utf-8")
    imported = {
        word.strip(",") for line in text.splitlines() if line.startswith("import ") for word in line.split()[1:]
    }

    assert len(text.splitlines()) <= 500
    assert imported <= sys.stdlib_module_names
    for version in schemas.versions():
        assert f'"{version.fingerprint.hex()}": "{version.sha256}"' in text


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another human": lambda bundle: bundle["predicate"]["answer"].update(human="human:bob", root="human:bob"),
    "an agent left out": lambda bundle: bundle["predicate"]["answer"]["agents"].pop(),
    "a hop left out": lambda bundle: bundle["predicate"]["answer"]["chain"].pop(),
    "a state": lambda bundle: bundle["predicate"]["answer"]["authority"]["now"].update(state="active", because=None),
    "a gap that is none": lambda bundle: bundle["predicate"]["answer"]["gaps"].append(
        {"kind": "token", "id": "x", "why": ""}
    ),
    "no order": lambda bundle: tree_of(bundle, "orders")["records"].clear(),
    "an order that is not shown": lambda bundle: tree_of(bundle, "orders")["records"][0].update(value=None),
    "a value": lambda bundle: tree_of(bundle, "decisions")["records"][0].update(value="AAAA"),
    "a record left out": lambda bundle: tree_of(bundle, "decisions")["records"].pop(),
    "a record moved": lambda bundle: tree_of(bundle, "decisions")["records"][0].update(index=43),
    "a path": lambda bundle: tree_of(bundle, "decisions")["records"][0]["path"].pop(),
    "an earlier time": lambda bundle: bundle["predicate"].update(at="2026-11-02T09:30:00.000000Z"),
    "a source that may say nothing": lambda bundle: bundle["predicate"].update(trust={}),
    "a schema": lambda bundle: bundle["predicate"]["schemas"].update({"00" * 8: "{}"}),
    "a checkpoint of another size": lambda bundle: tree_of(bundle, "orders").update(
        checkpoint=tree_of(bundle, "orders")["checkpoint"].replace("\n1\n", "\n2\n")
    ),
    "a checkpoint without a signature": lambda bundle: tree_of(bundle, "orders").update(
        checkpoint=tree_of(bundle, "orders")["checkpoint"].partition("\n\n")[0] + "\n\n"
    ),
    "a combined checkpoint of another size": lambda bundle: bundle["predicate"].update(
        combined=bundle["predicate"]["combined"].replace(" 44 ", " 43 ")
    ),
    "a combined checkpoint by nobody": lambda bundle: bundle["predicate"].update(
        combined=bundle["predicate"]["combined"].replace("\u2014 ", "\u2014 other.")
    ),
    "another version of the rule": lambda bundle: bundle["predicate"]["rule"].update(version=2),
    "another kind": lambda bundle: bundle["predicate"].update(kind="poem"),
    "another predicate": lambda bundle: bundle.update(predicateType="https://example.com"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_found_even_if_it_is_signed_again(store: IncidentStore, tmp_path: Path, change: str):
    """The attacker has the key of the bundle, but the records are under checkpoints that were signed before."""
    envelope = json.loads((store.folder / "who.json").read_text())
    statement = statement_of(envelope)
    before = json.dumps(statement)
    CHANGES[change](statement)
    assert before != json.dumps(statement), "the change changes something"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(resigned(store.keys, statement)))
    result = verified_alone(file, "--key", store.key)

    assert (1, "") == (result.returncode, result.stderr), result.stdout
    assert result.stdout.startswith("WRONG: ")


def test_a_state_of_the_receipt_is_derived_again(store: IncidentStore, tmp_path: Path):
    statement = statement_of(json.loads((store.folder / "receipt.json").read_text()))
    statement["predicate"]["answer"][0]["state"] = "suspended"
    file = tmp_path / "changed.json"
    file.write_text(json.dumps(resigned(store.keys, statement)))
    result = verified_alone(file, "--key", store.key)

    assert result.returncode == 1
    assert "and the receipt says suspended" in result.stdout


def statements(fields: dict[str, Any], of: str) -> dict[str, Any]:
    """Return the first statement of a kind in the case of a statement."""
    items = fields["predicate"]["answer"]["items"]
    found: dict[str, Any] = next(one for item in items for one in item["statements"] if one["says"] == of)
    return found


def action_in(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the first item of a case with a chain."""
    items = fields["predicate"]["answer"]["items"]
    return next(one for one in items if any(each["says"] == "named" for each in one["statements"]))


def without(fields: dict[str, Any], event_type: str) -> None:
    """Leave an event out of a case, and everything that cites it."""
    case = fields["predicate"]["answer"]
    left_out = next(one for one in case["events"] if one["event"]["type"] == event_type)["digest"]
    case["events"] = [one for one in case["events"] if one["digest"] != left_out]
    case["changes"] = [one for one in case["changes"] if one["rests_on"] != [left_out]]
    case["items"] = [one for one in case["items"] if one["rests_on"] != [left_out]]


CASE_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "the title": lambda bundle: bundle["predicate"]["answer"].update(title="Nothing happened"),
    "the status": lambda bundle: bundle["predicate"]["answer"].update(status="open"),
    "the assignee": lambda bundle: bundle["predicate"]["answer"].update(assignee="human:bob"),
    "the version": lambda bundle: bundle["predicate"]["answer"].update(version="0" * 16),
    "an item left out": lambda bundle: bundle["predicate"]["answer"]["items"].pop(),
    "an item invented": lambda bundle: bundle["predicate"]["answer"]["items"].append(
        {**bundle["predicate"]["answer"]["items"][0], "id": "t9"}
    ),
    "who added an item": lambda bundle: bundle["predicate"]["answer"]["items"][0].update(added_by="human:bob"),
    "when it was added": lambda bundle: bundle["predicate"]["answer"]["items"][0].update(
        added_at="2020-01-01T00:00:00.000000Z"
    ),
    "a note": lambda bundle: bundle["predicate"]["answer"]["items"][0].update(note="harmless"),
    "a change left out, with all that rests on it": lambda bundle: without(bundle, "case.changed"),
    "who changed it": lambda bundle: bundle["predicate"]["answer"]["changes"][0].update(by="human:bob"),
    "an event changed": lambda bundle: bundle["predicate"]["answer"]["events"][0]["event"].update(source="urn:evil"),
    "an event back-dated": lambda bundle: bundle["predicate"]["answer"]["events"][0].update(
        recorded_at="2020-01-01T00:00:00.000000Z"
    ),
    "a state": lambda bundle: statements(bundle, "state").update(state="active"),
    "the revocation that causes it": lambda bundle: statements(bundle, "state").update(revocation="another"),
    "a party": lambda bundle: statements(bundle, "named").update(principal="human:bob"),
    "a party left out": lambda bundle: action_in(bundle)["statements"].remove(statements(bundle, "named")),
    "a value that was stated": lambda bundle: statements(bundle, "stated").update(value="another"),
    "a dependency": lambda bundle: statements(bundle, "depends").update(on="token:another"),
    "the subject of a finding": lambda bundle: statements(bundle, "found").update(subject="token:another"),
    "an action of a range": lambda bundle: statements(bundle, "matches")["actions"].append("another"),
    "the records left out": lambda bundle: tree_of(bundle, "decisions")["records"].clear(),
    "another statement": lambda bundle: statements(bundle, "stated").update(says="sings"),
}


@pytest.mark.parametrize("change", CASE_CHANGES)
def test_a_changed_case_is_found_even_if_it_is_signed_again(store: IncidentStore, verifier: ModuleType, change: str):
    statement = statement_of(json.loads((store.folder / "case.json").read_text()))
    before = json.dumps(statement)
    CASE_CHANGES[change](statement)
    assert before != json.dumps(statement), "the change changes something"
    raw = json.dumps(resigned(store.keys, statement))

    with pytest.raises((verifier.Wrong, KeyError)):
        verifier.verify(raw, [verifier.parse_key(store.key)], [], 0)


def test_states_of_principals_are_derived_too(store: IncidentStore):
    """
    One is suspended, one revoked under an alias, and one unaffected.
    """
    by = ("--by", "human:dana@example.com", "--execute")
    store.run("revoke", "principal:agent:scraper", "--mode", "suspend", "--reason", "risk_elevated", *by)
    store.run("revoke", "principal:agent:mailer", "--reason", "compromise", *by)
    items = [f"principal:{id_}" for id_ in ("agent:scraper", "agent:mailer", "human:alice@example.com")]
    store.run("case", "open", "Who is alive", *items, *by[:2], "--id", "INC-2")
    file = store.folder / "INC-2.json"
    store.run("evidence", "case", "INC-2", "--out", str(file))
    answer = statement_of(json.loads(file.read_text()))["predicate"]["answer"]

    assert ["suspended", "revoked", "active"] == [item["state"] for item in answer["items"]]
    assert verified_alone(file, "--key", store.key).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["who", "receipt", "case"])
def test_a_changed_byte_is_found_wherever_it_is(store: IncidentStore, verifier: ModuleType, name: str):
    """Eight hundred single-byte changes are tried, in the envelope and in its content."""
    raw = (store.folder / f"{name}.json").read_bytes()
    envelope = json.loads(raw)
    payload = base64.b64decode(envelope["payload"])
    rng = random.Random(name)

    def is_found(hostile: bytes) -> bool:
        try:
            verifier.verify(hostile, [verifier.parse_key(store.key)], [], 0)
        except Exception:  # noqa: BLE001 (of any kind: the command line says which)
            return True
        # The id of the key is a hint beside the signature.
        return json.loads(hostile)["payload"] == envelope["payload"]

    assert verifier.verify(raw, [verifier.parse_key(store.key)], [], 0)
    for _ in range(400):
        assert is_found(changed(raw, rng))
        assert is_found(json.dumps({**envelope, "payload": base64.b64encode(changed(payload, rng)).decode()}).encode())


def changed(data: bytes, rng: random.Random) -> bytes:
    """Flip one bit."""
    found = bytearray(data)
    found[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(found)


def test_a_withheld_order_is_not_claimed_to_be_absent(store: IncidentStore, tmp_path: Path):
    """The answer may still follow from the rest, but the verifier does not claim that no order changes it."""
    statement = statement_of(json.loads((store.folder / "who.json").read_text()))
    tree_of(statement, "orders")["records"][0]["value"] = None
    statement["predicate"]["answer"]["authority"]["now"] = {"state": "active", "because": None}
    file = tmp_path / "withheld.json"
    file.write_text(json.dumps(resigned(store.keys, statement)))
    result = verified_alone(file, "--key", store.key)

    assert result.returncode == 0, result.stdout
    assert "1 of 1 records, all of them, 1 withheld" in result.stdout
    assert "No order in the log" not in result.stdout


def test_an_omitted_partition_of_orders_is_detected(store: IncidentStore, tmp_path: Path):
    """Nothing in the bundle refers to it, but the combined checkpoint names it."""
    statement = statement_of(json.loads((store.folder / "who.json").read_text()))
    statement["predicate"]["trees"].remove(tree_of(statement, "orders"))
    statement["predicate"]["answer"]["authority"]["now"] = {"state": "active", "because": None}
    file = tmp_path / "left_out.json"
    file.write_text(json.dumps(resigned(store.keys, statement)))
    result = verified_alone(file, "--key", store.key)

    assert result.returncode == 0, result.stdout
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
def test_a_file_that_is_not_a_bundle_is_reported(store: IncidentStore, tmp_path: Path, content: str, code: int):
    file = tmp_path / "other.json"
    file.write_text(content, encoding="utf-8")
    result = verified_alone(file, "--key", store.key)

    assert (code, "") == (result.returncode, result.stderr)
    assert "VERIFIED" not in result.stdout


SENTENCE = re.compile(r"(WRONG|NOT READ|NOT A BUNDLE): [^\x00-\x1f]+\.\n")


def test_ten_gigabytes_are_refused_without_being_read(store: IncidentStore, tmp_path: Path):
    """
    The file has no content on the disk, and the verifier has less memory than it is long.
    """
    file = tmp_path / "large.json"
    with file.open("wb") as target:
        target.truncate(10 * 1024**3)
    result = verified_alone(file, "--key", store.key)

    assert (1, "") == (result.returncode, result.stderr)
    assert result.stdout == "WRONG: the bundle is larger than 536870912 bytes: it was not read.\n"


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.slow)])
def test_the_verifier_answers_any_input_with_a_sentence(
    store: IncidentStore, verifier: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int
):
    """
    Random bytes, random documents, and bundles with a replaced part, signed again or not, all get a one-sentence error.
    """
    rng = random.Random(18)
    file = tmp_path / "fed.json"
    genuine = {name: json.loads((store.folder / f"{name}.json").read_text()) for name in ("who", "receipt", "case")}
    result = collections.Counter[str]()
    for number in range(count):
        file.write_bytes(_fed(rng, number, genuine, store.keys))
        code = verifier.main([str(file), "--key", store.key])
        out, err = capsys.readouterr()
        assert code in (1, 2), out
        assert not err
        assert SENTENCE.fullmatch(out), out
        result[out.partition(":")[0]] += 1

    assert {"WRONG", "NOT A BUNDLE"} == set(result), result


def _fed(rng: random.Random, number: int, genuine: dict[str, Any], keys: NoteKeys) -> bytes:
    """Yield inputs that are not bundles, of four kinds in turn."""
    if number % 4 == 0:
        return rng.randbytes(rng.randrange(200))
    if number % 4 == 1:
        return json.dumps(_anything(rng, 4)).encode(errors="surrogatepass")
    envelope = genuine[rng.choice(sorted(genuine))]
    if number % 4 == 2:
        raw = json.dumps(envelope).encode()
        return raw[: rng.randrange(len(raw))]
    statement = statement_of(envelope)
    _replace(rng, statement["predicate"], _anything(rng, 2))
    try:
        return json.dumps(resigned(keys, statement)).encode()
    except (AttributeError, KeyError, TypeError, ValueError):
        return b"{}"  # not even a thief can sign it


def _anything(rng: random.Random, depth: int) -> Any:
    leaves: list[Any] = [None, -1, 2**70, 1.5, "", "x", "\ud800", "\x1b[2J", "9999-99-99", "AAAA", [], {}]
    if depth == 0 or rng.random() < 0.5:
        return rng.choice(leaves)
    names = ("payload", "payloadType", "signatures", "predicate", "kind", "trees", "records", "answer")
    if rng.random() < 0.5:
        return [_anything(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(names): _anything(rng, depth - 1) for _ in range(rng.randrange(4))}


def _replace(rng: random.Random, document: Any, value: Any) -> None:
    """Replace one part from which the answer follows, at a random depth."""
    at, key = document, rng.choice(("trees", "kind", "trust", "schemas", "at", "rule"))
    while isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
        at = at[key]
        key = rng.choice(sorted(at)) if isinstance(at, dict) else rng.randrange(len(at))
    if key in ("value", "complete", "document") or at[key] == value:  # may be withheld, is as true, or is only a name
        at, key = document, "kind"
    at[key] = value


def test_a_bundle_does_not_verify_with_another_key(store: IncidentStore, tmp_path: Path):
    other = tmp_path / "other.pem"
    store.run("evidence", "keygen", str(other))
    stranger = load_note_keys("stranger.example", KeyKind.ED25519, other).verifiers[0].text
    result = verified_alone(store.folder / "who.json", "--key", stranger)

    assert (1, "WRONG: the bundle is not signed by a key that you trust, or it was changed.\n") == (
        result.returncode,
        result.stdout,
    )


def test_a_missing_witness_is_reported(store: IncidentStore):
    result = verified_alone(store.folder / "who.json", "--key", store.key, "--need", "1")

    assert result.returncode == 1
    assert "has 0 of the 1 witnesses asked for" in result.stdout


@pytest.mark.parametrize(("name", "asked"), [("who", "nobody-did"), ("receipt", "rev-none"), ("case", "INC-0")])
def test_an_unknown_id_has_no_bundle(store: IncidentStore, tmp_path: Path, name: str, asked: str):
    target = tmp_path / "none.json"
    result = CliRunner().invoke(main, ("evidence", name, asked, "--out", str(target)), env=store.env)

    assert (3, False) == (result.exit_code, target.exists())


def test_a_file_is_not_overwritten(store: IncidentStore):
    file = store.folder / "who.json"
    before = file.read_bytes()
    result = CliRunner().invoke(main, ("evidence", "who", "mail-7", "--out", str(file)), env=store.env)

    assert (2, before) == (result.exit_code, file.read_bytes())
    assert "cannot be written: File exists" in result.stderr


def test_an_exported_case_carries_the_proofs_of_its_events(store: IncidentStore):
    """
    Each proof leads from the entry, which has the digest of the record, to a signed checkpoint.
    """
    document = json.loads(store.run("case", "export", "INC-1"))
    evidence = document["evidence"]
    notes = {one["origin"]: parse_note(one["note"]) for one in evidence["checkpoints"]}

    assert [] == evidence["not_covered"]
    assert [one["digest"] for one in document["export"]["events"]] == [one["digest"] for one in evidence["proofs"]]
    for one in evidence["proofs"]:
        entry, note = base64.b64decode(one["entry"]), notes[one["origin"]]
        head, path = parse_checkpoint(note), [base64.b64decode(each) for each in one["proof"]]
        assert store.keys.verifiers[0] in verified(note, store.keys.verifiers, is_valid)
        assert head.root == merkle.root_of_inclusion(merkle.hash_leaf(entry), one["index"], head.size, path)
    assert "delegraph evidence case INC-1 --out FILE" in store.run("case", "export", "INC-1", "--format", "html")


# A part of a bundle, and how one byte of it is changed without signing again.
PARTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "the payload type": lambda e: e.update(payloadType=e["payloadType"][:-1] + "x"),
    "the signature": lambda e: e["signatures"][0].update(sig=other_byte(e["signatures"][0]["sig"])),
    "the answer": lambda e: in_payload(e, '"human":"human:alice', '"human":"human:blice'),
    "the trust file": lambda e: in_payload(e, '"trust_digest":"none"', '"trust_digest":"nond"'),
    "the version of the rule": lambda e: in_payload(e, '"version":1', '"version":2'),
    "the time": lambda e: in_payload(e, '"at":"2', '"at":"1'),
    "a schema": lambda e: in_payload(e, "DecisionEvent", "DecisionEvenu"),
    "a checkpoint": lambda e: in_payload(e, "/decisions/0\\n44\\n", "/decisions/0\\n45\\n"),
    "the combined checkpoint": lambda e: in_payload(e, "\\npartitions 2\\n", "\\npartitions 3\\n"),
    "an entry": lambda e: in_payload(e, '"entry":"A', '"entry":"B'),
    "a value": lambda e: in_payload(e, '"value":"w', '"value":"x'),
    "a proof": lambda e: in_payload(e, '"path":["', '"path":["A'),
    "an index": lambda e: in_payload(e, '"index":', '"index":1'),
}


def other_byte(text: str) -> str:
    """Change the first byte of a base64 text."""
    data = bytearray(base64.b64decode(text))
    data[0] ^= 1
    return base64.b64encode(data).decode()


def in_payload(envelope: dict[str, Any], old: str, new: str) -> None:
    """Replace a text in the payload of an envelope."""
    payload = base64.b64decode(envelope["payload"]).decode()
    assert old in payload
    envelope["payload"] = base64.b64encode(payload.replace(old, new, 1).encode()).decode()


def test_the_copied_verifier_reports_a_changed_byte_in_each_part(store: IncidentStore, tmp_path: Path):
    """
    It runs alone in an empty folder, with the oldest Python that is installed.
    """
    old = sorted(Path.home().glob(".pyenv/versions/3.9.*/bin/python"))
    python = str(old[0]) if old else sys.executable
    genuine = (store.folder / "who.json").read_text()
    for number, (part, change) in enumerate(PARTS.items()):
        envelope = json.loads(genuine)
        change(envelope)
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(envelope))
        result = verified_alone(file, "--key", store.key, python=python)

        assert (1, "") == (result.returncode, result.stderr), part
        assert re.fullmatch(r"WRONG: the (bundle is not signed|envelope).*\n", result.stdout), (part, result.stdout)


def test_with_too_many_orders_the_bundle_does_not_claim_completeness(store: IncidentStore, verifier: ModuleType):
    """
    The bundle then contains only the relevant orders, each with a proof.
    """
    settings = Settings.of(env=store.env)
    with opened_service(settings) as service:
        statement = who_statement(service, store.keys.name, "mail-7", at=service.clock(), most_orders=0)
    assert statement is not None
    raw = json.dumps(resigned(store.keys, statement))
    _, proved, bundle, complete = verifier.verify(raw, [verifier.parse_key(store.key)], [], 0)

    assert not complete
    assert {False} == {tree["complete"] for tree in bundle["trees"]}
    assert all(line.endswith("each proved") for line in proved)
