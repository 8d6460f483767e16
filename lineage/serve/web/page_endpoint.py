"""Pages of questions: each is the API's document, put into a template (docs/pages.md).

A page calls ``answered``, as the API does; related documents come from the same functions.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from lineage.core.model.times import Instant
from lineage.deliver.http.callers import Caller, Role
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.parameters import TIMES
from lineage.serve.http.core.query import Parameter, ParameterError, Query, normalise_fields
from lineage.serve.http.core.question import AnsweredQuery, Question, answered
from lineage.serve.web.links import Links
from lineage.serve.web.templating import environment

MOMENT: Final = frozenset({"at", "known_at"})
PAGED: Final = frozenset({"after", "limit"})
SHOWN: Final = 20  # items of a list on its page, which is then a few screens tall, also on a phone
_CHOSEN: Final = "delegraph.chosen"  # in the scope of a request: the parameter that the page chose, not the address
_TALL: Final = {"/timeline": 8, "/revocations": 14, "/findings": 15, "/tokens": 15}  # where an item takes many lines
# Our own forms send their origin; otherwise their orders would be refused.
HEADERS: Final = {"Referrer-Policy": "same-origin", "Cache-Control": "no-store"}
TEMPLATES: Final = environment()
ASKED: Final = {question.path: question for question in QUESTIONS}

UNDERSTOOD: Final = "delegraph.understood"  # in the scope of a request: see ``PageRequest.understood``
FROM_ENTRY: Final = Parameter("after", {"type": "integer"}, "The number of entries on the pages before.")
MARKED: Final = Parameter("mark", {"type": "string"}, "The enforcement point to mark by hand.")
_MOST_ENTRIES: Final = 100_000_000

View = Callable[["PageRequest"], Mapping[str, Any]]
"""Computes what a page shows in addition to its document."""


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The request of a page, and how to get related documents.

    Attributes:
        site: The application context.
        caller: The caller.
        query: The query.
        document: The answer.
        links: Builds links.
        understood: How an abbreviated id was understood: ``typed``, and the ``keys`` of what it may be.
    """

    site: AppContext
    caller: Caller
    query: Query
    document: Document
    links: Links
    understood: Sequence[Mapping[str, Any]] = ()

    @property
    def at(self) -> Instant | None:
        """The instant asked about; None for now."""
        return self.query.instant("at")

    def more(self, path: str, **params: str | None) -> Document | None:
        """Return another document, at the same time if it depends on time; None if no fact names the thing."""
        question = ASKED[path]
        known = {parameter.name for parameter in question.parameters}
        values = {"at": self.links.at, "known_at": self.links.known_at, **params}
        items = [(name, value) for name, value in values.items() if value and name in known]
        query = Query(items, question.parameters, now=self.query.now)
        try:
            return question.ask(self.site, self.caller, query)
        except NotFoundError:
            return None


def page_of(
    site: AppContext,
    path: str,
    template: str,
    view: View,
    *,
    extra: tuple[Parameter, ...] = (),
    links: type[Links] = Links,
) -> Callable[[Request], Awaitable[Response]]:
    """Build the endpoint of a page.

    Args:
        site: The application context.
        path: The question's path.
        template: The template.
        view: Returns what is shown in addition to the document.
        extra: Presentation parameters.
        links: Builds links.
    """
    question: Question = ASKED[path]
    single = next((name for name in question.about if _is_repeatable(question, name)), None)

    async def page(request: Request) -> Response:
        request = _with_few(with_normalised_query(request), question)
        if single is not None and len(request.query_params.getlist(single)) > 1:
            raise ParameterError(single, f"a page shows one; ask /v1{path} for several")
        answer = await answered(site, question, request, extra=(*TIMES, *extra))
        hidden = {parameter.name for parameter in extra}
        leading = links(answer.query.text("at"), answer.query.text("known_at"))
        moves = {parameter.name for parameter in question.parameters} & MOMENT
        return await site.pools.questions.run(
            answer.caller.name, _written, site, request, answer, template, view, leading, moves, hidden
        )

    return page


def first_entry(query: Query) -> int:
    """Return how many entries the previous pages had."""
    return query.number("after", default=1, most=_MOST_ENTRIES) if query.text("after") else 0


def with_normalised_query(request: Request) -> Request:
    """Return the request with its query normalised as a form."""
    params = normalise_fields(request.query_params.multi_items())
    return Request({**request.scope, "query_string": urlencode(params).encode()})


def _with_few(request: Request, question: Question) -> Request:
    """Ask for as many items as a page shows, unless the address says how many."""
    if not any(parameter.name == "limit" for parameter in question.parameters):
        return request
    return with_default(request, "limit", _TALL.get(question.path, SHOWN))


def with_default(request: Request, name: str, value: int) -> Request:
    """Set a parameter that the address does not have; links to the same page leave it out."""
    items = request.query_params.multi_items()
    if name in dict(items):
        return request
    items.append((name, str(value)))
    return Request({**request.scope, "query_string": urlencode(items).encode(), _CHOSEN: name})


def _is_repeatable(question: Question, name: str) -> bool:
    return any(parameter.name == name and parameter.repeatable for parameter in question.parameters)


def _written(
    site: AppContext,
    request: Request,
    answer: AnsweredQuery,
    template: str,
    view: View,
    links: Links,
    moves: Collection[str],
    aside: Collection[str],
) -> Response:
    understood = request.scope.get(UNDERSTOOD, ())
    page = PageRequest(site, answer.caller, answer.query, answer.document, links, understood)
    evidence = site.evidence.sentence()
    context = {"doc": answer.document, "csv": _file_of(request), "evidence": evidence, **view(page)}
    return render_template(request, template, context, caller=answer.caller, links=links, moves=moves, aside=aside)


def _file_of(request: Request) -> str | None:
    """Return the address of the same list as CSV; None if the document is not a list."""
    question = ASKED.get(request.url.path)
    if question is None or "csv" not in question.formats:
        return None
    known = {parameter.name for parameter in question.parameters} - PAGED
    params = [(name, value) for name, value in request.query_params.multi_items() if name in known]
    return f"{request.url.path}.csv?{urlencode(params)}"


def load_shared_templates() -> None:
    """Load the templates that nearly every page uses, which takes longer than the rest of a page."""
    for name in ("base.html", "page.html", "parts.html", "status.html", "start.html"):
        TEMPLATES.get_template(name)


def templates() -> Iterator[str]:
    """Load every template, one per step, so that the first page does not have to."""
    for name in TEMPLATES.list_templates():
        TEMPLATES.get_template(name)
        yield name


def render_template(
    request: Request,
    template: str,
    context: Mapping[str, Any],
    *,
    caller: Caller | None,
    links: Links | None = None,
    moves: Collection[str] = MOMENT,
    aside: Collection[str] = (),
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a template as a response.

    Args:
        request: The request.
        template: Its name.
        context: Its variables, in addition to those of every page.
        caller: The caller; None if unknown.
        links: Builds links.
        moves: Which of ``at`` and ``known_at`` the document depends on.
        aside: Parameters unknown to the document.
        status: The HTTP status.
        headers: More headers.
    """
    links = links or Links()
    whole = [(name, value) for name, value in request.query_params.multi_items() if name not in MOMENT]
    filters = [(name, value) for name, value in _chosen_params(request) if name not in MOMENT]
    moment = [
        (name, value) for name, value in (("at", links.at), ("known_at", links.known_at)) if value and name in moves
    ]
    api_params = [(name, value) for name, value in whole if name not in aside] + moment
    given = {
        "caller": caller,
        "navigable": caller is not None,
        "may_order": caller is not None and Role.RESPONDER in caller.roles,
        "links": links,
        "moves": moves,
        "path": path_of(request),
        "kept": filters,
        "here": lambda **params: current_address(request, **params),
        "api": f"/v1{path_of(request)}" + (f"?{urlencode(api_params)}" if api_params else ""),
        "after": request.query_params.get("after"),
        "address": "",
        **context,
    }
    parts = TEMPLATES.get_template("parts.html").make_module(given)
    html = TEMPLATES.get_template(template).render(parts=parts, **given)
    return HTMLResponse(html, status_code=status, headers={**HEADERS, **(headers or {})})


def current_address(request: Request, **params: object) -> str:
    """Return the address of the same page with some parameters changed; for a list, its first page."""
    replaced = {"at", "known_at", "after", *params}
    unchanged = [(name, value) for name, value in _chosen_params(request) if name not in replaced]
    query = [*unchanged, *((name, value) for name, value in params.items() if value not in (None, ""))]
    return path_of(request) + (f"?{urlencode(query)}" if query else "")


def _chosen_params(request: Request) -> list[tuple[str, str]]:
    """Return the parameters that were given, without the one that the page chose itself."""
    chosen = request.scope.get(_CHOSEN)
    return [pair for pair in request.query_params.multi_items() if pair[0] != chosen]


def path_of(request: Request) -> str:
    """Return the path of a request as in an address: an id in it may contain anything."""
    return quote(request.scope["path"], safe="/:@!$'()*,;=~")
