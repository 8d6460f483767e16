"""The state of the evidence: what is signed and witnessed, how old it is, and which witness is silent or disagrees."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ingest.codec import api as codec
from lineage.core.evidence.notes import KeyKind, parse_note
from lineage.deliver.tlog.note_keys import NoteKeys, note_keys
from lineage.deliver.tlog.witness_settings import WitnessEndpoint
from lineage.serve.config.settings import Settings
from lineage.serve.config.wiring import opened_shared_service
from lineage.serve.processes.checkpoint_process import Checkpointing
from lineage.serve.queries.evidence.evidence_line import EvidenceLine
from lineage.serve.queries.evidence.evidence_status import coverages, evidence_status
from lineage.store import evidence_trees
from lineage.store.store import Store, open_store
from tests.support.desk import Desk

SECOND = 1_000_000
HOUR = 3_600 * SECOND


def token(number: int) -> dict[str, Any]:
    return {
        "type": "token.issued",
        "event_id": f"e{number}",
        "source": "urn:idp",
        "occurred_at": "2026-11-02T09:00:00Z",
        "token": f"t{number}",
        "subject": "human:alice",
    }


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create a store with three records, and a key."""
    desk = Desk(tmp_path, (), {"DELEGRAPH_EVIDENCE_KEY_FILE": str(tmp_path / "key.pem")})
    desk.run("evidence", "keygen", str(tmp_path / "key.pem"))
    desk.take(token(1), token(2), token(3))
    return desk


@contextmanager
def store_of(desk: Desk) -> Iterator[Store]:
    store = open_store(desk.url, codec.read)
    try:
        yield store
    finally:
        store.close()


def witness() -> NoteKeys:
    private = Ed25519PrivateKey.generate()
    return note_keys("witness.example", KeyKind.COSIGNATURE, private, [private.public_key()])


def cosign(store: Store, keys: NoteKeys) -> None:
    """Add the cosignature of a witness to the latest checkpoint of decisions."""
    found = next(one for one in evidence_trees.latest_checkpoints(store).values() if "/decisions/" in one.head.origin)
    line = keys.cosign(parse_note(found.note).text, found.signed_at // SECOND).line
    evidence_trees.add_cosignature(store, found.id, line, lambda _: True, found.signed_at)


def test_signed_witnessed_and_later_records_are_counted(desk: Desk):
    with store_of(desk) as store:
        assert (None, None) == coverages(store, None)
        assert coverages(store, None).sentence is None
        desk.run("evidence", "checkpoint")
        signed, witnessed = coverages(store, None)
        assert signed is not None
        assert (3, 0, None) == (signed.size, signed.records_after, witnessed)
        cosign(store, witness())
        desk.take(token(4))
        desk.run("evidence", "checkpoint")
        desk.take(token(5))
        found = coverages(store, None)

        assert found.signed is not None
        assert found.witnessed is not None
        assert (4, 1, 3, 2) == (*found.signed[1:], *found.witnessed[1:])
        assert found.sentence is not None
        assert found.sentence.startswith("under witnessed checkpoint of 2")
        assert found.sentence.endswith(", 2 records later than it")


def test_a_checkpoint_is_old_only_while_records_wait_for_one(desk: Desk):
    desk.run("evidence", "checkpoint")
    with store_of(desk) as store:
        signed_at = next(iter(evidence_trees.latest_checkpoints(store).values())).signed_at
        late = signed_at + 2 * HOUR

        assert evidence_status(store, None, at=late)["checkpoint"] == {
            "at": evidence_status(store, None, at=late)["checkpoint"]["at"],
            "age_seconds": 7_200,
            "size": 3,
            "records_after": 0,
            "old": False,
        }
        desk.take(token(4))
        assert evidence_status(store, None, at=late)["checkpoint"]["old"]
        assert not evidence_status(store, None, at=signed_at - HOUR)["checkpoint"]["old"], "a clock that is off"


def checks_of(desk: Desk, exit: int = 0) -> dict[str, tuple[bool, str]]:
    found = json.loads(desk.run("doctor", "--json", exit=exit).stdout)["checks"]
    return {one["check"]: (one["ok"], one["says"]) for one in found}


def test_the_doctor_does_not_mention_evidence_without_a_key(tmp_path: Path):
    desk = Desk(tmp_path)
    desk.take(token(1))

    assert not {"trees", "checkpoint", "witnessed"} & set(checks_of(desk))


def test_the_doctor_reports_unsigned_records_and_broken_trees(desk: Desk):
    ok, message = checks_of(desk, exit=5)["checkpoint"]
    assert not ok
    assert message.startswith("nothing is signed yet: run 'delegraph evidence checkpoint'")
    desk.run("evidence", "checkpoint")
    desk.take(token(4))
    found = checks_of(desk)
    assert (True, "whole") == found["trees"]
    assert found["checkpoint"][0]
    assert "and covers 3 records; 1 came later" in found["checkpoint"][1]
    desk.sql("UPDATE tree SET covered = -1")

    assert (False, "damaged, and not extended: decisions/0; run 'delegraph rebuild'") == checks_of(desk, exit=5)[
        "trees"
    ]


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = b"the log signed two checkpoints with 3 records: it shows two histories\n"
        self.send_response(409)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def refusing() -> Iterator[str]:
    """Start a witness that has seen another history."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def test_a_silent_witness_and_a_refusing_one_are_distinguished(desk: Desk, tmp_path: Path):
    """
    The doctor and the metrics of a delivery distinguish them.
    """
    with refusing() as url:
        config = tmp_path / "delegraph.toml"
        tables = (("away", "http://127.0.0.1:9"), ("other", url))
        config.write_text(
            "".join(f'[witnesses.{name}]\nurl = "{at}"\nkey = "{witness().verifiers[0].text}"\n' for name, at in tables)
        )
        desk = Desk(tmp_path, (), {**desk.env, "DELEGRAPH_CONFIG": str(config)})
        desk.run("evidence", "checkpoint", exit=5)
        found = checks_of(desk, exit=5)
        with store_of(desk) as store:
            settings = Settings.of(env={**desk.env, "DELEGRAPH_STORE": desk.url})
            checkpointing = Checkpointing(settings, store, None, lambda: 1)
            checkpointing.once()
            evidence = checkpointing.document()["evidence"]

    assert not found["witnessed"][0]
    assert not found["witness away"][0]
    assert "it does not answer: ConnectError" in found["witness away"][1]
    assert "it refuses with 409: the log signed two checkpoints" in found["witness other"][1]
    assert [("away", True, False), ("other", False, True)] == [
        (one["name"], one["silent"], one["refuses"]) for one in evidence["witnesses"]
    ]


def test_a_note_that_cannot_be_read_has_no_cosignature(desk: Desk):
    """
    The rest is still reported.
    """
    desk.run("evidence", "checkpoint")
    desk.sql("UPDATE checkpoint SET note = 'x'")
    keys = witness()
    endpoint = WitnessEndpoint(name="w", url="http://127.0.0.1:9", key=keys.verifiers[0])
    with store_of(desk) as store:
        found = evidence_status(store, None, [endpoint], at=1)

    assert 3 == found["checkpoint"]["size"]
    assert [(None, 1)] == [(one["cosigned_at"], len(one["lacking"])) for one in found["witnesses"]]


def test_answers_for_people_name_the_checkpoint_of_the_log(desk: Desk):
    """
    Documents for programs are unchanged.
    """
    before = desk.run("status", "token:t1")
    desk.run("evidence", "checkpoint")
    desk.take(token(4))
    after, document = desk.run("status", "token:t1"), desk.one("status", "token:t1")

    assert "checkpoint" not in before.stdout
    assert after.stdout.rstrip().endswith(", 1 record later than it)")
    assert "evidence" not in document


def test_the_line_under_a_page_follows_the_store(desk: Desk):
    """
    It is computed again after a checkpoint or new records, and not in between.
    """
    settings = Settings.of(env={**desk.env, "DELEGRAPH_STORE": desk.url})
    with opened_shared_service(settings) as service:
        line = EvidenceLine(service, None)
        assert line.sentence() is None
        desk.run("evidence", "checkpoint")
        first = line.sentence()
        desk.take(token(4))
        second = line.sentence()

    assert first is not None
    assert second is not None
    assert (first.endswith(", 0 records later than it"), second.endswith(", 1 record later than it")) == (True, True)


def test_the_command_line_shows_the_state(desk: Desk):
    assert "Nothing is signed" in desk.run("evidence", "status").stdout
    desk.run("evidence", "checkpoint")
    output = desk.run("evidence", "status").stdout

    assert "under checkpoint, not witnessed, of 2" in output
    assert "decisions/0: 3 records, 3 signed" in output
