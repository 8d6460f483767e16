"""Ed25519 keys that sign notes: of the log, and of witnesses.

Keys are in a PEM file. The first one signs; the others only verify notes signed before a rotation.
"""

import base64
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from lineage.core.evidence.notes import (
    KeyKind,
    Signature,
    VerifierKey,
    cosignature_payload,
    cosigned_message,
    is_key_name,
)
from lineage.core.model.errors import RefusedError
from lineage.deliver.http.signing_keys import load_public_keys


class NoteKeys(NamedTuple):
    """The keys of one signer.

    Attributes:
        name: The name of the signer.
        private: Signs.
        verifiers: The keys that verify its signatures: the one that signs, and older ones.
    """

    name: str
    private: Ed25519PrivateKey
    verifiers: tuple[VerifierKey, ...]

    def sign(self, text: str) -> Signature:
        """Sign the text of a note."""
        return Signature(self.name, self.verifiers[0].id, self.private.sign(text.encode()))

    def sign_envelope(self, payload_type: str, payload: bytes) -> dict[str, Any]:
        """Sign a payload as a DSSE envelope."""
        signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
        signature = base64.b64encode(self.private.sign(signed)).decode()
        return {
            "payloadType": payload_type,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": self.verifiers[0].id.hex(), "sig": signature}],
        }

    def cosign(self, text: str, made_at: int) -> Signature:
        """Sign a checkpoint as a witness.

        Args:
            text: The text of the checkpoint.
            made_at: The time in seconds since the epoch.
        """
        signature = self.private.sign(cosigned_message(text, made_at))
        return Signature(self.name, self.verifiers[0].id, cosignature_payload(made_at, signature))


def create_key(file: Path) -> None:
    """Create an Ed25519 key in a new file that only its owner can read.

    Raises:
        RefusedError: The file exists or cannot be written.
    """
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            target.write(pem)
    except FileExistsError:
        raise RefusedError(f"{file} exists already; a key must not be overwritten") from None
    except OSError as error:
        raise RefusedError(f"{file} cannot be written: {error.strerror}") from error


def load_note_keys(name: str, kind: KeyKind, file: Path) -> NoteKeys:
    """Load the keys of a signer from a PEM file.

    Raises:
        RefusedError: The file or the name cannot be used; the message says why.
    """
    private, public = load_public_keys([file])
    if not isinstance(private, Ed25519PrivateKey) or not all(isinstance(key, Ed25519PublicKey) for key in public):
        raise RefusedError(f"the keys in {file} must be Ed25519 keys: 'delegraph evidence keygen' makes one")
    return note_keys(name, kind, private, [key for key in public if isinstance(key, Ed25519PublicKey)])


def note_keys(name: str, kind: KeyKind, private: Ed25519PrivateKey, public: Sequence[Ed25519PublicKey]) -> NoteKeys:
    """Combine the keys of a signer; the first public key is that of the private one.

    Raises:
        RefusedError: The name cannot be that of a key.
    """
    if not is_key_name(name):
        raise RefusedError(f"{name!r} cannot be the name of a key: it must have neither spaces nor a plus sign")
    verifiers = tuple(VerifierKey(name, kind, key.public_bytes_raw()) for key in public)
    return NoteKeys(name, private, verifiers)


def is_valid(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature is valid."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
