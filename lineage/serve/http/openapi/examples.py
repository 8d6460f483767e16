"""The examples of the OpenAPI document: one recorded conversation with the API about the demo's incident.

Each line of ``conversation.jsonl`` is a request and its response. The examples of an operation are its requests and
responses, so all of them tell one story with the same ids. A test replays the conversation and compares; ``make
examples`` records the current responses.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from lineage.plumbing.problem_documents import MEDIA_TYPE as PROBLEM

CONVERSATION: Final = "conversation.jsonl"
_SHARED: Final = "#/components/examples/"
_NOTHING_TO_SEND: Final = frozenset({400, 413, 503})  # bodies that are wrong, or arrive at the wrong time

Exchange = dict[str, Any]


@cache
def conversation() -> tuple[Exchange, ...]:
    """Load the exchanges in order."""
    text = files("lineage.serve.http").joinpath(CONVERSATION).read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())


def add_examples(document: dict[str, Any]) -> None:
    """Add the conversation to an OpenAPI document: requests, responses, and problems."""
    found = {values["operationId"]: (path, values) for path, values in _operations(document)}
    for exchange in conversation():
        if exchange["operation"] in found:  # omit what is not served
            path, operation = found[exchange["operation"]]
            _add(operation, exchange)
            _add_parameters(operation, path, exchange)
    operations = {id_: operation for id_, (_, operation) in found.items()}
    shared: dict[str, Any] = {}
    for operation in operations.values():
        _share_problems(operation, operations, shared)
    document["components"]["examples"] = dict(sorted(shared.items()))


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


def _add(operation: dict[str, Any], exchange: Exchange) -> None:
    name, summary = exchange["name"], exchange["summary"]
    content = operation.get("requestBody", {}).get("content", {}).get(exchange.get("media_type"))
    if content is not None and "body" in exchange and exchange["status"] not in _NOTHING_TO_SEND:
        content.setdefault("examples", {})[name] = _example(summary, exchange["body"], exchange.get("note"))
    answered = operation["responses"].get(str(exchange["status"]), {}).get("content", {}).get(exchange["answered_as"])
    if answered is not None:
        answered.setdefault("examples", {})[name] = _example(summary, exchange["answer"])


def _add_parameters(operation: dict[str, Any], path: str, exchange: Exchange) -> None:
    """Give parameters without an example the values used in an exchange."""
    url = urlsplit(exchange["ask"].partition(" ")[2])
    places = zip(path.split("/"), url.path.split("/"), strict=True)
    params = parse_qs(url.query) | {place.strip("{}"): [value] for place, value in places if place.startswith("{")}
    for parameter in operation.get("parameters", ()) if exchange["status"] < HTTPStatus.BAD_REQUEST else ():
        if "example" not in parameter and (values := params.get(parameter["name"])):
            parameter["example"] = values if parameter["schema"].get("type") == "array" else values[0]


def _example(summary: str, value: Any, note: str | None = None) -> dict[str, Any]:
    return {"summary": summary, **({} if note is None else {"description": note}), "value": value}


def _share_problems(operation: dict[str, Any], operations: Mapping[str, Any], shared: dict[str, Any]) -> None:
    """Give problems that the conversation does not contain for an operation an example from another operation."""
    for status, response in operation["responses"].items():
        problem = response.get("content", {}).get(PROBLEM)
        if problem is not None and "examples" not in problem:
            met = [exchange for exchange in conversation() if exchange["status"] == int(status)]
            met.sort(key=lambda one: -_likeness(operation, operations.get(one["operation"], {})))
            for exchange in met[:1]:
                name = f"{exchange['operation']}-{exchange['name']}"
                shared[name] = _example(exchange["summary"], exchange["answer"])
                problem["examples"] = {name: {"$ref": f"{_SHARED}{name}"}}


def _likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Measure how similar two operations are: by their tags, then by their parameters."""
    if one.get("tags") != other.get("tags"):
        return 0
    return 1 + (_parameters_used(one) == _parameters_used(other))


def _parameters_used(operation: Mapping[str, Any]) -> set[str]:
    return set(operation.get("requestBody", {}).get("content", {}))
