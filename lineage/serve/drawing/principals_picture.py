"""The graph of principals as a picture: the texts on principals and delegations."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.picture import Edge, Href, Node, Picture, Tone, nowhere
from lineage.serve.text.phrases import ALARMING, wrong
from lineage.serve.text.render_graph import left_out
from lineage.serve.text.text_page import joined, many

NOTHING: Final = "nothing"
ROOM: Final = 17  # letters of an id that fit into a box as they are


class Sign(NamedTuple):
    """A sign on a principal, with a separate link."""

    text: str
    title: str
    href: str


def picture_of_principals(
    doc: Document, href: Href = nowhere, *, signs: Mapping[str, Sign] = MappingProxyType({})
) -> Picture:
    """Draw the document of ``graph --view principals``.

    Args:
        doc: The document.
        href: Returns the link of a thing.
        signs: The signs on principals, by id.
    """
    edges = tuple(_edge(edge, href) for edge in doc["edges"]) + tuple(_use(use, href) for use in doc["uses"])
    return Picture(
        f"Who handed what to whom, at {doc['at']}: {many(len(doc['nodes']), 'principal')}",
        tuple(_node(node, href, signs.get(node["id"])) for node in doc["nodes"]),
        edges,
        left_out(doc),
    )


def amounts(one: Document) -> str:
    """Count the living tokens and grants; if there are none, the ended ones."""
    alive = [(one["tokens"]["alive"], "token"), (one["delegations"]["alive"], "grant")]
    if any(count for count, _ in alive):
        return joined(many(count, noun) for count, noun in alive if count)
    ended = _ended(one["tokens"]) + _ended(one["delegations"])
    return f"{ended:,} over" if ended else NOTHING


def is_over(one: Document) -> bool:
    """Whether nothing of it is alive."""
    return not one["tokens"]["alive"] and not one["delegations"]["alive"]


def _ended(counts: Mapping[str, int]) -> int:
    return counts["expired"] + counts["revoked"]


def _node(node: Document, href: Href, sign: Sign | None) -> Node:
    holds = f"holds {amounts(node)}"
    amounts_held = holds if amounts(node) == NOTHING else amounts(node)
    parts = [f"{node['kind']} {node['id']}", *([node["display_name"]] if node["display_name"] else []), holds]
    return Node(
        key=node["id"],
        id=node["id"],
        kind=node["kind"],
        label=node["display_name"] or _short(node),
        under=f"{node['kind']} \u00b7 {amounts_held}" if node["display_name"] else amounts_held,
        title=joined([*parts, *_wrong(node), *_over(node), *_hit(node)], "; "),
        tone=_tone(node),
        focus=node["focus"],
        href=href("principal", node["id"]),
        sign=sign.text if sign else "",
        sign_title=sign.title if sign else "",
        sign_href=sign.href if sign else "",
    )


def _short(node: Document) -> str:
    """Shorten an id for a box: a long one loses the kind, which the symbol in the box shows."""
    id_, prefix = str(node["id"]), f"{node['kind']}:"
    return id_.removeprefix(prefix) if len(id_) > ROOM else id_


def _edge(edge: Document, href: Href) -> Edge:
    scopes = f"scopes {joined(edge['scopes'], ' ')}" if edge["scopes"] else "no living scopes"
    handed = f"{edge['from']} handed {amounts(edge)} to {edge['to']}"
    unverified = [f"{edge['unverified']} of them unverified"] if edge["unverified"] else []
    only = edge["elements"][0] if len(edge["elements"]) == 1 else None
    return Edge(
        source=edge["from"],
        target=edge["to"],
        label=amounts(edge),
        title=joined([handed, scopes, *unverified, *_wrong(edge), *_over(edge), *_hit(edge)], "; "),
        tone=_tone(edge),
        href="" if only is None else href(*only.split(":", 1)),
    )


def _use(use: Document, href: Href) -> Edge:
    return Edge(
        source=use["from"],
        target=use["to"],
        label="possible theft",
        title=use["why"],
        tone="bad",
        broken=True,
        href=href("action", use["actions"][0]),
    )


def _tone(one: Document) -> Tone:
    """Return the worst tone that applies."""
    if one["would_end"]:
        return "hit"
    if one["findings"]["worst"] in ALARMING:
        return "bad"
    if is_over(one) and (_ended(one["tokens"]) or _ended(one["delegations"])):
        return "over"
    return "warn" if one.get("unverified") else ""


def _wrong(one: Document) -> list[str]:
    return [text] if (text := wrong(one["findings"])) else []


def _over(one: Document) -> list[str]:
    stated = [(one[kind], noun) for kind, noun in (("tokens", "token"), ("delegations", "grant"))]
    return [
        f"{many(counts[state], noun)} {state}"
        for counts, noun in stated
        for state in ("expired", "revoked")
        if counts[state]
    ]


def _hit(one: Document) -> list[str]:
    return [f"the revocation would end {one['would_end']:,} of it"] if one["would_end"] else []
