"""Raw credentials: recognised wherever they stand in a record, so that none is ever kept (DESIGN section 2).

What is looked for has a form that nothing else has: compact JWS and JWE, the prefixes that providers gave
their secrets for this very purpose, private keys in PEM. A secret without such a form cannot be told from an
id. Public handles, such as AWS's access key ids (``AKIA...``, ``ASIA...``), are ids and stay.

Cost: linear in what is searched, hostile bytes included. Every pattern is written so that each of its alternatives
begins with a letter that is known: the engine of ``re`` then passes over all others at a nanosecond each.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

# Compact JWS (RFC 7515 section 7.1, with the `~` parts of SD-JWT) and JWE (RFC 7516 section 7.1). The first
# part is the base64url of a JSON object: `{"`, or `{` and white space.
_FIRST_PART: Final = r"e(?:yJ|yA|wo|w0|wk)[A-Za-z0-9_-]{8,}"
_OTHER_PARTS: Final = r"\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*|(?:~[A-Za-z0-9_.-]*)+)?"

_SECRETS: Final = (
    r"hv[sbr]\.[A-Za-z0-9_-]{20,}",  # Vault
    r"s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])",  # Vault before 1.10
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"gl(?:pat|ptt|dt|rt|cbt|soat|oas)-[A-Za-z0-9_.-]{20,}",  # GitLab
    r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}",  # Slack
    r"xapp-[A-Za-z0-9-]{10,}",
    # OpenAI, Anthropic and those who copied them: long runs, not words with hyphens (`sk-learn-...`).
    r"sk-(?:proj|svcacct|admin|ant)-[A-Za-z0-9_-]{16,}",
    r"sk-(?:[a-z0-9]+-){0,2}[A-Za-z0-9_]{20,}[A-Za-z0-9_-]*",
    r"sk_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"rk_(?:live|test)_[A-Za-z0-9]{16,}",
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_-]{20,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-AgE[A-Za-z0-9_-]{16,}",
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    # An Authorization header (RFC 6750 section 2.1, RFC 9449 section 7.1). A digit must be in it: "bearer
    # tokens are short-lived" is English.
    *(
        scheme + r" +(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{16,}=*"
        for scheme in ("Bearer", "bearer", "BEARER", "DPoP")
    ),
)
# A private key in PEM (RFC 7468): to its end, or as far as it goes.
_PEM: Final = r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[^\"])*(?:-----END [A-Z0-9 ]*-----)?"
# How all of the above begin.
_BEGINNINGS: Final = (
    *(r"e(?:yJ|yA|wo|w0|wk)", r"hv[sbr]\.", r"s\.", r"gh[pousr]_", "github_pat_", "gl[a-z]{2,5}-", "xox", "xapp-"),
    *("sk-", "sk_", "rk_", "AIza", r"ya29\.", "npm_", "pypi-", r"SG\.", "-----BEGIN"),
    *("Bearer ", "bearer ", "BEARER ", "DPoP "),
)


def _after(left: str, patterns: Iterable[str]) -> str:
    """One of some patterns, if what stands on its left is so; asked behind the first letter, for the engine's sake."""
    return "|".join(pattern[0] + left.format(pattern[0]) + pattern[1:] for pattern in patterns)


# On the left stands no letter or digit: `risk-...` is not `sk-...`, but `https://idp#eyJ...` holds a token.
_ALONE: Final = "(?<![A-Za-z0-9]{})"
_KINDS: Final = (
    # A first part that no dot follows holds none that one follows: passing over it whole keeps the search linear.
    f"{_after(_ALONE, [_FIRST_PART])}({_OTHER_PARTS})?",
    f"({_after(_ALONE, _SECRETS)}|{_PEM})",
)
_IN_TEXT: Final = tuple(re.compile(kind) for kind in _KINDS)
_IN_BYTES: Final = tuple(re.compile(kind.encode()) for kind in _KINDS)
# The same question, asked so that most ids and texts are done with in half a microsecond. Of what is long it is none.
_SHORT_CHARACTERS: Final = 512
_AT_START: Final = re.compile("|".join(_BEGINNINGS))
_FURTHER_ON: Final = re.compile(f"[^A-Za-z0-9](?=[esxghrAynpSBbD])(?:{'|'.join(_BEGINNINGS)})|-----BEGIN")
_AFTER_LENGTH: Final = re.compile(_after("(?<=[A-Za-z0-9]{})", _BEGINNINGS).encode())
_STRING: Final = re.compile("|".join([_FIRST_PART + _OTHER_PARTS, *_SECRETS, _PEM]).encode())
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_SHORT_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def find(text: str) -> str | None:
    """The first raw credential in a string, or None.

    Examples:
        >>> find("agent:risk-assessment_of_the_third_quarter")
        >>> find("https://idp#eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.")
        'eyJhbGciOiJub25lIn0.eyJqdGkiOiIxIn0.'
    """
    if len(text) <= _SHORT_CHARACTERS and not may_hold(text):
        return None
    for pattern in _IN_TEXT:
        for match in pattern.finditer(text):
            if match.group(1):
                return match.group()
    return None


def may_hold(text: str) -> bool:
    """Whether something in a string begins as a credential does."""
    return _AT_START.match(text) is not None or _FURTHER_ON.search(text) is not None


def find_raw(raw: bytes) -> bytes | None:
    """The first raw credential in a raw record (JSON, Avro, or anything), or None."""
    return next((raw[start:end] for start, end in _spans(raw)), None)


def handle(credential: str | bytes) -> str:
    """The id under which a credential may be spoken of: ``sha256:<hex>``."""
    raw = credential.encode(errors="surrogatepass") if isinstance(credential, str) else credential
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def redact(raw: bytes) -> bytes:
    """A raw record (JSON, Avro, anything) with every credential replaced by its ``sha256:<hex>``.

    What is spelled with JSON escapes is not seen here: ask ``hides_credential``. In Avro a credential may
    seem to be a byte or two longer than it is; what replaces it is the digest of that.
    """
    pieces: list[bytes] = []
    done = 0
    for start, end in _spans(raw):
        pieces += (raw[done:start], handle(raw[start:end]).encode())
        done = end
    return b"".join([*pieces, raw[done:]])


def hides_credential(raw: bytes) -> bool:
    """Whether ``redact`` misses one, spelled with JSON escapes or in UTF-16: then keep only a digest."""
    return _is_hidden_in(redact(raw))


def kept(raw: bytes) -> bytes | None:
    """What may be kept of a raw record: all but its credentials; None if one in it cannot be cut out."""
    redacted = redact(raw)
    return None if _is_hidden_in(redacted) else redacted


def _is_hidden_in(redacted: bytes) -> bool:
    text = redacted.decode("latin-1")  # a credential is ASCII, and what is none stays none in whatever encoding
    spellings = {text, _ESCAPE.sub(_unescaped, text) if "\\" in text else text, text.replace("\0", "")}
    return any(find(spelled) for spelled in spellings)


def _spans(raw: bytes) -> list[tuple[int, int]]:
    found = [match.span() for pattern in _IN_BYTES for match in pattern.finditer(raw) if match.group(1)]
    if raw[:2] == b"\xc3\x01":
        found += _spans_after_length(raw)
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _spans_after_length(raw: bytes) -> list[tuple[int, int]]:
    # In Avro the byte before a string is the last one of its length, which may look like a letter.
    spans = []
    for beginning in _AFTER_LENGTH.finditer(raw):
        start = beginning.start()
        length, at = raw[start - 1], start - 2
        while at >= max(0, start - 3) and raw[at] >= 0x80:  # noqa: PLR2004
            length, at = length << 7 | raw[at] & 0x7F, at - 1
        if length & 1 == 0 and (match := _STRING.match(raw, start, start + (length >> 1))):
            spans.append(match.span())
    return spans


def _unescaped(match: re.Match[str]) -> str:
    code, short = match.groups()
    return chr(int(code, 16)) if code else _SHORT_ESCAPES.get(short, short)
