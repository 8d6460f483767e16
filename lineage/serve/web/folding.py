"""Select what to draw of a graph of principals: fold away what is over, and keep the most relevant of many."""

from collections.abc import Collection, Iterable

from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.principals_picture import is_over


def without_over(doc: Document) -> Document:
    """Return the document without relations that have ended, and without principals that then have none."""
    edges = [edge for edge in doc["edges"] if not is_over(edge)]
    return _with(doc, edges, {node["id"] for node in doc["nodes"] if node["focus"] or not is_over(node)})


def nearest(doc: Document, most: int) -> Document:
    """Return the first principals, those with findings first, each with the ones above and below it."""
    if len(doc["nodes"]) <= most:
        return doc
    givers: dict[str, list[str]] = {}
    holders: dict[str, list[str]] = {}
    for edge in doc["edges"]:
        givers.setdefault(edge["to"], []).append(edge["from"])
        holders.setdefault(edge["from"], []).append(edge["to"])
    wrong = {use[end] for use in doc["uses"] for end in ("from", "to")}
    wrong |= {
        edge[end]
        for edge in doc["edges"]
        if edge["findings"]["worst"] in ("critical", "high")
        for end in ("from", "to")
    }
    chosen: set[str] = set()
    order = sorted(
        doc["nodes"], key=lambda node: (not node["focus"], node["id"] not in wrong, -_alive(node), node["id"])
    )
    for node in order:
        path, at = [], node["id"]
        while at not in chosen and at not in path:
            path.append(at)
            at = min(givers.get(at, [at]))
        if len(chosen) + len(path) <= most:
            chosen.update(path)
            chosen.update([one for one in holders.get(node["id"], ()) if one not in chosen][: most - len(chosen)])
    return _with(doc, doc["edges"], chosen, alone=chosen)


def _with(doc: Document, edges: list[Document], ids: set[str], alone: set[str] | None = None) -> Document:
    edges = [edge for edge in edges if alone is None or {edge["from"], edge["to"]} <= alone]
    uses = [use for use in doc["uses"] if alone is None or {use["from"], use["to"]} <= alone]
    ends = {one[end] for one in (*edges, *uses) for end in ("from", "to")}
    return {**doc, "edges": edges, "uses": uses, "nodes": [one for one in doc["nodes"] if one["id"] in ids | ends]}


def _alive(node: Document) -> int:
    return int(node["tokens"]["alive"] + node["delegations"]["alive"])


def merged(doc: Document, others: Iterable[Document]) -> Document:
    """Add the principals and relations of other graphs that a graph does not have."""
    nodes = {node["id"]: node for node in doc["nodes"]}
    edges = {(edge["from"], edge["to"]): edge for edge in doc["edges"]}
    uses = {(use["from"], use["to"], use["element"]): use for use in doc["uses"]}
    for other in others:
        nodes = {**{node["id"]: {**node, "focus": False} for node in other["nodes"]}, **nodes}
        edges = {**{(edge["from"], edge["to"]): edge for edge in other["edges"]}, **edges}
        uses = {**{(use["from"], use["to"], use["element"]): use for use in other["uses"]}, **uses}
    return {**doc, "nodes": list(nodes.values()), "edges": list(edges.values()), "uses": list(uses.values())}


def opened(doc: Document, few: Document, ids: Collection[str]) -> Document:
    """Return a part of a graph with all relations of some principals, including ended ones."""
    kept = {node["id"] for node in few["nodes"]}
    drawn = {(edge["from"], edge["to"]) for edge in few["edges"]}
    edges = [
        edge for edge in doc["edges"] if (edge["from"], edge["to"]) in drawn or edge["from"] in ids or edge["to"] in ids
    ]
    kept |= {edge[end] for edge in edges for end in ("from", "to")} | set(ids)
    kept |= {use[end] for use in doc["uses"] for end in ("from", "to") if use["from"] in ids or use["to"] in ids}
    return _with(doc, edges, kept, alone=kept)


def undrawn(doc: Document, few: Document) -> dict[str, int]:
    """Count, for each principal of a part, its related principals in the whole graph that are not in the part."""
    drawn = {node["id"] for node in few["nodes"]}
    beyond: dict[str, set[str]] = {id_: set() for id_ in drawn}
    for edge in doc["edges"]:
        for one, other in ((edge["from"], edge["to"]), (edge["to"], edge["from"])):
            if one in drawn and other not in drawn:
                beyond[one].add(other)
    return {id_: len(others) for id_, others in beyond.items() if others}
