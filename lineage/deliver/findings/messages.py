"""A message about a finding: the same for the topic, webhooks and the live tail."""

from typing import Any

from lineage.core.model.times import format_instant
from lineage.store.kept_findings import REFRESHED, Version

Document = dict[str, Any]


def is_published(version: Version) -> bool:
    """Whether a version is delivered: one that only adds evidence is not."""
    return version.change != REFRESHED


def message_of(version: Version, origin: str) -> Document:
    """Build the message of a version.

    Args:
        version: The version.
        origin: The store; sequence numbers of different stores cannot be compared.
    """
    return {
        "type": f"finding.{version.change}",
        "origin": origin,
        "seq": version.seq,
        "at": format_instant(version.written_at),
        "finding": dict(version.kept.document),
    }
