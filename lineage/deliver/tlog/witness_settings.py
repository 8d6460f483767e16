"""The settings of the witnesses that cosign checkpoints: tables ``[witnesses.NAME]``. Values only.

Example::

    [witnesses.second-site]
    url = "https://witness.example"                   # it answers at URL/add-checkpoint
    key = "witness.example/w1+4d4e4f50+BAEB…"         # its public key, as 'delegraph witness' prints it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lineage.core.evidence.notes import KeyKind, NoteError, VerifierKey, parse_key
from lineage.core.model.errors import RefusedError
from lineage.deliver.http.endpoint_tables import path_of, seconds_of, tables_of, text_of
from lineage.deliver.http.endpoint_url import endpoint_url

_NAMES: Final = ("url", "key", "ca_file", "timeout_seconds")
_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WitnessEndpoint:
    """A witness that is asked for cosignatures.

    Attributes:
        name: Its name in the settings.
        url: The prefix of the URL of ``add-checkpoint``.
        key: Its public key.
        ca: The file with the CA certificates of the server; None for the system's.
        timeout_seconds: The time limit of a request.
    """

    name: str
    url: str
    key: VerifierKey
    ca: Path | None = None
    timeout_seconds: float = _TIMEOUT_SECONDS


def witnesses_of(value: object, *, file: Path) -> tuple[WitnessEndpoint, ...]:
    """Read the witnesses of a settings file, in the order of their names.

    Raises:
        RefusedError: A setting is missing, unknown or invalid; the message names it.
    """
    return tuple(
        _witness(name, table, where, file) for name, table, where in tables_of(value, "witnesses", _NAMES, file)
    )


def _witness(name: str, table: Mapping[str, Any], where: str, file: Path) -> WitnessEndpoint:
    try:
        key = parse_key(text_of(table, "key", where) or "")
    except NoteError as fault:
        raise RefusedError(f"'key' of {where} is not the public key of a witness: {fault}") from fault
    if key.kind is not KeyKind.COSIGNATURE:
        raise RefusedError(f"'key' of {where} is the key of a log, not of a witness")
    return WitnessEndpoint(
        name=name,
        url=endpoint_url(text_of(table, "url", where), where, "a witness").rstrip("/"),
        key=key,
        ca=path_of(text_of(table, "ca_file", where), file),
        timeout_seconds=seconds_of(table.get("timeout_seconds", _TIMEOUT_SECONDS), where, longest=_LONGEST_SECONDS),
    )
