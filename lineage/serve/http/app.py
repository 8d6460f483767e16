"""The app: every question under ``/v1``, what else is mounted, and what every answer has in common."""

from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from lineage import __version__
from lineage.serve.http import faults
from lineage.serve.http.answers import document_response
from lineage.serve.http.asking import Question, answered
from lineage.serve.http.questions import QUESTIONS
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
    app = FastAPI(title="delegraph", version=__version__, docs_url=None, redoc_url=None)
    faults.install(app, show_fault)
    for question in QUESTIONS:
        app.add_api_route(f"/v1{question.path}", _endpoint(site, question), methods=["GET"], summary=question.title)
    for part in parts:
        app.include_router(part)
    return app


def _endpoint(site: Site, question: Question) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        answer = await answered(site, question, request)
        return document_response(request, answer.document)

    endpoint.__name__ = question.path.strip("/")
    return endpoint
