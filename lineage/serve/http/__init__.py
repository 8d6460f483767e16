"""The HTTP API (docs/http-api.md): the documents of the command line over HTTP, and the interface for pages.

The page at ``/x`` is the JSON document at ``/v1/x`` put into a template. This is by construction: a question is one
plain function in one table (``questions.QUESTIONS``), and ``question.answered`` does everything between a request and
its document: authentication, authorisation, parameters, the access log. The API serves the document as it is; a page
serves it through its template:

    def pages(site: AppContext) -> list[Route]:
        return [
            Route("GET", question.path, page_of(site, question, TEMPLATES[question.path])) for question in QUESTIONS
        ]

    async def page(request: Request) -> Response:
        answer = await answered(site, question, request)      # errors become problem documents, or pages of them
        return templates.TemplateResponse(request, template, {"document": answer.document, "caller": answer.caller})

    app = create_app(site, parts=pages(site), show_fault=page_of_problem)

Writes are plain functions ``(site, caller, body) -> document`` as well (``order_endpoints``, ``event_endpoints``),
so that a form on a page gives an order by the same code as ``POST /v1/revocations``.
"""
