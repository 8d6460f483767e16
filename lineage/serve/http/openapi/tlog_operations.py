"""The OpenAPI descriptions of the trees over the log, by method and path."""

from typing import Any, Final

from lineage.serve.http.core.query import Parameter
from lineage.serve.http.core.question import ASKERS
from lineage.serve.http.openapi.fragments import (
    ALWAYS,
    OPEN,
    SECURITY,
    SHARED,
    TEXT,
    Described,
    answer,
    parameter_of,
    problems,
    roles_of,
)

_ORIGIN: Final = Parameter(
    "origin",
    TEXT,
    "The origin of a tree, such as `audit.example/agents/orders/0`.",
    required=True,
    where="path",
    example="audit.example/agents/orders/0",
)
_LEVEL: Final = Parameter(
    "level", {"type": "integer", "minimum": 0, "maximum": 63}, "0: hashes of entries.", required=True, where="path",
    example="0",
)  # fmt: skip
_TILE: Final = Parameter(
    "tile", TEXT, "The index, as `x001/x234/067`; `.p/W` of a partial one.", required=True, where="path", example="000"
)
_PUBLIC: Final = "Public, unless `http.public_tlog` is `no`."
_BYTES: Final = "The body is `application/octet-stream`."
_HEADERS: Final = {
    name: {"schema": TEXT, "description": description}
    for name, description in {"ETag": "Of these bytes.", "Cache-Control": "How long it may be kept."}.items()
}


def _described(
    id_: str, summary: str, who: str, parameters: tuple[Parameter, ...], *, is_open: bool, media_type: str | None = None
) -> Described:
    described: Described = (
        {"description": f"{summary}."} if media_type is None else answer(summary, TEXT, media_type=media_type)
    )
    return {
        "operationId": id_,
        "summary": summary,
        "description": who if media_type is not None else f"{who} {_BYTES}",
        "tags": ["transparency log"],
        "parameters": [parameter_of(each) for each in parameters],
        "responses": {
            "200": {**described, "headers": _HEADERS},
            "304": {"description": "The client has it already."},
            **problems("401", "403", "404", *SHARED, *ALWAYS),
        },
        "security": OPEN if is_open else SECURITY,
    }


TREES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("GET", "/tlog/{origin}/checkpoint"): _described(
        "tlog_checkpoint",
        "The latest checkpoint of a partition, or of all partitions at the origin of the log",
        _PUBLIC,
        (_ORIGIN,),
        is_open=True,
        media_type="text/plain",
    ),
    ("GET", "/tlog/{origin}/tile/{level}/{tile}"): _described(
        "tlog_tile", "A tile: up to 256 hashes of 32 bytes", _PUBLIC, (_ORIGIN, _LEVEL, _TILE), is_open=True
    ),
    ("GET", "/tlog/{origin}/tile/entries/{tile}"): _described(
        "tlog_entries",
        "Up to 256 entries, each after its length in two bytes",
        roles_of(ASKERS),
        (_ORIGIN, _TILE),
        is_open=False,
    ),
}
