"""The route of one method and path, for every HTTP endpoint."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp

Endpoint = Callable[[Request], Awaitable[Response]]
"""Answers a request."""


class Route(StarletteRoute):
    """A route of exactly one method."""

    def __init__(self, method: str, path: str, endpoint: Endpoint | Callable[[Request], Response] | ASGIApp) -> None:
        """Build a route. A function that is not a coroutine runs on a thread.

        In the path, ``{name}`` is one segment, and ``{name:path}`` is the rest.
        """
        super().__init__(path, endpoint, methods=[method])
        self.method = method
        self.methods = {method}  # Starlette adds HEAD to GET; here the server decides for which paths they are the same
