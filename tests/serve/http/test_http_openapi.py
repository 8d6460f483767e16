"""The OpenAPI document has the operations of a server's routes, and the schemas of its types."""

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import httpx
import pytest

from lineage.deliver.http.route import Route
from lineage.serve.http.openapi.delivery_operations import DELIVERIES
from lineage.serve.http.openapi.operations import OPERATIONS
from lineage.serve.http.openapi.question_operations import ASKED
from lineage.serve.http.openapi.tlog_operations import TREES
from lineage.serve.http.openapi.type_schemas import schemas_of
from tests.support.conversations import one_server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Return the operations of the document of a server with everything, and its routes."""
    with one_server(tmp_path_factory.mktemp("openapi") / "all") as (world, url):
        paths = httpx.get(f"{url}/openapi.json").json()["paths"]
        routes = {(route.method, route.path_format) for route in world.app.routes if isinstance(route, Route)}
    return {(method.upper(), path) for path, methods in paths.items() for method in methods}, routes


def test_every_path_of_the_api_is_described(served: tuple[set[tuple[str, str]], set[tuple[str, str]]]):
    """A route under /v1 without a row in the table would be served but not documented."""
    described, routes = served

    assert {route for route in routes if route[1].startswith("/v1/")} <= described


def test_every_described_operation_is_served(served: tuple[set[tuple[str, str]], set[tuple[str, str]]]):
    """A server with everything has a route for every row, and no operation is described twice."""
    described, _ = served

    assert len(ASKED) + len(OPERATIONS) + len(TREES) + len(DELIVERIES) == len(described)
    assert described == ASKED.keys() | OPERATIONS.keys() | TREES.keys() | DELIVERIES.keys()


class Part(TypedDict):
    """A part."""

    size: float


class Whole(Part):
    """Something with every kind of field."""

    name: str
    at: Annotated[str, "date-time"] | None
    state: Literal["old", "new"]
    error: Literal["not_found"]
    parts: NotRequired[list[Part]]
    counts: dict[str, int]
    event: dict[str, Any]
    anything: Any


def test_a_type_is_described_by_its_fields():
    """The fields of its bases come first; optional fields are not required; other types are references."""
    found = schemas_of([Whole])

    assert {"Whole", "Part"} == found.keys()
    assert found["Whole"] == {
        "description": "Something with every kind of field.",
        "title": "Whole",
        "type": "object",
        "properties": {
            "size": {"type": "number"},
            "name": {"type": "string"},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "state": {"type": "string", "enum": ["old", "new"]},
            "error": {"type": "string", "const": "not_found"},
            "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Part"}},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
            "event": {"type": "object", "additionalProperties": True},
            "anything": {},
        },
        "required": ["size", "name", "at", "state", "error", "counts", "event", "anything"],
    }


@pytest.mark.parametrize("hint", [Path, set[str], tuple[int, int]])
def test_a_type_without_a_schema_is_an_error(hint: Any):
    """An unsupported type is detected when the document is built."""
    with pytest.raises(TypeError, match="no schema is known for"):
        schemas_of([TypedDict("Strange", {"field": hint})])  # type: ignore[operator]


def test_two_types_of_one_name_are_an_error():
    """One schema would be used for both."""
    with pytest.raises(TypeError, match="two types are named Part"):
        schemas_of([Part, TypedDict("Part", {"other": int})])  # type: ignore[operator]
