"""The wire contract: every shipped version of every schema, pinned by ``lock.json``.

A shipped file never changes: records written with it must be readable for as long as the log is kept. To add a
version, add a file and an entry. Avro is parsed in ``ingest``; this package imports only the standard library.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple


class SchemaVersion(NamedTuple):
    """One shipped version of a schema.

    ``fingerprint`` is the CRC-64-AVRO as sent on the wire: eight bytes, little-endian. It covers only the parsing
    canonical form (no defaults, no documentation), therefore the lock also has the SHA-256 of the file.
    """

    name: str
    version: int
    file: str
    fingerprint: bytes
    sha256: str
    definition: dict[str, Any]  # the parsed JSON of the file; do not modify it


@cache
def versions() -> tuple[SchemaVersion, ...]:
    """Every shipped version, oldest first.

    Raises:
        ValueError: The SHA-256 of a file is not the one in the lock.
    """
    return tuple(_load(entry) for entry in json.loads(_text("lock.json")))


def latest() -> SchemaVersion:
    """The version that new records are written with."""
    return versions()[-1]


def by_fingerprint(fingerprint: bytes) -> SchemaVersion | None:
    """The version with this fingerprint; None if no shipped version has it."""
    return _by_fingerprint().get(fingerprint)


def text_of(version: SchemaVersion) -> str:
    """The text of the shipped file: the schema in Avro's JSON, with its documentation."""
    return _text(version.file).decode()


def vectors() -> Iterator[dict[str, Any]]:
    """The test vectors for producers in other languages: ``event``, ``bytes`` and ``digest``, by name."""
    folder = files(__name__).joinpath("vectors")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".json"):
            yield {"name": file.name.removesuffix(".json"), **json.loads(file.read_text(encoding="utf-8"))}


@cache
def _by_fingerprint() -> dict[bytes, SchemaVersion]:
    return {version.fingerprint: version for version in versions()}


def _load(entry: dict[str, Any]) -> SchemaVersion:
    text = _text(entry["file"])
    if hashlib.sha256(text).hexdigest() != entry["sha256"]:
        raise ValueError(f"schemas/{entry['file']} is not the file that schemas/lock.json names: restore it")
    return SchemaVersion(
        name=entry["name"],
        version=entry["version"],
        file=entry["file"],
        fingerprint=bytes.fromhex(entry["fingerprint"]),
        sha256=entry["sha256"],
        definition=json.loads(text),
    )


def _text(name: str) -> bytes:
    return files(__name__).joinpath(name).read_bytes()
