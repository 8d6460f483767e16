"""The reference of the HTTP API, generated from the OpenAPI document that a server publishes."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx

from tests.support.conversations import one_server

_HEAD: Final = """\
# HTTP API

<!-- Generated from the OpenAPI document by `make reference`; a test fails when this page is stale. -->

A server publishes the same as OpenAPI 3.1 at `/openapi.json`, and as a page with examples at `/docs`.
Its use, the roles and the problems are described in [the HTTP API](../http-api.md).
Every answer other than 2xx and 304 is a [`Problem`](#problem).
"""
_TYPES: Final = {"date-time": "time", "uri": "URI"}


def published() -> dict[str, Any]:
    """Return the OpenAPI document of a server with everything that ``delegraph serve`` can mount."""
    with tempfile.TemporaryDirectory() as folder, one_server(Path(folder) / "all") as (_, url):
        return dict(httpx.get(f"{url}/openapi.json").json())


def reference() -> str:
    """Return the text of ``docs/reference/http.md``."""
    return "\n".join(_lines(published())) + "\n"


def _lines(document: dict[str, Any]) -> Iterator[str]:
    yield _HEAD
    for tag in document["tags"]:
        yield from (f"## {tag['name'].capitalize()}", "", tag["description"], "")
        for path, method, operation in _operations(document):
            if tag["name"] in operation.get("tags", ()):
                yield from _operation(path, method, operation)
    yield from ("## Documents", "", "A field with a `?` may be absent.", "")
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield from _schema(name, schema)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in sorted(document["paths"].items()):
        for method, operation in sorted(methods.items()):
            yield path, method.upper(), operation


def _operation(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {method} {path}", "", _sentence(operation.get("summary", "")), "")
    if description := operation.get("description", ""):
        yield from (description, "")
    if parameters := operation.get("parameters", []):
        yield from ("| parameter | in | meaning |", "|---|---|---|")
        for parameter in parameters:
            mark = "" if parameter.get("required") else "?"
            meaning = _cell(parameter.get("description", "")) + _default(parameter.get("schema", {}))
            yield f"| `{parameter['name']}`{mark} | {parameter['in']} | {meaning} |"
        yield ""
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield from (f"Body `{media_type}`: {_type(body.get('schema', {}))}.", "")
        yield from _fields(body.get("schema", {}))
    yield from ("| status | answer |", "|---|---|")
    refusals = []
    for status, response in operation.get("responses", {}).items():
        if status.startswith(("2", "3")):
            yield f"| {status} | {_cell(_sentence(response.get('description', '')))}{_documents(response)} |"
        else:
            refusals.append(status)
    yield from (f"| {', '.join(refusals)} | [`Problem`](#problem) |", "")


def _documents(response: dict[str, Any]) -> str:
    lines = [
        f"{_type(content.get('schema', {}))} (`{media_type}`)"
        for media_type, content in response.get("content", {}).items()
    ]
    return f" {'; '.join(lines)}." if lines else ""


def _schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield from (f"### {name}", "")
    if description := schema.get("description", ""):
        yield from (description, "")
    yield from _fields(schema)


def _fields(schema: dict[str, Any]) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties:
        return
    required = schema.get("required", ())
    yield from ("| field | type | meaning |", "|---|---|---|")
    for name, field in properties.items():
        mark = "" if name in required else "?"
        meaning = _cell(field.get("description", "")) + _default(field)
        yield f"| `{name}`{mark} | {_cell(_type(field))} | {meaning} |"
    yield ""


def _type(schema: dict[str, Any]) -> str:
    """Describe the type of a value in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[`{name}`](#{name.lower()})"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(_type(each) for each in schema[word]))
    if "enum" in schema:
        return " \\| ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type", "any value")
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and "items" in schema.get("properties", {}):
        return f"page of ({_type(schema['properties']['items'].get('items', {}))})"
    return str(_TYPES.get(schema.get("format", ""), kind))


def _default(schema: dict[str, Any]) -> str:
    return f" Default: `{schema['default']}`." if schema.get("default") not in (None, "") else ""


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "?")) else f"{text}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("\\\\|", "\\|")
