"""A picture: nodes and edges with what is written on them, the same for every format in which it is drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["", "bad", "warn", "over", "hit"]
"""What a colour says beside the words: wrong, doubtful, over, ended by the revocation laid over the picture."""

HUMAN: Final = "human"
EFFECT: Final = "effect"  # what was done, at the end of a chain

Href = Callable[[str, str], str]
"""The address of the page of a thing, by its kind and id; empty if it has none."""


def nowhere(_kind: str, _id: str) -> str:
    """For a picture that stands alone: nothing leads anywhere."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node.

    Attributes:
        key: What tells it from the others.
        id: The id of what it stands for.
        kind: What that is: the kind of a principal, or EFFECT.
        label: The first line.
        under: The second line.
        title: Everything about it in words, for who cannot see the picture.
        tone: What its colour says.
        focus: Whether it is what was asked about.
        href: Where it leads, or empty.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge.

    Attributes:
        source, target: Keys of its nodes.
        label: What is written on it.
        title: Everything about it in words.
        tone: What its colour says.
        broken: Whether it is no handing over, but a use of what another party holds.
        href: Where it leads, or empty.
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
        nodes: The nodes, each key once.
        edges: The edges between them.
        left_out: What it does not show, in a sentence; empty: nothing.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    left_out: str = ""
