"""Contacts of those who run enforcement points: the table ``[contacts]`` of the settings file.

Example::

    [contacts]
    "https://gateway.example" = "gateway team, +44 20 7946 0000"
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ingest.codec import limits
from lineage.core.model.errors import RefusedError

_LONGEST: Final = 300


def contacts_of(value: object, *, file: Path) -> dict[str, str]:
    """Read the contact of each enforcement point, by its id as a receiver.

    Raises:
        RefusedError: An entry is invalid; the message names it.
    """
    if not isinstance(value, Mapping):
        raise RefusedError(f'\'contacts\' in {file} must be a table: [contacts] with "RECEIVER" = "how to reach it"')
    for receiver, contact in value.items():
        if fault := limits.fault_of_id(receiver):
            raise RefusedError(f"the id {receiver[:64]!a} of [contacts] in {file} {fault}")
        if not (isinstance(contact, str) and contact.strip() and contact.isprintable() and len(contact) <= _LONGEST):
            raise RefusedError(
                f"{receiver!r} of [contacts] in {file} must be a text of at most {_LONGEST} printable characters"
            )
    return dict(value)
