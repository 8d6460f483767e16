"""Operational endpoints: liveness, readiness, metrics; and the live tail."""

import logging

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineage.core.model.errors import ReplacedError, UnavailableError
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import require
from lineage.deliver.http.route import Route
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.live_tail import Tail
from lineage.serve.http.auth.locality import is_from_here
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.metrics import CONTENT_TYPE, Measures
from lineage.serve.http.core.query import Query
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import Streamed

logger = logging.getLogger(__name__)


def routes(site: AppContext, measures: Measures) -> list[Route]:
    """Build ``/healthz``, ``/readyz``, ``/metrics`` and ``/v1/live``."""
    tail = Tail(site)

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        return JSONResponse(await site.pools.own.run("readyz", _ready, site))

    async def metrics(request: Request) -> Response:
        if not is_from_here(request):
            require(await site.caller_of(request), *ASKERS)
        return Response(measures.exposition(tail.listeners), media_type=CONTENT_TYPE)

    async def live(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        Query.of(request.path_params, request.query_params, (), now=site.now)
        events, leave = await tail.listen(request.headers.get("last-event-id"))
        log_access(caller, request)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Streamed(events, leave, headers=headers, media_type="text/event-stream")

    found = (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics), ("/v1/live", live))
    return [Route("GET", path, endpoint) for path, endpoint in found]


def _ready(site: AppContext) -> Document:
    """Check readiness: whether questions can be answered.

    An unavailable log is reported but does not matter for that.
    """
    try:
        as_of = site.service.as_of()
    except UnavailableError as fault:  # anyone may ask this; where the store is, is only in the log
        logger.warning("not ready: %s", fault)
        if isinstance(fault, ReplacedError):
            raise UnavailableError("the file of the store was replaced: restart this process") from None
        raise UnavailableError("the store does not answer") from None
    # Anyone may ask this: the file name, and what is wrong with it, are only in the log.
    stale = "the trust file cannot be read: the last valid one stays in force"
    return {
        "status": "ready",
        "log": "away" if as_of["behind"] is None else "there",
        "warnings": [stale] if site.service.trust_warnings() else [],
        "as_of": as_of,
    }
