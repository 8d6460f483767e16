"""The OpenAPI document: every path with parameters, answers, problems, roles and examples.

Every operation is described in one table, by method and path. The document contains those that a server has routes for.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from starlette.routing import BaseRoute

from lineage import __version__
from lineage.deliver.http.route import Route
from lineage.serve.http.openapi.delivery_operations import DELIVERIES
from lineage.serve.http.openapi.delivery_schemas import DELIVERED
from lineage.serve.http.openapi.examples import add_examples
from lineage.serve.http.openapi.field_glossary import describe
from lineage.serve.http.openapi.operations import OPERATIONS
from lineage.serve.http.openapi.question_operations import ASKED
from lineage.serve.http.openapi.schemas import ANSWERS
from lineage.serve.http.openapi.tlog_operations import TREES
from lineage.serve.http.openapi.type_schemas import schemas_of

_DESCRIPTION: Final = """\
Which human, which agent and which token were behind each action, and what a revocation of one of them ends.

Ids travel in the query, percent-encoded: `of=KIND:ID`, split at the first colon. Times are RFC 3339. Lists say whether
they are complete; `next` is the `after` of the next page. Errors are problem documents (RFC 9457) with stable types.

The examples are one conversation about one incident: an agent's token leaks, an investigator asks who used it, and it
is revoked until every gateway has confirmed it.
"""
_INFO: Final = {
    "title": "delegraph",
    "version": __version__,
    "summary": "Who stood behind the actions of AI agents, and what a revocation ends",
    "description": _DESCRIPTION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
_TAGS: Final = {
    "questions": "Who did what, by which authority, as of when; and what a revocation would end.",
    "writes": "Sending events, revocations, lifts and acknowledgements.",
    "operations": "The server's own status.",
    "enforcement": "Queries of a gateway before it honours a token.",
    "shared signals": "Streams of revocations (SSF 1.0), pushed or polled.",
    "transparency log": "The Merkle trees over the log, as static resources (C2SP tlog-tiles).",
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
_TABLE: Final = {**ASKED, **OPERATIONS, **TREES, **DELIVERIES}


def document_of(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Build the OpenAPI document of the operations among the routes of a server; pages are not part of it."""
    served = [(route.method, route.path_format) for route in routes if isinstance(route, Route)]
    operations = {key: _TABLE[key] for key in served if key in _TABLE}
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in operations.items():
        paths.setdefault(path, {})[method.lower()] = operation
    shapes = ANSWERS if operations.keys().isdisjoint(DELIVERIES) else ANSWERS | DELIVERED
    tags = {tag for operation in operations.values() for tag in operation["tags"]}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": schemas_of(shapes.values()), "securitySchemes": _SCHEMES},
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items() if name in tags],
    }
    document = dict(json.loads(json.dumps(document)))  # its parts are no longer shared, so each may be extended
    describe(document)
    add_examples(document)
    return document
