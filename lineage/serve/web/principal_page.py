"""The page of a person, an agent or a service: what it was granted, what it granted, and what it did."""

from collections.abc import Callable
from typing import Final

from lineage.core.authority.action_filter import ActionFilter
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.principals_picture import is_over, picture_of_principals
from lineage.serve.drawing.svg import as_svg
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.text.render_graph import amounts
from lineage.serve.web.folding import nearest, without_over
from lineage.serve.web.page_endpoint import PageRequest
from lineage.serve.web.swimlanes import lanes_of
from lineage.serve.web.templating import drawn

DRAWN: Final = 16  # principals around it in the picture; the page of the graph has more
LATEST: Final = 120  # actions in the lanes
LISTED: Final = 5  # of these in the table below
_LATEST_ONLY: Final = OVER_HTTP._replace(counted=LATEST)  # more are not counted, which would evaluate them all


def party(page: PageRequest, of: str) -> Document:
    """Build what the page of a principal shows: who granted it what, what it granted to whom, and its actions."""
    id_ = of.partition(":")[2]
    graph = page.more("/graph", view="principals", of=f"principal:{id_}")
    edges = sorted(graph["edges"], key=lambda edge: (is_over(edge), not edge["findings"]["count"])) if graph else []
    focus = {node["id"] for node in graph["nodes"] if node["focus"]} if graph else set()
    is_human = any(node["kind"] == "human" and node["focus"] for node in graph["nodes"]) if graph else False
    small = nearest(without_over(graph), DRAWN) if graph else None
    return {
        "got": [edge for edge in edges if edge["to"] in focus],
        "gave": [edge for edge in edges if edge["from"] in focus],
        "uses": [use for use in graph["uses"] if focus & {use["from"], use["to"]}] if graph else [],
        "names": {node["id"]: node["display_name"] for node in graph["nodes"]} if graph else {},
        "amounts": amounts,
        "complete": graph is None or graph["complete"],
        "picture": drawn(as_svg(picture_of_principals(small, page.links.of), alone=False))
        if small is not None and len(small["nodes"]) > 1
        else None,
        **_done(page, id_, is_human=is_human),
    }


def _done(page: PageRequest, id_: str, *, is_human: bool) -> Document:
    """Return the latest actions with it on the chain, in lanes: for a person by actor, for an agent by tool."""
    role = "human" if is_human else "agent"
    found = actions(
        page.site.service,
        ActionFilter(human=id_) if is_human else ActionFilter(agent=id_),
        at=page.query.at,
        known_at=page.query.known_at,
        limit=LATEST,
        budget=_LATEST_ONLY,
    ) or {"items": [], "complete": True}
    lane: Callable[[Document], str | None] = (lambda one: one["actor"]) if is_human else (lambda one: one["tool"])

    return {
        "done": found["items"][:LISTED],
        "done_complete": found["complete"] and len(found["items"]) <= LISTED,
        "done_title": "Done for this person" if is_human else "Done by it, or with what it held",
        "done_list": page.links.to("/actions", **{role: id_}),
        "lanes": lanes_of(found["items"], lane, page.links, {role: id_}, complete=found["complete"]),
    }
