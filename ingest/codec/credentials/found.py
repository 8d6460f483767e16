"""What was found in a text, and how it is replaced. Pure."""

import hashlib
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple

REMOVED: Final = "***"
"""What stands in the place of a secret that a person may have chosen."""


class Style(Enum):
    """What is put in the place of a secret."""

    DIGEST = "the SHA-256 of the secret"
    REMOVED = "a word: the digest of a short secret would give it away"
    NULL = "JSON's null: it stood there as a number"


class Found(NamedTuple):
    """A secret in a text.

    Attributes:
        start: Where it begins.
        end: Behind its end.
        style: How it is replaced.
        secret: The secret itself, with nothing of its wrapping.
    """

    start: int
    end: int
    style: Style
    secret: str


def handle(credential: str | bytes) -> str:
    """The id under which a credential may be spoken of: ``sha256:<hex>``."""
    raw = credential.encode(errors="surrogatepass") if isinstance(credential, str) else credential
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def moved(found: Iterable[Found], place: Callable[[int], int]) -> list[Found]:
    """What was found in a text that was made of another one, at its places in that one."""
    return [each._replace(start=place(each.start), end=place(each.end)) for each in found]


def apart(found: Iterable[Found]) -> list[Found]:
    """The same in the order of their places, where several overlap one that covers them."""
    result: list[Found] = []
    for each in sorted(found, key=lambda one: (one.start, -one.end, one.style is not Style.DIGEST)):
        if result and each.start < result[-1].end:
            result[-1] = _of_both(result[-1], each)
        else:
            result.append(each)
    return result


def _of_both(one: Found, other: Found) -> Found:
    """Two that overlap, the first of which begins first: no digest of what has a secret in it that gets none."""
    end = max(one.end, other.end)
    if (other.start, other.end) == (one.start, end) or one.style is other.style is Style.DIGEST:
        return one if one.end == end else one._replace(end=end, secret=one.secret + other.secret)
    return one._replace(end=end, style=Style.REMOVED)


def replaced(text: str, found: Iterable[Found]) -> str:
    """A text in latin-1 with what was found in it replaced."""
    pieces: list[str] = []
    done = 0
    for each in apart(found):
        pieces += (text[done : each.start], _standing_for(each))
        done = each.end
    return "".join([*pieces, text[done:]])


def _standing_for(each: Found) -> str:
    match each.style:
        case Style.DIGEST:
            return handle(as_bytes(each.secret))
        case Style.REMOVED:
            return REMOVED
        case Style.NULL:
            return "null"


def as_bytes(text: str) -> bytes:
    """The bytes of a text that was read as latin-1, but for what an escape added to it."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
