"""The producer SDK: emit decision events, and build them from tokens, decisions and tool calls.

This module is the public API of the package; docs/producing.md shows how to use it. Names are imported on first use,
so that a program that only emits files does not need the packages that the event builders need.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.codec.params_digest import digest_of
    from ingest.producer.api import Emitted, Metrics, Producer, now
    from ingest.producer.event_builders import (
        action_from_mcp,
        decision_from_authzen,
        principal_id,
        token_id,
        token_issued_from_exchange,
        token_issued_from_jwt,
    )

__all__ = [
    "Emitted",
    "Metrics",
    "Producer",
    "action_from_mcp",
    "decision_from_authzen",
    "digest_of",
    "now",
    "principal_id",
    "token_id",
    "token_issued_from_exchange",
    "token_issued_from_jwt",
]
_HOMES = dict.fromkeys(("Emitted", "Metrics", "Producer", "now"), "ingest.producer.api") | {
    "digest_of": "ingest.codec.params_digest"
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "ingest.producer.event_builders")), name)
