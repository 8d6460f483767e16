"""Settings of the HTTP API: addresses, authentication, limits. Values only, validated on construction.

In the settings file they are in the table ``[http]``, in the environment ``DELEGRAPH_HTTP_…``.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ingest.declared_settings import SettingKind, SettingsTable, setting
from ingest.secrets import Secret
from lineage.core.model.errors import RefusedError
from lineage.serve.config.limits import ConnectionLimits

DEFAULT_LISTEN: Final = "127.0.0.1:8480"
# Asymmetric algorithms only: with a shared secret every verifier can forge, and a public key must never be used as
# one.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_OF_ISSUER: Final = ("audience", "jwks", "algorithms", "name_claim", "roles_claim", "sources_claim", "leeway_seconds")
_OF_PROXY: Final = ("proxy_roles_header", "proxy_sources_header", "proxy_peers", "proxy_secret")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Settings of the HTTP API: where it listens, and who may use it. By default loopback and a printed sign-in link.

    Attributes:
        secret_files: The files that secrets were read from.
    """

    listen: str = setting(DEFAULT_LISTEN, "`host:port` where the API and the pages are served; also `--http`")
    public_url: str | None = setting(
        None, "the URL under which browsers and receivers reach it", default_text="the address"
    )
    hosts: tuple[str, ...] = setting((), "more names, with commas between, under which it may be asked for")
    issuer: str | None = setting(None, "the issuer whose tokens are accepted")
    audience: str | None = setting(None, "the audience that tokens must be for")
    jwks: str | None = setting(None, "the issuer's keys: a URL or a file", kind=SettingKind.URL_OR_PATH)
    algorithms: tuple[str, ...] = setting(
        ("RS256", "PS256", "ES256", "EdDSA"), "the algorithms that tokens may be signed with"
    )
    name_claim: str = setting("sub", "the claim with the caller's name")
    roles_claim: str = setting("roles", "the claim with the roles; dots go into objects")
    sources_claim: str = setting("sources", "the claim with a producer's sources")
    leeway_seconds: int = setting(30, "how far the issuer's clock may be off", most=300)
    head_seconds: int = setting(10, "from the first byte of a request to the end of its head", least=1, most=600)
    body_seconds: int = setting(30, "from there to the end of its body", least=1, most=3_600)
    idle_seconds: int = setting(5, "how long a connection stays open between two requests", least=1, most=3_600)
    connections: int = setting(4_096, "connections that are open at once", least=16, most=1_000_000)
    connections_by_peer: int = setting(
        1_024,
        "the same from one address (of IPv6: one /64 network) that is not among `proxy_peers`",
        least=1,
        most=1_000_000,
    )
    questions_by_caller: int = setting(
        32,
        "questions of one caller that are answered or wait at once; one more is answered with 429",
        least=1,
        most=1_000_000,
    )
    public_tlog: bool = setting(
        True,
        "whether [checkpoints and hashes](../evidence.md#read-the-trees-over-http) of the trees over the log are "
        "served without authentication",
    )
    proxy_user_header: str | None = setting(None, "the header in which a trusted proxy names the caller")
    proxy_roles_header: str = setting("X-Forwarded-Roles", "the header with the roles")
    proxy_sources_header: str | None = setting(None, "the header with a producer's sources")
    proxy_peers: tuple[Network, ...] = setting((), "addresses and networks from which the proxy connects")
    proxy_secret: Secret | None = setting(
        None, "what the proxy sends in `Delegraph-Proxy-Secret`", kind=SettingKind.SECRET
    )
    secret_files: tuple[Path, ...] = ()

    @classmethod
    def from_mapping(cls, table: Mapping[str, str]) -> "HttpSettings":
        """Parse settings given by name (``NAMES``).

        Raises:
            RefusedError: A name is unknown, a value is invalid, or values contradict each other.
        """
        values = TABLE.read(table)
        if "proxy_peers" in values:
            values["proxy_peers"] = _networks(table["proxy_peers"])
        _refuse_what_does_not_go_together(table)
        settings = cls(**values)
        settings._check()
        return settings

    @property
    def tls(self) -> bool:
        """Whether browsers connect over TLS, according to the public URL."""
        return (self.public_url or "").startswith("https://")

    @property
    def connection_limits(self) -> ConnectionLimits:
        """The limits on connections."""
        return ConnectionLimits(
            head_seconds=self.head_seconds,
            body_seconds=self.body_seconds,
            idle_seconds=self.idle_seconds,
            connections=self.connections,
            connections_by_peer=self.connections_by_peer,
        )

    @property
    def names(self) -> frozenset[str]:
        """The host names under which it may be requested, in addition to those of loopback."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        return frozenset(host.lower() for host in (*self.hosts, public) if host)

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that every user of this machine can read."""
        return TABLE.open_files(self)

    def shown(self) -> dict[str, str]:
        """The settings that differ from their defaults, by name, without secrets."""
        return TABLE.shown(self)

    def _check(self) -> None:
        if unknown := [name for name in self.algorithms if name not in ALGORITHMS] or not self.algorithms:
            raise RefusedError(
                f"the setting 'http.algorithms' has {unknown!a}; it can be some of {', '.join(ALGORITHMS)}"
            )
        for name in ("public_url", "issuer"):
            value = getattr(self, name)
            if value is not None and urlsplit(value).scheme not in {"http", "https"}:
                raise RefusedError(f"the setting 'http.{name}' is {value!a}; write a URL, such as https://idp.example")
        if self.jwks is not None and "://" in self.jwks and urlsplit(self.jwks).scheme not in {"http", "https"}:
            raise RefusedError(f"the setting 'http.jwks' is {self.jwks!a}; write an https URL, or the name of a file")


TABLE: Final = SettingsTable(HttpSettings, table="http")
NAMES: Final = TABLE.names


def _refuse_what_does_not_go_together(values: Mapping[str, str]) -> None:
    if "issuer" in values:
        for name in ("audience", "jwks"):
            if name not in values:
                raise RefusedError(
                    f"'http.issuer' needs 'http.{name}': whose tokens are taken, for whom, by which keys"
                )
    elif unused := [name for name in _OF_ISSUER if name in values]:
        raise RefusedError(f"'http.{unused[0]}' has no effect without 'http.issuer'")
    if "proxy_user_header" in values:
        if not values.keys() & {"proxy_peers", "proxy_secret", "proxy_secret_file"}:
            raise RefusedError(
                "'http.proxy_user_header' needs 'http.proxy_peers' or 'http.proxy_secret': "
                "otherwise anyone could pose as anyone"
            )
    elif unused := [name for name in (*_OF_PROXY, "proxy_secret_file") if name in values]:
        raise RefusedError(f"'http.{unused[0]}' has no effect without 'http.proxy_user_header'")


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise RefusedError(
            f"the setting 'http.proxy_peers' is {text!a}: {error}; write addresses or networks"
        ) from error
