"""The trust file: which source may say what (DESIGN section 3). TOML, named by ``DELEGRAPH_TRUST``.

Example::

    [sources."https://idp.example"]
    types = ["token.issued", "principal.registered"]
    prefixes = ["https://idp.example#", "human:"]

    [sources."urn:delegraph:cli"]
    types = ["revocation.ordered", "revocation.lifted"]
    prefixes = [""]           # every id
"""

import tomllib
from pathlib import Path

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import BODIES
from lineage.core.model.trust import Grant, TrustTable


def read_trust(path: Path) -> TrustTable:
    """Read a trust file.

    Raises:
        RefusedError: It cannot be read, or says something that it cannot say; the message names it.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(f"the trust file {path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise RefusedError(f"the trust file {path} is not TOML: {error}") from error
    if said.keys() != {"sources"} or not isinstance(said["sources"], dict):
        raise RefusedError(f'the trust file {path} must have tables [sources."SOURCE"] and nothing else')
    return TrustTable({source: _grant(path, source, table) for source, table in said["sources"].items()})


def _grant(path: Path, source: str, table: object) -> Grant:
    where = f'[sources."{source}"] in the trust file {path}'
    if not isinstance(table, dict) or table.keys() - {"types", "prefixes"} or "types" not in table:
        raise RefusedError(f"{where} must have 'types', and may have 'prefixes'")
    types, prefixes = table["types"], table.get("prefixes", [])
    for name, value in (("types", types), ("prefixes", prefixes)):
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RefusedError(f"{name} of {where} must be a list of strings")
    if unknown := sorted(set(types) - BODIES.keys() - {"*"}):
        raise RefusedError(f"{where} names a type that there is not: {', '.join(unknown)}")
    return Grant(frozenset(types), tuple(prefixes))
