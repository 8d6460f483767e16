"""The application: every question under ``/v1``, further routers, and what all responses share."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from lineage import __version__
from lineage.deliver.http.bare_route import DirectRoute
from lineage.serve.http.api import batch_routes, receipt_stream, receiver_routes, system_routes, write_routes
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.asgi.middleware import RequestGuard
from lineage.serve.http.core import error_responses
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.metrics import Measures
from lineage.serve.http.core.question import Question, answered
from lineage.serve.http.core.responses import document_response, text_response
from lineage.serve.http.openapi import docs_page
from lineage.serve.http.openapi.document import operation_of
from lineage.serve.server.connections import Connections


def create_app(
    site: AppContext,
    *,
    parts: Sequence[APIRouter] = (),
    show_fault: error_responses.ShowFault = error_responses.as_asked,
    connections: Connections | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        site: The application context.
        parts: Routers to mount in addition to the API: delivery endpoints, pages.
        show_fault: Converts a problem document to a response; the pages render it for people.
        connections: The server's connections, for the metrics; None without a server.
    """
    # Redirects use the host name of the request, and plain HTTP behind a TLS proxy.
    app = FastAPI(
        title="delegraph",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    error_responses.install(app, show_fault)
    measures = Measures(site.pools, connections)
    # Requests are matched route by route, so the most frequent ones come first.
    app.include_router(_asking(site, [question for question in QUESTIONS if question.at_once]))
    # Before the other questions, because `/revocations/{id}` matches everything below it.
    app.include_router(write_routes.router(site))
    app.include_router(batch_routes.router(site))
    app.include_router(receiver_routes.router(site))
    app.include_router(receipt_stream.router(site))
    app.include_router(system_routes.router(site, measures))
    for part in parts:
        app.include_router(part)
    app.include_router(_asking(site, [question for question in QUESTIONS if not question.at_once]))
    app.include_router(docs_page.router(app))
    app.add_middleware(RequestGuard, hosts=site.hosts, limits=site.limits, tls=site.tls, measures=measures)
    return app


def _asking(site: AppContext, questions: Iterable[Question]) -> APIRouter:
    router = APIRouter(prefix="/v1", route_class=DirectRoute)
    for question in questions:
        endpoint = _endpoint(site, question)
        router.add_api_route(question.path, endpoint, methods=["GET"], openapi_extra=operation_of(question))
    return router


def _endpoint(site: AppContext, question: Question) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        answer = await answered(site, question, request)
        if (form := question.formats.get(answer.query.text("format") or "")) is not None:
            media_type, write = form
            return text_response(request, write(answer.document), media_type)
        return document_response(request, answer.document)

    return endpoint
