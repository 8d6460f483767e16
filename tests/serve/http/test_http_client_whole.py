"""The Python clients are complete: both have a method for every path of the API, and an argument
for every parameter.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lineage.core.model.errors import DelegraphError
from lineage.serve.async_http_client import AsyncClient
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.openapi.operations import OPERATIONS
from lineage.serve.http_client import Client

# What no method asks for, and why.
NOT_ASKED = {
    ("GET", "/v1/live"): "a stream for pages; a script follows the log, or asks again",
}
# Parameters that no argument stands for, and why.
NOT_SAID = {
    "after": "the client turns pages by itself",
    "limit": "the client turns pages by itself",
    "format": "the client takes documents",
    "view": "the graph of principals has a method of its own",
}
NAMES = {"from": "start", "to": "end", "q": "text", "all": "everything", "id": "id"}
GIVEN = {"target": "token:t", "targets": ["token:t"], "events": [], "of": "token:t", "start": "now", "end": "now"}
PATHS = {(method, path) for method, path in OPERATIONS if path.startswith("/v1/")} | {
    ("GET", f"/v1{question.path}".replace(":path}", "}")) for question in QUESTIONS
}


def template_of(method: str, path: str) -> tuple[str, str] | None:
    """Return the path of the API that a request is about; every id in the request is ``x`` or a token."""
    parts = path.split("/")
    for known in sorted(PATHS, key=lambda one: "{" in one[1]):
        other = known[1].split("/")
        same = len(parts) == len(other) and all(
            mine == theirs or theirs.startswith("{") for mine, theirs in zip(parts, other, strict=True)
        )
        if method == known[0] and same:
            return known
    return None


def asked_by(client: type) -> dict[str, set[tuple[str, str]]]:
    """Return what each method of a client requests, without an answer."""
    asked: dict[str, set[tuple[str, str]]] = {}
    for name, method in inspect.getmembers(client, inspect.isfunction):
        if name.startswith("_") or name in ("close", "aclose"):
            continue
        seen: list[httpx.Request] = []

        def refuse(request: httpx.Request, seen: list[httpx.Request] = seen) -> httpx.Response:
            seen.append(request)
            return httpx.Response(400, json={"type": "about:blank", "title": "no", "status": 400, "detail": "no"})

        asyncio.run(_call(client, method, refuse))
        found = {template_of(request.method, request.url.path) for request in seen}
        asked[name] = {one for one in found if one is not None}
    return asked


async def _call(client: type, method: Callable[..., Any], answer: Callable[[httpx.Request], httpx.Response]) -> None:
    transport = httpx.MockTransport(answer)
    is_async = client is AsyncClient
    http: Any = httpx.AsyncClient(transport=transport) if is_async else httpx.Client(transport=transport)
    needed = [
        one for one in list(inspect.signature(method).parameters.values())[1:] if one.default is inspect.Parameter.empty
    ]
    given = {one.name: GIVEN.get(one.name, "x") for one in needed}
    asking = client("https://delegraph.example", http=http, tries=1)
    try:
        answered = method(asking, **given)
        if inspect.isawaitable(answered):
            await answered
        elif hasattr(answered, "__aiter__"):
            async for _ in answered:
                pass
        else:
            list(answered)
    except DelegraphError:
        pass


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_every_path_of_the_api_has_a_method(client: type):
    """Every method requests an existing path."""
    asked = asked_by(client)

    assert {} == {name: found for name, found in asked.items() if not found}
    assert PATHS - set(NOT_ASKED) == set().union(*asked.values())
    assert set(NOT_ASKED) <= PATHS


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    """A user of one client knows the other."""
    of = [
        {
            name: [(one.name, one.default) for one in inspect.signature(method).parameters.values()]
            for name, method in inspect.getmembers(client, inspect.isfunction)
            if not name.startswith("_") and name not in ("close", "aclose")
        }
        for client in (Client, AsyncClient)
    ]

    assert of[0] == of[1]


def test_every_parameter_of_a_question_is_an_argument():
    """It has the name of the API, or the one in ``NAMES``."""
    asked = asked_by(Client)
    missing = []
    for question in QUESTIONS:
        path = ("GET", f"/v1{question.path}".replace(":path}", "}"))
        arguments = {
            argument
            for name, found in asked.items()
            if path in found
            for argument in inspect.signature(getattr(Client, name)).parameters
        }
        missing += [
            (path[1], parameter.name)
            for parameter in question.parameters
            if path not in NOT_ASKED
            and parameter.name not in NOT_SAID
            and not {parameter.name, NAMES.get(parameter.name, "")} & arguments
        ]

    assert [] == missing
