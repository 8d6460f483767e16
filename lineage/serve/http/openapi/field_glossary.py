"""The description of each field in the schemas of the OpenAPI document: one word, one meaning."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

FILE: Final = "glossary.toml"
EVERYWHERE: Final = "everywhere"


@cache
def glossary() -> dict[str, dict[str, str]]:
    """Load the descriptions: those of all documents, and those specific to one, by its name."""
    return tomllib.loads(files("lineage.serve.http").joinpath(FILE).read_text(encoding="utf-8"))


def describe(document: dict[str, Any]) -> None:
    """Describe every field of every schema that lacks a description."""
    words = glossary()
    for name, schema in document["components"]["schemas"].items():
        _describe(schema, words[EVERYWHERE] | words.get(name, {}))
    _describe(document["paths"], words[EVERYWHERE])


def _describe(value: Any, words: Mapping[str, str]) -> None:
    if isinstance(value, list):
        for one in value:
            _describe(one, words)
    elif isinstance(value, dict):
        properties = value.get("properties")
        for name, schema in properties.items() if isinstance(properties, dict) else ():
            if name in words:
                schema.setdefault("description", words[name])
        for one in value.values():
            _describe(one, words)
