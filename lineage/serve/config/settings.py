"""Where things are and how to get in: from options, the environment, a TOML file and the defaults, in this order.

Every setting has one name: ``store`` is the option ``--store``, the variable ``DELEGRAPH_STORE``, and ``store`` in the
file that ``DELEGRAPH_CONFIG`` names. Those of Kafka stand there in a table: ``username`` of ``[kafka]`` is
``DELEGRAPH_KAFKA_USERNAME``. A secret may be given as the name of a file instead, under the name with ``_file`` behind.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ingest.kafka import settings as kafka_settings
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.secrets import Secret, is_open_to_others, read_secret
from ingest.trust_file import Trust, TrustFile
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.deliver.rfc7009.endpoint_settings import Endpoint, endpoints_of
from lineage.deliver.ssf import settings as ssf_settings
from lineage.deliver.ssf.settings import SsfSettings
from lineage.serve.config import http_settings
from lineage.serve.config.http_settings import HttpSettings

if TYPE_CHECKING:
    from ingest.sources.named import NamedSource
    from lineage.deliver.http.signing_keys import Keys

DEFAULT_STORE: Final = "sqlite:///delegraph.db"
DEFAULT_SOURCE: Final = "urn:delegraph:cli"
DEFAULT_GROUP: Final = "delegraph"
DEFAULT_COLLECT_HTTP: Final = "127.0.0.1:8481"
_WORDS: Final = ("store", "log", "trust", "source", "group", "listen", "collect_http", "collect_spool")
_OTHERS: Final = ("four_eyes", "store_password", "store_password_file", "signing_key_file")
_OF_RULES: Final = ("findings", "scopes", "audiences", "sensitive", "broad")
NAMES: Final = (*_WORDS, *_OTHERS, *ssf_settings.NAMES)

_PREFIX: Final = "DELEGRAPH_"
_KAFKA_PREFIX: Final = f"{_PREFIX}KAFKA_"
_HTTP_PREFIX: Final = f"{_PREFIX}HTTP_"
_CONFIG: Final = f"{_PREFIX}CONFIG"
_LAST_PORT: Final = 65_535
_PASSWORD: Final = re.compile(r"((?<=://)[^/?#@:]*:(?=[^/?#]*@)|(?<=[?&])password=)[^/?#&]*(?=@|&|$)")
# One level of settings, by name; and levels with where they are from, the one that counts most first.
_Level = Mapping[str, str]
_Levels = list[tuple[str, _Level]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are and how to get in.

    Attributes:
        store: The URL of the store.
        store_password: Of the user that is named in the store's URL.
        log: The URL of the log; None: the embedded one, inside the store.
        trust: The trust file; None: every source may say everything.
        source: Under which source we send events of our own.
        group: The consumer group.
        listen: ``host:port`` at which the consumer answers for itself; None: nowhere.
        collect_http: ``host:port`` at which ``collect`` takes requests of sources that name no address.
        collect_spool: The folder in which it keeps what came over TCP; None: beside an SQLite store.
        four_eyes: Above how many elements an order needs a second person; None: never.
        signing_key_file: Keys in PEM: the first signs what is delivered, all are published.
        ssf: The transmitter of Shared Signals; None: there is none.
        receivers: The revocation endpoints that are called.
        sources: The systems whose logs are read.
        findings: How the rules are evaluated.
        kafka: How to get in where the log is a Kafka.
        http: How the HTTP API is served, and who may ask.
        config: The file that settings were read from.
        secret_files: The files that secrets were read from.
        origins: Where each setting is from: ``option``, ``environment``, ``file`` or ``default``.
        unread: Variables that look like settings of Kafka or of the HTTP API, and are none.
    """

    store: str = DEFAULT_STORE
    store_password: Secret | None = None
    log: str | None = None
    trust: str | None = None
    source: str = DEFAULT_SOURCE
    group: str = DEFAULT_GROUP
    listen: str | None = None
    collect_http: str = DEFAULT_COLLECT_HTTP
    collect_spool: str | None = None
    four_eyes: int | None = None
    signing_key_file: Path | None = None
    ssf: SsfSettings | None = None
    receivers: tuple[Endpoint, ...] = ()
    sources: "tuple[NamedSource, ...]" = ()
    findings: Options = DEFAULT
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    config: Path | None = None
    secret_files: tuple[Path, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @classmethod
    def of(cls, *, env: Mapping[str, str] | None = None, **options: str | None) -> "Settings":
        """Settings from options, ``DELEGRAPH_…``, the file and the defaults. What is empty is not given.

        Args:
            env: The environment; None: that of this process.
            options: By name; None: not given.

        Raises:
            RefusedError: A setting is unknown, cannot be, or does not go with another; the message says which.
        """
        variables = {name: value for name, value in (os.environ if env is None else env).items() if value}
        config = Path(variables[_CONFIG]) if _CONFIG in variables else None
        in_file, kafka_in_file, http_in_file, receivers, sources, findings = (
            _read(config) if config is not None else ({}, {}, {}, (), (), DEFAULT)
        )
        of_env, kafka_of_env, http_of_env, unread = _of_environment(variables)
        given = {name: value for name, value in options.items() if value and name != "http"}
        said, origins = _merged([("option", given), ("environment", of_env), ("file", in_file)])
        kafka, kafka_origins = _merged([("environment", kafka_of_env), ("file", kafka_in_file)])
        http, http_origins = _merged(
            [("option", _listening(options)), ("environment", http_of_env), ("file", http_in_file)]
        )
        _refuse_unprintable(said)
        password, files = _store_password(said)
        settings = cls(
            **{name: said[name] for name in _WORDS if name in said},
            store_password=password,
            four_eyes=_count(said, "four_eyes"),
            signing_key_file=Path(said["signing_key_file"]) if "signing_key_file" in said else None,
            ssf=SsfSettings.of(said),
            receivers=receivers,
            sources=sources,
            findings=findings,
            kafka=KafkaSettings.from_mapping(kafka),
            http=HttpSettings.from_mapping(http),
            config=config,
            secret_files=files,
            origins=origins
            | {f"kafka.{name}": origin for name, origin in kafka_origins.items()}
            | {f"http.{name}": origin for name, origin in http_origins.items()},
            unread=unread,
        )
        settings._check()
        return settings

    @property
    def log_url(self) -> str:
        """The log; by default the embedded one, inside the store."""
        if self.log is not None:
            return self.log
        if not self.store.startswith("sqlite:"):
            raise RefusedError("a store that is no SQLite file has no log inside; name one with --log or DELEGRAPH_LOG")
        return self.store

    @property
    def log_inside(self) -> bool:
        """Whether the log stands in the store's own file."""
        return self.log_url == self.store

    @property
    def on_kafka(self) -> bool:
        """Whether the log is a Kafka."""
        return (self.log or "").startswith("kafka:")

    @property
    def listen_address(self) -> tuple[str, int] | None:
        """The host and port at which the consumer answers for itself."""
        if self.listen is None:
            return None
        host, _, port = self.listen.rpartition(":")
        return host.removeprefix("[").removesuffix("]"), int(port)

    def shown(self) -> dict[str, str]:
        """What is set, by name, without a secret."""
        shown = {name: getattr(self, name) for name in _WORDS if not name.startswith("collect_") or self.sources}
        shown["store"] = without_password(self.store)
        shown["store_password"] = None if self.store_password is None else "set"
        shown["signing_key_file"] = None if self.signing_key_file is None else str(self.signing_key_file)
        shown |= {} if self.ssf is None else self.ssf.shown()
        shown |= {f"receivers.{endpoint.receiver}": endpoint.url for endpoint in self.receivers}
        shown |= {f"kafka.{name}": value for name, value in self.kafka.shown().items()} if self.on_kafka else {}
        shown |= {f"http.{name}": value for name, value in self.http.shown().items()}
        return {name: value for name, value in shown.items() if value is not None}

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that anybody on this machine may read."""
        keys = () if self.signing_key_file is None else (self.signing_key_file,)
        ours = filter(is_open_to_others, (*self.secret_files, *keys))
        called = (file for endpoint in self.receivers for file in endpoint.open_files)
        return (*ours, *called, *self.kafka.open_files, *self.http.open_files)

    def origin(self, name: str) -> str:
        """Where a setting is from."""
        return self.origins.get(name) or self.origins.get(f"{name}_file", "default")

    def read_trust(self, clock: Callable[[], Instant]) -> Trust | TrustFile:
        """What says which trust table is in force, at the moment that the clock tells."""
        if self.trust is None:
            return Trust()
        return TrustFile(Path(self.trust), clock)

    def read_keys(self) -> "Keys | None":
        """The keys that we sign with.

        Raises:
            RefusedError: They cannot be used.
        """
        if self.signing_key_file is None:
            return None
        from lineage.deliver.http.signing_keys import load_keys  # what it takes is not installed everywhere

        return load_keys([self.signing_key_file])

    def _check(self) -> None:
        if self.on_kafka:
            servers, _ = parse_url(self.log_url)
            self.kafka.refuse_in_the_clear(servers)
        if self.listen is not None:
            host, _, port = self.listen.rpartition(":")
            if not host or not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
                raise RefusedError(f"the setting 'listen' is {self.listen!r}; write host:port, such as 127.0.0.1:9464")


def without_password(url: str) -> str:
    """A URL as it may be shown.

    Examples:
        >>> without_password("postgresql://reader:secret@db.example/facts")
        'postgresql://reader:***@db.example/facts'
    """
    return _PASSWORD.sub(r"\1***", url)


def _merged(levels: _Levels) -> tuple[dict[str, str], dict[str, str]]:
    """What counts of several levels, and where it is from. A secret and the file that holds it are one setting."""
    said: dict[str, str] = {}
    origins: dict[str, str] = {}
    for origin, level in levels:
        stated = {_stem(name) for name in said}
        for name, value in level.items():
            if _stem(name) not in stated:
                said[name], origins[name] = value, origin
    return said, origins


def _stem(name: str) -> str:
    return name.removesuffix("_file")


def _listening(options: Mapping[str, str | None]) -> dict[str, str]:
    """What options say of the HTTP API: ``--http``."""
    return {"listen": http} if (http := options.get("http")) else {}


def _of_environment(
    variables: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, str], dict[str, str], tuple[str, ...]]:
    """What the environment says of us, of Kafka and of the HTTP API, and what is not read."""
    ours: dict[str, str] = {}
    tables: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
        _KAFKA_PREFIX: (kafka_settings.NAMES, {}),
        _HTTP_PREFIX: (http_settings.NAMES, {}),
    }
    unread = []
    for variable, value in variables.items():
        prefix = next((prefix for prefix in tables if variable.startswith(prefix)), None)
        if prefix is not None:
            names, table = tables[prefix]
            name = variable.removeprefix(prefix).lower()
            if name in names:
                table[name] = value
            else:  # no mistake for certain: orchestrators make up variables from the names of services
                unread.append(variable)
        elif variable.startswith(_PREFIX) and (name := variable.removeprefix(_PREFIX).lower()) in NAMES:
            ours[name] = value
    return ours, tables[_KAFKA_PREFIX][1], tables[_HTTP_PREFIX][1], tuple(sorted(unread))


def _read(
    file: Path,
) -> "tuple[dict[str, str], dict[str, str], dict[str, str], tuple[Endpoint, ...], tuple[NamedSource, ...], Options]":
    """What a file says of us, of Kafka, of the HTTP API, whom to call, whose logs are read, and of the rules.

    A file that it names may lie beside it.
    """
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the file {file} of DELEGRAPH_CONFIG cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RefusedError(f"the file {file} of DELEGRAPH_CONFIG is not TOML: {error}") from error
    kafka, http = (_table(file, said, name) for name in ("kafka", "http"))
    receivers = endpoints_of(said.pop("receivers", {}), file=file)
    named = said.pop("source") if isinstance(said.get("source"), list | dict) else []  # a text is our own source
    sources = _sources(named, file)
    findings = _findings(said, file)
    return (
        _texts(file, said, NAMES, ""),
        _texts(file, kafka, kafka_settings.NAMES, " of [kafka]"),
        _texts(file, http, http_settings.NAMES, " of [http]"),
        receivers,
        sources,
        findings,
    )


def _findings(said: dict[str, Any], file: Path) -> Options:
    of_rules: dict[str, Any] = {name: said.pop(name) for name in _OF_RULES if name in said}
    if not of_rules:
        return DEFAULT
    from lineage.serve.config.finding_settings import options_of  # the rules are for whoever sets something of them

    return options_of(of_rules, file=file)


def _sources(said: Any, file: Path) -> "tuple[NamedSource, ...]":
    if said == []:
        return ()
    from lineage.serve.config.source_settings import sources_of  # the adapters are for whoever has such a source

    return sources_of(said, file=file)


def _table(file: Path, said: dict[str, Any], name: str) -> dict[str, Any]:
    table = said.pop(name, {})
    if not isinstance(table, dict):
        raise RefusedError(f"{name!r} in {file} must be a table: [{name}]")
    return table


def _texts(file: Path, said: Mapping[str, Any], names: tuple[str, ...], where: str) -> dict[str, str]:
    if unknown := sorted(said.keys() - set(names)):
        raise RefusedError(f"{file} has {unknown[0]!r}{where}, which is no setting; there are {', '.join(names)}")
    found = {}
    for name, value in said.items():
        if not isinstance(value, str):
            raise RefusedError(f"{name!r}{where} in {file} must be a string")
        if value:
            beside = name == "trust" or name.endswith("_file") or (name == "jwks" and "://" not in value)
            found[name] = str(file.parent / value) if beside else value
    return found


def _store_password(said: Mapping[str, str]) -> tuple[Secret | None, tuple[Path, ...]]:
    if "store_password" in said and "store_password_file" in said:
        raise RefusedError("the settings 'store_password' and 'store_password_file' are both given; give one of them")
    if "store_password_file" in said:
        file = Path(said["store_password_file"])
        return read_secret(file, "the setting 'store_password_file'"), (file,)
    return (Secret(said["store_password"]) if "store_password" in said else None), ()


def _count(said: Mapping[str, str], name: str) -> int | None:
    value = said.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise RefusedError(f"the setting {name!r} is {value!a}; write a number, such as 100")
    return int(value)


def _refuse_unprintable(said: Mapping[str, str]) -> None:
    for name in ("store", "log", "source", "group", "listen", "collect_http", "collect_spool"):
        if not said.get(name, "").isprintable():
            raise RefusedError(f"the setting {name!r} is {said[name]!a}, which is no printable UTF-8")
