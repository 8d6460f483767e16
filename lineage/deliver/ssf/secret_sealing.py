"""What seals the secrets of receivers in the store: keys derived from those that we sign with, for want of others.

A secret that was sealed with a key that is about to go is sealed anew when it is next used.
"""

import base64
from typing import Final, NamedTuple

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ingest.secrets import Secret
from lineage.deliver.http.signing_keys import Keys, Private

_PURPOSE: Final = b"delegraph: secrets of streams"


class Unsealed(NamedTuple):
    """A secret, and whether it should be sealed anew."""

    secret: Secret
    is_old: bool


class Seals:
    """Seals with the first private key, and opens what any of them has sealed."""

    def __init__(self, keys: Keys) -> None:
        """Take the keys."""
        self._fernets = [Fernet(_derived(key)) for key in keys.private]

    def seal(self, secret: str) -> bytes:
        """A secret as it may be stored."""
        return self._fernets[0].encrypt(secret.encode())

    def unseal(self, sealed: bytes) -> Unsealed | None:
        """What was sealed; None: the key that did is gone."""
        for place, fernet in enumerate(self._fernets):
            try:
                return Unsealed(Secret(fernet.decrypt(sealed).decode()), is_old=place > 0)
            except InvalidToken:
                continue
        return None


def _derived(key: Private) -> bytes:
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.urlsafe_b64encode(HKDF(hashes.SHA256(), 32, salt=None, info=_PURPOSE).derive(der))
