"""The connection to Kafka: address, encryption and credentials. Values only; nothing here connects.

Everything is checked when the settings are created, so that a mistake is reported before any connection is attempted.
"""

import ipaddress
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ingest.declared_settings import SettingKind, SettingsTable, setting
from ingest.kafka.tls import reason_of, trusting
from ingest.secrets import Secret
from lineage.core.model.errors import RefusedError
from lineage.plumbing.addresses import is_loopback

DEFAULT_PREFIX: Final = "delegraph"
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS: Final = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER")
# Anyone who can read the connection can steal and use the credential that these mechanisms send.
_BARE_MECHANISMS: Final = ("PLAIN", "OAUTHBEARER")

_OF_TLS: Final = ("ca_file", "cert_file", "key_file", "key_password")
_OF_USER: Final = ("username", "password")
_OF_TOKEN: Final = ("token_file", "token_url", "token_client_id", "token_client_secret", "token_scope", "token_ca_file")

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_LONGEST_PREFIX: Final = 249 - len(".revocations")  # characters; Kafka allows a topic 249
_LAST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSettings:
    """The connection to Kafka. The default is for a broker without encryption or authentication.

    Attributes:
        secret_files: The files from which secrets were read.
    """

    security_protocol: str = setting(
        "PLAINTEXT", "`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`", choices=PROTOCOLS
    )
    sasl_mechanism: str | None = setting(
        None,
        "`SCRAM-SHA-512`, `SCRAM-SHA-256`, `PLAIN` or `OAUTHBEARER`",
        choices=MECHANISMS,
        default_text="`SCRAM-SHA-512` with SASL",
    )
    username: str | None = setting(None, "the user, for SCRAM and PLAIN")
    password: Secret | None = setting(None, "the user's password", kind=SettingKind.SECRET)
    ca_file: Path | None = setting(
        None, "the CA of the brokers' certificates, in PEM", kind=SettingKind.READABLE_FILE, default_text="the system's"
    )
    cert_file: Path | None = setting(
        None, "our own certificate, in PEM, if the brokers ask for one", kind=SettingKind.READABLE_FILE
    )
    key_file: Path | None = setting(
        None, "its key, in PEM", kind=SettingKind.READABLE_KEY_FILE, default_text="in `cert_file`"
    )
    key_password: Secret | None = setting(None, "the password of an encrypted key", kind=SettingKind.SECRET)
    token_file: Path | None = setting(
        None, "a token for OAUTHBEARER; read again for every connection", kind=SettingKind.READABLE_KEY_FILE
    )
    token_url: str | None = setting(None, "instead: the endpoint that issues tokens for client credentials")
    token_client_id: str | None = setting(None, "the client, for that endpoint")
    token_client_secret: Secret | None = setting(None, "the client's secret", kind=SettingKind.SECRET)
    token_scope: str | None = setting(None, "the scope to request, if any")
    token_ca_file: Path | None = setting(
        None,
        "the CA of that endpoint's certificate, in PEM",
        kind=SettingKind.READABLE_FILE,
        default_text="the system's",
    )
    secret_files: tuple[Path, ...] = ()

    @classmethod
    def from_mapping(cls, given: Mapping[str, str]) -> "KafkaSettings":
        """Create settings from values by name (``NAMES``); a secret may be given as ``<name>_file`` instead.

        Raises:
            RefusedError: A name is unknown, a value is invalid, a file cannot be read, or the settings contradict each
                other; the message says which, and how to fix it.
        """
        values = TABLE.read(given)
        if "SASL" in given.get("security_protocol", ""):
            values.setdefault("sasl_mechanism", MECHANISMS[0])
        settings = cls(**values)
        settings._check()
        return settings

    @property
    def encrypted(self) -> bool:
        """Whether the connection uses TLS."""
        return self.security_protocol.endswith("SSL")

    @property
    def authenticated(self) -> bool:
        """Whether we log in by SASL; a client certificate does not count."""
        return self.security_protocol.startswith("SASL_")

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that other users of this machine can read."""
        return TABLE.open_files(self)

    def shown(self) -> dict[str, str]:
        """The settings that are set, by name; secrets appear only as ``set``."""
        return TABLE.shown(self, also=("security_protocol",))

    def client(self, servers: Sequence[str] = ()) -> dict[str, Any]:
        """The keyword arguments of a kafka-python client for these settings.

        Raises:
            RefusedError: A password or a token would be sent unencrypted to one of ``servers``.
        """
        self.refuse_in_the_clear(servers)
        arguments: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.encrypted:
            # Files instead of a context, so that the next connection uses certificates renewed in the meantime.
            # The library requires TLS 1.2 or newer.
            arguments["ssl_check_hostname"] = True
            arguments["ssl_cafile"] = _text(self.ca_file)
            arguments["ssl_certfile"] = _text(self.cert_file)
            arguments["ssl_keyfile"] = _text(self.key_file)
            arguments["ssl_password"] = self.key_password
        if self.authenticated:
            arguments["sasl_mechanism"] = self.sasl_mechanism
            if self.sasl_mechanism == "OAUTHBEARER":
                arguments["sasl_oauth_token_provider"] = self._token_provider()
            else:
                arguments["sasl_plain_username"] = self.username
                arguments["sasl_plain_password"] = self.password
        return arguments

    def _token_provider(self) -> Any:
        """The object from which the library requests tokens for OAUTHBEARER."""
        from ingest.kafka.oauth_tokens import TokenEndpoint, TokenFile  # noqa: PLC0415 (the library may be absent)

        if self.token_file is not None:
            return TokenFile(self.token_file)
        assert self.token_url is not None  # noqa: S101 (said by the settings' own check)
        return TokenEndpoint(
            self.token_url,
            self.token_client_id or "",
            self.token_client_secret or "",
            scope=self.token_scope,
            ca_file=self.token_ca_file,
        )

    def tls(self) -> ssl.SSLContext:
        """A TLS context like that of the library.

        Raises:
            RefusedError: A file is not a certificate or key, or the password does not decrypt the key.
        """
        context = trusting(self.ca_file, "ca_file")
        if self.cert_file is not None:
            try:
                # Without a password callback OpenSSL would prompt on the terminal, which would hang a service.
                context.load_cert_chain(self.cert_file, self.key_file, password=lambda: self.key_password or "")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise RefusedError(
                    f"the Kafka certificate {self.cert_file} and key {self.key_file or self.cert_file} cannot be used "
                    f"({reason_of(error)}); both must be PEM and belong together, "
                    "and an encrypted key needs key_password"
                ) from error
        return context

    def refuse_in_the_clear(self, servers: Sequence[str]) -> None:
        """Refuse to send a password or token over an unencrypted connection to another machine.

        Raises:
            RefusedError: One of the servers is not on loopback and would receive one unencrypted.
        """
        if self.encrypted or self.sasl_mechanism not in _BARE_MECHANISMS:
            return
        for server in servers:
            if not is_loopback(server.rpartition(":")[0]):
                raise RefusedError(
                    f"{self.sasl_mechanism} would send the {self._what_is_sent} to {server} unencrypted; "
                    "use security_protocol SASL_SSL, or the mechanism SCRAM-SHA-512"
                )

    @property
    def _what_is_sent(self) -> str:
        return "password" if self.sasl_mechanism == "PLAIN" else "token"

    def _check(self) -> None:
        by_token = self.sasl_mechanism == "OAUTHBEARER"
        # (1) Every setting given must be used: someone who gives a password expects that a login takes place.
        if not self.authenticated:
            self._unused(("sasl_mechanism", *_OF_USER, *_OF_TOKEN), "a SASL protocol", "SASL_SSL")
        elif by_token:
            self._unused(_OF_USER, "a mechanism with a user", "SCRAM-SHA-512", "sasl_mechanism")
        else:
            self._unused(_OF_TOKEN, "the mechanism", "OAUTHBEARER", "sasl_mechanism")
        if not self.encrypted:
            self._unused(_OF_TLS, "TLS", "SASL_SSL" if self.authenticated else "SSL")
        # (2) Required settings must be given.
        if self.authenticated and by_token:
            self._check_token()
        elif self.authenticated:
            for name in _OF_USER:
                if not getattr(self, name):
                    raise RefusedError(
                        f"{self.security_protocol} with {self.sasl_mechanism} needs the Kafka setting {name!r}"
                        + (" (or 'password_file')" if name == "password" else "")
                    )
        if self.cert_file is None and (self.key_file is not None or self.key_password is not None):
            raise RefusedError("the Kafka setting 'cert_file' is missing: a key is given without its certificate")
        # (3) The files must have valid content.
        if self.encrypted:
            self.tls()
        if self.token_ca_file is not None:
            trusting(self.token_ca_file, "token_ca_file")

    def _unused(self, names: Sequence[str], needed: str, value: str, of: str = "security_protocol") -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise RefusedError(
                    f"the Kafka setting {name!r} is only used with {needed}, and {of} is {getattr(self, of)}; "
                    f"set {of} to {value}, or leave {name!r} out"
                )

    def _check_token(self) -> None:
        if (self.token_file is None) == (self.token_url is None):
            raise RefusedError("OAUTHBEARER needs one of the Kafka settings 'token_file' and 'token_url'")
        if self.token_url is None:
            return
        if self.token_client_id is None or self.token_client_secret is None:
            raise RefusedError(
                "the Kafka setting 'token_url' needs 'token_client_id' and 'token_client_secret' "
                "(or 'token_client_secret_file')"
            )
        url = urlsplit(self.token_url)
        if url.scheme not in ("http", "https") or not url.hostname or url.username is not None:
            raise RefusedError(f"the Kafka setting 'token_url' is {self.token_url!r}; write https://host/path")
        if url.scheme == "http" and not is_loopback(url.hostname):
            raise RefusedError(f"the token endpoint {self.token_url} would get the client's secret unencrypted")


TABLE: Final = SettingsTable(KafkaSettings, word="Kafka setting", table="kafka")
NAMES: Final = TABLE.names


def parse_url(url: str) -> tuple[tuple[str, ...], str]:
    """Parse ``kafka://host:port[,host:port][/prefix]`` into the servers (``host:port``) and the prefix of the topics.

    Examples:
        >>> parse_url("kafka://k1:9092,[::1]:9093/audit")
        (('k1:9092', '[::1]:9093'), 'audit')
        >>> parse_url("kafka://k1:9092")
        (('k1:9092',), 'delegraph')

    Raises:
        RefusedError: It is not such a URL; the message says what is wrong.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "kafka":
        raise RefusedError(f"{url!r} is not a Kafka URL; write kafka://host:port[,host:port][/prefix]")
    if "@" in rest:
        raise RefusedError("a Kafka URL must not contain a user or password: give them as DELEGRAPH_KAFKA_USERNAME and "
                           "DELEGRAPH_KAFKA_PASSWORD_FILE")  # fmt: skip
    if "?" in rest or "#" in rest:
        raise RefusedError(f"{url!r} has a '?' or '#'; use the DELEGRAPH_KAFKA_... settings for connection options")
    names, slash, prefix = rest.partition("/")
    servers = tuple(_server(url, name) for name in names.split(","))
    if not slash or not prefix:
        return servers, DEFAULT_PREFIX
    if not _PREFIX.fullmatch(prefix) or len(prefix) > _LONGEST_PREFIX:
        raise RefusedError(
            f"{prefix!r} in {url!r} cannot be the prefix of a topic: use letters, digits, '.', '_' and '-', "
            f"not beginning with '.', at most {_LONGEST_PREFIX} characters"
        )
    return servers, prefix


def host_and_port(server: str) -> tuple[str, int]:
    """Split ``host:port``; the brackets of an IPv6 address are removed."""
    host, _, port = server.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _server(url: str, name: str) -> str:
    host, _, port = name.rpartition(":")
    if not host or not port:
        raise RefusedError(f"{name!r} in {url!r} names no port; write kafka://host:port, for example kafka://k1:9092")
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError as error:
            raise RefusedError(f"{host!r} in {url!r} is not an IPv6 address: {error}") from error
    elif ":" in host:
        raise RefusedError(f"{name!r} in {url!r}: write an IPv6 address in brackets, as in kafka://[::1]:9092")
    elif not _HOST.fullmatch(host):
        raise RefusedError(f"{host!r} in {url!r} is not a host name")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise RefusedError(f"{port!r} in {url!r} is not a port: use a number from 1 to {_LAST_PORT}")
    return f"{host}:{int(port)}"


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
