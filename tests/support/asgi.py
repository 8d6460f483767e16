"""A client of an app in this process, for tests that need no server."""

import asyncio
from typing import Any

import httpx
from starlette.types import ASGIApp, Scope


class Asking:
    """A client of an app, with some headers."""

    def __init__(self, app: ASGIApp, headers: dict[str, str] | None = None) -> None:
        self._app = app
        self.headers = headers or {}

    def request(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="https://us.example") as client:
                return await client.request(method, path, headers=self.headers | (headers or {}), **fields)

        return asyncio.run(asked())

    def get(self, path: str, **fields: Any) -> httpx.Response:
        return self.request("GET", path, **fields)

    def post(self, path: str, **fields: Any) -> httpx.Response:
        return self.request("POST", path, **fields)


def get_scope(path: str, token: str, spec_version: str = "2.4") -> Scope:
    """Build the ASGI scope of a GET request with a bearer token, for tests that play the server themselves."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": spec_version},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"us.example"), (b"authorization", f"Bearer {token}".encode())],
    }
