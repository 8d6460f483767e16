"""The receipt of a revocation as a stream of lines, read from a snapshot of the store."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import islice
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.errors import DelegraphError, OverloadedError
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, require
from lineage.deliver.http.route import Route
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import REVOCATION, TIMES
from lineage.serve.http.core.query import Query, usable_id
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.core.responses import Streamed
from lineage.serve.queries.revocations import receipt
from lineage.serve.queries.revocations.receipt import Receipt

logger = logging.getLogger(__name__)

RECEIPTS: Final = 2  # receipts read at the same time; each holds a connection of the store
_LINES: Final = 500  # lines of a receipt sent at once


def route(site: AppContext) -> Route:
    """``GET /v1/revocations/{id}/receipt``."""
    reading = asyncio.Semaphore(RECEIPTS)

    async def read_receipt(request: Request) -> Response:
        caller = require(await site.caller_of(request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (REVOCATION, *TIMES), now=site.now)
        revocation = usable_id(query.the("id"), parameter="id")
        log_access(caller, request, revocation=revocation)
        if reading.locked():
            raise OverloadedError("other receipts are being read; try again")
        stack = ExitStack()
        await reading.acquire()
        try:
            opening = receipt.receipt(site.service, revocation, at=query.at, known_at=query.known_at)
            found = _there(revocation, await site.pools.questions.run(caller.name, stack.enter_context, opening))
            first = await site.pools.questions.run(caller.name, _next_lines, found)
        except BaseException:
            site.pools.own.later(stack.close)
            reading.release()
            raise

        def done() -> None:
            site.pools.own.later(stack.close)
            reading.release()

        return Streamed(_receipt_lines(site, caller, found, first), done, media_type="application/x-ndjson")

    return Route("GET", "/v1/revocations/{id:path}/receipt", read_receipt)


def _there(revocation: str, found: Receipt | None) -> Receipt:
    if found is None:
        raise NotFoundError(revocation)
    return found


def _next_lines(found: Receipt) -> bytes:
    return b"".join(line + b"\n" for line in islice(found.lines, _LINES))


async def _receipt_lines(site: AppContext, caller: Caller, found: Receipt, first: bytes) -> AsyncIterator[bytes]:
    """Yield the lines. An error cuts off the response, so that a partial receipt is not mistaken for a complete one."""
    try:
        part = first
        while part:
            yield part
            part = await site.pools.questions.run(caller.name, _next_lines, found)
    except DelegraphError as fault:
        logger.warning("a receipt was cut off: %s", fault)
        raise
