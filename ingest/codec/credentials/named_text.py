"""Secrets that follow their name in a text: ``password=x``, ``Authorization: x``, ``--token x``, ``"pin":"x"``.

Quotes may be those of JSON at any level of escaping, or doubled, as in CSV. Linear in the length of the text.
"""

import re
from collections.abc import Iterator
from typing import Final

from ingest.codec.credentials.found import FoundCredential, Style
from ingest.codec.credentials.names import MARKS, Kinds, SecretKind, is_secret

BARE_QUOTE: Final = "\x01"
"""Replaces a quote of an outer level of escaping after the text within it has been unescaped."""

_QUOTES: Final = ('"', "'", BARE_QUOTE)
_DOUBLED: Final = '""'
_NAME: Final = r"A-Za-z0-9_.\-\[\]"
_NAMED: Final = re.compile(
    rf"(?<![{_NAME}])(?P<name>[{_NAME}]++)"
    rf"(?:(?P<quote>{_DOUBLED}|\\*+[\"']|{BARE_QUOTE})?(?P<before>\s*+)(?P<sep>=>|:=|==|=|:(?!//))(?P<behind>[ \t]*+)"
    r"|\s++(?=(?P<opening>[\"']?)[^\s=:]))"
)
# The value of a bare name ends at white space, at a quote, or before the next pair.
_BARE: Final = re.compile(
    rf"(?:[^\s\"'\\&,;|<>{BARE_QUOTE}]|[,;|<>](?![\s\"'\\{BARE_QUOTE}]|$|[A-Za-z0-9_.\-]+[=:]))++"
)
_LINE: Final = re.compile(rf"[^\r\n\"\\{BARE_QUOTE}]*")
_LITERAL: Final = re.compile(r"-?[0-9][0-9.eE+-]*")
# Names of headers, whose value extends to the end of the line.
_HEADERS: Final = ("authorization", "cookie")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]* +")
_INDENTATION: Final = 64
NAMES: Final = re.compile(rb"[A-Za-z0-9_.-]{3,96}")
"""A run of bytes that may be a map key in Avro."""
_ELEMENT: Final = re.compile(r"<(?:[A-Za-z0-9_-]+:)?([A-Za-z][A-Za-z0-9_.-]*)(?:\s[^<>]*)?>([^<>]+)(?=</)")
_IDENTIFIED: Final = re.compile(r"(?i)\bidentified\s+by\s+(?:password\s+)?['\"]([^'\"]+)['\"]")
# A long run of letters and digits, which does not follow a colon in prose.
_NOT_PROSE: Final = re.compile(r"(?<!\S)(?=[^\s0-9]*[0-9])(?=[^\sA-Za-z]*[A-Za-z])\S{8,}")

_IS: Final = re.compile(r"(?:is|was)(?:\s*+:)?\s++[\"'\x01]?([^\s\"'\x01]++)")  # `the password is x`


def in_text(text: str, kinds: Kinds, *, ours: bool) -> Iterator[FoundCredential]:
    """Find every secret that follows its name.

    Args:
        text: The text.
        kinds: Says what kind of secret a name names.
        ours: Whether the text is a string of an event or one of our own messages: then words after a colon are not
            taken for a secret.
    """
    low = text.lower()
    if "identified" in low:
        for match in _IDENTIFIED.finditer(text):
            yield FoundCredential(*match.span(1), Style.REMOVED, match.group(1))
    if not any(mark in low for mark in MARKS):
        return
    at = 0
    while (named := _NAMED.search(text, at)) is not None:
        at = named.end()
        kind = kinds(named["name"])
        if kind is None:
            continue
        start, end = _value(text, named, ours=ours)
        value = text[start:end]
        if start < end and is_secret(value, kind, name=named["name"]):
            yield FoundCredential(start, end, style_of(kind), value)
        elif number := _number(text, named, kind):
            yield number
        at = max(at, end)
    if "</" in text:
        for match in _ELEMENT.finditer(text):
            kind = kinds(match.group(1))
            if kind is not None and is_secret(match.group(2), kind, name=match.group(1)):
                yield FoundCredential(*match.span(2), style_of(kind), match.group(2))


def style_of(kind: SecretKind) -> Style:
    """The replacement of a secret of a kind."""
    return Style.REMOVED if kind is SecretKind.CHOSEN else Style.DIGEST


def _value(text: str, match: re.Match[str], *, ours: bool) -> tuple[int, int]:
    """Start and end of the value that follows a name; an empty range if there is none."""
    at = match.end()
    if not match["sep"]:
        if match["opening"]:  # as in SQL: PASSWORD 'x'
            return _quoted(text, at, match["opening"])
        if match["name"].startswith("-"):
            return _bare(text, at)
        matched = _IS.match(text, at)
        return matched.span(1) if matched and _NOT_PROSE.fullmatch(matched.group(1)) else (at, at)
    if quote := match["quote"]:
        # An unquoted value is a number, see _number; lists and objects are left to json_values.
        return _quoted(text, at, quote) if text.startswith(quote, at) else (at, at)
    if text.startswith(_DOUBLED, at) and text[at + 2 : at + 3] not in {"", ",", ";", "&", "}", " "}:
        return _quoted(text, at, _DOUBLED)
    if text[at : at + 1] in _QUOTES:
        return _quoted(text, at, text[at])
    is_header = match["name"].lower().endswith(_HEADERS)
    if match["sep"] == ":" and is_header:
        start, end = _to_end_of_line(text, at)
    elif is_header:
        scheme = _SCHEME.match(text, at)
        start, end = at, _bare(text, scheme.end() if scheme else at)[1]
    elif match["before"] or match["behind"]:
        start, end = (_to_end_of_line if _begins_line(text, match.start()) and not ours else _bare)(text, at)
    else:
        start, end = _bare(text, at)
    if ours and match["sep"] == ":" and not (match["behind"] and _NOT_PROSE.search(text[start:end])):
        return at, at
    return start, end


def _number(text: str, match: re.Match[str], kind: SecretKind) -> FoundCredential | None:
    if match["quote"] and kind is not SecretKind.MAYBE and (number := _LITERAL.match(text, match.end())):
        return FoundCredential(*number.span(), Style.NULL, number.group())
    return None


def _bare(text: str, at: int) -> tuple[int, int]:
    value = _BARE.match(text, at)
    return value.span() if value else (at, at)


def _to_end_of_line(text: str, at: int) -> tuple[int, int]:
    line = _LINE.match(text, at)
    return at, at + len(line.group().rstrip()) if line else at


def _begins_line(text: str, at: int) -> bool:
    """Whether only white space precedes a position on its line."""
    before = text[max(0, at - _INDENTATION) : at]
    return not before.rpartition("\n")[2].strip() and (at <= _INDENTATION or "\n" in before)


def _quoted(text: str, at: int, quote: str) -> tuple[int, int]:
    """Start and end of a quoted value, at one level of escaping.

    A quote of a deeper level has more backslashes before it. If the opening quote has ``m`` backslashes, the closing
    quote also has ``m``, after any escaped backslashes of the value, which take ``2 * (m + 1)`` each. A quote with
    fewer backslashes belongs to an outer level and ends the value.
    """
    start, mark = at + len(quote), quote[-1]
    if quote in {_DOUBLED, BARE_QUOTE}:  # these have no escapes
        end = text.find(mark, start)
        return start, len(text) if end < 0 else end
    within, end = len(quote) - 1, text.find(mark, start)
    while end >= 0:
        run = end
        while run > start and text[run - 1] == "\\":
            run -= 1
        more = end - run - within
        if more < 0:
            return start, run
        if more % (2 * (within + 1)) == 0:
            return start, end - within
        end = text.find(mark, end + 1)
    return start, len(text)
