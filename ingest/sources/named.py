"""A named source: whose log it is, what the settings say of it, and who its ids are. Values only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.secrets import Secret
from ingest.sources.adapters import FORMATS
from ingest.sources.adapters.kit import Source
from ingest.sources.identity import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """An entry of ``[[source]]``.

    Attributes:
        name: Stands in ids, and in the event source ``urn:<format>:<name>``.
        format: A format of the table.
        issuer: Who issues the tokens that the log tells of, where the log does not say.
        inputs: Where its records come from: ``follow``, ``kafka_topic``, ``http``, ``tcp``, ``otlp``.
        lifetimes: Seconds that a kind of token lives, where the log does not say.
        options: Further settings of its format.
        identity: The rules of its identity map, in order.
        token: By which senders of requests show that they are this source.
        token_file: The file with it, or with several, one a line.
        configured: Whether settings speak of it; else it is whatever log of the format somebody reads.
    """

    name: str
    format: str
    issuer: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    lifetimes: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    identity: tuple[Rule, ...] = ()
    token: Secret | None = None
    token_file: Path | None = None
    configured: bool = True

    @property
    def source(self) -> Source:
        """The source as its adapter knows it."""
        name = self.name if self.configured else None
        return FORMATS[self.format].source(name, issuer=self.issuer, lifetimes=self.lifetimes, options=self.options)


def source_of_format(format_: str, sources: Iterable[NamedSource]) -> NamedSource:
    """Whose log a file of a format is when nobody says: the source that is called as the format is, else nobody's."""
    named = next((source for source in sources if source.name == format_), None)
    return named or NamedSource(name=format_, format=format_, configured=False)
