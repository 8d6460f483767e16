"""The building blocks of the OpenAPI document: parameters, bodies, answers, problems, roles."""

from collections.abc import Iterable
from typing import Any, Final

from lineage.deliver.http.callers import Role
from lineage.plumbing.problem_documents import MEDIA_TYPE
from lineage.serve.http.core.query import Parameter

Described = dict[str, Any]

REF: Final = "#/components/schemas/"
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
FORM: Final = "application/x-www-form-urlencoded"
SECURITY: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"session": []}]
OPEN: Final[list[Any]] = []
ANYWHERE: Final = ("414", "421")  # for every operation, before authentication
ALWAYS: Final = (*ANYWHERE, "503")  # for every operation that reads the store
SHARED: Final = ("429",)  # for every operation on shared threads
WITH_BODY: Final = ("408", "413", "415")  # for every operation with a body
TEXT: Final[Described] = {"type": "string"}

_PROBLEMS: Final = {
    "400": "A parameter, a header or the body is wrong; `parameter` names it.",
    "401": "The caller is not authenticated.",
    "403": "The caller may not do that.",
    "404": "No fact names it; for a stream or a list: the caller has none of that name.",
    "406": "It is not available in that format.",
    "408": "The body did not come in time; the connection is closed.",
    "409": "It conflicts with the current state: an order differs from its plan (`differs`) or would end what "
    "the plan does not list (`unlisted`), a case was changed meanwhile, or a receiver already has a stream.",
    "413": "The body is too large.",
    "414": "The URL is too long; ask for less at once.",
    "415": "The body is of another media type.",
    "422": "The key was used for a different order.",
    "421": "This host name (the header `Host`) is not served here.",
    "429": "The caller has too many requests in progress, or asked for this too often; `Retry-After` of the former "
    "says when to try again.",
    "501": "No transmitter is configured here: issuer and key are not set.",
    "503": "The log or the store is unavailable, there are too many concurrent requests, or it takes too "
    "long; the type tells which, and `Retry-After` when to try again.",
}

_PROBLEM_HEADERS: Final = {
    "401": {"WWW_Authenticate": "How to authenticate; `error` says that the bearer token is invalid."},
    "403": {"WWW_Authenticate": "For a bearer token that lacks the role: `insufficient_scope`."},
    "429": {"Retry_After": "When to try again, in seconds."},
    "503": {"Retry_After": "When to try again, in seconds."},
}


def ref(name: str) -> Described:
    """Refer to a schema by name."""
    return {"$ref": f"{REF}{name}"}


def roles_of(roles: Iterable[Role]) -> str:
    """List the allowed roles in words."""
    return f"Role: {' or '.join(sorted(roles))}."


def parameter_of(parameter: Parameter) -> Described:
    """Describe a parameter of a question."""
    schema: Described = dict(parameter.schema)
    if parameter.repeatable:
        schema = {"type": "array", "items": schema, "minItems": 1, "maxItems": 100}
    found: Described = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.required,
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.example is not None:
        found["example"] = [parameter.example] if parameter.repeatable else parameter.example
    return found


def header(name: str, description: str, *, schema: Described | None = None, example: str | None = None) -> Described:
    """Describe an optional request header."""
    found: Described = {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema or TEXT,
    }
    return found if example is None else {**found, "example": example}


def fields(properties: Described, *, required: Iterable[str] = (), closed: bool = True) -> Described:
    """Build the schema of an object; a closed one allows no other field."""
    found: Described = {"type": "object", "properties": properties}
    if needed := list(required):
        found["required"] = needed
    return {**found, "additionalProperties": False} if closed else found


def body(schema: Described, *, required: bool = True, media_type: str = JSON) -> Described:
    """Describe a request body."""
    return {"required": required, "content": {media_type: {"schema": schema}}}


def answer(description: str, schema: Described, *, media_type: str = JSON, **headers: str) -> Described:
    """Describe an answer of one media type, and its headers; ``_`` in the name of a header means a hyphen."""
    found: Described = {"description": description, "content": {media_type: {"schema": schema}}}
    if headers:
        described = {name.replace("_", "-"): {"schema": TEXT, "description": what} for name, what in headers.items()}
        found["headers"] = described
    return found


def lines_of(name: str) -> Described:
    """Build the schema of a text with one document per line."""
    description = f"Lines of JSON, each a `{name}`."
    return {"type": "string", "description": description, "contentMediaType": LINES, "contentSchema": ref(name)}


def problems(*statuses: str) -> Described:
    """Describe the problem documents of some statuses."""
    return {
        status: answer(_PROBLEMS[status], ref("Problem"), media_type=MEDIA_TYPE, **_PROBLEM_HEADERS.get(status, {}))
        for status in sorted(statuses)
    }
