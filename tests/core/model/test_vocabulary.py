"""The vocabulary of the wire contract is defined in one place, and agrees with the schema."""

from typing import Any

import pytest

import schemas
from lineage.core.model import vocabulary
from lineage.core.model.keys import ELEMENT_KINDS, NAME_KINDS


def enumerations(node: Any) -> dict[str, tuple[str, ...]]:
    """Return every enumeration of a schema, by its field: ``Record.field``."""
    found: dict[str, tuple[str, ...]] = {}

    def visit(node: Any, place: str) -> None:
        match node:
            case list():
                for item in node:
                    visit(item, place)
            case {"type": "record", "name": str(name), "fields": fields}:
                for field in fields:
                    visit(field["type"], f"{name}.{field['name']}")
            case {"type": "enum", "symbols": symbols}:
                found[place] = tuple(symbols)
            case {"type": inner}:
                visit(inner, place)
            case {"items": inner}:
                visit(inner, place)

    visit(node, "")
    return found


SCHEMA = enumerations(schemas.latest().definition)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("RevocationOrdered.reason", vocabulary.REASONS),
        ("RevocationOrdered.mode", vocabulary.MODES),
        ("Target.kind", vocabulary.TARGET_KINDS),
        ("RevocationAcknowledged.outcome", vocabulary.ACKNOWLEDGEMENT_OUTCOMES),
        ("ActionPerformed.outcome", vocabulary.ACTION_OUTCOMES),
    ],
)
def test_the_vocabulary_is_that_of_the_newest_schema(place: str, words: tuple[str, ...]):
    """A symbol that is added to the schema has to be added here, and vice versa."""
    assert sorted(SCHEMA[place]) == sorted(words)


def test_a_target_is_an_element_or_a_name():
    """Everything that has a state can be revoked."""
    assert ELEMENT_KINDS | NAME_KINDS == set(vocabulary.TARGET_KINDS)
