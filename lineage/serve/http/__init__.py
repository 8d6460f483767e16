"""The HTTP API (docs/http-api.md): the documents of the command line over HTTP, and the place where pages plug in.

The page at ``/x`` is the JSON document at ``/v1/x`` put into a template. That is how it is built, not a promise: a
question is one plain function in one table (``questions.QUESTIONS``), and ``asking.answered`` does everything that
stands between a request and its document: who asks, what they may, what they ask, the access log. The API serves the
document as it is; a page serves it through its template:

    def router(site: Site) -> APIRouter:
        router = APIRouter()
        for question in QUESTIONS:
            router.add_api_route(question.path, page_of(site, question, TEMPLATES[question.path]), ...)
        return router

    async def page(request: Request) -> Response:
        answer = await answered(site, question, request)      # raises what becomes a problem, or a page of one
        return templates.TemplateResponse(request, template, {"document": answer.document, "caller": answer.caller})

    app = create_app(site, parts=[router(site)], show_fault=page_of_problem)

What writes is a plain function ``(site, caller, body) -> document`` as well (``orders``, ``events``), so that a form of
a page gives an order by the same code as ``POST /v1/revocations``.
"""
