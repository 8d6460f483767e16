"""A picture of the tokens and delegations around a thing."""

from typing import Final

from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.picture import Edge, Node, Picture, Tone
from lineage.serve.text.phrases import ALARMING, label
from lineage.serve.text.phrases import wrong as wrong_words
from lineage.serve.text.text_page import joined, many

_TONES: Final[dict[str, Tone]] = {"revoked": "bad", "cascaded": "bad", "suspended": "warn", "expired": "over"}


def picture_of_elements(doc: Document) -> Picture:
    """Draw the document of the graph around a thing."""
    more = sum(one["count"] for one in doc["collapsed"])
    return Picture(
        f"What {doc['kind']}:{doc['id']} depends on and what depends on it, at {doc['at']}",
        tuple(_node(node) for node in doc["nodes"]),
        tuple(
            Edge(
                source=edge["from"],
                target=edge["to"],
                label=joined(edge["roles"]),
                title=f"{edge['to']} depends on {edge['from']}",
            )
            for edge in doc["edges"]
        ),
        f"Incomplete: {many(more, 'more element')} left out." if more or doc["more_name_it"] else "",
    )


def _node(node: Document) -> Node:
    scopes = [f"scopes {joined(node['scopes'], ' ')}"] if node["scopes"] else []
    parties = [f"{word} {node[word]}" for word in ("from", "to") if node[word]]
    found = node.get("findings")
    wrong = [wrong_words(found)] if found and found["count"] else []
    worst = [f"{found['worst']} finding"] if found and found["count"] else []
    return Node(
        key=node["key"],
        id=node["key"],
        kind=node["kind"],
        label=node["id"],
        under=joined([node["kind"], label(node["state"]), *worst], " \u00b7 "),
        title=joined([f"{node['key']}, {label(node['state'])}", *parties, *scopes, *wrong], "; "),
        tone="bad" if found and found["worst"] in ALARMING else _TONES.get(node["state"], ""),
        focus=node["focus"],
    )
