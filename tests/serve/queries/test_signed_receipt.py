"""The signed receipt of an enforced revocation, verified as the documentation says, without our code."""

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lineage.deliver.http.signing_keys import Private
from tests.support.desk import LATER, Desk, ordered, token
from tests.support.receivers import receiver
from tests.support.signing_keys import file_of, pem

ALGORITHMS: dict[str, Callable[[], Private]] = {
    "EdDSA": Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create a token that an order ended, an enforcement point that has not answered, and a signing key."""
    key = file_of(tmp_path, pem(Ed25519PrivateKey.generate()))
    desk = Desk(tmp_path, env={"DELEGRAPH_SIGNING_KEY_FILE": str(key)})
    unusual = "tôken 😀"
    desk.take(token(unusual, expires_at=LATER), receiver("urn:gw"), ordered("r1", "token", unusual))
    return desk


def close(desk: Desk) -> None:
    desk.run("receiver", "mark", "r1", "urn:gw", "--by", "human:ruth", "--reason", "its “log” shows it")


def canonical(value: Any) -> bytes:
    """Serialise as the documentation says."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def verified(signed: dict[str, Any]) -> None:
    key = jwt.PyJWK(signed["jwk"])
    payload = canonical(signed["receipt"])
    jwt.PyJWS().decode(signed["jws"], key.key, algorithms=[key.algorithm_name], detached_payload=payload)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_closed_is_signed_and_verified(desk: Desk, algorithm: str):
    """
    For each kind of key the content is that of closure and receipt, and the header has the key id and the type.
    """
    file_of(desk.folder, pem(ALGORITHMS[algorithm]()))
    close(desk)
    signed = desk.one("receipt", "r1", "--signed")
    verified(signed)
    closure = desk.one("closure", "r1")
    header = jwt.get_unverified_header(signed["jws"])

    result = signed["receipt"]
    assert {name: result[name] for name in ("verdict", "closed_at", "elements", "receivers", "by_hand")} == {
        name: closure[name] for name in ("verdict", "closed_at", "elements", "receivers", "by_hand")
    }
    assert (algorithm, signed["jwk"]["kid"], "delegraph-receipt+jws", False, ["b64"]) == (
        header["alg"], header["kid"], header["typ"], header["b64"], header["crit"],
    )  # fmt: skip
    assert {"revoked": 1} == result["states"]
    assert "human:ruth" == result["orders"][0]["ordered_by"]


def test_cryptography_alone_verifies_it(desk: Desk):
    """
    The signature is over the header, a dot, and the bytes of the canonical JSON.
    """
    close(desk)
    signed = desk.one("receipt", "r1", "--signed")
    header, payload, signature = signed["jws"].split(".")
    raw, x = (base64.urlsafe_b64decode(part + "==") for part in (signature, signed["jwk"]["x"]))

    Ed25519PublicKey.from_public_bytes(x).verify(raw, header.encode() + b"." + canonical(signed["receipt"]))
    assert "" == payload
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(x).verify(raw, header.encode() + b"." + b"{}")


@pytest.mark.parametrize("field", ["revocation", "verdict", "closed_at", "elements", "receivers", "by_hand", "orders"])
def test_a_changed_receipt_is_not_verified(desk: Desk, field: str):
    """
    Any changed field is detected.
    """
    close(desk)
    signed = copy.deepcopy(desk.one("receipt", "r1", "--signed"))
    signed["receipt"][field] = "other"

    with pytest.raises(jwt.InvalidSignatureError):
        verified(signed)


def test_an_open_revocation_has_no_signed_receipt(desk: Desk):
    """
    It exits with 2, the verdict and the remedy; an unknown order exits with 3, another time is a usage error.
    """
    text = " ".join(desk.run("receipt", "r1", "--signed", exit=2).output.split())
    desk.run("receipt", "none", "--signed", exit=3)
    close(desk)
    desk.run("receipt", "r1", "--signed", "--at", "2026-01-01", exit=2)

    assert "r1 is PARTIAL, and only what is CLOSED has a signed receipt; 1 open: delegraph closure r1" in text


def test_without_a_key_nothing_is_signed(desk: Desk):
    """
    The message names the setting.
    """
    close(desk)
    result = Desk(desk.folder).run("receipt", "r1", "--signed", exit=2).output

    assert "name the file as DELEGRAPH_SIGNING_KEY_FILE" in " ".join(result.split())
