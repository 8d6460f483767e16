"""Read the tables of the settings file about servers that delegraph calls: revocation endpoints and probes.

Every function raises RefusedError; the message names the setting and its table.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from ingest.codec import limits
from lineage.core.model.errors import RefusedError

_PLACES: Final = re.compile(r"\{(id|iss|jti)\}")


def tables_of(
    value: object, section: str, names: Collection[str], file: Path
) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Yield the tables ``[SECTION."RECEIVER"]`` in the order of their receivers.

    Args:
        value: The section of the settings file.
        section: Its name.
        names: The settings that a table may have.
        file: The settings file, for messages.

    Returns:
        The receiver, its table, and the name of that table for messages.
    """
    if not isinstance(value, Mapping):
        raise RefusedError(f"'{section}' in {file} must be tables: [{section}.\"RECEIVER\"]")
    for receiver, table in sorted(value.items()):
        where = f'[{section}."{receiver}"] in {file}'
        if not isinstance(table, Mapping):
            raise RefusedError(f"{where} must be a table")
        if fault := limits.fault_of_id(receiver):
            raise RefusedError(f"the id of {where} {fault}")
        if unknown := sorted(table.keys() - set(names)):
            raise RefusedError(f"{where} has an unknown setting {unknown[0]!r}; there are {', '.join(sorted(names))}")
        yield receiver, table, where


def text_of(table: Mapping[str, Any], name: str, where: str) -> str | None:
    """Return a text, or None if it is not given."""
    value = table.get(name)
    if value is not None and not (isinstance(value, str) and value and value.isprintable()):
        raise RefusedError(f"{name!r} of {where} must be a string of printable characters")
    return value


def template_of(text: str | None, where: str) -> str:
    """Return the template of the ``token`` parameter, by default ``{jti}``."""
    template = text or "{jti}"
    if not _PLACES.search(template):
        raise RefusedError(f"'token' of {where} must contain {{id}} or {{jti}}, which stand for those of the token")
    return template


def filled(template: str, id_: str, issuer: str) -> str:
    """Fill in the template for a token; ``issuer`` is that of its id, or empty if the id names none."""
    parts = {"id": id_, "iss": issuer, "jti": id_[len(issuer) + 1 :] if issuer else id_}
    return _PLACES.sub(lambda match: parts[match.group(1)], template)


def path_of(text: str | None, file: Path) -> Path | None:
    """Return the path of a file, whose name is relative to the settings file."""
    return None if text is None else file.parent / text


def seconds_of(value: object, where: str, *, longest: int) -> float:
    """Return a time limit in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= longest:
        raise RefusedError(f"'timeout_seconds' of {where} must be a positive number up to {longest}")
    return float(value)
