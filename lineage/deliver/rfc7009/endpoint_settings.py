"""The settings of the RFC 7009 revocation endpoints to call: URL, authentication, issuers.

Values only, from tables ``[receivers."RECEIVER"]`` of the settings file; secrets are read where they are used.

Example::

    [receivers."https://idp.example"]
    url = "https://idp.example/oauth/revoke"
    issuers = ["https://idp.example"]
    token = "{jti}"                  # the server's name for the token, built from its id
    auth = "basic"                   # or bearer, private_key_jwt
    client_id = "delegraph"
    secret_file = "idp.secret"
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

AUTHS: Final = ("basic", "bearer", "private_key_jwt")
_NAMES: Final = {
    *("url", "issuers", "token", "token_type_hint", "auth", "client_id", "secret_file", "key_file", "ca_file"),
    "timeout_seconds",
}
_TIMEOUT_SECONDS: Final = 10.0
_LONGEST_SECONDS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A revocation endpoint.

    Attributes:
        receiver: Its id as a receiver.
        url: Its URL.
        issuers: The issuers for whose tokens it is called.
        token: A template of the ``token`` parameter; ``{id}``, ``{iss}`` and ``{jti}`` are parts of the token's id.
        token_type_hint: The parameter of that name; None to omit it.
        auth: One of ``AUTHS``.
        client_id: Our client id; None with ``bearer``.
        secret: The file with the password or the bearer token.
        key: The file with the key that signs assertions, with ``private_key_jwt``.
        ca: The file with the CA certificates of the server; None for the system's.
        timeout_seconds: The time limit of a call.
    """

    receiver: str
    url: str
    issuers: tuple[str, ...]
    token: str = "{jti}"
    token_type_hint: str | None = None
    auth: str
    client_id: str | None = None
    secret: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    timeout_seconds: float = _TIMEOUT_SECONDS

    @property
    def open_files(self) -> tuple[Path, ...]:
        """Return the files with secrets that every user of this machine can read."""
        return tuple(file for file in (self.secret, self.key) if file is not None and is_open_to_others(file))

    def handle_of(self, id_: str) -> str | None:
        """Return the ``token`` parameter for a token; None if the endpoint is not called for it."""
        issuer = issuer_of(id_)
        if issuer not in self.issuers or issuer is None:
            return None
        return filled(self.token, id_, issuer)


def endpoints_of(value: object, *, file: Path) -> tuple[Endpoint, ...]:
    """Read the endpoints of a settings file, in the order of their receivers.

    Raises:
        RefusedError: A setting is missing, unknown or invalid; the message names it.
    """
    tables = tables_of(value, "receivers", _NAMES, file)
    return tuple(_endpoint(receiver, table, where, file) for receiver, table, where in tables)


def _endpoint(receiver: str, table: Mapping[str, Any], where: str, file: Path) -> Endpoint:
    texts = {name: text_of(table, name, where) for name in sorted(_NAMES - {"issuers", "timeout_seconds"})}
    _refuse_wrong_mix(texts, where)
    return Endpoint(
        receiver=receiver,
        url=endpoint_url(texts["url"], where, "a revocation endpoint"),
        issuers=_issuers(table.get("issuers"), where),
        token=template_of(texts["token"], where),
        token_type_hint=texts["token_type_hint"],
        auth=str(texts["auth"]),
        client_id=texts["client_id"],
        secret=path_of(texts["secret_file"], file),
        key=path_of(texts["key_file"], file),
        ca=path_of(texts["ca_file"], file),
        timeout_seconds=seconds_of(table.get("timeout_seconds", _TIMEOUT_SECONDS), where, longest=_LONGEST_SECONDS),
    )


def _refuse_wrong_mix(texts: Mapping[str, str | None], where: str) -> None:
    auth = texts["auth"]
    if auth not in AUTHS:
        raise RefusedError(f"'auth' of {where} is {auth!r}; give one of {', '.join(AUTHS)}")
    needed = {
        "basic": {"client_id", "secret_file"},
        "bearer": {"secret_file"},
        "private_key_jwt": {"client_id", "key_file"},
    }[auth]
    for name in ("client_id", "secret_file", "key_file"):
        if (texts[name] is not None) != (name in needed):
            verb = "needs" if name in needed else "must not have"
            raise RefusedError(f"{where} with auth = {auth!r} {verb} {name!r}")


def _issuers(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(issuer, str) and issuer for issuer in value):
        raise RefusedError(f"'issuers' of {where} must list the issuers whose tokens it can revoke, as strings")
    return tuple(value)
