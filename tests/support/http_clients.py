"""Clients of an HTTP API that runs in this process."""

import asyncio
from typing import Any

import httpx

from lineage.serve.http_client import Client
from tests.support.http_worlds import HOST, World

URL = f"https://{HOST}"


class InThisProcess(httpx.BaseTransport):
    """A transport to an app without a server."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            asked = httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            response = await httpx.ASGITransport(self._app).handle_async_request(asked)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(answered())


def client_of(api: World, role: str = "investigator") -> Client:
    http = httpx.Client(transport=InThisProcess(api.app))
    return Client(URL, token=lambda: api.token(role), http=http, sleep=lambda _: None)
