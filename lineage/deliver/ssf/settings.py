"""Settings of a Shared Signals transmitter, except for its signing keys. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ingest.declared_settings import SettingKind, SettingsTable, setting
from lineage.core.model.errors import RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class SsfSettings:
    """The issuer, and the settings of pushes."""

    issuer: str = setting(
        "",
        "the URL of the API; enables the transmitter of [Shared Signals](../shared-signals.md)",
        default_text="none",
    )
    ca_file: Path | None = setting(
        None, "the CA of the receivers' certificates, in PEM", kind=SettingKind.FILE, default_text="the system's"
    )
    loopback: bool = setting(default=False, help="`yes` allows pushes to this machine itself, unencrypted")

    @classmethod
    def of(cls, table: Mapping[str, str]) -> "SsfSettings | None":
        """Parse settings given by name (``NAMES``, and others); None if no transmitter is configured.

        Raises:
            RefusedError: A value is invalid or missing.
        """
        given = [name for name in NAMES if name in table]
        if not given:
            return None
        for name in ("ssf_issuer", "signing_key_file"):
            if name not in table:
                raise RefusedError(f"the setting {given[0]!r} has no effect without {name!r}; give both or none")
        values = TABLE.read({name: table[name] for name in given})
        return cls(**values | {"issuer": _issuer(values["issuer"])})

    def shown(self) -> dict[str, str]:
        """Return the settings by name, without secrets."""
        return TABLE.shown(self)


TABLE: Final = SettingsTable(SsfSettings, prefix="ssf_")
NAMES: Final = TABLE.names


def _issuer(url: str) -> str:
    try:
        parts = urlsplit(url)
        clear = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
        whole = bool(parts.hostname) and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        clear = whole = False
        parts = urlsplit("")
    # SSF 1.0 section 7.1: a URL of the scheme https without query or fragment.
    if not (whole and (parts.scheme == "https" or clear) and url.isascii() and url.isprintable() and " " not in url):
        raise RefusedError(
            f"the setting 'ssf_issuer' is {url!a}; write the URL of the API, such as https://api.example"
        )
    return url.rstrip("/")
