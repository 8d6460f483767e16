"""The page ``/graph?view=principals``: who handed what to whom, as a picture, with filters, and as a table."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import Instant, format_instant
from lineage.serve.drawing.principals_picture import is_over, picture_of_principals
from lineage.serve.drawing.svg import as_svg
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Parameter
from lineage.serve.queries.graph_view import PRINCIPALS
from lineage.serve.queries.principals_drawn import PRINCIPAL_KINDS, STATES
from lineage.serve.text.render_graph import amounts, left_out
from lineage.serve.web import page_context
from lineage.serve.web.folding import nearest, without_over
from lineage.serve.web.page_endpoint import Asked, page_of
from lineage.serve.web.templating import drawn

OVER: Final = Parameter("over", {"type": "boolean"}, "Whether relations of which nothing is alive are drawn as well.")
DRAWN: Final = 60  # principals in a picture that is looked at as a whole; the next size is all that there are
_MINUTE: Final = 60_000_000
_STEPS: Final = (
    ("1 day earlier", -1_440 * _MINUTE),
    ("1 h earlier", -60 * _MINUTE),
    ("10 min earlier", -10 * _MINUTE),
    ("10 min later", 10 * _MINUTE),
    ("1 h later", 60 * _MINUTE),
    ("1 day later", 1_440 * _MINUTE),
)


def page(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """What answers ``/graph``: the view says which page it is."""
    elements = page_of(site, "/graph", "graph.html", page_context.graph)
    principals = page_of(site, "/graph", "principals.html", view, besides=(OVER,))

    async def either(request: Request) -> Response:
        return await (principals if request.query_params.get("view") == PRINCIPALS else elements)(request)

    return either


def view(asked: Asked) -> Mapping[str, Any]:
    """The picture, and what is folded away in it."""
    doc = asked.document
    with_over = asked.query.flag("over", default=False)
    shown = doc if with_over else without_over(doc)
    few = shown if asked.query.text("most") else nearest(shown, DRAWN)
    relations = sorted(doc["edges"], key=lambda edge: (is_over(edge), edge["from"], edge["to"]))
    return {
        "picture": drawn(as_svg(picture_of_principals(few, asked.links.of), alone=False)),
        "folded": len(doc["nodes"]) - len(shown["nodes"]),
        "undrawn": len(shown["nodes"]) - len(few["nodes"]),
        "relations": relations,
        "alone": [node for node in doc["nodes"] if not any(node["id"] in (e["from"], e["to"]) for e in doc["edges"])],
        "names": {node["id"]: node["display_name"] for node in doc["nodes"]},
        "amounts": amounts,
        "left_out": left_out(doc),
        "moments": moments(asked.query.at),
        "chosen": {name: asked.query.all(name) for name in ("of", "kind", "state", "tool", "target")},
        "kinds": PRINCIPAL_KINDS,
        "states": STATES,
        "with_over": with_over,
        "broad": True,
        "of": None if doc["of"] is None else f"{doc['of']['kind']}:{doc['of']['id']}",
    }


def moments(at: Instant) -> list[dict[str, str | None]]:
    """Moments around the one that is looked at, to replay a day step by step."""
    return [{"name": name, "at": format_instant(at + step), "known_at": None} for name, step in _STEPS if at + step > 0]
