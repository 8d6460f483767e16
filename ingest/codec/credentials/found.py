"""Secrets found in a text, and their replacement. Pure."""

import hashlib
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final, NamedTuple

REMOVED: Final = "***"
"""The replacement of a secret that a person may have chosen."""


class Style(Enum):
    """The replacement of a secret."""

    DIGEST = "by the SHA-256 of the secret"
    REMOVED = "by a constant: the digest of a short secret would reveal it"
    NULL = "by JSON's null: the secret was a number"


class FoundCredential(NamedTuple):
    """A secret in a text.

    Attributes:
        start: Offset of its first character.
        end: Offset after its last character.
        style: How it is replaced.
        secret: The secret itself, without quotes or encoding.
    """

    start: int
    end: int
    style: Style
    secret: str


def handle(credential: str | bytes) -> str:
    """The id of a credential that may be stored and shown: ``sha256:<hex>``."""
    raw = credential.encode(errors="surrogatepass") if isinstance(credential, str) else credential
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def moved(found: Iterable[FoundCredential], place: Callable[[int], int]) -> list[FoundCredential]:
    """Map what was found in a derived text to its offsets in the original text."""
    return [each._replace(start=place(each.start), end=place(each.end)) for each in found]


def disjoint(found: Iterable[FoundCredential]) -> list[FoundCredential]:
    """Sort by position, and merge findings that overlap."""
    result: list[FoundCredential] = []
    for each in sorted(found, key=lambda one: (one.start, -one.end, one.style is not Style.DIGEST)):
        if result and each.start < result[-1].end:
            result[-1] = _merged(result[-1], each)
        else:
            result.append(each)
    return result


def _merged(one: FoundCredential, other: FoundCredential) -> FoundCredential:
    """Merge two that overlap, ``one`` beginning first. A digest must not cover a secret that may not have a digest."""
    end = max(one.end, other.end)
    if (other.start, other.end) == (one.start, end) or one.style is other.style is Style.DIGEST:
        return one if one.end == end else one._replace(end=end, secret=one.secret + other.secret)
    return one._replace(end=end, style=Style.REMOVED)


def replaced(text: str, found: Iterable[FoundCredential]) -> str:
    """Replace what was found in a text (decoded as latin-1)."""
    pieces: list[str] = []
    done = 0
    for each in disjoint(found):
        pieces += (text[done : each.start], _replacement(each))
        done = each.end
    return "".join([*pieces, text[done:]])


def _replacement(each: FoundCredential) -> str:
    match each.style:
        case Style.DIGEST:
            return handle(as_bytes(each.secret))
        case Style.REMOVED:
            return REMOVED
        case Style.NULL:
            return "null"


def as_bytes(text: str) -> bytes:
    """Encode a text that was decoded as latin-1; characters beyond it come from escapes and are written as UTF-8."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")
