"""The app: every question under ``/v1``, what else is mounted, and what every answer has in common."""

from collections.abc import Awaitable, Callable, Iterable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from lineage import __version__
from lineage.deliver.direct import DirectRoute
from lineage.serve.http import faults, own, receipts, reference, writes
from lineage.serve.http.answers import document_response
from lineage.serve.http.asking import Question, answered
from lineage.serve.http.measures import Measures
from lineage.serve.http.openapi import operation_of
from lineage.serve.http.questions import QUESTIONS
from lineage.serve.http.shell import Shell
from lineage.serve.http.site import Site


def create_app(
    site: Site, *, parts: Sequence[APIRouter] = (), show_fault: faults.ShowFault = faults.as_asked
) -> FastAPI:
    """The app.

    Args:
        site: What is served.
        parts: What is mounted beside the API: the delivery endpoints, the pages.
        show_fault: What is sent for a problem document; the pages make a page of it for people.
    """
    # A redirect goes to a URL that is made of the header Host, and in the clear behind a proxy with TLS.
    app = FastAPI(
        title="delegraph",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    faults.install(app, show_fault)
    measures = Measures()
    # A request is held against route after route: what is asked most comes first.
    app.include_router(_asking(site, [question for question in QUESTIONS if question.at_once]))
    app.include_router(writes.router(site))  # before the other questions: `/revocations/{id}` takes all that is below
    app.include_router(receipts.router(site))
    app.include_router(own.router(site, measures))
    for part in parts:
        app.include_router(part)
    app.include_router(_asking(site, [question for question in QUESTIONS if not question.at_once]))
    app.include_router(reference.router(app))
    app.add_middleware(Shell, hosts=site.hosts, limits=site.limits, tls=site.tls, measures=measures)
    return app


def _asking(site: Site, questions: Iterable[Question]) -> APIRouter:
    router = APIRouter(prefix="/v1", route_class=DirectRoute)
    for question in questions:
        endpoint = _endpoint(site, question)
        router.add_api_route(question.path, endpoint, methods=["GET"], openapi_extra=operation_of(question))
    return router


def _endpoint(site: Site, question: Question) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        answer = await answered(site, question, request)
        return document_response(request, answer.document)

    return endpoint
