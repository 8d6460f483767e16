"""Keys that sign Shared Signals and status lists, as PEM files."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from lineage.deliver.http.signing_keys import Private

P256 = ec.generate_private_key(ec.SECP256R1())


def pem(key: Private) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def file_of(folder: Path, *texts: str, name: str = "keys.pem") -> Path:
    path = folder / name
    path.write_text("".join(texts))
    path.chmod(0o600)
    return path
