"""Settings: from options, the environment, a TOML file and defaults, in this order.

Every setting has one name: ``store`` is the option ``--store``, the variable ``DELEGRAPH_STORE``, and ``store`` in
the file that ``DELEGRAPH_CONFIG`` names. The Kafka settings are in a table there: ``username`` of ``[kafka]`` is
``DELEGRAPH_KAFKA_USERNAME``. A secret may instead be given as a file name, under its name with ``_file`` appended.
"""

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ingest.declared_settings import PREFIX, SettingKind, SettingsTable, setting
from ingest.kafka import settings as kafka_settings
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.secrets import Secret
from ingest.trust_file import Trust, TrustFile
from lineage.core.findings.options import DEFAULT, Options
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.deliver.findings.webhook_settings import Webhook, webhooks_of
from lineage.deliver.probes.probe_settings import Probe, probes_of
from lineage.deliver.rfc7009.endpoint_settings import Endpoint, endpoints_of
from lineage.deliver.ssf import settings as ssf_settings
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.tlog.witness_settings import WitnessEndpoint, witnesses_of
from lineage.plumbing.addresses import without_password
from lineage.serve.config import http_settings
from lineage.serve.config.contacts import contacts_of
from lineage.serve.config.http_settings import HttpSettings
from lineage.store.writing.quarantine_quota import BYTES, RECORDS, Quota

if TYPE_CHECKING:
    from ingest.sources.named import NamedSource
    from lineage.deliver.http.signing_keys import SigningKeys

DEFAULT_STORE: Final = "sqlite:///delegraph.db"
DEFAULT_SOURCE: Final = "urn:delegraph:cli"
DEFAULT_GROUP: Final = "delegraph"
DEFAULT_COLLECT_HTTP: Final = "127.0.0.1:8481"
_OF_RULES: Final = ("findings", "scopes", "audiences", "sensitive", "broad")
_CONFIG: Final = f"{PREFIX}CONFIG"
_LAST_PORT: Final = 65_535
# Settings by name, for each table of the settings file; None is the top level.
_Values = dict[str | None, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings.

    Attributes:
        ssf: The Shared Signals transmitter; None if there is none.
        receivers: The revocation endpoints to call.
        probes: The enforcement points that can be asked what they do.
        witnesses: The witnesses that cosign checkpoints.
        contacts: How to reach who runs an enforcement point, by receiver.
        webhooks: The receivers of findings.
        sources: The systems whose logs are read.
        findings: How the rules are evaluated.
        kafka: How to connect if the log is on Kafka.
        http: How the HTTP API is served, and who may use it.
        config: The settings file.
        secret_files: The files that secrets were read from.
        origins: Where each setting is from: ``option``, ``environment``, ``file`` or ``default``.
        unread: Variables that look like settings of Kafka or of the HTTP API but are unknown.
    """

    store: str = setting(
        DEFAULT_STORE, "the store: `sqlite:///path` or `postgresql://user@host/database`; also `--store`"
    )
    store_password: Secret | None = setting(
        None, "the password of that user, so that it is not in the URL", kind=SettingKind.SECRET
    )
    log: str | None = setting(
        None,
        "the log: `sqlite:///path` or `kafka://host:port[,host:port][/prefix]`; also `--log`",
        default_text="inside the store",
    )
    trust: str | None = setting(
        None, "the trust file; without one every source may say everything; also `--trust`", kind=SettingKind.PATH
    )
    source: str = setting(DEFAULT_SOURCE, "the source of orders and lifts that are given here; also `--source`")
    group: str = setting(DEFAULT_GROUP, "the consumer group that shares the partitions; also `--group`")
    consume_workers: int | None = setting(
        None,
        "how many processes [decode for a consumer](../operations.md#the-consumer-is-behind) on Kafka while many "
        "records wait: 0 or 1; also `consume --workers`",
        kind=SettingKind.NUMBER,
        most=1,
        default_text="1 on more than one core",
    )
    listen: str | None = setting(
        None, "`host:port` of a consumer's [metrics, health and live graph](../monitoring.md); also `--listen`"
    )
    collect_http: str = setting(
        DEFAULT_COLLECT_HTTP,
        "`host:port` where [`collect`](../collecting.md#take-requests) takes requests of sources that name no address; "
        "also `collect --http`",
    )
    collect_spool: str | None = setting(
        None,
        "the folder in which `collect` keeps [what came over TCP](../collecting.md#take-lines-over-tcp) until the log "
        "has it",
        default_text="next to an SQLite store: its name with `.spool` appended",
    )
    four_eyes: int | None = setting(
        None,
        "an order that ends more elements than this needs a second person (`--approved-by`; over HTTP one who approves "
        "the plan); also `--four-eyes`",
        kind=SettingKind.NUMBER,
        example="100",
    )
    quarantine_records: int = setting(
        RECORDS,
        "how many unreadable records of each source the [quarantine](../operations.md#a-record-is-in-quarantine) keeps "
        "whole; of the others it keeps the digest and the place",
    )
    quarantine_bytes: int = setting(BYTES, "how many bytes of them")
    signing_key_file: Path | None = setting(
        None,
        "the [keys](../shared-signals.md#setting-it-up) that what is delivered is signed with, in PEM: the first "
        "signs, all are published",
        kind=SettingKind.KEY_FILE,
    )
    evidence_key_file: Path | None = setting(
        None,
        "the Ed25519 [keys](../evidence.md#keys) that sign checkpoints of the log, in PEM: the first signs, the others "
        "verify what was signed before",
        kind=SettingKind.KEY_FILE,
    )
    evidence_origin: str | None = setting(
        None,
        "how checkpoints name this log, such as `audit.example/agents`; it must not change",
        default_text="`delegraph/` and the first digits of the log's identity",
    )
    evidence_every_records: int = setting(
        10_000,
        "`deliver` signs a [checkpoint](../evidence.md#sign-checkpoints-continuously) once a partition has so many new "
        "records",
        least=1,
    )
    evidence_every_seconds: int = setting(
        60, "or, if there are fewer, once its last checkpoint is this old", least=1, most=86_400
    )
    evidence_file: Path | None = setting(
        None,
        "the file in which `deliver` [publishes](../evidence.md#publish-checkpoints) the latest checkpoints",
        kind=SettingKind.FILE,
    )
    evidence_history_file: Path | None = setting(
        None, "the file to which it appends every checkpoint", kind=SettingKind.FILE
    )
    evidence_witnesses: int | None = setting(
        None,
        "how many [witnesses](../evidence.md#witnesses) must have cosigned a checkpoint before it counts as witnessed",
        kind=SettingKind.NUMBER,
        least=1,
        default_text="all that are configured",
    )
    retention_days: int | None = setting(
        None,
        "how old the records of decisions become before [`delegraph retain`](../retention.md) may delete them; the "
        "records of orders are never deleted",
        kind=SettingKind.NUMBER,
        least=1,
        most=36_500,
        default_text="they are kept",
    )
    retention_every_hours: int | None = setting(
        None,
        "how often `deliver` [deletes them by itself](../retention.md#delete-regularly), in hours; needs "
        "`retention_days`, and the key that signs",
        kind=SettingKind.NUMBER,
        least=1,
        most=8_760,
        default_text="it does not",
        example="24",
    )
    ssf: SsfSettings | None = None
    receivers: tuple[Endpoint, ...] = ()
    probes: tuple[Probe, ...] = ()
    witnesses: tuple[WitnessEndpoint, ...] = ()
    contacts: Mapping[str, str] = field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()
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
        """Read settings from options, ``DELEGRAPH_…``, the file and the defaults. Empty values count as missing.

        Args:
            env: The environment; by default that of this process.
            options: By name; None if not given.

        Raises:
            RefusedError: A setting is unknown, invalid, or contradicts another; the message says which.
        """
        variables = {name: value for name, value in (os.environ if env is None else env).items() if value}
        config = Path(variables[_CONFIG]) if _CONFIG in variables else None
        in_file = _read(config) if config is not None else _InFile(_nothing())
        of_env, unread = _of_environment(variables)
        given = _nothing()
        for name, value in options.items():
            if value:
                table, stem = ("http", "listen") if name == "http" else (None, name)
                given[table][stem] = value
        values, origins = _merged([("option", given), ("environment", of_env), ("file", in_file.values)])
        settings = cls(
            **OWN.read({name: value for name, value in values[None].items() if name in OWN.names}),
            ssf=SsfSettings.of(values[None]),
            receivers=in_file.receivers,
            probes=in_file.probes,
            witnesses=in_file.witnesses,
            contacts=in_file.contacts,
            webhooks=in_file.webhooks,
            sources=in_file.sources,
            findings=in_file.findings,
            kafka=KafkaSettings.from_mapping(values["kafka"]),
            http=HttpSettings.from_mapping(values["http"]),
            config=config,
            origins=origins,
            unread=unread,
        )
        settings._check()
        return settings

    @property
    def quota(self) -> Quota:
        """Return how much of the unreadable records of each source the quarantine keeps whole."""
        return Quota(self.quarantine_records, self.quarantine_bytes)

    @property
    def log_url(self) -> str:
        """The log; by default the embedded one in the store's file."""
        if self.log is not None:
            return self.log
        if not self.store.startswith("sqlite:"):
            raise RefusedError("a store that is no SQLite file has no log inside; name one with --log or DELEGRAPH_LOG")
        return self.store

    @property
    def log_inside(self) -> bool:
        """Whether the log is in the store's own file."""
        return self.log_url == self.store

    @property
    def on_kafka(self) -> bool:
        """Whether the log is on Kafka."""
        return (self.log or "").startswith("kafka:")

    def shown(self) -> dict[str, str]:
        """The settings by name, without secrets."""
        shown = OWN.shown(self, also=("store", "source", "group", *(["collect_http"] if self.sources else [])))
        shown["store"] = without_password(self.store)
        shown |= {} if self.ssf is None else self.ssf.shown()
        shown |= {f"receivers.{endpoint.receiver}": endpoint.url for endpoint in self.receivers}
        shown |= {f"probes.{probe.receiver}": probe.url for probe in self.probes}
        shown |= {f"witnesses.{witness.name}": witness.url for witness in self.witnesses}
        shown |= {f"webhooks.{webhook.name}": webhook.url for webhook in self.webhooks}
        shown |= {f"kafka.{name}": value for name, value in self.kafka.shown().items()} if self.on_kafka else {}
        return shown | {f"http.{name}": value for name, value in self.http.shown().items()}

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that every user of this machine can read."""
        endpoints: tuple[Endpoint | Webhook | Probe, ...] = (*self.receivers, *self.webhooks, *self.probes)
        called = (file for endpoint in endpoints for file in endpoint.open_files)
        return (*OWN.open_files(self), *called, *self.kafka.open_files, *self.http.open_files)

    def origin(self, name: str) -> str:
        """Return where a setting is from."""
        return self.origins.get(name) or self.origins.get(f"{name}_file", "default")

    def read_trust(self, clock: Callable[[], Instant]) -> Trust | TrustFile:
        """Return the provider of the trust table in force, which reads the given clock."""
        if self.trust is None:
            return Trust()
        return TrustFile(Path(self.trust), clock)

    def read_keys(self) -> "SigningKeys | None":
        """Load the signing keys.

        Raises:
            RefusedError: They cannot be used.
        """
        if self.signing_key_file is None:
            return None
        from lineage.deliver.http.signing_keys import load_keys  # its dependencies are not installed everywhere

        return load_keys([self.signing_key_file])

    def _check(self) -> None:
        if self.on_kafka:
            servers, _ = parse_url(self.log_url)
            self.kafka.refuse_in_the_clear(servers)
        if self.evidence_witnesses is not None and self.evidence_witnesses > len(self.witnesses):
            raise RefusedError(
                f"the setting 'evidence_witnesses' is {self.evidence_witnesses}, but {len(self.witnesses)} are "
                "configured: no checkpoint would ever count as witnessed; add [witnesses.NAME] to the settings file"
            )
        if self.retention_every_hours is not None and self.retention_days is None:
            raise RefusedError(
                "the setting 'retention_every_hours' says how often old records are deleted, and nothing says how old: "
                "set retention_days (DELEGRAPH_RETENTION_DAYS) too"
            )
        if self.listen is not None:
            host, _, port = self.listen.rpartition(":")
            if not host or not (port.isascii() and port.isdigit() and int(port) <= _LAST_PORT):
                raise RefusedError(f"the setting 'listen' is {self.listen!r}; write host:port, such as 127.0.0.1:9464")


OWN: Final = SettingsTable(Settings)
# Every table, the top level first.
TABLES: Final = (OWN, ssf_settings.TABLE, kafka_settings.TABLE, http_settings.TABLE)
NAMES: Final = (*OWN.names, *ssf_settings.NAMES)


def _nothing() -> _Values:
    return {None: {}, "kafka": {}, "http": {}}


def _merged(levels: list[tuple[str, _Values]]) -> tuple[_Values, dict[str, str]]:
    """Merge several levels, the first taking precedence, and record where each setting is from.

    A secret and the file that contains it are one setting.
    """
    values, origins = _nothing(), {}
    for origin, level in levels:
        for table, texts in level.items():
            stated = {_stem(name) for name in values[table]}
            for name, text in texts.items():
                if _stem(name) not in stated:
                    values[table][name] = text
                    origins[name if table is None else f"{table}.{name}"] = origin
    return values, origins


def _stem(name: str) -> str:
    return name.removesuffix("_file")


def _of_environment(variables: Mapping[str, str]) -> tuple[_Values, tuple[str, ...]]:
    """Read the environment, and the variables that look like settings of a table but are unknown."""
    values, known = _nothing(), {table.variable(name): (table, name) for table in TABLES for name in table.names}
    prefixes = tuple(table.prefix for table in TABLES if table.table is not None)
    unread = []
    for variable, value in variables.items():
        if variable in known:
            table, name = known[variable]
            values[table.table][name] = value
        # not necessarily a mistake: orchestrators derive variables from service names
        elif variable.startswith(prefixes):
            unread.append(variable)
    return values, tuple(sorted(unread))


class _InFile(NamedTuple):
    """The contents of a settings file: settings, endpoints to call, webhooks, log sources, rules, and contacts."""

    values: _Values
    receivers: tuple[Endpoint, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    sources: "tuple[NamedSource, ...]" = ()
    findings: Options = DEFAULT
    probes: tuple[Probe, ...] = ()
    contacts: Mapping[str, str] = MappingProxyType({})
    witnesses: tuple[WitnessEndpoint, ...] = ()


def _read(file: Path) -> _InFile:
    """Read a settings file; paths in it may be relative to it."""
    try:
        parsed = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the file {file} of DELEGRAPH_CONFIG cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RefusedError(f"the file {file} of DELEGRAPH_CONFIG is not TOML: {error}") from error
    in_tables = {name: _table(file, parsed, name) for name in ("kafka", "http")}
    receivers = endpoints_of(parsed.pop("receivers", {}), file=file)
    probes = probes_of(parsed.pop("probes", {}), file=file)
    contacts = contacts_of(parsed.pop("contacts", {}), file=file)
    witnesses = witnesses_of(parsed.pop("witnesses", {}), file=file)
    webhooks = _webhooks(parsed.pop("webhooks", {}), file)
    # a string means one of our own sources
    named = parsed.pop("source") if isinstance(parsed.get("source"), list | dict) else []
    sources = _sources(named, file)
    findings = _findings(parsed, file)
    found = _nothing()
    for name, texts in ((None, parsed), *in_tables.items()):
        found[name] = _texts(file, texts, [table for table in TABLES if table.table == name])
    return _InFile(found, receivers, webhooks, sources, findings, probes, contacts, witnesses)


def _findings(table: dict[str, Any], file: Path) -> Options:
    of_rules: dict[str, Any] = {name: table.pop(name) for name in _OF_RULES if name in table}
    if not of_rules:
        return DEFAULT
    from lineage.serve.config.finding_settings import options_of  # the rules are only imported if they are configured

    return options_of(of_rules, file=file)


def _webhooks(value: Any, file: Path) -> tuple[Webhook, ...]:
    if value == {}:
        return ()
    from lineage.core.findings.rules.catalogue import RULES  # the rules are only imported if a webhook is configured

    return webhooks_of(value, rules=RULES, file=file)


def _sources(value: Any, file: Path) -> "tuple[NamedSource, ...]":
    if value == []:
        return ()
    # the adapters are only imported if a source is configured
    from lineage.serve.config.source_settings import sources_of

    return sources_of(value, file=file)


def _table(file: Path, document: dict[str, Any], name: str) -> dict[str, Any]:
    table = document.pop(name, {})
    if not isinstance(table, dict):
        raise RefusedError(f"{name!r} in {file} must be a table: [{name}]")
    return table


def _texts(file: Path, document: Mapping[str, Any], tables: list[SettingsTable]) -> dict[str, str]:
    names = [name for table in tables for name in table.names]
    where = "" if tables[0].table is None else f" of [{tables[0].table}]"
    if unknown := sorted(document.keys() - set(names)):
        raise RefusedError(f"{file} has {unknown[0]!r}{where}, which is no setting; there are {', '.join(names)}")
    found = {}
    for name, value in document.items():
        if not isinstance(value, str):
            raise RefusedError(f"{name!r}{where} in {file} must be a string")
        if value:
            is_path = any(table.is_beside(name, value) for table in tables)
            found[name] = str(file.parent / value) if is_path else value
    return found
