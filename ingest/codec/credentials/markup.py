"""Secrets next to their names in multipart bodies, XML, YAML and TOML: where a name and its value are far apart.

Each pattern runs only if a text has a mark of its format. Linear in the length of the text.
"""

import re
from collections.abc import Iterator
from typing import Final

from ingest.codec.credentials.found import FoundCredential, Style
from ingest.codec.credentials.named_text import BARE_QUOTE, style_of
from ingest.codec.credentials.names import Kinds, SecretKind, is_secret

_Q: Final = f"[\"'{BARE_QUOTE}]"
_NOT_Q: Final = f"[^\"'{BARE_QUOTE}<>]"
_NAME: Final = r"[A-Za-z0-9_.\-]++"
# A part of a multipart body (RFC 7578): its headers, an empty line, its content up to the next boundary.
_PART: Final = re.compile(
    rf"(?i)content-disposition:[^\r\n]{{0,200}}?[; ]name={_Q}?(?P<name>{_NAME}){_Q}?[^\r\n]{{0,500}}\r?\n"
    r"(?:[^\r\n]{1,500}\r?\n){0,8}\r?\n(?P<value>(?:(?!\r?\n--).)*+)",
    re.DOTALL,
)
_TAG: Final = re.compile(r"<[A-Za-z][^<>]*+>")
_ATTRIBUTE: Final = re.compile(rf"([A-Za-z_:][A-Za-z0-9_.:-]*+)\s*+=\s*+{_Q}({_NOT_Q}*+){_Q}")
_LABELS: Final = frozenset({"name", "key", "id", "field", "param"})
_VALUES: Final = frozenset({"value", "val", "string"})
# `<name>password</name><value>x</value>`, and the form used by property lists.
_PAIR_OF_ELEMENTS: Final = re.compile(
    rf"<(?:[A-Za-z0-9_-]+:)?(?i:name|key)>\s*(?P<name>{_NAME})\s*</[^<>]*>\s*<[A-Za-z][^<>]*>(?P<value>[^<]+)(?=</)"
)
# `<Data Name="Password">x</Data>`, and a SAML attribute, whose value is a separate element.
_CONTENT: Final = re.compile(r"\s*(?:<[A-Za-z][^<>]*>\s*)?(?P<value>[^<\s][^<]*)(?=</)")
_CDATA: Final = re.compile(
    rf"<(?:[A-Za-z0-9_-]+:)?(?P<name>{_NAME})(?:\s[^<>]*)?>\s*<!\[CDATA\[(?P<value>(?:(?!\]\]>).)*+)", re.DOTALL
)
# YAML: a name whose value is a block, or a list, on the lines below it.
_ABOVE: Final = re.compile(
    rf"(?<![A-Za-z0-9_.\-])(?P<name>{_NAME}){_Q}?:[ \t]*(?P<block>[|>][0-9+-]*)?[ \t]*\r?$", re.MULTILINE
)
_ITEM: Final = re.compile(r"[ \t\r\n]*+-[ \t]")
_ITEM_OR_MORE: Final = re.compile(rf"[ \t]*(?:-[ \t]+)?{_Q}?(?P<value>[^\s\"'{BARE_QUOTE}][^\r\n\"'{BARE_QUOTE}]*)")
_LABELLED: Final = re.compile(
    rf"^[ \t]*(?:-[ \t]+)?(?:name|key):[ \t]*{_Q}?(?P<name>{_NAME}){_Q}?[ \t]*\r?\n"
    rf"[ \t]*value:[ \t]*{_Q}?(?P<value>[^\r\n\"'{BARE_QUOTE}]+)",
    re.MULTILINE,
)
_KUBERNETES_SECRET: Final = re.compile(r"(?<![A-Za-z0-9_])kind:[ \t]*Secret[ \t]*\r?$", re.MULTILINE)
_INDENTATION: Final = re.compile(r"[ \t]*+(?:-[ \t]++)*+")
_WIDEST: Final = 200  # characters in front of a name
_PAYLOADS: Final = frozenset({"data", "stringdata"})
_ENTRY: Final = re.compile(r"[ \t]+[^\s:]+:[ \t]*(?P<value>[^\s|>][^\r\n]*)")
_TRIPLE: Final = re.compile(
    rf"(?<![A-Za-z0-9_.\-])(?P<name>{_NAME})\s*=\s*(?P<quote>\"\"\"|'''|{BARE_QUOTE * 3})"
    r"(?P<value>(?:(?!(?P=quote)).)*+)",
    re.DOTALL,
)
_LINE: Final = re.compile(r"[^\n]*\n?")


def in_text(text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    """Yield every secret in the markup of a text."""
    if "isposition:" in text:
        yield from _named(_PART, text, kinds)
    if "<" in text and ">" in text:
        yield from _attributes(text, kinds)
        yield from _named(_PAIR_OF_ELEMENTS, text, kinds)
        if "CDATA" in text:
            yield from _named(_CDATA, text, kinds)
    if "=" in text and any(quote in text for quote in ('"""', "'''", BARE_QUOTE * 3)):
        yield from _named(_TRIPLE, text, kinds)
    if "\n" in text and ":" in text:
        yield from _named(_LABELLED, text, kinds)
        yield from _below(text, kinds)


def _named(pattern: re.Pattern[str], text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    for match in pattern.finditer(text):
        yield from _found(text, *match.span("value"), match["name"], kinds)


def _found(text: str, start: int, end: int, name: str, kinds: Kinds) -> Iterator[FoundCredential]:
    kind = kinds(name)
    value = text[start:end]
    if kind is not None and value.strip() and is_secret(value, kind, name=name):
        yield FoundCredential(start, end, style_of(kind), value)


def _attributes(text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    """Yield values and contents of elements that an attribute names, such as ``<add key="password" value="x"/>``."""
    for tag in _TAG.finditer(text):
        if "=" not in tag.group():
            continue
        found = list(_ATTRIBUTE.finditer(text, *tag.span()))
        labels = (each.group(2) for each in found if each.group(1).lower() in _LABELS)
        label = next((one for one in labels if kinds(one) is not None), None)
        if label is None:
            continue
        for each in found:
            if each.group(1).lower() in _VALUES:
                yield from _found(text, *each.span(2), label, kinds)
        if not tag.group().endswith("/>") and (content := _CONTENT.match(text, tag.end())):
            yield from _found(text, *content.span("value"), label, kinds)


def _below(text: str, kinds: Kinds) -> Iterator[FoundCredential]:
    """Yield what is on the lines below a name in YAML, indented further than the name."""
    is_secret_object = _KUBERNETES_SECRET.search(text) is not None
    for above in _ABOVE.finditer(text):
        name, kind = above["name"], kinds(above["name"])
        payload = is_secret_object and name.lower() in _PAYLOADS
        if kind is None and not payload:
            continue
        if not above["block"] and not payload and _ITEM.match(text, above.end()) is None:
            continue  # the lines below have names themselves
        lines = list(_lines_below(text, above.end(), _indent(text, above.start())))
        if above["block"] and lines:
            start = lines[0].end() - len(lines[0].group().lstrip())
            end = lines[0].start() + len("".join(line.group() for line in lines).rstrip())
            yield from _found(text, start, end, name, kinds)
        elif payload:
            for line in lines:
                entry = _ENTRY.match(text, line.start(), line.end())
                if entry is not None and is_secret(entry["value"].rstrip(), SecretKind.CHOSEN):
                    yield FoundCredential(*entry.span("value"), Style.REMOVED, entry["value"])
        else:
            for line in lines:
                if item := _ITEM_OR_MORE.match(text, line.start(), line.end()):
                    yield from _found(text, *item.span("value"), name, kinds)


def _indent(text: str, at: int) -> int:
    """The indentation of a name; 0 if anything else precedes it on its line."""
    before = text[max(0, at - _WIDEST) : at].rpartition("\n")[2].rstrip("\"'\x01")
    return len(before) if _INDENTATION.fullmatch(before) else 0


def _lines_below(text: str, at: int, indent: int) -> Iterator[re.Match[str]]:
    at = text.find("\n", at) + 1
    while 0 < at < len(text) and (line := _LINE.match(text, at)) is not None:
        content = line.group().lstrip(" \t")
        width = len(line.group()) - len(content)
        if content.strip() and width <= indent and not (width == indent and content.startswith("- ")):
            return
        yield line
        at = line.end()
