"""The OpenAPI document: every path with parameters, answers, problems, roles and examples.

It is generated from the table of questions and the schemas of the documents, so it describes what is served.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from lineage import __version__
from lineage.serve.http.core.question import Question
from lineage.serve.http.openapi.delivery_operations import DELIVERIES
from lineage.serve.http.openapi.delivery_schemas import DELIVERED
from lineage.serve.http.openapi.examples import add_examples
from lineage.serve.http.openapi.field_glossary import describe
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    JSON,
    REF,
    SECURITY,
    SHARED,
    TEXT,
    answer,
    header,
    parameter_of,
    problems,
    ref,
    roles_of,
)
from lineage.serve.http.openapi.schemas import ANSWERS

_DESCRIPTION: Final = """\
Which human, which agent and which token were behind each action, and what a revocation of one of them ends.

Ids travel in the query, percent-encoded: `of=KIND:ID`, split at the first colon. Times are RFC 3339. Lists say whether
they are complete; `next` is the `after` of the next page. Errors are problem documents (RFC 9457) with stable types.

The examples are one conversation about one incident: an agent's token leaks, an investigator asks who used it, and it
is revoked until every gateway has confirmed it.
"""
_TAGS: Final = {
    "questions": "Who did what, by which authority, as of when; and what an order would end.",
    "writes": "Events in, orders, lifts and acknowledgements.",
    "operations": "The server's own status.",
    "enforcement": "Queries of a gateway before it honours a token.",
    "shared signals": "Streams of revocations (SSF 1.0), pushed or polled.",
    "keys and status lists": "Public: the signing keys, and token status lists.",
}
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A token of the issuer."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "delegraph-8480",
        "description": "Without an issuer: by the link that `delegraph serve` prints.",
    },
}


def operation_of(question: Question) -> dict[str, Any]:
    """Describe a question."""
    several = any(parameter.repeatable and parameter.name in question.about for parameter in question.parameters)
    one = ref(question.answer)
    if question.other_answer:
        one = {"anyOf": [one, ref(question.other_answer)]}
    said = answer(question.title, {"anyOf": [one, _many(one)]} if several else one, ETag="Changes with the document.")
    said["content"] |= {media_type: {"schema": TEXT} for media_type, _ in question.formats.values()}
    missing = ("404",) if _can_miss(question) else ()
    return {
        "operationId": _id_of(question.path),
        "summary": question.title,
        "description": roles_of(question.roles)
        + (" With several ids the answer is a list, in the order asked." if several else ""),
        "tags": ["questions"],
        "parameters": [parameter_of(parameter) for parameter in question.parameters]
        + [
            header(
                "If-None-Match", "The `ETag` of the answer that the client has.", example='"0f6e1f0f8e8d8a2d3c4b5a69"'
            )
        ],
        "responses": {
            "200": said,
            "304": {"description": "The client has it already."},
            **problems("400", "401", "403", *missing, *SHARED, *ALWAYS),
        },
        "security": SECURITY,
    }


def _can_miss(question: Question) -> bool:
    named = {parameter.name for parameter in question.parameters} & {"of", "action", "id"}
    return bool(named) or "agent" in question.about


def _many(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["items", "total", "complete", "next"],
        "properties": {
            "items": {"type": "array", "items": {"anyOf": [one, ref("Missing")]}},
            "total": {"type": ["integer", "null"]},
            "complete": {"type": "boolean"},
            "next": {"type": ["string", "null"]},
        },
    }


def _id_of(path: str) -> str:
    name, _, rest = path.strip("/").partition("/")
    return name.removesuffix("s") if rest.startswith("{") else f"{name}_{rest}" if rest else name


def document_of(app: FastAPI) -> dict[str, Any]:
    """Build the OpenAPI document of an application."""
    document = get_openapi(
        title="delegraph",
        version=__version__,
        summary="Who stood behind the actions of AI agents, and what a revocation ends",
        description=_DESCRIPTION,
        routes=app.routes,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    said = {path.replace(":path}", "}"): methods for path, methods in document["paths"].items()}
    document["paths"] = {path: dict(_said(path, methods)) for path, methods in said.items()}
    delivers = any((method, path) in DELIVERIES for path, methods in said.items() for method in methods)
    shapes = ANSWERS | DELIVERED if delivers else ANSWERS
    document["components"] = {"schemas": _schemas(shapes), "securitySchemes": _SCHEMES}
    document = dict(json.loads(json.dumps(document)))  # nothing in it is shared any more, so each part may be extended
    describe(document)
    add_examples(document)
    used = {tag for methods in document["paths"].values() for said in methods.values() for tag in said.get("tags", ())}
    document["tags"] = [{"name": name, "description": said} for name, said in _TAGS.items() if name in used]
    return document


def _said(path: str, methods: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for method, operation in methods.items():
        said = DELIVERIES.get((method, path), operation)
        # The framework's own responses; here errors are problem documents.
        if said["responses"].get("422", {}).get("description") == "Validation Error":
            del said["responses"]["422"]
        if said["responses"].get("200") == _UNSAID:
            del said["responses"]["200"]
        for response in said["responses"].values():
            if response.get("content", {}).get(JSON) == _ANYTHING:
                del response["content"][JSON]
        yield method, {**said, "responses": dict(sorted(said["responses"].items()))}


def _schemas(shapes: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, shape in shapes.items():
        schema = TypeAdapter(shape).json_schema(ref_template=f"{REF}{{model}}", mode="serialization")
        found.update(schema.pop("$defs", {}))
        found[name] = schema
    return found


_ANYTHING: Final[dict[str, Any]] = {"schema": {}}
_UNSAID: Final = {"description": "Successful Response", "content": {JSON: _ANYTHING}}
