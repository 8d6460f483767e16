"""Sentences for people, with tags on the words that name something or are a time (ADR 0029).

A sentence is an ordinary string wherever strings are compared, stored or printed. Pages ask it for its pieces.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Final, NamedTuple, Self

from lineage.core.model.times import Instant, format_instant

TIME: Final = ""  # the key of the words of a time


class Tag(NamedTuple):
    """Words of a sentence, from ``start`` to before ``end``, and the key of what they name; ``TIME`` for a time."""

    start: int
    end: int
    names: str


class Sentence(str):
    """A sentence, or a part of one.

    Attributes:
        tags: The words that name something or are a time, in order and without overlaps.
    """

    __slots__ = ("tags",)
    tags: tuple[Tag, ...]

    def __new__(cls, text: str, tags: Iterable[Tag] = ()) -> Self:
        """Create one from its words and their tags."""
        made = super().__new__(cls, text)
        made.tags = tuple(tags)
        return made

    def __add__(self, other: str) -> "Sentence":
        """Append words."""
        return _joined((self, other))

    def __radd__(self, other: str) -> "Sentence":
        """Append the sentence to a string."""
        return _joined((other, self))

    def pieces(self) -> Iterator[tuple[str, str | None]]:
        """Yield its words in pieces, each with the key of the thing that it names, ``TIME``, or None for neither."""
        done = 0
        for start, end, names in self.tags:
            if done < start:
                yield str(self[done:start]), None
            yield str(self[start:end]), names
            done = end
        if done < len(self):
            yield str(self[done:]), None


def sentence(template: str, *parts: object) -> Sentence:
    """Insert parts into the placeholders of a template.

    Args:
        template: The words, with ``{}`` for each part.
        parts: The parts; their tags are kept.

    Examples:
        >>> said = sentence("{} did {} ({})", thing("principal", "agent:a"), "mail.send", keyed("action:a1"))
        >>> said
        'agent:a did mail.send (action:a1)'
        >>> list(said.pieces())[:2]
        [('agent:a', 'principal:agent:a'), (' did mail.send (', None)]
    """
    words = template.split("{}")
    if len(words) != len(parts) + 1:
        raise ValueError(f"{template!r} has {len(words) - 1} places, not {len(parts)}")
    return _joined(chain.from_iterable(zip_longest(words, parts, fillvalue="")))


def keyed(key: str) -> Sentence:
    """Name a thing by its key, ``KIND:ID``."""
    return Sentence(key, (Tag(0, len(key), key),))


def thing(kind: str, id_: str) -> Sentence:
    """Name a thing by its id."""
    return Sentence(id_, (Tag(0, len(id_), f"{kind}:{id_}"),))


def principal(id_: str) -> Sentence:
    """Name a principal by its id."""
    return thing("principal", id_)


def moment(instant: Instant) -> Sentence:
    """State a time."""
    text = format_instant(instant)
    return Sentence(text, (Tag(0, len(text), TIME),))


def listed(parts: Iterable[str], between: str = ", ") -> Sentence:
    """Join parts."""
    return _joined(part for number, one in enumerate(parts) for part in ((between, one) if number else (one,)))


def _joined(parts: Iterable[object]) -> Sentence:
    texts: list[str] = []
    tags: list[Tag] = []
    length = 0
    for part in parts:
        if isinstance(part, Sentence):
            tags += [Tag(start + length, end + length, names) for start, end, names in part.tags]
        text = str(part)
        texts.append(text)
        length += len(text)
    return Sentence("".join(texts), tags)
