"""The scrubber: finds every credential in a text or in bytes, however it is encoded. Pure.

It searches for shapes and names, in text, in JSON and in tables, at every level of escaping, within base64, and within
gzip or zlib. Content that cannot be searched is treated as a credential as a whole.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from ingest.codec.credentials import columns as tables
from ingest.codec.credentials import command_lines, json_values, markup, named_text, packed, shapes
from ingest.codec.credentials.columns import Columns
from ingest.codec.credentials.found import FoundCredential, Style, as_bytes, disjoint, moved, replaced
from ingest.codec.credentials.named_text import BARE_QUOTE, style_of
from ingest.codec.credentials.names import Kinds, is_secret, kind_in_invalid, kind_in_ours, kind_of
from ingest.codec.credentials.unescaping import Level, unescaped, without_nul

SINGLE_OBJECT: Final = b"\xc3\x01"
_HEADER: Final = 10  # bytes: these two, and the fingerprint of the schema
_LOOKS_LIKE_EVENT: Final = b'"event_id"'
_LEVELS: Final = 20  # of escaping: in JSON within JSON each level doubles the backslashes of the one before
_PACKED: Final = 4  # levels of base64 and compression
# The budget for searching, in multiples of the size of the text. Ordinary text needs two or three.
_TIMES: Final = 40
_AT_LEAST: Final = 1024 * 1024


class OpaqueError(Exception):
    """The content cannot be searched: it is escaped or packed too many times. Never leaves this package."""


class CredentialSearch:
    """A search of one text and of what is packed in it.

    Attributes:
        kinds: Says what kind of secret a name names.
        ours: Whether the text is a string of an event or one of our own messages; see ``named_text``.
    """

    def __init__(self, size: int, kinds: Kinds, *, ours: bool) -> None:
        """Set the search budget from the size of the text."""
        self.kinds = kinds
        self.ours = ours
        self._left = _AT_LEAST + _TIMES * size

    def found_in(self, text: str, depth: int = _PACKED) -> list[FoundCredential]:
        """Find every credential in a text; those at the deepest level of escaping come first.

        Raises:
            OpaqueError: The text is escaped or packed too many times, or the search budget is used up.
        """
        levels: list[list[FoundCredential]] = []
        for start in (Level(text, lambda at: at), without_nul(text)):
            level = start
            for _ in range(_LEVELS):
                if level is None:
                    break
                levels.append(moved(self._on_level(level.text, depth), level.place))
                level = _further(level)
            else:
                raise OpaqueError
        return [each for found in reversed(levels) for each in found]

    def _on_level(self, text: str, depth: int) -> Iterator[FoundCredential]:
        self._left -= len(text)
        if self._left < 0:
            raise OpaqueError
        yield from shapes.in_text(text)
        yield from named_text.in_text(text, self.kinds, ours=self.ours)
        yield from command_lines.in_text(text, self.kinds)
        yield from markup.in_text(text, self.kinds)
        yield from json_values.in_text(text, self.kinds)
        if BARE_QUOTE in text:
            yield from json_values.in_text(text, self.kinds, BARE_QUOTE)
        if not self.ours:
            yield from tables.in_text(text)
        if depth:
            for start, end, plain in packed.runs(text):
                if style := self.within(plain, depth - 1):
                    yield FoundCredential(start, end, style, text[start:end])

    def found_in_raw(self, raw: bytes, depth: int = _PACKED) -> list[FoundCredential]:
        """Find every credential in bytes of any encoding, Avro included; positions are byte offsets.

        Raises:
            OpaqueError: As for a text.
        """
        text = raw.decode("latin-1")
        found = self.found_in(text, depth)
        if raw.startswith(SINGLE_OBJECT):
            # The fingerprint may end in a letter, so that a credential behind it looks like a part of a longer word.
            found += moved(self.found_in(text[_HEADER:], depth), lambda at: at + _HEADER)
            found += shapes.behind_lengths(raw)
            found += _behind_names(raw)
        return found

    def within(self, raw: bytes, depth: int = _PACKED) -> Style | None:
        """Return the replacement of packed content that contains a credential or cannot be searched; else None."""
        if packed.is_opaque(raw):
            return Style.DIGEST
        if depth and packed.is_compressed(raw):
            plain = packed.unpacked(raw)
            if plain is None:
                return Style.DIGEST
            if style := self.within(plain, depth - 1):
                return style
        styles = {each.style for each in disjoint(self.found_in_raw(raw, depth))}
        if not styles:
            return None
        return Style.DIGEST if styles == {Style.DIGEST} else Style.REMOVED


def _further(level: Level) -> Level | None:
    inner = unescaped(level.text)
    if inner is None:
        return None
    place, outer = inner.place, level.place
    return Level(inner.text, lambda at: outer(place(at)))


def found_in_text(text: str) -> list[FoundCredential]:
    """Find every credential in a string of an event or in one of our own messages; positions are those in ``text``.

    Raises:
        OpaqueError: It cannot be searched.
    """
    return CredentialSearch(len(text), kind_in_ours, ours=True).found_in(text)


@lru_cache(maxsize=1)  # for one record the codec asks whether there is a credential, then quarantine removes it
def found_in_bytes(raw: bytes) -> tuple[FoundCredential, ...]:
    """Find every credential in a record of any encoding; positions are byte offsets.

    Raises:
        OpaqueError: The record cannot be searched, or the credential is within compressed data and cannot be removed.
    """
    looks_like_event = raw.startswith(SINGLE_OBJECT) or _LOOKS_LIKE_EVENT in raw
    search = CredentialSearch(len(raw), kind_in_invalid if looks_like_event else kind_of, ours=False)
    if packed.is_opaque(raw) or (packed.is_compressed(raw) and search.within(raw)):
        raise OpaqueError
    return tuple(search.found_in_raw(raw))


def _behind_names(raw: bytes) -> Iterator[FoundCredential]:
    """Find the value of each map entry in Avro whose key is a secret's name."""
    for match in named_text.NAMES.finditer(raw):
        kind = kind_in_ours(match.group().decode("latin-1"))
        if kind is None:
            continue
        length, shift, at = 0, 0, match.end()
        while at < len(raw) and at < match.end() + 3:
            length |= (raw[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if raw[at - 1] < 0x80:  # noqa: PLR2004
                break
        end = at + (length >> 1)
        value = raw[at:end].decode("latin-1")
        if not length & 1 and value and end <= len(raw) and is_secret(value, kind):
            yield FoundCredential(at, end, style_of(kind), value)


def kept(raw: bytes, columns: Columns | None = None) -> bytes | None:
    """Remove the credentials from a record, so that the rest may be stored.

    Args:
        raw: The record: JSON, Avro, a line of text, or any other bytes.
        columns: If it is a line of a table, which of its columns hold secrets.

    Returns:
        The record with its credentials replaced; None if it cannot be searched.
    """
    text = raw.decode("latin-1")
    try:
        found = [*found_in_bytes(raw), *(tables.in_line(text, columns) if columns is not None else ())]
    except OpaqueError:
        return None
    return as_bytes(replaced(text, found))


def kept_under(name: str, raw: bytes) -> bytes | None:
    """Scrub like ``kept`` the value of a name, such as a header; a value that is itself a secret is replaced whole."""
    value = raw.decode("latin-1")
    kind = kind_of(name)
    if kind is None or value == name or not is_secret(value, kind, name=name):
        return kept(raw)
    try:
        inner = found_in_bytes(raw)
    except OpaqueError:
        return None
    return as_bytes(replaced(value, [FoundCredential(0, len(value), style_of(kind), value), *inner]))
