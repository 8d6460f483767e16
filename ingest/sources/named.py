"""A named source: a foreign system whose log is read, its settings, and its identity map. Values only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.secrets import Secret
from ingest.sources.adapters import FORMATS
from ingest.sources.adapters.kit import Source
from ingest.sources.identity import IdentityRule


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """An entry of ``[[source]]``.

    Attributes:
        name: Used in ids, and in the event source ``urn:<format>:<name>``.
        format: A format of the table.
        issuer: The issuer of the tokens in the log, if the log does not name it.
        inputs: Where its records come from: ``follow``, ``kafka_topic``, ``http``, ``tcp``, ``otlp``.
        lifetimes: The lifetime of each kind of token in seconds, if the log does not state it.
        options: Further settings of its format.
        identity: The rules of its identity map, in order.
        token: Authenticates the senders of requests as this source.
        token_file: A file with the token, or with several, one per line.
        configured: Whether it is in the settings; otherwise it represents any log of the format.
    """

    name: str
    format: str
    issuer: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    lifetimes: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    identity: tuple[IdentityRule, ...] = ()
    token: Secret | None = None
    token_file: Path | None = None
    configured: bool = True

    @property
    def source(self) -> Source:
        """The source as its adapter sees it."""
        name = self.name if self.configured else None
        return FORMATS[self.format].source(name, issuer=self.issuer, lifetimes=self.lifetimes, options=self.options)


def source_of_format(format_: str, sources: Iterable[NamedSource]) -> NamedSource:
    """Choose the source of a file when none is given: the one named like the format, else an unconfigured one."""
    named = next((source for source in sources if source.name == format_), None)
    return named or NamedSource(name=format_, format=format_, configured=False)
