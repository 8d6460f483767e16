"""Signing keys: the first key signs, all are published.

Keys are in PEM files, any number in each. To rotate: append the new key after the old one, wait until others have
fetched it, move it to the front, and remove the old key when nothing that it signed is still in use.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from ingest.secrets import read_secret
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import canonical_json

Private = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
Public = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

NO_SIGNING_KEY: Final = (
    "no signing key is configured, so nothing can be signed or proved: make one with 'openssl genpkey -algorithm EC "
    "-pkeyopt ec_paramgen_curve:P-256 -out keys.pem', and name the file as DELEGRAPH_SIGNING_KEY_FILE"
)
_PEM: Final = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_SMALLEST_RSA_BITS: Final = 2048


class Key(NamedTuple):
    """A published key."""

    id: str  # its JWK thumbprint (RFC 7638)
    algorithm: str
    jwk: Mapping[str, str]


class SigningKeys:
    """Keys in order.

    Attributes:
        published: The public form of every key.
        private: The private keys; the first one signs.
    """

    def __init__(self, keys: Sequence[Key], private: Sequence[Private]) -> None:
        """Combine published and private keys; the first of each must be the same key."""
        self.published = tuple(keys)
        self.private = tuple(private)

    def jwks(self) -> dict[str, Any]:
        """The published keys as a JWK Set (RFC 7517)."""
        return {"keys": [{**key.jwk, "kid": key.id, "alg": key.algorithm, "use": "sig"} for key in self.published]}

    def sign(self, claims: Mapping[str, Any], typ: str) -> str:
        """Sign claims as a JWT with a ``typ`` such as ``secevent+jwt``."""
        key = self.published[0]
        return jwt.encode(dict(claims), self.private[0], algorithm=key.algorithm, headers={"typ": typ, "kid": key.id})

    def sign_detached(self, payload: bytes, typ: str) -> str:
        """Sign a payload as a detached JWS (RFC 7797): the signature covers the bytes as they are."""
        key = self.published[0]
        headers = {"typ": typ, "kid": key.id}
        return jwt.PyJWS().encode(payload, self.private[0], key.algorithm, headers, is_payload_detached=True)


def new_keys() -> SigningKeys:
    """Create a key that lasts as long as the process, for demonstrations."""
    private = Ed25519PrivateKey.generate()
    return SigningKeys([_published(private, Path())], [private])


def load_keys(files: Sequence[Path]) -> SigningKeys:
    """Load the keys in some files: private keys, and public keys that are only published.

    Raises:
        RefusedError: A file cannot be read, or a key cannot be used; the message says which.
    """
    found = _found(files)
    published = {key.id: key for key in (_published(key, path) for key, path in found)}
    return SigningKeys(list(published.values()), [key for key, _ in found if isinstance(key, Private)])


def load_public_keys(files: Sequence[Path]) -> tuple[Private, list[Public]]:
    """Load the private key that signs, and every public key, that of the private one first.

    Raises:
        RefusedError: As for ``load_keys``.
    """
    keys = [key for key, _ in _found(files)]
    assert isinstance(keys[0], Private)  # noqa: S101 (for the type checker)
    return keys[0], [key.public_key() if isinstance(key, Private) else key for key in keys]


def _found(files: Sequence[Path]) -> list[tuple[Private | Public, Path]]:
    """Read the keys in some files; the first is a private one."""
    found = [
        (_loaded(match.group(0), match.group(1), path), path)
        for path in files
        for match in _PEM.finditer(read_secret(path, "a file of keys"))
    ]
    if not found or not isinstance(found[0][0], Private):
        raise RefusedError(f"the first key in {', '.join(map(str, files))} must be a private one in PEM: it signs")
    return found


def _loaded(pem: str, label: str, path: Path) -> Private | Public:
    try:
        key: Any = (
            serialization.load_pem_private_key(pem.encode(), None)
            if label.endswith("PRIVATE KEY")
            else serialization.load_pem_public_key(pem.encode())
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its message may contain part of the key
        raise RefusedError(f"a key in {path} cannot be read; give it in PEM, not encrypted") from None
    if not isinstance(key, Private | Public):
        raise RefusedError(f"a key in {path} cannot sign; use RSA, P-256 or Ed25519")
    return key


def _published(key: Private | Public, path: Path) -> Key:
    public = key.public_key() if isinstance(key, Private) else key
    match public:
        case RSAPublicKey():
            if public.key_size < _SMALLEST_RSA_BITS:
                raise RefusedError(
                    f"a key in {path} has {public.key_size} bits; an RSA key needs at least {_SMALLEST_RSA_BITS}"
                )
            return _key("RS256", RSAAlgorithm.to_jwk(public, as_dict=True), ("e", "n"))
        case EllipticCurvePublicKey():
            if not isinstance(public.curve, SECP256R1):
                raise RefusedError(f"a key in {path} is on the curve {public.curve.name}; use P-256")
            return _key("ES256", ECAlgorithm.to_jwk(public, as_dict=True), ("crv", "x", "y"))
        case Ed25519PublicKey():
            return _key("EdDSA", OKPAlgorithm.to_jwk(public, as_dict=True), ("crv", "x"))


def _key(algorithm: str, exported: Mapping[str, Any], members: tuple[str, ...]) -> Key:
    jwk = {name: str(exported[name]) for name in ("kty", *members)}
    digest = hashlib.sha256(canonical_json(jwk)).digest()  # RFC 7638 section 3: only the required members, sorted
    return Key(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), algorithm, jwk)
