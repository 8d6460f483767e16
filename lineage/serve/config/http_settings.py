"""How the HTTP API is served and who may ask: values only. Each is checked when the settings are made.

The names stand in the table ``[http]`` of the settings file, and as ``DELEGRAPH_HTTP_…`` in the environment.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ingest.secrets import Secret, is_open_to_others, read_secret
from lineage.core.model.errors import RefusedError
from lineage.serve.config.limits import ConnectionLimits

DEFAULT_LISTEN: Final = "127.0.0.1:8480"
# Asymmetric ones only: with a shared secret whoever can verify can forge, and a public key must never be taken for one.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
_WORDS: Final = (
    *("listen", "public_url", "hosts", "issuer", "audience", "jwks", "algorithms"),
    *("name_claim", "roles_claim", "sources_claim"),
    *("proxy_user_header", "proxy_roles_header", "proxy_sources_header", "proxy_peers"),
)
# Name -> the smallest and the largest number.
_NUMBERS: Final = {
    "leeway_seconds": (0, 300),
    "head_seconds": (1, 600),
    "body_seconds": (1, 3_600),
    "idle_seconds": (1, 3_600),
    "connections": (16, 1_000_000),
    "connections_by_peer": (1, 1_000_000),
    "questions_by_caller": (1, 1_000_000),
}
_SECRETS: Final = ("proxy_secret",)
NAMES: Final = (*_WORDS, *_NUMBERS, *_SECRETS, *(f"{name}_file" for name in _SECRETS))
_OF_ISSUER: Final = ("audience", "jwks", "algorithms", "name_claim", "roles_claim", "sources_claim", "leeway_seconds")
_OF_PROXY: Final = ("proxy_roles_header", "proxy_sources_header", "proxy_peers", "proxy_secret")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """How the HTTP API is served and who may ask. The default: on loopback, by a link that is printed.

    Attributes:
        listen: ``host:port``.
        public_url: Under which browsers and receivers come, if it is another than the address.
        hosts: More names under which it may be asked for.
        issuer: Whose tokens are taken; None: nobody's.
        audience: Whom they must be for.
        jwks: Where the issuer's keys are: a URL or a file.
        algorithms: With which they may be signed.
        name_claim: The claim with the name of the caller.
        roles_claim: The claim with the roles; dots go into objects.
        sources_claim: The claim with the sources that a producer may send.
        leeway_seconds: How far the clock of the issuer may be off.
        head_seconds: From the first byte of a request to the end of its head.
        body_seconds: From there to the end of its body.
        idle_seconds: That a connection is kept open between two requests.
        connections: Open at once, from all peers.
        connections_by_peer: Open at once from one address that is not a trusted proxy's.
        questions_by_caller: Of one caller, answered or waiting at once.
        proxy_user_header: The header in which a trusted proxy says who asks; None: there is no such proxy.
        proxy_roles_header: The one with the roles.
        proxy_sources_header: The one with the sources; None: no producers come by it.
        proxy_peers: The addresses that it may connect from.
        proxy_secret: What it sends in the header ``Delegraph-Proxy-Secret``.
        secret_files: The files that secrets were read from.
    """

    listen: str = DEFAULT_LISTEN
    public_url: str | None = None
    hosts: tuple[str, ...] = ()
    issuer: str | None = None
    audience: str | None = None
    jwks: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    name_claim: str = "sub"
    roles_claim: str = "roles"
    sources_claim: str = "sources"
    leeway_seconds: int = 30
    head_seconds: int = 10
    body_seconds: int = 30
    idle_seconds: int = 5
    connections: int = 4_096
    connections_by_peer: int = 1_024
    questions_by_caller: int = 32
    proxy_user_header: str | None = None
    proxy_roles_header: str = "X-Forwarded-Roles"
    proxy_sources_header: str | None = None
    proxy_peers: tuple[Network, ...] = ()
    proxy_secret: Secret | None = None
    secret_files: tuple[Path, ...] = ()

    @classmethod
    def from_mapping(cls, said: Mapping[str, str]) -> "HttpSettings":
        """Settings from what is said by name (``NAMES``).

        Raises:
            RefusedError: A name is unknown, a value cannot be, or what is said does not go together.
        """
        if unknown := sorted(said.keys() - set(NAMES)):
            raise RefusedError(f"there is no setting {unknown[0]!r} of the HTTP API; there are {', '.join(NAMES)}")
        for name, value in said.items():
            if not value.isprintable():
                raise RefusedError(f"the setting 'http.{name}' is {value!a}, which is no printable UTF-8")
        values: dict[str, Any] = {name: said[name] for name in _WORDS if name in said}
        for name in ("hosts", "algorithms"):
            if name in said:
                values[name] = tuple(filter(None, (part.strip() for part in said[name].split(","))))
        if "proxy_peers" in said:
            values["proxy_peers"] = _networks(said["proxy_peers"])
        for name, (least, most) in _NUMBERS.items():
            if name in said:
                values[name] = _number(name, said[name], least, most)
        if "proxy_secret" in said and "proxy_secret_file" in said:
            raise RefusedError("the settings 'http.proxy_secret' and 'http.proxy_secret_file' are both given; give one")
        if "proxy_secret" in said:
            values["proxy_secret"] = Secret(said["proxy_secret"])
        elif "proxy_secret_file" in said:
            file = Path(said["proxy_secret_file"])
            values["proxy_secret"] = read_secret(file, "the setting 'http.proxy_secret_file'")
            values["secret_files"] = (file,)
        _refuse_what_does_not_go_together(said)
        settings = cls(**values)
        settings._check()
        return settings

    @property
    def tls(self) -> bool:
        """Whether browsers come over TLS, as the public URL says."""
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
        """The names under which it may be asked for, beside those of loopback."""
        public = urlsplit(self.public_url).hostname if self.public_url else None
        return frozenset(host.lower() for host in (*self.hosts, public) if host)

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that anybody on this machine may read."""
        return tuple(filter(is_open_to_others, self.secret_files))

    def shown(self) -> dict[str, str]:
        """What is set otherwise than by default, by name, without a secret."""
        plain = HttpSettings()
        found = {
            name: getattr(self, name) for name in (*_WORDS, *_NUMBERS) if getattr(self, name) != getattr(plain, name)
        }
        shown = {
            name: ", ".join(map(str, said)) if isinstance(said, tuple) else str(said) for name, said in found.items()
        }
        return shown | ({"proxy_secret": "set"} if self.proxy_secret is not None else {})

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


def _refuse_what_does_not_go_together(said: Mapping[str, str]) -> None:
    if "issuer" in said:
        for name in ("audience", "jwks"):
            if name not in said:
                raise RefusedError(
                    f"'http.issuer' needs 'http.{name}': whose tokens are taken, for whom, by which keys"
                )
    elif unused := [name for name in _OF_ISSUER if name in said]:
        raise RefusedError(f"'http.{unused[0]}' has no effect without 'http.issuer'")
    if "proxy_user_header" in said:
        if not said.keys() & {"proxy_peers", "proxy_secret", "proxy_secret_file"}:
            raise RefusedError(
                "'http.proxy_user_header' needs 'http.proxy_peers' or 'http.proxy_secret': else anybody says who he is"
            )
    elif unused := [name for name in (*_OF_PROXY, "proxy_secret_file") if name in said]:
        raise RefusedError(f"'http.{unused[0]}' has no effect without 'http.proxy_user_header'")


def _networks(said: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in said.split(",") if part.strip())
    except ValueError as error:
        raise RefusedError(
            f"the setting 'http.proxy_peers' is {said!a}: {error}; write addresses or networks"
        ) from error


def _number(name: str, said: str, least: int, most: int) -> int:
    if not (said.isascii() and said.isdigit() and least <= int(said[:9]) <= most):
        raise RefusedError(f"the setting 'http.{name}' is {said!a}; write a number from {least} to {most:,}")
    return int(said)
