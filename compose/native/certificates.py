"""The stack's own certificate authority, and the certificates of the broker and of each client.

In PEM, in one folder: ``ca.pem``; ``NAME.pem`` and ``NAME.key`` for each. Valid for a year, for this stack only.
"""

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .processes import LOOPBACK
from .secret_files import write_secret

VALID: Final = timedelta(days=365)
SKEW: Final = timedelta(hours=1)
AUTHORITY: Final = "ca"


def make_authority(folder: Path, *, now: datetime) -> None:
    """Create the authority, unless it exists."""
    if (folder / f"{AUTHORITY}.pem").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("delegraph native stack")
    certificate = (
        _builder(name, name, key, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    _write(folder, AUTHORITY, key, certificate)


def make_certificate(folder: Path, name: str, *, now: datetime) -> None:
    """Create a key and a certificate with the common name ``name``, unless they exist.

    The certificate is valid both for a server on loopback and for a client.
    """
    if (folder / f"{name}.pem").exists():
        return
    signer = load_pem_private_key((folder / f"{AUTHORITY}.key").read_bytes(), password=None)
    authority = x509.load_pem_x509_certificate((folder / f"{AUTHORITY}.pem").read_bytes())
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder / AUTHORITY}.key is not an elliptic curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name(name), authority.subject, key, now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK))]),
            critical=False,
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write(folder, name, key, certificate)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(folder: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    """Write the certificate last, so that a certificate never exists without its key."""
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_secret(folder / f"{name}.key", pkcs8.decode("ascii"))
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
