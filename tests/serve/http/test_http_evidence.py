"""Proofs over HTTP: an independent verifier accepts them, and what cannot be proved is reported."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lineage.core.evidence import merkle
from lineage.core.evidence.checkpoints import parse_checkpoint, parse_proof
from lineage.core.evidence.notes import KeyKind, parse_note, verified
from lineage.core.model.errors import UnavailableError
from lineage.deliver.tlog.checkpointing import origin_of, sign_checkpoints
from lineage.deliver.tlog.note_keys import NoteKeys, is_valid, note_keys
from lineage.serve.client import Client
from lineage.serve.http.asgi import middleware
from lineage.serve.http.asgi.middleware import EvidenceHeader
from tests.support.http_worlds import World, api_over, problem_type, served

RECORDS = 44


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, NoteKeys]]:
    """Create the API over the incident, with a checkpoint over its records."""
    folder = tmp_path_factory.mktemp("evidence")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        private = Ed25519PrivateKey.generate()
        keys = note_keys(origin_of(world.service.store, None), KeyKind.ED25519, private, [private.public_key()])
        sign_checkpoints(world.service.store, keys, world.clock.now)
        yield world, keys


def asked(signed: tuple[World, NoteKeys], path: str) -> Any:
    response = signed[0].get(f"/v1/evidence/{path}")
    assert 200 == response.status_code, response.text
    return response.json()


def test_every_record_has_a_proof_that_anyone_can_verify(signed: tuple[World, NoteKeys]):
    for offset in range(RECORDS):
        (item,) = asked(signed, f"record?fact=decisions/0/{offset}")["items"]
        proof = parse_proof(item["first"]["tlog_proof"])
        head = parse_checkpoint(proof.checkpoint)

        assert list(signed[1].verifiers) == list(verified(proof.checkpoint, signed[1].verifiers, is_valid))
        leaf = merkle.hash_leaf(proof.extra)
        assert head.root == merkle.root_of_inclusion(leaf, offset, head.size, proof.path)
        assert item["next"] is None


def test_trees_and_checkpoints_agree(signed: tuple[World, NoteKeys]):
    result = asked(signed, "consistency?tree=decisions/0&old=20")
    roots = [bytes.fromhex(result[side]["root"]) for side in ("old", "new")]
    proof = [base64.b64decode(each) for each in result["proof"]]
    (stored,) = asked(signed, "checkpoints")["checkpoints"]

    assert merkle.is_consistent(20, RECORDS, *roots, proof)
    assert roots[1] == parse_checkpoint(parse_note(stored["note"])).root


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("record?fact=decisions/0/44", 404, "not-found"),
        ("record?fact=decisions/7/0", 404, "not-found"),
        ("record?fact=gw-99&source=https://gateway.example", 404, "not-found"),
        ("record?fact=gw-7", 400, "refused"),
        ("record", 400, "parameter"),
        ("consistency?tree=decisions/0&old=-1", 400, "parameter"),
        ("consistency?tree=decisions/0&old=5&new=4", 400, "refused"),
        ("consistency?tree=decisions/0&old=1&new=45", 400, "refused"),
        (f"consistency?tree=decisions/0&old={'9' * 19}", 400, "parameter"),
        ("consistency?tree=decisions&old=1", 400, "parameter"),
        ("absence?source=urn:x&sequence=x", 400, "parameter"),
    ],
)
def test_a_missing_proof_is_reported(signed: tuple[World, NoteKeys], path: str, status: int, kind: str):
    response = signed[0].get(f"/v1/evidence/{path}")

    assert (status, kind) == (response.status_code, problem_type(response))


def test_the_client_has_every_question_about_evidence(signed: tuple[World, NoteKeys]):
    world, _ = signed
    headers = {"Host": "us.example"}
    with served(world.app) as url, httpx.Client(headers=headers) as http:
        client = Client(url, token=world.token("investigator"), http=http)
        proofs = client.record_proofs("decisions/0/7", following=True)

        assert proofs is not None
        (pair,) = proofs["items"]
        assert pair["next"] is not None
        assert (7, 8) == (pair["first"]["index"], pair["next"]["index"])
        assert client.record_proofs("decisions/0/44") is None
        assert RECORDS == client.consistency("decisions/0", 3)["new"]["size"]
        assert 1_000 == client.absence("https://gateway.example", 1_000)["sequence"]
        assert [RECORDS] == [one["size"] for one in client.checkpoints()["checkpoints"]]


@pytest.mark.parametrize(
    "path", ["who?action=mail-7", "status?of=token:none", "actions?limit=1", "actions?format=csv", "overview"]
)
def test_every_answer_says_what_covers_the_log(signed: tuple[World, NoteKeys], path: str):
    """The header has the sentence that people read below an answer; an error has none."""
    response = signed[0].get(f"/v1/{path}")
    expected = signed[0].get("/v1/evidence").json()["says"]

    assert response.is_success is ("none" not in path)
    assert (expected if response.is_success else None) == response.headers.get("Delegraph-Evidence")


def test_an_answer_over_an_unsigned_log_says_nothing_about_evidence(tmp_path: Path):
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        assert "Delegraph-Evidence" not in world.get("/v1/who", params={"action": "mail-7"}).headers


def test_answers_share_one_reading_per_second():
    """A sentence is at most a second old, and one that cannot be read is left out."""
    now, read = 10.0, list[float]()

    async def sentence() -> str | None:
        read.append(now)
        await asyncio.sleep(0)
        if now >= 12:
            raise UnavailableError("the store is gone")
        return f"read at {now}"

    async def at(instant: float) -> list[str]:
        nonlocal now
        now = instant
        answers = await asyncio.gather(*(header.current() for _ in range(5)))
        return sorted({value.decode() for one in answers for _, value in one})

    async def asked_at() -> list[list[str]]:
        return [await at(instant) for instant in (10.0, 10.9, 11.0, 12.0, 12.5)]

    header = EvidenceHeader(sentence, lambda: now)

    assert [["read at 10.0"], ["read at 10.0"], ["read at 11.0"], [], []] == asyncio.run(asked_at())
    assert [10.0, 11.0, 12.0] == read


def test_an_answer_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch):
    """It then has no header; later answers have it again."""
    monkeypatch.setattr(middleware, "EVIDENCE_SECONDS", 0.05)

    async def asked_twice() -> list[int]:
        answered = asyncio.Event()

        async def sentence() -> str | None:
            await answered.wait()
            return "read"

        header = EvidenceHeader(sentence)
        first = await header.current()
        answered.set()
        return [len(first), len(await header.current())]

    assert [0, 1] == asyncio.run(asked_twice())
