"""Secrets in JSON that do not directly follow their name.

They are in a list or an object under the name, next to a label (``{"name": "password", "value": "x"}``), in a pair
(``["authorization", "x"]``), after an option in the arguments of a command, or in the payload of a Vault audit line.

Only brackets, strings and separators are parsed, so JSON that is truncated or embedded in other text is read as far as
it goes. Linear in the length of the text; nothing recurses.
"""

import re
from collections.abc import Iterator
from typing import Final

from ingest.codec.credentials.found import FoundCredential, Style
from ingest.codec.credentials.named_text import BARE_QUOTE, style_of
from ingest.codec.credentials.names import Kinds, SecretKind, is_secret

_TOKENS: Final = {
    '"': re.compile(r'"(?P<text>(?:[^"\\]|\\.)*+)"?|(?P<mark>[{}\[\],:])|(?P<bare>[^\s{}\[\],:"]++)', re.DOTALL),
    BARE_QUOTE: re.compile(
        rf"{BARE_QUOTE}(?P<text>[^{BARE_QUOTE}]*+){BARE_QUOTE}?|(?P<mark>[{{}}\[\],:])|(?P<bare>[^\s{{}}\[\],:{BARE_QUOTE}]++)",
        re.DOTALL,
    ),
}
_NUMBER: Final = re.compile(r"-?[0-9][0-9.eE+-]*")
_LABELS: Final = frozenset(
    {"name", "key", "header", "param", "parameter", "field", "variable", "attribute", "k", "displayname"}
)
_LABELLED: Final = frozenset(
    {"value", "values", "v", "val", "stringvalue", "arrayvalue", "parametervalue", "content", "oldvalue", "newvalue"}
)
# Objects that describe a secret: a member is a secret only if its own name says so.
_DESCRIBING: Final = re.compile(r"(?i)(?:token|authorization|jwt|credentials?|assertion|key|cookie)s?$")
_RAW: Final = frozenset(
    {"value", "raw", "data", "string", "stringvalue", "encoded", "content", "text", "plaintext", "s"}
)
# A line of Vault's audit log holds the data written and read, and the headers that an operator chose to log.
_VAULT_LINE: Final = re.compile(r"[\"\x01]type[\"\x01]\s*:\s*[\"\x01]re(?:quest|sponse)[\"\x01]")
_VAULT_PARTS: Final = frozenset({"request", "response"})
_VAULT_PAYLOADS: Final = frozenset({"data", "headers"})
_KUBERNETES_PAYLOADS: Final = frozenset({"data", "stringdata"})
_PAIR: Final = 2
_A_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+")


class _OpenContainer:
    """A list or an object that has been opened and not closed yet.

    Attributes:
        is_list: Whether it is a list.
        under: The name of the member that it is the value of, in lower case.
        blanket: The kind of secret that every value in it is; None if they are not all secrets.
        name: In an object, the name whose value comes next.
        label: The value of the object's label (``name``, ``key``, ...).
        values: The object's values under ``value``, which are secrets if the label names a secret.
        payload: The object's values under ``data``, which are secrets if it is a Kubernetes Secret.
        is_secret: Whether it is a Kubernetes Secret.
        items: The last two scalars of a list; under ``values`` all of them.
        count: The number of scalars in the list.
        describing: Whether it describes a secret, so that only its ``value`` is one.
    """

    __slots__ = ("blanket", "count", "describing", "is_list", "is_secret", "items", "label", "name", "payload",
                 "under", "values")  # fmt: skip

    def __init__(self, *, is_list: bool, under: str, blanket: SecretKind | None, describing: bool) -> None:
        self.is_list = is_list
        self.under = under
        self.blanket = blanket
        self.describing = describing
        self.name = ""
        self.label = ""
        self.is_secret = False
        self.values: list[_Scalar] = []
        self.payload: list[_Scalar] = []
        self.items: list[_Scalar] = []
        self.count = 0


class _Scalar:
    """A string, a number or a literal, with its position in the text."""

    __slots__ = ("end", "is_string", "start", "text")

    def __init__(self, start: int, end: int, text: str, *, is_string: bool) -> None:
        self.start = start
        self.end = end
        self.text = text
        self.is_string = is_string

    def found(self, kind: SecretKind, name: str) -> Iterator[FoundCredential]:
        if self.is_string:
            if is_secret(self.text, kind, name=name):
                yield FoundCredential(self.start, self.end, style_of(kind), self.text)
        elif kind is not SecretKind.MAYBE and _NUMBER.fullmatch(self.text):  # perhaps a one-time code
            yield FoundCredential(self.start, self.end, Style.NULL, self.text)


def in_text(text: str, kinds: Kinds, quote: str = '"') -> Iterator[FoundCredential]:
    """Find every secret in the JSON of a text.

    Args:
        text: The text.
        kinds: Says what kind of secret a name names.
        quote: The quote character of its strings.
    """
    if quote in text and ("{" in text or "[" in text):
        yield from _JsonReader(kinds, of_vault=_VAULT_LINE.search(text) is not None).read(text, quote)


class _JsonReader:
    """A tolerant JSON reader that keeps a stack of the open lists and objects."""

    def __init__(self, kinds: Kinds, *, of_vault: bool) -> None:
        self._kinds = kinds
        self._of_vault = of_vault
        self._opened = [_OpenContainer(is_list=True, under="", blanket=None, describing=False)]

    def read(self, text: str, quote: str) -> Iterator[FoundCredential]:
        """Find every secret in a text."""
        last: _Scalar | None = None  # kept until the next token tells whether it is a name or a value
        for match in _TOKENS[quote].finditer(text):
            mark = match["mark"]
            if mark is None:
                if last is not None:
                    yield from self._value(last)
                part = "text" if match["text"] is not None else "bare"
                last = _Scalar(*match.span(part), match[part], is_string=part == "text")
                continue
            here = self._opened[-1]
            if mark == ":" and not here.is_list:
                here.name, last = last.text if last is not None else "", None
                continue
            if last is not None:
                yield from self._value(last)
                last = None
            if mark in "{[":
                self._opened.append(self._child(is_list=mark == "["))
                here.name = ""
            elif mark in "}]" and len(self._opened) > 1:
                yield from self._closed()
        if last is not None:
            yield from self._value(last)
        while len(self._opened) > 1:
            yield from self._closed()

    def _child(self, *, is_list: bool) -> _OpenContainer:
        here = self._opened[-1]
        name = here.name or (here.under if here.is_list else "")
        blanket, describing = here.blanket, False
        if blanket is None and name and (kind := self._kinds(name)) is not None:
            describing = not is_list and _DESCRIBING.search(name) is not None
            if not describing and (is_list or kind is not SecretKind.MAYBE):
                blanket = kind
        low = name.lower()
        if self._of_vault and low in _VAULT_PAYLOADS and here.under in _VAULT_PARTS:
            blanket = SecretKind.CHOSEN
        return _OpenContainer(is_list=is_list, under=low, blanket=blanket, describing=describing)

    def _value(self, scalar: _Scalar) -> Iterator[FoundCredential]:
        here = self._opened[-1]
        name, low = here.name, here.name.lower()
        if here.blanket is not None:
            yield from scalar.found(here.blanket, here.under)
        elif here.is_list:
            yield from self._item(here, scalar)
        elif name:
            kind = self._kinds(name)
            if kind is None and here.describing and low in _RAW:
                kind = SecretKind.MADE
            if kind is not None:
                yield from scalar.found(kind, name)
            if low in _LABELS:
                here.label = scalar.text
            elif low in _LABELLED:
                here.values.append(scalar)
            elif low == "kind" and scalar.text == "Secret":
                here.is_secret = True
        if len(self._opened) > 1 and here.under in _KUBERNETES_PAYLOADS:
            self._opened[-2].payload.append(scalar)
        here.name = ""

    def _item(self, here: _OpenContainer, scalar: _Scalar) -> Iterator[FoundCredential]:
        """Read an item of a list; among the arguments of a command, it may follow ``--password``."""
        here.count += 1
        before = here.items[-1].text if here.items else ""
        if before.startswith("-") and (kind := self._kinds(before)) is not None:
            yield from scalar.found(kind, before)
        here.items = [*(here.items if here.under in _LABELLED else here.items[-1:]), scalar]

    def _closed(self) -> Iterator[FoundCredential]:
        here = self._opened.pop()
        around = self._opened[-1]
        if here.is_secret:
            for scalar in here.payload:
                yield from scalar.found(SecretKind.CHOSEN, "")
        if here.label and here.values and (kind := self._kinds(here.label)) is not None:
            for scalar in here.values:
                yield from scalar.found(kind, here.label)
        if here.is_list and here.count == _PAIR and here.blanket is None:
            label, value = here.items[-_PAIR:]
            kind = self._kinds(label.text) if label.is_string and _A_NAME.fullmatch(label.text) else None
            if kind is not None and kind is not SecretKind.MAYBE:
                yield from value.found(kind, label.text)
        if here.under in _LABELLED:
            more, less = here.values, around.values
            if here.is_list:
                more += here.items
            if len(more) < len(less):
                more, less = less, more
            more += less  # extend the longer list, so that only the shorter one is copied
            around.values = more
