"""The signing keys."""

from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from lineage.core.model.errors import RefusedError
from lineage.deliver.http.signing_keys import Private, load_keys
from tests.support.signing_keys import P256, file_of, pem

RSA = rsa.generate_private_key(65_537, 2048)
ED = ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize("key", [RSA, P256, ED], ids=["RS256", "ES256", "EdDSA"])
def test_signatures_verify_with_the_published_keys(tmp_path: Path, key: Private):
    """Another library finds the key by the key id in the header; the type is in the header as well."""
    keys = load_keys([file_of(tmp_path, pem(key))])
    signed = keys.sign({"iss": "https://us.example"}, "statuslist+jwt")
    header = jwt.get_unverified_header(signed)
    found = jwt.PyJWKSet.from_dict(keys.jwks())[header["kid"]]

    assert {"iss": "https://us.example"} == jwt.decode(signed, found, algorithms=[header["alg"]])
    assert "statuslist+jwt" == header["typ"]


def test_the_first_key_signs_and_all_are_published_once(tmp_path: Path):
    """From several files; a repeated key is published once, and nothing private is."""
    public = P256.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    keys = load_keys([file_of(tmp_path, pem(ED), public), file_of(tmp_path, pem(RSA), pem(ED), name="old.pem")])

    assert ["EdDSA", "ES256", "RS256"] == [key["alg"] for key in keys.jwks()["keys"]]
    assert "EdDSA" == jwt.get_unverified_header(keys.sign({}, "JWT"))["alg"]
    assert not {"d", "p", "q"} & {member for key in keys.jwks()["keys"] for member in key}


SMALL = rsa.generate_private_key(65_537, 1024)
ENCRYPTED = ED.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")).decode()
PUBLIC = ED.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing here", "must be a private one"),
        (PUBLIC, "must be a private one"),
        (pem(SMALL), "1024 bits"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "secp384r1"),
        (ENCRYPTED, "not encrypted"),
    ],
    ids=["none", "public", "small", "curve", "encrypted"],
)
def test_an_unusable_key_is_refused(tmp_path: Path, text: str, message: str):
    """The message names the file and the remedy, and repeats nothing of the key."""
    with pytest.raises(RefusedError, match=message) as refused:
        load_keys([file_of(tmp_path, text)])

    assert "keys.pem" in str(refused.value)
