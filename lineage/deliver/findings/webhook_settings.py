"""The settings of webhooks: which findings are sent where.

Values only, from tables ``[webhooks."NAME"]`` of the settings file; the secret is read where it is used.

Example::

    [webhooks.oncall]
    url = "https://hooks.example/delegraph"
    secret_file = "oncall.secret"     # signs every message
    severity = "high"                 # and above; by default high
    kinds = ["used-after-revocation"] # by default every rule
    most_per_minute = 20              # messages of one rule; the others are counted and sent as a number
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ingest.secrets import is_open_to_others
from lineage.core.model.errors import RefusedError
from lineage.core.model.finding import SEVERITIES, Severity
from lineage.deliver.http.endpoint_url import endpoint_url

_NAMES: Final = {"url", "secret_file", "severity", "kinds", "most_per_minute", "ca_file", "timeout_seconds"}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_TIMEOUT_SECONDS: Final = 10
_LONGEST_SECONDS: Final = 300
_MOST_PER_MINUTE: Final = 20
_LARGEST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook.

    Attributes:
        name: Its name, which is also that of its cursor.
        url: The URL for messages.
        secret: The file with the secret that signs them.
        severity: The least severity that it receives.
        kinds: The rules whose findings it receives; empty for all.
        most_per_minute: The most messages of one rule per minute; further findings are counted, and their number is
            sent.
        ca: The file with the CA certificates of the server; None for the system's.
        timeout_seconds: The time limit of a message.
    """

    name: str
    url: str
    secret: Path
    severity: Severity = Severity.HIGH
    kinds: frozenset[str] = frozenset()
    most_per_minute: int = _MOST_PER_MINUTE
    ca: Path | None = None
    timeout_seconds: int = _TIMEOUT_SECONDS

    @property
    def open_files(self) -> tuple[Path, ...]:
        """The files with secrets that every user of this machine can read."""
        return (self.secret,) if is_open_to_others(self.secret) else ()

    def wants(self, kind: str, severity: int) -> bool:
        """Whether it receives a finding."""
        return severity >= self.severity and (not self.kinds or kind in self.kinds)


def webhooks_of(value: object, *, rules: Collection[str], file: Path) -> tuple[Webhook, ...]:
    """Parse the webhooks of a settings file, in the order of their names.

    Args:
        value: The table ``webhooks``.
        rules: The existing rules.
        file: The settings file.

    Raises:
        RefusedError: A setting is missing, unknown or invalid; the message names it.
    """
    if not isinstance(value, Mapping):
        raise RefusedError(f"'webhooks' in {file} must be tables: [webhooks.NAME]")
    return tuple(_webhook(name, table, rules, file) for name, table in sorted(value.items()))


def _webhook(name: str, value: object, rules: Collection[str], file: Path) -> Webhook:
    where = f"[webhooks.{name}] in {file}"
    if not isinstance(value, Mapping):
        raise RefusedError(f"{where} must be a table")
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{where}: a name is up to 40 lower-case letters, digits, '-' and '_'")
    if unknown := sorted(value.keys() - _NAMES):
        raise RefusedError(f"{where} has an unknown setting {unknown[0]!r}; there are {', '.join(sorted(_NAMES))}")
    secret = _text(value, "secret_file", where)
    if secret is None:
        raise RefusedError(f"{where} needs 'secret_file': the signature tells the receiver who sent a message")
    ca = _text(value, "ca_file", where)
    return Webhook(
        name=name,
        url=endpoint_url(_text(value, "url", where), where, "a webhook"),
        secret=file.parent / secret,
        severity=_severity(value.get("severity", "high"), where),
        kinds=_kinds(value.get("kinds", []), rules, where),
        most_per_minute=_number(value, "most_per_minute", _MOST_PER_MINUTE, _LARGEST, where),
        ca=None if ca is None else file.parent / ca,
        timeout_seconds=_number(value, "timeout_seconds", _TIMEOUT_SECONDS, _LONGEST_SECONDS, where),
    )


def _text(table: Mapping[str, Any], name: str, where: str) -> str | None:
    value = table.get(name)
    if value is not None and not (isinstance(value, str) and value and value.isprintable()):
        raise RefusedError(f"{name!r} of {where} must be a string of printable characters")
    return value


def _severity(value: object, where: str) -> Severity:
    if not isinstance(value, str) or value not in SEVERITIES:
        raise RefusedError(f"'severity' of {where} is {value!r}; give one of {', '.join(SEVERITIES)}")
    return SEVERITIES[value]


def _kinds(value: object, rules: Collection[str], where: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(kind, str) for kind in value):
        raise RefusedError(f"'kinds' of {where} must list rules, as strings")
    if unknown := sorted(set(value) - set(rules)):
        raise RefusedError(f"'kinds' of {where} has {unknown[0]!r}, which is not a rule; there are {', '.join(rules)}")
    return frozenset(value)


def _number(table: Mapping[str, Any], name: str, default: int, most: int, where: str) -> int:
    value = table.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RefusedError(f"{name!r} of {where} must be a whole number from 1 to {most}")
    return value
