"""Encryption of receiver secrets in the store, with keys derived (HKDF) from the signing keys.

A secret that was encrypted with an older key is encrypted again with the first key when it is next used.
"""

import base64
from typing import Final, NamedTuple

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingest.secrets import Secret
from lineage.deliver.http.signing_keys import Private, SigningKeys

_PURPOSE: Final = b"delegraph: secrets of streams"


class Unsealed(NamedTuple):
    """A decrypted secret, and whether to encrypt it again because its key is not the first one."""

    secret: Secret
    is_old: bool


class SecretBox:
    """Encrypts with the first private key, and decrypts with any of them."""

    def __init__(self, keys: SigningKeys) -> None:
        """Derive the encryption keys."""
        self._fernets = [Fernet(_derived(key)) for key in keys.private]

    def seal(self, secret: str) -> bytes:
        """Encrypt a secret for the store."""
        return self._fernets[0].encrypt(secret.encode())

    def unseal(self, sealed: bytes) -> Unsealed | None:
        """Decrypt a secret; None if its key is no longer available."""
        for place, fernet in enumerate(self._fernets):
            try:
                return Unsealed(Secret(fernet.decrypt(sealed).decode()), is_old=place > 0)
            except InvalidToken:
                continue
        return None


def _derived(key: Private) -> bytes:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.urlsafe_b64encode(HKDF(hashes.SHA256(), 32, salt=None, info=_PURPOSE).derive(der))
