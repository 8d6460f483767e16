"""A picture: nodes and edges with their texts, the same for every output format."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["", "bad", "warn", "over", "hit"]
"""The meaning of a colour: wrong, doubtful, over, ended by the previewed revocation."""

HUMAN: Final = "human"
EFFECT: Final = "effect"  # the effect of an action, at the end of a chain

Href = Callable[[str, str], str]
"""Returns the address of a thing's page, by its kind and id; empty if it has none."""


def nowhere(_kind: str, _id: str) -> str:
    """Return no address, for a self-contained picture."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node.

    Attributes:
        key: Its unique key.
        id: The id of the thing.
        kind: The kind of a principal, or EFFECT.
        label: The first line.
        under: The second line.
        title: Everything about it in words, for readers who cannot see the picture.
        tone: The meaning of its colour.
        focus: Whether it is what was asked about.
        href: Its link, or empty.
        sign: A sign on its border with a separate link, such as ``+3``; empty for none.
        sign_title: What following the sign does, in words.
        sign_href: The link of the sign.
    """

    key: str
    id: str
    kind: str
    label: str
    under: str
    title: str
    tone: Tone = ""
    focus: bool = False
    href: str = ""
    sign: str = ""
    sign_title: str = ""
    sign_href: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge.

    Attributes:
        source, target: The keys of its nodes.
        label: Its text.
        title: Everything about it in words.
        tone: The meaning of its colour.
        broken: Whether it is not a delegation but a use of what another party holds.
        href: Its link, or empty.
    """

    source: str
    target: str
    label: str
    title: str
    tone: Tone = ""
    broken: bool = False
    href: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    Attributes:
        title: What it shows, in a sentence.
        nodes: The nodes, with unique keys.
        edges: The edges between them.
        left_out: What it does not show, in a sentence; empty if nothing.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_out: str = ""
