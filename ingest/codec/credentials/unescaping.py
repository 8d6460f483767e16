"""Removal of one level of escaping from a text, with a mapping back to positions in the original.

Escapes are those of JSON and similar languages, of URLs, and of HTML. The quotes of the removed level become another
character, so that those of the next level can be told from them.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Final, NamedTuple

from ingest.codec.credentials.named_text import BARE_QUOTE

_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))|%([0-9a-fA-F]{2})"
    rf"|&(?:(quot|apos|amp|lt|gt)|#([0-9]{{1,4}})|#[xX]([0-9a-fA-F]{{1,4}}));|(\"|{BARE_QUOTE})",
    re.DOTALL,
)
_IS_ESCAPED: Final = re.compile(
    r"\\.|%[0-9a-fA-F]{2}|&(?:quot|apos|amp|lt|gt|#[0-9]{1,4}|#[xX][0-9a-fA-F]{1,4});", re.DOTALL
)
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ENTITIES: Final = {"quot": '"', "apos": "'", "amp": "&", "lt": "<", "gt": ">"}


class Level(NamedTuple):
    """A text, and the mapping from a position in it to the position in the original text."""

    text: str
    place: Callable[[int], int]


def unescaped(text: str) -> Level | None:
    """Remove one level of escaping; None if the text has no escapes."""
    if _IS_ESCAPED.search(text) is None:
        return None
    return _mapped(text, _ESCAPE, _plain)


def without_nul(text: str) -> Level | None:
    """Remove NUL, which turns the ASCII characters of UTF-16 and UTF-32 into ASCII; None if there is no NUL."""
    return _mapped(text, _NUL, lambda _: "") if "\0" in text else None


_NUL: Final = re.compile("\0+")


def _mapped(text: str, pattern: re.Pattern[str], plain: Callable[[re.Match[str]], str]) -> Level:
    pieces: list[str] = []
    ours, theirs = [0], [0]  # corresponding positions in the new and the original text
    size = done = 0
    for match in pattern.finditer(text):
        start, end = match.span()
        piece = plain(match)
        pieces += (text[done:start], piece)
        size += start - done
        ours.append(size)
        theirs.append(start)
        size += len(piece)
        ours.append(size)
        theirs.append(end)
        done = end
    pieces.append(text[done:])

    def place(at: int) -> int:
        step = bisect_right(ours, at) - 1
        return theirs[step] + at - ours[step]

    return Level("".join(pieces), place)


def _plain(match: re.Match[str]) -> str:
    code, byte, short, percent, entity, decimal, hexadecimal, quote = match.groups()
    if quote:
        return BARE_QUOTE if quote == '"' else " "
    if short is not None:
        return _SHORT.get(short, short)
    if entity:
        return _ENTITIES[entity]
    return chr(int(decimal)) if decimal else chr(int(code or byte or percent or hexadecimal, 16))
