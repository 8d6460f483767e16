"""``delegraph mcp``: the tools over standard input and output, for an agent on this machine."""

from contextlib import closing

import anyio
from mcp.server.stdio import stdio_server

from lineage.deliver.http.callers import Authentication, Caller, Role, UnauthenticatedError
from lineage.serve.config.limits import Limits
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.workers import Pools
from lineage.serve.mcp.server import Context, create_server
from lineage.serve.queries.service import Service


def run_stdio(service: Service, *, name: str) -> None:
    """Answer calls until standard input ends.

    Anyone who can start the process can read the store, as with the other commands, so every call is made by ``name``.

    Args:
        service: The service, which must be thread-safe.
        name: Who starts it, for the access log.
    """
    caller = Caller(name=name, roles=frozenset({Role.INVESTIGATOR}))

    async def caller_of(_context: Context) -> Caller:
        return caller

    limits = Limits()
    with closing(Pools(limits)) as pools:
        site = AppContext(service=service, authentication=Authentication(_over_http), limits=limits, pools=pools)
        server = create_server(site, caller_of)

        async def serve() -> None:
            async with stdio_server() as (incoming, outgoing):
                await server.run(incoming, outgoing, server.create_initialization_options())

        anyio.run(serve)


def _over_http(_connection: object) -> Caller:
    raise UnauthenticatedError("this process has no HTTP interface")
