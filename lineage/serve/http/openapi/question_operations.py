"""The OpenAPI descriptions of the questions, by method and path, generated from their table."""

from typing import Final

from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.core.question import Question
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    SECURITY,
    SHARED,
    TEXT,
    Described,
    answer,
    header,
    parameter_of,
    problems,
    ref,
    roles_of,
)


def _operation_of(question: Question) -> Described:
    several = any(parameter.repeatable and parameter.name in question.about for parameter in question.parameters)
    one = ref(question.answer)
    if question.other_answer:
        one = {"anyOf": [one, ref(question.other_answer)]}
    response = answer(
        question.title,
        {"anyOf": [one, _many(one)]} if several else one,
        ETag="Changes with the document.",
        Delegraph_Evidence="The checkpoint that the log is under, and how many records came later; none if nothing is "
        "signed. At most a second old.",
    )
    response["content"] |= {media_type: {"schema": TEXT} for media_type, _ in question.formats.values()}
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
            "200": response,
            "304": {"description": "The client has it already."},
            **problems("400", "401", "403", *missing, *SHARED, *ALWAYS),
        },
        "security": SECURITY,
    }


def _can_miss(question: Question) -> bool:
    named = {parameter.name for parameter in question.parameters} & {"of", "action", "id", "fact"}
    return bool(named) or "agent" in question.about


def _many(one: Described) -> Described:
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
    if not rest.startswith("{"):
        return f"{name}_{rest}" if rest else name
    below = rest.partition("}/")[2]
    return f"{name.removesuffix('s')}_{below}" if below else name.removesuffix("s")


ASKED: Final = {
    ("GET", f"/v1{question.path}".replace(":path}", "}")): _operation_of(question) for question in QUESTIONS
}
