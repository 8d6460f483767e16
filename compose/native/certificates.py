"""The stack's own certificate authority, and the certificates of the broker and of each client.

In PEM, in one folder: ``ca.pem``; ``NAME.pem`` and ``NAME.key`` for each. For this stack only.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from .processes import LOOPBACK
from .secret_files import write_secret

VALID: Final = timedelta(days=365)
SKEW: Final = timedelta(hours=1)
AUTHORITY: Final = "ca"
_ORGANIZATION: Final = "delegraph native stack"


def make_authority(folder: Path) -> None:
    """Create the authority, unless it exists."""
    if not (folder / f"{AUTHORITY}.pem").exists():
        authority = trustme.CA(organization_name=_ORGANIZATION)
        _write(folder, AUTHORITY, authority.private_key_pem, authority.cert_pem)


def make_certificate(folder: Path, name: str, *, now: datetime) -> None:
    """Create a key and a certificate with the common name ``name``, unless they exist.

    The certificate is valid for a year, both for a server on loopback and for a client.
    """
    if (folder / f"{name}.pem").exists():
        return
    signer = [(folder / f"{AUTHORITY}.{end}").read_bytes() for end in ("pem", "key")]
    made = trustme.CA.from_pem(*signer).issue_cert(
        "localhost",
        LOOPBACK,
        common_name=name,
        organization_name=_ORGANIZATION,
        not_before=now - SKEW,
        not_after=now + VALID,
    )
    _write(folder, name, made.private_key_pem, made.cert_chain_pems[0])


def _write(folder: Path, name: str, key: trustme.Blob, certificate: trustme.Blob) -> None:
    """Write the certificate last, so that a certificate never exists without its key."""
    # The broker only reads keys in PKCS #8, but trustme writes them in OpenSSL's older form.
    pkcs8 = load_pem_private_key(key.bytes(), password=None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    write_secret(folder / f"{name}.key", pkcs8.decode("ascii"))
    certificate.write_to_path(folder / f"{name}.pem")
