"""The MCP SDK's own client with our server: in this process, over standard input and output, and over HTTP."""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from lineage.deliver.http.callers import Caller, Role
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.mcp.server import create_server
from tests.support.places import ROOT

_T = TypeVar("_T")

IDA = Caller(name="human:ida@example.com", roles=frozenset({Role.INVESTIGATOR}))


def in_process(site: AppContext, ask: Callable[[Client], Awaitable[_T]], *, caller: Caller = IDA) -> _T:
    """Query a server in this process."""

    async def caller_of(_context: object) -> Caller:
        return caller

    async def query_session() -> _T:
        async with Client(create_server(site, caller_of)) as client:
            return await ask(client)

    return anyio.run(query_session)


def over_stdio(folder: Path, ask: Callable[[Client], Awaitable[_T]], *words: str) -> _T:
    """Query ``delegraph mcp`` in a separate process."""
    code = "from lineage.serve.cli.main import main; main(prog_name='delegraph')"
    started = StdioServerParameters(
        command=sys.executable,
        args=["-c", code, "mcp", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    async def query_session() -> _T:
        with (folder / "mcp.log").open("w", encoding="utf-8") as errlog:
            async with Client(stdio_client(started, errlog=errlog)) as client:
                return await ask(client)

    return anyio.run(query_session)


def over_http(url: str, ask: Callable[[Client], Awaitable[_T]], *, token: str) -> _T:
    """Query ``/mcp`` of a server."""

    async def query_session() -> _T:
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(f"{url}/mcp", http_client=http)) as client,
        ):
            return await ask(client)

    return anyio.run(query_session)


def problem_in(result: CallToolResult) -> dict[str, Any]:
    """Return the problem document of a failed call."""
    assert result.is_error, result.content
    [content] = result.content
    assert isinstance(content, TextContent)
    document: dict[str, Any] = json.loads(content.text)
    return document


def answer_in(result: CallToolResult) -> dict[str, Any]:
    """Return the document of an answer, which is the same as text and as structured content."""
    assert not result.is_error, result.content
    [content] = result.content
    assert isinstance(content, TextContent)
    assert result.structured_content == json.loads(content.text)
    return dict(result.structured_content)
