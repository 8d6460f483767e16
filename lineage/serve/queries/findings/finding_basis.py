"""A digest of what findings depend on besides facts: an index built on another basis is not used."""

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.events import canonical_json
from lineage.core.model.trust import TrustTable


def basis_of(options: Options, trust: TrustTable | None) -> str:
    """Compute the digest: the settings, the trust table, the rules."""
    rules = [[rule.kind, int(rule.severity)] for rule in RULES.values()]
    basis = [_plain(options), None if trust is None else _plain(trust.sources), rules]
    return hashlib.sha256(canonical_json(basis)).hexdigest()


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) else value
