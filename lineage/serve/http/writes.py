"""The endpoints that write, and the receipt, which is a stream. They read requests; ``orders`` and ``events`` do it."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack
from http import HTTPStatus
from itertools import islice
from typing import Final
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lineage.core.errors import DelegraphError, UnavailableError
from lineage.deliver.callers import Role, require
from lineage.serve import revocations
from lineage.serve.http import events, orders
from lineage.serve.http.answers import document_response
from lineage.serve.http.asking import ASKERS, log_access
from lineage.serve.http.bodies import read_body, read_object
from lineage.serve.http.faults import NotFoundError
from lineage.serve.http.openapi import OPERATIONS
from lineage.serve.http.parameters import REVOCATION, TIMES
from lineage.serve.http.query import Query, usable_id
from lineage.serve.http.site import Site
from lineage.serve.revocations import Receipt

logger = logging.getLogger(__name__)

RECEIPTS: Final = 2  # that are read at the same time; each holds a connection of the store
_LINES: Final = 500  # of a receipt, sent at once


def router(site: Site) -> APIRouter:
    """``POST /v1/events``, ``POST /v1/revocations``, ``…/lift`` and ``GET …/receipt``."""
    router = APIRouter(prefix="/v1")
    reading = asyncio.Semaphore(RECEIPTS)

    async def take_events(request: Request) -> Response:
        caller = require(await site.workers.run(site.authenticate, request), Role.PRODUCER)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        raw = await read_body(request, site.limits.body_bytes)
        document = await site.writers.run(events.take, site, caller, media_type, raw)
        log_access(caller, request, read=document["read"], accepted=document["accepted"])
        return document_response(request, document)

    async def give_order(request: Request) -> Response:
        caller = require(await site.workers.run(site.authenticate, request), Role.RESPONDER)
        body = await read_object(request)
        key = request.headers.get("idempotency-key")
        document = await site.writers.run(orders.order, site, caller, body, key=key)
        log_access(caller, request, revocation=document["revocation"], repeated=document["repeated"])
        response = document_response(request, document, status=HTTPStatus.CREATED)
        response.headers["Location"] = f"/v1/revocations/{quote(document['revocation'], safe='')}"
        return response

    async def lift_order(request: Request) -> Response:
        caller = require(await site.workers.run(site.authenticate, request), Role.RESPONDER)
        body = await read_object(request)
        revocation = request.path_params["id"]
        document = await site.writers.run(orders.lift, site, caller, revocation, body)
        log_access(caller, request, revocation=revocation)
        return document_response(request, document)

    async def read_receipt(request: Request) -> Response:
        caller = require(await site.workers.run(site.authenticate, request), *ASKERS)
        query = Query.of(request.path_params, request.query_params, (REVOCATION, *TIMES), now=site.now)
        revocation = usable_id(query.the("id"), parameter="id")
        log_access(caller, request, revocation=revocation)
        if reading.locked():
            raise UnavailableError("other receipts are being read; try again")
        stack = ExitStack()
        await reading.acquire()
        try:
            opening = revocations.receipt(site.service, revocation, at=query.at, known_at=query.known_at)
            found = _there(revocation, await site.workers.run(stack.enter_context, opening))
            first = await site.workers.run(_lines, found)
        except BaseException:
            site.workers.later(stack.close)
            reading.release()
            raise
        return StreamingResponse(_told(site, found, first, stack, reading), media_type="application/x-ndjson")

    router.add_api_route("/events", take_events, methods=["POST"], openapi_extra=OPERATIONS["take_events"])
    router.add_api_route("/revocations", give_order, methods=["POST"], openapi_extra=OPERATIONS["give_order"])
    router.add_api_route(
        "/revocations/{id:path}/lift", lift_order, methods=["POST"], openapi_extra=OPERATIONS["lift_order"]
    )
    router.add_api_route(
        "/revocations/{id:path}/receipt", read_receipt, methods=["GET"], openapi_extra=OPERATIONS["read_receipt"]
    )
    return router


def _there(revocation: str, found: Receipt | None) -> Receipt:
    if found is None:
        raise NotFoundError(revocation)
    return found


def _lines(found: Receipt) -> bytes:
    return b"".join(line + b"\n" for line in islice(found.lines, _LINES))


async def _told(
    site: Site, found: Receipt, first: bytes, stack: ExitStack, reading: asyncio.Semaphore
) -> AsyncIterator[bytes]:
    """The lines. A fault among them cuts the answer off, so that half a receipt is not taken for one."""
    try:
        part = first
        while part:
            yield part
            part = await site.workers.run(_lines, found)
    except DelegraphError as fault:
        logger.warning("a receipt was cut off: %s", fault)
        raise
    finally:
        site.workers.later(stack.close)
        reading.release()
