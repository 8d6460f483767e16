"""The chain of an action, a token or a delegation as a file, such as ``/who.svg?action=mail-7``."""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.serve.drawing.formats import MEDIA_TYPES, render
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import ParameterError
from lineage.serve.http.core.question import Question, answered
from lineage.serve.web.page_endpoint import ASKED, HEADERS, with_normalised_query

CHAINS: Final = ("/who", "/chain")
FORMS: Final = {"svg": "svg", "mermaid": "mmd", "dot": "dot", "graphml": "graphml"}  # with the ending of its files


def paths() -> list[tuple[str, str, str]]:
    """Return each address with its question and its format."""
    return [(f"{path}.{ending}", path, form) for path in CHAINS for form, ending in FORMS.items()]


def file_of(site: AppContext, path: str, form: str) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint of the picture of one chain."""
    question: Question = ASKED[path]
    [single] = question.about

    async def file(request: Request) -> Response:
        request = with_normalised_query(request)
        if len(request.query_params.getlist(single)) > 1:
            raise ParameterError(single, "a picture shows one")
        answer = await answered(site, question, request)
        text = await site.pools.questions.run(answer.caller.name, render, form, answer.document)
        return Response(text, media_type=MEDIA_TYPES[form], headers=HEADERS)

    return file
