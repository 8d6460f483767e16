"""``/openapi.json`` and the page ``/docs``, rendered here: no script, and no third-party file."""

import json
from collections.abc import Iterable, Iterator
from html import escape
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute

from lineage.deliver.http.route import Route
from lineage.serve.http.core.responses import document_response
from lineage.serve.http.openapi.document import document_of

_STYLE: Final = "docs.css"
_CACHED: Final = "public, max-age=3600"


def routes(described: Iterable[BaseRoute]) -> list[Route]:
    """Build both routes for the routes that they describe, and the style sheet of the page."""
    rendered: dict[str, Any] = {}

    def document() -> dict[str, Any]:
        if not rendered:
            rendered.update(document_of(described))
        return rendered

    async def openapi(request: Request) -> Response:
        return document_response(request, document())

    async def docs(_request: Request) -> Response:
        return HTMLResponse(page_of(document()))

    async def style(_request: Request) -> Response:
        text = files("lineage.serve.http").joinpath(_STYLE).read_text(encoding="utf-8")
        return Response(text, HTTPStatus.OK, {"Cache-Control": _CACHED}, "text/css")

    return [Route("GET", "/openapi.json", openapi), Route("GET", "/docs", docs), Route("GET", f"/{_STYLE}", style)]


def page_of(document: dict[str, Any]) -> str:
    """Render the document as a page for people."""
    title = escape(f"{document['info']['title']} {document['info']['version']}: HTTP API")
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{title}</title><link rel="stylesheet" href="/{_STYLE}"></head><body><main>',
        f"<h1>{title}</h1><p>{escape(document['info']['description'])}</p>",
        '<p>Machine-readable: <a href="/openapi.json">openapi.json</a> (OpenAPI 3.1).</p>',
    ]
    lines += ["<h2>Paths</h2><ul>", *_contents(document), "</ul>"]
    for path, method, operation in _operations(document):
        lines += _section(path, method, operation)
    shared = document["components"]["examples"]
    lines += ["<h2>Problems</h2>", *_examples("", {"examples": shared})]
    lines.append("<h2>Documents</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        described = escape(schema.get("description", ""))
        lines.append(
            f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{described}</p>{_block(schema)}</section>'
        )
    lines.append("</main></body></html>")
    return "\n".join(lines)


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _contents(document: dict[str, Any]) -> Iterator[str]:
    for path, method, operation in _operations(document):
        link = escape(operation.get("operationId", path))
        summary = escape(operation.get("summary", ""))
        yield f'<li><a href="#op-{link}"><code>{method} {escape(path)}</code></a> {summary}</li>'


def _section(path: str, method: str, operation: dict[str, Any]) -> Iterator[str]:
    link = escape(operation.get("operationId", path))
    yield f'<section id="op-{link}"><h3><code>{method} {escape(path)}</code></h3>'
    yield f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "<table><thead><tr><th>parameter</th><th>in</th><th>is</th><th>example</th></tr></thead><tbody>"
        for parameter in parameters:
            name = escape(parameter["name"]) + (" (required)" if parameter.get("required") else "")
            example = parameter.get("example", "")
            shown = ", ".join(map(str, example)) if isinstance(example, list) else str(example)
            yield f"<tr><td><code>{name}</code></td><td>{escape(parameter['in'])}</td>"
            yield f"<td>{escape(parameter.get('description', ''))}</td><td>{escape(shown)}</td></tr>"
        yield "</tbody></table>"
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: <code>{escape(media_type)}</code></p>"
        yield from _examples("", body) if "examples" in body else (_block(body.get("schema")),)
    yield "<table><thead><tr><th>status</th><th>means</th><th>document</th></tr></thead><tbody>"
    for status, response in operation.get("responses", {}).items():
        names = " ".join(_names(response))
        yield f"<tr><td>{escape(status)}</td><td>{escape(response.get('description', ''))}</td><td>{names}</td></tr>"
    yield "</tbody></table>"
    for status, response in operation.get("responses", {}).items():
        for content in response.get("content", {}).values():
            yield from _examples(f"{status}: ", content)
    yield "</section>"


def _examples(lead: str, content: dict[str, Any]) -> Iterator[str]:
    """Render the examples of one media type; shared ones are at the end of the page."""
    for example in content.get("examples", {}).values():
        if "$ref" not in example:
            summary = escape(f"{lead}{example['summary']}")
            more = f"<p>{escape(example['description'])}</p>" if "description" in example else ""
            yield f"<details><summary>{summary}</summary>{more}{_block(example['value'])}</details>"


def _names(response: dict[str, Any]) -> Iterator[str]:
    for media_type, content in response.get("content", {}).items():
        schema = content.get("schema", {})
        refs = [schema.get("$ref"), *(one.get("$ref") for one in schema.get("anyOf", ()))]
        for ref in filter(None, refs):
            name = escape(ref.rpartition("/")[2])
            yield f'<a href="#{name}">{name}</a>'
        yield f"<code>{escape(media_type)}</code>"


def _block(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    return f"<pre>{escape(text)}</pre>"
