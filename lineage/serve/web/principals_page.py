"""The page ``/graph?view=principals``: who handed what to whom, as a picture, with filters, and as a table."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from lineage.core.model.times import DAY, HOUR, SECOND, Instant, format_instant
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.principals_picture import Sign, is_over, picture_of_principals
from lineage.serve.drawing.svg import as_svg
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import Parameter, ParameterError, usable_id
from lineage.serve.queries.graphs.graph_view import PRINCIPALS
from lineage.serve.queries.graphs.principals_drawn import PRINCIPAL_KINDS, STATES
from lineage.serve.text.render_graph import amounts, omitted
from lineage.serve.text.text_page import many
from lineage.serve.web import page_context
from lineage.serve.web.folding import merged, nearest, opened, undrawn, without_over
from lineage.serve.web.page_endpoint import PageRequest, page_of, with_default, with_normalised_query
from lineage.serve.web.templating import drawn

OVER: Final = Parameter("over", {"type": "boolean"}, "Whether to draw relations that have ended as well.")
EXPAND: Final = Parameter(
    "expand", {"type": "string"}, "A principal of which all relations are drawn.", repeatable=True
)
BLAST: Final = "blast"  # a short name of ``target`` on this page
DRAWN: Final = 60  # principals in a picture that people can grasp at a glance; the next size is all of them
EXPANDED: Final = 10  # the most principals that are expanded at once
_ASKED: Final = ("view", "of", "kind", "state", "tool", "target", "most", "over")


def page(site: AppContext) -> Callable[[Request], Awaitable[Response]]:
    """Build ``/graph``: the parameter ``view`` selects the page."""
    elements = page_of(site, "/graph", "graph.html", page_context.graph)
    principals = page_of(site, "/graph", "principals.html", view, extra=(OVER, EXPAND))

    async def either(request: Request) -> Response:
        if BLAST in request.query_params:
            params = [
                ("target" if name == BLAST else name, value) for name, value in request.query_params.multi_items()
            ]
            request = Request({**request.scope, "query_string": urlencode(params).encode()})
        if request.query_params.get("view", "").strip() == PRINCIPALS:
            return await principals(request)
        return await elements(with_default(with_normalised_query(request), "most", page_context.GRAPH_DRAWN))

    return either


def view(page: PageRequest) -> Mapping[str, Any]:
    """Build the picture, and the counts of what is folded away in it."""
    expanded = _expanded(page)
    doc = merged(page.document, _around(page, expanded))
    with_over = page.query.flag("over", default=False)
    shown = doc if with_over else without_over(doc)
    few = shown if page.query.text("most") else nearest(shown, DRAWN)
    few = opened(doc, few, expanded) if expanded else few
    relations = sorted(doc["edges"], key=lambda edge: (is_over(edge), edge["from"], edge["to"]))
    picture = picture_of_principals(few, page.links.of, signs=_signs(page, doc, few, expanded))
    return {
        "doc": doc,
        "picture": drawn(as_svg(picture, alone=False)),
        "folded": len(doc["nodes"]) - len(shown["nodes"]),
        "undrawn": max(len(shown["nodes"]) - len(few["nodes"]), 0),
        "relations": [edge for edge in relations if not is_over(edge)],
        "ended": [edge for edge in relations if is_over(edge)],
        "alone": [node for node in doc["nodes"] if not any(node["id"] in (e["from"], e["to"]) for e in doc["edges"])],
        "names": {node["id"]: node["display_name"] for node in doc["nodes"]},
        "amounts": amounts,
        "left_out": omitted(page.document),
        "replay": replay(page.query.at, page.query.now),
        "chosen": {name: page.query.all(name) for name in ("of", "kind", "state", "tool", "target")},
        "kinds": PRINCIPAL_KINDS,
        "states": STATES,
        "with_over": with_over,
        "expanded": expanded,
        "broad": True,
        "of": None if doc["of"] is None else f"{doc['of']['kind']}:{doc['of']['id']}",
    }


# Expanding


def _expanded(page: PageRequest) -> list[str]:
    ids = [usable_id(id_, parameter="expand") for id_ in dict.fromkeys(page.query.all("expand"))]
    if len(ids) > EXPANDED:
        raise ParameterError("expand", f"is given {len(ids)} times; {EXPANDED} principals are expanded at once")
    return ids


def _around(page: PageRequest, expanded: list[str]) -> Iterator[Document]:
    """Yield the graphs around some principals; none for an id that no fact names."""
    for id_ in expanded:
        found = page.more("/graph", view=PRINCIPALS, of=f"principal:{id_}", target=page.query.text("target"))
        if found is not None:
            yield found


def _signs(page: PageRequest, doc: Document, few: Document, expanded: list[str]) -> dict[str, Sign]:
    """Return a sign for each principal that has more relations than are drawn, or may have, or is expanded."""
    beyond = undrawn(doc, few)
    may_have_more = doc["of"] is not None and len(expanded) < EXPANDED
    signs = {}
    for node in few["nodes"]:
        id_ = node["id"]
        if id_ in expanded:
            address = _address(page, [one for one in expanded if one != id_])
            signs[id_] = Sign("\u2212", f"Fold away what surrounds {id_}", address)
        elif id_ in beyond and len(expanded) < EXPANDED:
            title = f"Draw {many(beyond[id_], 'more principal')} around {id_}"
            signs[id_] = Sign(f"+{beyond[id_]}", title, _address(page, [*expanded, id_]))
        elif may_have_more and not node["focus"]:
            signs[id_] = Sign("+", f"Draw what surrounds {id_}", _address(page, [*expanded, id_]))
    return signs


def _address(page: PageRequest, expanded: list[str]) -> str:
    """Return the address of the same page with other principals expanded."""
    params = [(name, value) for name in _ASKED for value in page.query.all(name)]
    params += [("expand", id_) for id_ in expanded]
    params += [(name, value) for name, value in (("at", page.links.at), ("known_at", page.links.known_at)) if value]
    return f"/graph?{urlencode(params)}"


# Replaying a day


def replay(at: Instant, now: Instant) -> Document:
    """Return the day of an instant for the replay: its hours up to now, and the days before and after it."""
    begins = at - at % DAY
    ends = min(begins + DAY, max(now, at))
    hours = [begins + number * HOUR for number in range(25) if begins + number * HOUR <= ends]
    return {
        "day": format_instant(begins)[:10],
        "begins": begins // SECOND,
        "ends": -(-ends // SECOND),
        "at": at // SECOND,
        "hours": [
            {"name": f"{(hour - begins) // HOUR:02}", "at": format_instant(hour), "current": hour == at}
            for hour in hours
        ],
        "before": format_instant(at - DAY) if at >= DAY else None,
        "after": format_instant(at + DAY) if at + DAY <= now else None,
    }
