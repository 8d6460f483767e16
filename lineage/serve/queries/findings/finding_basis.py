"""A digest of what findings depend on besides facts: an index built on another basis is not used."""

import hashlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from lineage.core import authority, findings, model, revocation
from lineage.core.findings.options import Options
from lineage.core.findings.rules.catalogue import RULES
from lineage.core.model.events import canonical_json
from lineage.core.model.trust import TrustTable

PACKAGES: Final = (authority, findings, model, revocation)  # all that decides what is found


def basis_of(options: Options, trust: TrustTable | None) -> str:
    """Compute the digest: the settings, the trust table, the rules and the code that evaluates them."""
    rules = [[rule.kind, int(rule.severity)] for rule in RULES.values()]
    basis = [_plain(options), None if trust is None else _plain(trust.sources), rules, rules_version()]
    return hashlib.sha256(canonical_json(basis)).hexdigest()


@cache
def rules_version() -> str:
    """Return the version of the rules: the digest of the code that decides what is found.

    A number that people raise would be forgotten, and an index kept by the rules of an earlier release would be taken
    for an evaluation by these.
    """
    return digest_of_code(Path(folder) for package in PACKAGES for folder in package.__path__)


def digest_of_code(folders: Iterable[Path]) -> str:
    """Compute a digest of the Python files in some folders, and of their places."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            code = file.read_bytes()
            digest.update(f"{folder.name}/{file.relative_to(folder).as_posix()} {len(code)}\n".encode())
            digest.update(code)
    return digest.hexdigest()


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
