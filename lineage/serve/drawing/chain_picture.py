"""The chain behind an action, a token or a delegation as a picture: from the human to the effect.

A link is broken where the actor is not the party that the token was issued to.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lineage.core.model.keys import split_key
from lineage.serve.documents.core_documents import Document
from lineage.serve.drawing.picture import EFFECT, Edge, Href, Node, Picture, Tone, nowhere
from lineage.serve.text import phrases
from lineage.serve.text.text_page import joined, many

_TONES: Final[dict[str | None, Tone]] = {"revoked": "bad", "cascaded": "bad", "suspended": "warn", "expired": "over"}


def picture_of_chain(doc: Document, href: Href = nowhere) -> Picture:
    """Draw the document of ``who`` or ``chain``."""
    hops = doc["chain"]
    nodes = [_hop(number, hop, href) for number, hop in enumerate(hops)]
    links = [_link(number, hops[: number + 1], href) for number in range(1, len(hops))]
    stolen = theft(doc)
    if stolen is not None and nodes:
        if not stands_outside(hops):
            nodes.append(_another(len(nodes), stolen))
        else:
            links.pop()
        nodes[-1] = replace(nodes[-1], tone="bad")
        links.append(_broken(nodes[-2].key, nodes[-1].key, stolen))
    if "action" in doc:
        effect = _effect(doc, href)
        links += [_doing(nodes[-1], effect, doc, is_bad=stolen is not None)] if nodes else []
        nodes.append(effect)
    of = f"action {doc['action']}" if "action" in doc else f"{doc['kind']} {doc['id']}"
    gaps = f"Missing evidence: {many(len(doc['gaps']), 'piece')}, see the document." if doc["gaps"] else ""
    return Picture(f"Who stood behind {of}", tuple(nodes), tuple(links), gaps)


def theft(doc: Document) -> Document | None:
    """Return the finding that a token was used by another party than it was issued to; None if there is none."""
    return next((one for one in doc["findings"] if _is_theft(one, doc)), None)


def _is_theft(one: Document, doc: Document) -> bool:
    rule = (one["kind"], one["about"], one["of"])
    by_another = rule == ("wielder-mismatch", "actor", f"action:{doc.get('action')}")
    return by_another and one["severity"] != "informational" and one["status"] != "suppressed"


def stands_outside(hops: Sequence[Document]) -> bool:
    """Whether the last party of a chain is only named by the action, and holds nothing on the chain."""
    return len(hops) > 1 and hops[-1]["evidence"] == "asserted" and hops[-1]["token"] is hops[-1]["delegation"] is None


def _hop(number: int, hop: Document, href: Href) -> Node:
    is_asserted = hop["evidence"] == "asserted"
    known_as = [f"known as {hop['known_as']}"] if hop["known_as"] != hop["principal"] else []
    name = [hop["display_name"]] if hop["display_name"] else []
    verified = "unverified" if is_asserted else f"by {element(hop)}"
    return Node(
        key=str(number),
        id=hop["principal"],
        kind=hop["kind"],
        label=hop["display_name"] or hop["known_as"],
        under=f"{hop['kind']} \u00b7 {'unverified' if is_asserted else phrases.label(hop['state'])}",
        title=joined([f"{hop['kind']} {hop['principal']}", *name, *known_as, verified], "; "),
        tone="warn" if is_asserted else _TONES.get(hop["state"], ""),
        href=href("principal", hop["principal"]),
    )


def element(hop: Document) -> str:
    """Return ``KIND:ID`` of the evidence for a party in a chain; empty if only the action names it."""
    return next((f"{kind}:{hop[kind]}" for kind in ("delegation", "token") if hop[kind] is not None), "")


def _link(number: int, hops: Sequence[Document], href: Href) -> Edge:
    """Build the edge for what the last of some hops received from the hop before it."""
    hop = hops[-1]
    above: list[str] = next((one["scopes"] for one in reversed(hops[:-1]) if one["scopes"]), [])
    unchanged, lost, gained = phrases.scopes(hop, above)
    label = many(len(unchanged) + len(gained), "scope") if hop["scopes"] else ""
    parts = [
        f"{hops[-2]['principal'] if len(hops) > 1 else ''} to {hop['principal']}",
        *([f"by {element(hop)}"] if element(hop) else ["unverified"]),
        *([f"scopes {joined(unchanged, ' ')}"] if unchanged else []),
        *([f"exceeding the parent: {joined(gained, ' ')}"] if gained else []),
        *([f"lost: {joined(lost, ' ')}"] if lost else []),
    ]
    notes = [f"{len(lost)} fewer"] if lost else []
    notes += [f"{len(gained)} too many"] if gained else []
    kind, id_ = split_key(element(hop))
    return Edge(
        source=str(number - 1),
        target=str(number),
        label=f"{label} ({joined(notes)})" if notes else label,
        title=joined(parts, "; "),
        tone="warn" if gained or hop["evidence"] == "asserted" else "",
        href=href(kind, id_) if id_ else "",
    )


def _another(number: int, stolen: Document) -> Node:
    return Node(
        key=str(number),
        id="another party",
        kind="unknown",
        label="another party",
        under="not the holder of the token",
        title=stolen["why"],
        tone="bad",
    )


def _broken(source: str, target: str, stolen: Document) -> Edge:
    return Edge(source=source, target=target, label="possible theft", title=stolen["why"], tone="bad", broken=True)


def _effect(doc: Document, href: Href) -> Node:
    resource = doc["resource"]["id"] if doc["resource"] else doc["tool"] or doc["action"]
    what = [f"action {doc['action']}: {doc['operation']} {doc['outcome']}", *([doc["tool"]] if doc["tool"] else [])]
    return Node(
        key="effect",
        id=doc["action"],
        kind=EFFECT,
        label=doc["operation"],
        under=resource,
        title=joined([*what, resource], "; "),
        href=href("action", doc["action"]),
    )


def _doing(actor: Node, effect: Node, doc: Document, *, is_bad: bool) -> Edge:
    title = f"{actor.id} did {doc['action']}: {doc['operation']}, {doc['outcome']}"
    tone: Tone = "bad" if is_bad else ""
    return Edge(source=actor.key, target=effect.key, label=doc["outcome"], title=title, tone=tone)
