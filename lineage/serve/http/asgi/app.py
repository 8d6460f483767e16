"""The application: every question under ``/v1``, further routes, and what all responses share."""

from collections.abc import Iterable, Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from lineage.deliver.http.route import Route
from lineage.serve.http.api import (
    batch_routes,
    case_routes,
    receipt_stream,
    receiver_routes,
    retention_endpoints,
    signed_answers,
    system_routes,
    tlog_routes,
    write_routes,
)
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.asgi.middleware import EvidenceHeader, RequestGuard
from lineage.serve.http.core import error_responses
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.metrics import Measures
from lineage.serve.http.core.question import Question, endpoint_of
from lineage.serve.http.openapi import docs_page
from lineage.serve.server.connections import Connections


def create_app(
    site: AppContext,
    *,
    parts: Sequence[BaseRoute] = (),
    show_fault: error_responses.ShowFault = error_responses.as_asked,
    connections: Connections | None = None,
) -> Starlette:
    """Create the application.

    Args:
        site: The application context.
        parts: Routes in addition to the API: delivery endpoints, pages.
        show_fault: Converts a problem document to a response; the pages render it for people.
        connections: The server's connections, for the metrics; None without a server.
    """
    measures = Measures(site.pools, connections)
    # Requests are matched route by route, so the most frequent ones come first.
    routes = [
        *_asking(site, [question for question in QUESTIONS if question.non_blocking]),
        # Before the other questions, because `/revocations/{id}` matches everything below it.
        *write_routes.routes(site),
        *batch_routes.routes(site),
        *receiver_routes.routes(site),
        *case_routes.routes(site),
        *retention_endpoints.routes(site),
        receipt_stream.route(site),
        *signed_answers.routes(site),
        *system_routes.routes(site, measures),
        *tlog_routes.routes(site),
        *parts,
        *_asking(site, [question for question in QUESTIONS if not question.non_blocking]),
    ]
    evidence = EvidenceHeader(site.evidence_sentence)
    guard = Middleware(
        RequestGuard, hosts=site.hosts, limits=site.limits, tls=site.tls, measures=measures, evidence=evidence
    )
    app = Starlette(routes=[*routes, *docs_page.routes(routes)], middleware=[guard])
    # Redirects use the host name of the request, and plain HTTP behind a TLS proxy.
    app.router.redirect_slashes = False
    error_responses.install(app, show_fault)
    return app


def _asking(site: AppContext, questions: Iterable[Question]) -> list[Route]:
    return [Route("GET", f"/v1{question.path}", endpoint_of(site, question)) for question in questions]
