"""Secrets that a program, a file or a log format keeps in a special place, without a telling name.

``curl -u alice:x``, ``sshpass -p x``, ``mysql -px``, a ``.netrc``, Docker's ``auth``, CEF's ``cs1Label=pin cs1=x``.
Each pattern runs only if a text names its program or field. Linear in the length of the text.
"""

import re
from collections.abc import Iterator
from typing import Final

from ingest.codec.credentials.found import FoundCredential, Style
from ingest.codec.credentials.named_text import BARE_QUOTE, style_of
from ingest.codec.credentials.names import Kinds, is_secret
from ingest.codec.credentials.shapes import is_user_and_password

_Q: Final = f"[\"'{BARE_QUOTE}]"
_VALUE: Final = f"[^\\s\"'{BARE_QUOTE},\\\\]++"
_GAP: Final = rf"{_Q}?(?:[\s,=]++){_Q}?"  # also between the words of a list
_BEFORE: Final = rf"(?<![^\s\"'{BARE_QUOTE},\[])"
_OF_PROGRAMS: Final = (
    ("curl", re.compile(rf"{_BEFORE}(?:-[uU]|--user|--proxy-user)(?:{_GAP})?[^\s\"'{BARE_QUOTE}:,]*+:({_VALUE})")),
    ("curl", re.compile(rf"{_BEFORE}(?:-b|--cookie){_GAP}([^\s\"'{BARE_QUOTE},=]+=[^\"'{BARE_QUOTE}\n]++)")),
    ("sshpass", re.compile(rf"sshpass{_GAP}-p(?:{_GAP})?({_VALUE})")),
    ("redis-cli", re.compile(rf"{_BEFORE}(?:-a|--pass){_GAP}({_VALUE})")),
    ("mysql", re.compile(rf"{_BEFORE}-p({_VALUE})")),
    ("mariadb", re.compile(rf"{_BEFORE}-p({_VALUE})")),
    ("login", re.compile(r"\blogin\s++\S++\s++password\s++(\S++)")),
)
_AUTH: Final = re.compile(rf"(?<![A-Za-z0-9])_?auth{_Q}?\s*+[:=]\s*+{_Q}?([A-Za-z0-9+/_-]{{8,}}={{0,2}})")
_LABEL: Final = re.compile(r"(?<![A-Za-z0-9])(?P<field>[A-Za-z]+[0-9]+)Label=(?P<name>[A-Za-z0-9_.-]++)")
_EXTENSION: Final = re.compile(r"(?<![A-Za-z0-9])(?P<field>[A-Za-z]+[0-9]+)=(?P<value>(?:(?!\s[A-Za-z0-9_]+=)[^\n])*+)")


def in_text(text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    """Yield every secret in the commands and fields of a text."""
    for mark, pattern in _OF_PROGRAMS:
        if mark in text:
            for match in pattern.finditer(text):
                if not _is_hidden(match.group(1)):
                    yield FoundCredential(*match.span(1), Style.REMOVED, match.group(1))
    if "auth" in text:
        for match in _AUTH.finditer(text):
            if is_user_and_password(match.group(1)):
                yield FoundCredential(*match.span(1), Style.REMOVED, match.group(1))
    if "Label=" in text:
        yield from _labelled(text, kinds)


def _labelled(text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    """Yield the secrets in CEF custom fields, whose names are in separate fields."""
    named = {match["field"]: match["name"] for match in _LABEL.finditer(text)}
    for match in _EXTENSION.finditer(text):
        name, value = named.get(match["field"], ""), match["value"]
        if value and (kind := kinds(name)) is not None and is_secret(value, kind, name=name):
            yield FoundCredential(*match.span("value"), style_of(kind), value)


def _is_hidden(value: str) -> bool:
    return re.fullmatch(r"\*+|sha256:[0-9a-f]{64}|\$\{?\w+\}?", value) is not None
