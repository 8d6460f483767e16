"""The public interface: whether a text contains a credential, which one, and how to show it. Fast if there is none."""

import re
from typing import Any, Final

from ingest.codec.credentials import packed, shapes
from ingest.codec.credentials.found import REMOVED, Style, as_bytes, disjoint, handle, replaced
from ingest.codec.credentials.named_text import style_of
from ingest.codec.credentials.names import KINDS, SecretKind, is_secret, kind_of
from ingest.codec.credentials.scrubber import OpaqueError, found_in_bytes, found_in_text

_MARKS: Final = re.compile(r"[=\"'\\%<&\x00\t\n\r]")
_WORDS: Final = re.compile(r" (?:is|was|password|-[A-Za-z]) ?")  # `the password is x`, `curl -u x`
_GUESSABLE: Final = 24  # characters: a shorter secret can be found by brute force from its digest
CLEAN: Final[set[str]] = set()
"""Values in which nothing was found: agents, roles and regions are repeated in every record of a log."""

# Digits that follow such a head, or stand alone, are not a credential, nor the end of one that begins before them.
_HEXADECIMAL: Final = "0123456789abcdef-"
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")
_REMEMBERED: Final = 1 << 13
_REMEMBERED_CHARACTERS: Final = 200


def may_hold(text: str) -> bool:
    """Whether a string of an event may contain a credential: a fast check that rules out nearly all strings.

    Called for every new string, so it is one function, and not a single pattern, which would take three times as long.
    """
    return (
        # Something begins like a credential.
        shapes.AT_START.match(text) is not None
        or shapes.FURTHER_ON.search(text) is not None
        or "-----BEGIN" in text
        # It has a character that a name with a value, an escape, or a password in a URL must contain.
        or _MARKS.search(text) is not None
        or ": " in text
        or "- " in text
        or "--" in text
        or ("@" in text and ("://" in text or ":thin:" in text or ":oci:" in text))
        or "auth/token/" in text
        or (" " in text and _WORDS.search(text) is not None)
        # A long run of letters and digits is the base64 of something readable.
        or (
            packed.LONG_RUN.search(text) is not None
            and (packed.AT_START.match(text) is not None or packed.FURTHER_ON.search(text) is not None)
            and packed.holds_base64(text)
        )
    )


def find(text: str) -> str | None:
    """The first raw credential in a string of an event, or None.

    Examples:
        >>> find("agent:risk-assessment_of_the_third_quarter")
        >>> find("https://idp#eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.")
        'eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.'
        >>> find("postgresql://app:hunter2@db/prod")
        'hunter2'
    """
    if text in CLEAN or not may_hold(text):
        return None
    try:
        found = disjoint(found_in_text(text))
    except OpaqueError:
        return text
    return found[0].secret if found else None


def find_raw(raw: bytes) -> bytes | None:
    """The first raw credential in a raw record (JSON, Avro, or anything), or None."""
    try:
        found = disjoint(found_in_bytes(raw))
    except OpaqueError:
        return raw
    return as_bytes(found[0].secret) if found else None


def speakable(credential: str | bytes) -> str:
    """Describe a credential in a message: by its digest, unless the digest would reveal it."""
    text = credential if isinstance(credential, str) else credential.decode("latin-1")
    if len(text) < _GUESSABLE and not any(each.style is Style.DIGEST for each in shapes.in_text(text)):
        return "no digest of it is shown, since it may be a password"
    return handle(credential)


def scrubbed(text: str) -> str:
    """Replace every credential in a text, so that it may be logged, printed or returned.

    Examples:
        >>> scrubbed("cannot connect to postgresql://app:hunter2@db/prod")
        'cannot connect to postgresql://app:***@db/prod'
    """
    if not may_hold(text):
        return text
    raw = text.encode(errors="surrogatepass")
    try:
        found = found_in_text(raw.decode("latin-1"))
    except OpaqueError:
        return f"(a text that may hold a credential, {handle(raw)})"
    return as_bytes(replaced(raw.decode("latin-1"), found)).decode(errors="surrogatepass") if found else text


def scrubbed_value(value: Any) -> Any:
    """Replace every credential in parsed JSON, found by name and by shape.

    An object with a secret's name that only describes one, such as the claims under ``jwt``, is searched, not removed.

    Examples:
        >>> scrubbed_value({"user": "alice", "password": "hunter2", "jwt": {"sub": "alice"}})
        {'user': 'alice', 'password': '***', 'jwt': {'sub': 'alice'}}
    """
    if isinstance(value, str):
        return value if value in CLEAN else _scrubbed_text(value)
    if isinstance(value, list):
        return [scrubbed_value(item) for item in value]
    if isinstance(value, dict):
        return {
            name: item
            if type(item) is str and item in CLEAN and KINDS[name] is None  # the usual case
            else scrubbed_member(name, item)
            for name, item in value.items()
        }
    return value


def _scrubbed_text(text: str) -> str:
    head = text.rstrip(_HEXADECIMAL)
    if not head or (head[-1] in "#:@" and head in CLEAN) or _TIME.fullmatch(text):
        return text
    if may_hold(text):
        clean = scrubbed(text)
        if clean != text or find(text) is not None:
            return clean
    _remember(text)
    if head != text and head[-1] in "#:@" and not may_hold(head):
        _remember(head)
    return text


def _remember(text: str) -> None:
    if len(text) <= _REMEMBERED_CHARACTERS:
        if len(CLEAN) >= _REMEMBERED:
            CLEAN.clear()
        CLEAN.add(text)


def scrubbed_member(name: str, value: Any) -> Any:
    """Scrub the value of a member of that name, like ``scrubbed_value``."""
    kind = kind_of(name)
    if kind is None and type(value) is str:  # the usual case
        return value if value in CLEAN else _scrubbed_text(value)
    if kind is None or (isinstance(value, dict) and kind is not SecretKind.CHOSEN):
        return scrubbed_value(value)
    return _all_scrubbed(name, value, kind)


def _all_scrubbed(name: str, value: Any, kind: SecretKind) -> Any:
    if isinstance(value, list):
        return [_all_scrubbed(name, item, kind) for item in value]
    if isinstance(value, dict):
        return {inner: _all_scrubbed(name, item, kind) for inner, item in value.items()}
    if isinstance(value, str):
        if not is_secret(value, kind, name=name):
            return scrubbed(value)
        return handle(value) if style_of(kind) is Style.DIGEST else REMOVED
    return value if kind is SecretKind.MAYBE or value is None or isinstance(value, bool) else None
