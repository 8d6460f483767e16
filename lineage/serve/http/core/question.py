"""A question over HTTP: one plain function in a table, and everything between a request and its document.

``/v1`` + path answers with the document; the page of the same path puts it into a template. Both call ``answered``.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.errors import DelegraphError, WouldBlockError
from lineage.core.model.times import format_instant
from lineage.deliver.http.access_log import log_access
from lineage.deliver.http.callers import Caller, Role, require
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Parameter, ParameterError, Query
from lineage.serve.http.core.responses import document_response, text_response

ASKERS: Final = (Role.INVESTIGATOR, Role.RESPONDER)  # responders look before they order

Ask = Callable[[AppContext, Caller, Query], Document]
Writer = tuple[str, Callable[[Document], str]]
"""A media type, and what writes a document in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question.

    Attributes:
        path: The path: the document is at ``/v1`` + path, the page at the path.
        ask: Answers it; blocks; raises NotFoundError if no fact names what is asked for.
        parameters: The allowed parameters.
        title: What it answers, in a few words.
        roles: The allowed roles; one of them is enough.
        answer: The name of the document's schema in the OpenAPI document.
        other_answer: The name of another schema if a parameter decides between the two; empty if there is none.
        formats: Other formats of the document, by the value of the parameter ``format``: the media type, and the
            function that writes it.
        shows_one: Whether the other formats show one thing, where the document may be about several.
        about: The parameters that contain ids, for the access log.
        non_blocking: Whether it may be answered from the cache without blocking.
    """

    path: str
    ask: Ask
    parameters: tuple[Parameter, ...]
    title: str
    roles: tuple[Role, ...] = ASKERS
    answer: str = "Document"
    other_answer: str = ""
    formats: Mapping[str, Writer] = field(default_factory=dict)
    shows_one: bool = False
    about: tuple[str, ...] = ("of",)
    non_blocking: bool = False


@dataclass(frozen=True, slots=True)
class AnsweredQuery:
    """A document, its caller, and its query."""

    document: Document
    caller: Caller
    query: Query


def endpoint_of(site: AppContext, question: Question) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint that answers with the document, or with another format of it."""

    async def endpoint(request: Request) -> Response:
        answer = await answered(site, question, request)
        if (form := question.formats.get(answer.query.text("format") or "")) is not None:
            return _written(request, answer.document, *form)
        return document_response(request, answer.document)

    return endpoint


def _written(request: Request, document: Document, media_type: str, write: Callable[[Document], str]) -> Response:
    """Build the response in another format; a list that continues has a link to the next page."""
    response = text_response(request, write(document), media_type)
    if (following := document.get("next")) is not None:
        query = request.url.include_query_params(after=following).query
        response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    return response


async def answered(
    site: AppContext, question: Question, request: Request, *, extra: tuple[Parameter, ...] = ()
) -> AnsweredQuery:
    """Answer a request.

    Args:
        site: The application context.
        question: The question.
        request: The request.
        extra: Presentation parameters of a page, unknown to the question.

    Raises:
        DelegraphError: Any error; ``error_responses`` converts it to a problem document.
    """
    # A server is asked for changes while the request is read: the answer is of some time after the request arrived.
    checks = site.non_blocking.checks if question.non_blocking else None
    check = None if checks is None else checks.begin()
    caller = require(await site.caller_of(request), *question.roles)
    query = Query.of(request.path_params, request.query_params, (*question.parameters, *extra), now=site.now)
    if question.non_blocking:
        version = None if check is None else await check
        view = site.non_blocking.view(version)
        if view is not None and (checks is None or version is not None):
            try:  # switching to a thread and back takes longer than the answer
                return _answer(view, question, caller, query, request)
            except WouldBlockError:
                pass
    return await site.pools.questions.run(caller.name, _answer, site, question, caller, query, request)


def _answer(site: AppContext, question: Question, caller: Caller, query: Query, request: Request) -> AnsweredQuery:
    ids = dict(asked_ids(question, query))
    try:
        _refuse_format(question, query)
        document = question.ask(site, caller, query)
    except WouldBlockError:
        raise  # retried on a thread
    except DelegraphError:
        log_access(caller, request, **ids)
        raise
    log_access(caller, request, **ids)
    return AnsweredQuery(document, caller, query)


def _refuse_format(question: Question, query: Query) -> None:
    """Refuse a format that the question does not have, or not for this query."""
    if not question.formats or query.choice("format", ("json", *question.formats)) == "json":
        return
    if question.shows_one and (several := next((name for name in question.about if len(query.all(name)) > 1), None)):
        raise ParameterError(several, "a picture shows one; ask for several as JSON")


def asked_ids(question: Question, query: Query) -> Iterator[tuple[str, Any]]:
    """Yield what the access log records of a query: the ids and the time asked about."""
    for name in question.about:
        if values := query.all(name):
            yield name, values
    if any(parameter.name == "at" for parameter in question.parameters):
        yield "at", format_instant(query.at)
