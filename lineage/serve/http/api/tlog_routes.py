"""The trees over the log as static resources (C2SP tlog-tiles): checkpoints, tiles of hashes, bundles of entries.

Checkpoints and hashes are public unless the settings say otherwise. An entry has the digest of a record, by which a
guess at its content could be confirmed, so entries are for those who may ask questions.
"""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import require
from lineage.deliver.http.route import Route
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import bytes_response
from lineage.serve.queries.evidence.published_trees import published_checkpoint, published_tile

CHECKPOINT_TYPE: Final = "text/plain; charset=utf-8"
TILE_TYPE: Final = "application/octet-stream"
CHECKPOINT_SECONDS: Final = 5
_FOR_EVER: Final = "max-age=31536000, immutable"


def routes(site: AppContext) -> list[Route]:
    """Build the routes of everything under ``/tlog``."""

    async def checkpoint(request: Request) -> Response:
        origin = request.path_params["origin"]
        asking = await _asking(site, request, public=site.public_tlog)
        note = await site.pools.questions.run(asking, published_checkpoint, site.service, origin)
        if note is None:
            raise NotFoundError(f"{origin}/checkpoint")
        caching = _caching(f"max-age={CHECKPOINT_SECONDS}", public=site.public_tlog)
        return bytes_response(request, note.encode(), CHECKPOINT_TYPE, caching)

    async def hashes(request: Request) -> Response:
        path = f"{request.path_params['level']}/{request.path_params['tile']}"
        return await tile(request, path, public=site.public_tlog)

    async def entries(request: Request) -> Response:
        return await tile(request, f"entries/{request.path_params['tile']}", public=False)

    async def tile(request: Request, path: str, *, public: bool) -> Response:
        origin = request.path_params["origin"]
        asking = await _asking(site, request, public=public)
        found = await site.pools.questions.run(asking, published_tile, site.service, origin, path)
        if found is None:
            raise NotFoundError(f"{origin}/tile/{path}")
        return bytes_response(request, found, TILE_TYPE, _caching(_FOR_EVER, public=public))

    # The first part of a path matches as much as it can, so the routes that say more come first.
    return [
        Route("GET", "/tlog/{origin:path}/checkpoint", checkpoint),
        Route("GET", "/tlog/{origin:path}/tile/entries/{tile:path}", entries),
        Route("GET", "/tlog/{origin:path}/tile/{level}/{tile:path}", hashes),
    ]


async def _asking(site: AppContext, request: Request, *, public: bool) -> str:
    """Return who is asking, for the fair use of the threads; anyone may ask for what is public."""
    if public:
        return f"peer {request.client.host if request.client else ''}"
    caller = require(await site.caller_of(request), *ASKERS)
    log_access(caller, request)
    return caller.name


def _caching(lasting: str, *, public: bool) -> str:
    return f"{'public' if public else 'private'}, {lasting}"
