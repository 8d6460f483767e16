"""Text pages for people: event content is shown safely, lines wrap between words, and ids stay whole.

Nothing here is markup: a page consists of plain pieces, so `[red]` in an id is just five characters. Invisible
characters, and those that change how their neighbours are displayed, are written as `<U+202E>`.
"""

import re
import shlex
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from lineage.core.model.sentences import TIME, Sentence


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a line.

    Attributes:
        text: The words.
        style: Their style; it never conveys anything that the words do not.
        names: The key (``KIND:ID``) of the thing that the words name; empty for none.
        is_time: Whether the words are a time.
    """

    text: str
    style: str = ""
    names: str = ""
    is_time: bool = False


Words = str | tuple[str, str] | Piece  # words, perhaps a sentence; words and their style

WIDEST: Final = 100  # columns; longer lines are hard to read
NARROWEST: Final = 16  # columns left next to a lead
# Control, format (bidi and zero width), surrogate, private use, unassigned, line and paragraph separator; and every
# space except the ordinary one.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_WORD: Final = re.compile("[^ ]+ *| +")
_ASCII: Final = str.maketrans({"└": "`", "─": "-"})
_INNER_SPACE: Final = "\0"  # a space within a word of a command; `safe` leaves no other


def safe(text: object) -> str:
    r"""Replace invisible characters of a text.

    Examples:
        >>> safe("human:alice@example.com")
        'human:alice@example.com'
        >>> safe("agent:\u202egnp.exe\x1b[2J")
        'agent:<U+202E>gnp.exe<U+001B>[2J'
    """
    shown = str(text)
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(f"<U+{ord(char):04X}>" if _is_unseen(char) else char for char in shown)


def _is_unseen(char: str) -> bool:
    return char != " " and unicodedata.category(char) in _UNSEEN


def joined(words: Iterable[object], between: str = ", ") -> str:
    """Join words."""
    return between.join(str(word) for word in words)


def many(count: int, noun: str, plural: str | None = None) -> str:
    """Format a count: `1 token`, `1,204 tokens`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


@dataclass(frozen=True, slots=True)
class _Line:
    pieces: tuple[Piece, ...]
    lead: str  # before the first row
    hang: str  # before the following rows
    tail: str = ""  # after every row that breaks between words


class Page:
    """Lines that wrap between words under a lead.

    On a console with soft wrapping (`soft_wrap=True`: right for pipes, and for copying from a terminal) a word longer
    than the line stays whole; otherwise it continues in the next line. Nothing is ever cut.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._lines: list[_Line] = []

    def line(self, *pieces: Words, lead: str = "", hang: str | None = None) -> "Page":
        """Add a line.

        Args:
            pieces: Its content.
            lead: The text before its first row.
            hang: The text before the following rows, as wide as ``lead``; None for as many spaces.
        """
        shown = tuple(chain.from_iterable(map(_pieces, pieces)))
        self._lines.append(_Line(shown, lead, " " * cell_len(lead) if hang is None else hang))
        return self

    def title(self, *pieces: Words) -> "Page":
        """Add an empty line, unless it is the first, and a heading."""
        if self._lines:
            self.line()
        return self.line(*((piece, "bold") if isinstance(piece, str) else piece for piece in pieces))

    def field(self, label: str, *pieces: Words, width: int = 12) -> "Page":
        """Add a line under a label."""
        return self.line(*pieces, lead=f"  {label:<{width}}")

    def command(self, words: Iterable[str]) -> "Page":
        """Add a shell command: quoted, and still one command when its rows are pasted."""
        quoted = [safe(shlex.quote(word)).replace(" ", _INNER_SPACE) for word in words]
        self._lines.append(_Line((Piece(" ".join(quoted)),), "  ", "    ", " \\"))
        return self

    def add(self, other: "Page", lead: str = "  ") -> "Page":
        """Add the lines of another page, indented."""
        self._lines += [replace(line, lead=lead + line.lead, hang=lead + line.hang) for line in other._lines]  # noqa: SLF001
        return self

    def pieces(self) -> list[tuple[Piece, ...]]:
        """Return the pieces of its lines, for interfaces other than a terminal."""
        return [line.pieces for line in self._lines]

    def first_line(self) -> str:
        """Return the words of its first line: the answer."""
        return "".join(piece.text for piece in self._lines[0].pieces)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the rows, as wide as the console allows."""
        width = min(options.max_width, WIDEST)
        for line in self._lines:
            indent = max(cell_len(line.lead), cell_len(line.hang)) + cell_len(line.tail)
            room = max(width - indent, NARROWEST)
            # A lead that leaves no room loses its left end, so that deep trees stay readable.
            excess = max(indent + room - width, 0)
            rows = list(_rows(_text(line), room, fold=not options.no_wrap))
            for number, row in enumerate(rows):
                lead = (line.hang if number else line.lead)[excess:]
                between_words = row.plain.endswith(" ")
                shown = Text(lead.translate(_ASCII) if options.ascii_only else lead).append_text(row)
                shown.rstrip()
                if between_words:
                    shown.append(line.tail)
                shown.plain = shown.plain.replace(_INNER_SPACE, " ")
                shown.no_wrap, shown.overflow = True, "ignore"
                yield shown


def _pieces(words: Words) -> Iterator[Piece]:
    """Convert words to pieces with visible characters only: a sentence to several, any other words to one."""
    if isinstance(words, Piece):
        yield replace(words, text=safe(words.text))
        return
    text, style = (words, "") if isinstance(words, str) else words
    if isinstance(text, Sentence):
        for part, names in text.pieces():
            yield Piece(safe(part), style, names=names or "", is_time=names == TIME)
    else:
        yield Piece(safe(text), style)


def _text(line: _Line) -> Text:
    text = Text()
    for piece in line.pieces:
        text.append(piece.text, piece.style)
    return text


def _rows(text: Text, room: int, *, fold: bool) -> Iterator[Text]:
    """Split a text into rows, between words; with ``fold`` also within words wider than a row."""
    breaks: list[int] = []
    used = 0
    for match in _WORD.finditer(text.plain):
        word = match.group()
        wide = cell_len(word.rstrip(" "))
        if used and used + wide > room:
            breaks.append(match.start())
            used = 0
        if fold and wide > room:
            for place, char in enumerate(word, match.start()):
                if used + cell_len(char) > room and char != " ":
                    breaks.append(place)
                    used = 0
                used += cell_len(char)
        else:
            used += cell_len(word)
    yield from text.divide(breaks)
