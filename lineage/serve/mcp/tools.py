"""The tools: which questions they are, the JSON schemas of their arguments, and arguments as a query.

A tool is a question of the HTTP API in another envelope, so it takes the same parameters and answers with the same
document. Only questions about the store are tools; nothing that writes is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.core.query import Parameter, ParameterError
from lineage.serve.http.core.question import Question

_NAMES: Final = (
    "who",
    "chain",
    "status",
    "reach",
    "actions",
    "findings",
    "overview",
    "search",
    "principals",
    "tokens",
    "delegations",
    "timeline",
    "cases",
)
_FORMAT: Final = "format"  # a tool answers with the document, never with a picture

TOOLS: Final[Mapping[str, Question]] = {
    name: next(question for question in QUESTIONS if question.path == f"/{name}") for name in _NAMES
}


def input_schema(question: Question) -> dict[str, Any]:
    """Describe the arguments of a tool as a JSON schema (draft 2020-12)."""
    parameters = list(_parameters(question))
    return {
        "type": "object",
        "properties": {parameter.name: _schema(parameter) for parameter in parameters},
        "required": [parameter.name for parameter in parameters if parameter.required],
        "additionalProperties": False,
    }


def _parameters(question: Question) -> Iterator[Parameter]:
    return (parameter for parameter in question.parameters if parameter.name != _FORMAT)


def _schema(parameter: Parameter) -> dict[str, Any]:
    one = dict(parameter.schema)
    schema = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]} if parameter.repeatable else one
    described = {**schema, "description": parameter.description}
    return described if parameter.example is None else {**described, "examples": [parameter.example]}


def items_of(arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Convert the arguments of a call to the items of a query, as they would be in a URL.

    Raises:
        ParameterError: A value is neither a text, a number, a boolean, nor a list of these.
    """
    return [
        (name, _text(name, value))
        for name, values in arguments.items()
        for value in (values if isinstance(values, list) else [values])
    ]


def _text(name: str, value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case int():
            return str(value)
        case _:
            raise ParameterError(name[:64], "is neither a text, a whole number, true nor false")


def query_parameters(question: Question) -> tuple[Parameter, ...]:
    """Return the parameters that a call may give."""
    return tuple(_parameters(question))
