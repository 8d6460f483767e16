"""Clients of an HTTP API that runs in this process."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lineage.serve.http_client import Client
from tests.support.http_worlds import HOST, World, api_over

URL = f"https://{HOST}"


class InThisProcess(httpx.BaseTransport):
    """Asks an app without a server."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            response = await httpx.ASGITransport(self._app).handle_async_request(asked)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(answered())


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    """The incident."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def client_of(api: World, role: str = "investigator") -> Client:
    http = httpx.Client(transport=InThisProcess(api.app))
    return Client(URL, token=lambda: api.token(role), http=http, sleep=lambda _: None)
