"""``/mcp``: the tools over HTTP (MCP's streamable HTTP transport), for callers with the roles of the HTTP API.

No session is kept: every request is authenticated and answered by itself, so a revoked token is refused at once.
"""

from http import HTTPStatus
from typing import Any, Final

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lineage.deliver.http.callers import Caller, require
from lineage.deliver.http.route import Route
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.question import ASKERS

PATH: Final = "/mcp"
_CALLER: Final = "mcp_caller"  # the key in a request's state


class McpEndpoint:
    """The ASGI application behind the path. The SDK is imported by the first request, since that takes a while."""

    def __init__(self, site: AppContext) -> None:
        """Answer for a site."""
        self._site = site
        self._handle: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate the caller, and answer the request.

        Raises:
            HTTPException: The SDK is not installed (501).
        """
        request = Request(scope, receive)
        setattr(request.state, _CALLER, require(await self._site.caller_of(request), *ASKERS))
        if self._handle is None:
            try:
                self._handle = await to_thread.run_sync(_handler, self._site)
            except ImportError as error:
                detail = "answering agents needs a few more packages on the server: pip install 'delegraph[mcp]'"
                raise HTTPException(HTTPStatus.NOT_IMPLEMENTED, detail) from error
        await self._handle(scope, receive, send)


def route(site: AppContext) -> Route:
    """Return the route of the endpoint. It has no streams and no sessions, so that GET and DELETE are refused (405)."""
    return Route("POST", PATH, McpEndpoint(site))


def _handler(site: AppContext) -> ASGIApp:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

    from lineage.serve.mcp.server import create_server

    async def caller_of(context: Any) -> Caller:
        caller: Caller = getattr(context.request.state, _CALLER)
        return caller

    server = create_server(site, caller_of)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        # The transport runs its tasks in a manager; one for each request keeps nothing between requests.
        manager = StreamableHTTPSessionManager(server, json_response=True, stateless=True)
        async with manager.run():
            await manager.handle_request(scope, receive, send)

    return handle
