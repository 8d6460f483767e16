"""The parts of the evidence verifier: its rule of authority equals the model, its Avro decoder equals the codec."""

import random
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

import schemas
from ingest.codec import api as codec
from lineage.core.model.events import canonical_json, document
from tests.support import model, worlds
from tests.support.verifier import load_verifier

VERIFIER: ModuleType = load_verifier()
SEEDS = st.integers(0, 2**32)
NEVER = 1 << 62


@pytest.mark.slow
@settings(max_examples=100)
@given(SEEDS)
def test_the_rule_is_that_of_the_model(seed: int):
    """States, chains and gaps are equal for every action and element of random worlds, with or without trust."""
    rng = random.Random(seed)
    records = worlds.world(rng)
    trust = worlds.trust(rng) if rng.random() < 0.2 else None
    facts = [(model.content(record["event"]), record["recorded_at"], record["via"]) for record in records]
    world = VERIFIER.World(facts, trust, NEVER)

    for kind, id_ in worlds.questions(records):
        at = rng.choice(worlds.grid)
        expected = model.status(records, kind, id_, at, None, trust)
        if expected is not None and kind in {"token", "delegation"}:
            cause = expected["because"] and expected["because"]["revocation"]
            assert (expected["state"], cause) == world.state((kind, id_), at), (kind, id_, at)
    for action in worlds.actions(records):
        at = rng.choice(worlds.grid)
        expected = model.who(records, action, at, None, trust)
        if expected is None:
            continue
        times = [
            recorded_at
            for event, recorded_at, via in facts
            if event.get("action") == action and VERIFIER.allowed(event, via, trust)
        ]
        derived = VERIFIER.who(world, VERIFIER.World(facts, trust, min(times)), action, at)
        states = [expected["authority"][name] for name in ("then_as_known_then", "then_as_known_now", "now")]
        assert derived == {
            **{name: expected[name] for name in ("root", "human", "agents", "tokens", "delegations")},
            "principals": [hop["principal"] for hop in expected["chain"]],
            "authority": expected["authority"]["element"],
            "states": [[one["state"], one["because"] and one["because"]["revocation"]] for one in states],
            "gaps": [list(gap) for gap in expected["gaps"]],
        }


@settings(max_examples=60)
@given(SEEDS)
def test_records_are_decoded_as_the_codec_wrote_them(seed: int):
    """With the schema in the bundle, the content and its digest are the same."""
    latest = schemas.latest()
    known = {latest.fingerprint.hex(): VERIFIER.named_types(latest.definition)}
    for record in worlds.world(random.Random(seed)):
        event = codec.event_from_document(record["event"])
        content = {name: one for name, one in document(event).items() if one is not None}
        assert content == VERIFIER.event_of(codec.encode(event), known)
        assert canonical_json(content).decode() == VERIFIER.canonical(content)


@pytest.mark.parametrize("vector", list(schemas.vectors()), ids=lambda vector: vector["name"])
def test_every_field_is_decoded(vector: dict[str, object]):
    """This includes fields that random worlds do not have."""
    known = {one.fingerprint.hex(): VERIFIER.named_types(one.definition) for one in schemas.versions()}
    found = VERIFIER.event_of(bytes.fromhex(str(vector["bytes"])), known)
    assert vector["digest"] == VERIFIER.digest_of(found)


@given(st.binary(max_size=80), st.binary(min_size=32, max_size=32))
@settings(max_examples=25)
def test_signatures_verify_as_in_the_library(message: bytes, seed: bytes):
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)

    assert VERIFIER.signed_by(public, signature, message)
    assert not VERIFIER.signed_by(public, signature, message + b"x")
    assert not VERIFIER.signed_by(public, signature[:-1], message)
    for at in (0, 31, 32, 63):
        changed = bytearray(signature)
        changed[at] ^= 1
        assert not VERIFIER.signed_by(public, bytes(changed), message)


@pytest.mark.parametrize("value", [b"", b"\xc3\x01", b"\xc3\x01" + bytes(8), b"x" * 50])
def test_other_values_are_not_events(value: bytes):
    assert VERIFIER.event_of(value, {}) is None
