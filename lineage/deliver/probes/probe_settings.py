"""The settings of the enforcement points that can be probed: tables ``[probes."RECEIVER"]``.

Values only; secrets are read where they are used.

Example::

    [probes."https://gateway.example"]
    kind = "introspection"           # RFC 7662; or answers: a follower of the feed (ingest.revocations); or status_list
    url = "https://gateway.example/introspect"
    token = "{jti}"                  # introspection only: the server's name for the token, built from its id
    client_id = "delegraph"          # with it HTTP Basic is used, without it a bearer token
    secret_file = "gateway.secret"
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ingest.secrets import is_open_to_others
from lineage.core.authority.receivers import issuer_of
from lineage.core.model.errors import RefusedError
from lineage.deliver.http.endpoint_tables import filled, path_of, seconds_of, tables_of, template_of, text_of
from lineage.deliver.http.endpoint_url import endpoint_url

INTROSPECTION: Final = "introspection"
ANSWERS: Final = "answers"
STATUS_LIST: Final = "status_list"
KINDS: Final = (INTROSPECTION, ANSWERS, STATUS_LIST)
_TEXTS: Final = ("kind", "url", "token", "client_id", "secret_file", "ca_file", "jwks_file")
_NAMES: Final = (*_TEXTS, "cached_seconds", "timeout_seconds")
_OF_LISTS: Final = ("jwks_file", "cached_seconds")
_LONGEST_CACHED: Final = 604_800
_TIMEOUT_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """The settings of the probe of an enforcement point.

    Attributes:
        receiver: Its id as a receiver.
        kind: One of ``KINDS``.
        url: The URL at which it answers. For status lists, the prefix of the URIs from which they are fetched; or, with
            ``{uri}`` in it, the URL at which the enforcement point shows the copy that it uses.
        token: For introspection, a template of the ``token`` parameter; ``{id}``, ``{iss}`` and ``{jti}`` are parts of
            the token's id.
        client_id: Our client id; None if the secret is a bearer token.
        secret: The file with the secret; None if none is needed.
        ca: The file with the CA certificates of the server; None for the system's.
        jwks: For status lists, the file with the keys that sign them (a JWK Set); None for our own.
        cached_seconds: For status lists, how long the enforcement point may use a copy; None means the lifetime of the
            served list, or 0 if it shows its copy.
        timeout_seconds: The time limit of a question.
    """

    receiver: str
    kind: str
    url: str
    token: str = "{jti}"
    client_id: str | None = None
    secret: Path | None = None
    ca: Path | None = None
    jwks: Path | None = None
    cached_seconds: float | None = None
    timeout_seconds: float = _TIMEOUT_SECONDS

    @property
    def asks_one_by_one(self) -> bool:
        """Whether each element takes a separate request."""
        return self.kind == INTROSPECTION

    @property
    def shows_copies(self) -> bool:
        """Whether it shows the copies of status lists that it uses."""
        return self.kind == STATUS_LIST and "{uri}" in self.url

    @property
    def open_files(self) -> tuple[Path, ...]:
        """Return the files with secrets that every user of this machine can read."""
        return () if self.secret is None or not is_open_to_others(self.secret) else (self.secret,)

    def handle_of(self, id_: str) -> str:
        """Return the ``token`` parameter for a token."""
        return filled(self.token, id_, issuer_of(id_) or "")


def probes_of(value: object, *, file: Path) -> tuple[Probe, ...]:
    """Read the probes of a settings file, in the order of their receivers.

    Raises:
        RefusedError: A setting is missing, unknown or invalid; the message names it.
    """
    tables = tables_of(value, "probes", _NAMES, file)
    return tuple(_probe(receiver, table, where, file) for receiver, table, where in tables)


def _probe(receiver: str, table: Mapping[str, Any], where: str, file: Path) -> Probe:
    texts = {name: text_of(table, name, where) for name in _TEXTS}
    if texts["kind"] not in KINDS:
        raise RefusedError(f"'kind' of {where} is {texts['kind']!r}; give one of {', '.join(KINDS)}")
    if texts["client_id"] is not None and texts["secret_file"] is None:
        raise RefusedError(f"{where} with 'client_id' needs 'secret_file'")
    if texts["kind"] != STATUS_LIST and (extra := [name for name in _OF_LISTS if name in table]):
        raise RefusedError(f"{extra[0]!r} of {where} is for the kind {STATUS_LIST} alone")
    return Probe(
        receiver=receiver,
        kind=str(texts["kind"]),
        url=endpoint_url(texts["url"], where, "an enforcement point"),
        token=template_of(texts["token"], where),
        client_id=texts["client_id"],
        secret=path_of(texts["secret_file"], file),
        ca=path_of(texts["ca_file"], file),
        jwks=path_of(texts["jwks_file"], file),
        cached_seconds=_cached(table.get("cached_seconds"), where),
        timeout_seconds=seconds_of(table.get("timeout_seconds", _TIMEOUT_SECONDS), where, longest=_LONGEST_SECONDS),
    )


def _cached(value: object, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_CACHED:
        raise RefusedError(f"'cached_seconds' of {where} must be a number from 0 to {_LONGEST_CACHED:,}")
    return float(value)
