"""Credentials that are recognisable by their shape.

Compact JWS and JWE, secrets with a prefix, private keys in PEM, ``Authorization`` headers, passwords in URLs, session
tokens of AWS. Public handles, such as the access key ids of AWS (``AKIA...``, ``ASIA...``), are ids, not credentials.

Cost: linear in the length of the text, even if hostile. Every alternative of a pattern begins with a known letter, so
that the ``re`` engine skips all other letters at about a nanosecond each.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Final

from ingest.codec.credentials.found import FoundCredential, Style

# Compact JWS (RFC 7515 section 7.1, with the `~` parts of SD-JWT) and JWE (RFC 7516 section 7.1). The first
# part is the base64url of a JSON object: `{"`, or `{` and white space.
_FIRST_PART: Final = r"e(?:yJ|yA|wo|w0|wk)[A-Za-z0-9_-]{8,}"
_OTHER_PARTS: Final = r"\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*|(?:~[A-Za-z0-9_.-]*)+)?"

_SCHEMES: Final = ("Bearer", "bearer", "BEARER", "DPoP", "dpop", "DPOP")
SECRETS: Final = (
    r"hv[sbr]\.[A-Za-z0-9_-]{20,}",  # Vault
    r"s\.[A-Za-z0-9]{24}(?![A-Za-z0-9])",  # Vault before 1.10, OpenBao
    r"b\.AAAA[A-Za-z0-9_-]{40,}",  # batch tokens of the same
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{20,}",
    r"gl(?:pat|ptt|dt|rt|rtr|cbt|soat|oas|agent|imt|ft|ffct|wt)-[A-Za-z0-9_.-]{20,}",  # GitLab
    r"xox[a-z](?:\.xox[bp])?-[A-Za-z0-9%+/-]{10,}={0,2}",  # Slack
    r"x(?:app|wfp)-[A-Za-z0-9-]{10,}",
    r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/]{20,}",
    # OpenAI, Anthropic and compatible providers: long runs, not words with hyphens (`sk-learn-...`).
    r"sk-(?:proj|svcacct|admin|ant)-[A-Za-z0-9_-]{16,}",
    r"sk-(?:[a-z0-9]+-){0,2}[A-Za-z0-9_]{20,}[A-Za-z0-9_-]*",
    r"sk-lf-[a-f0-9]{8}-[a-f0-9-]{27}",  # Langfuse
    r"lsv2_[ps][kt]_[a-f0-9]{32}_[a-f0-9]{10}",  # LangSmith
    r"pplx-[A-Za-z0-9]{40,}",  # Perplexity
    r"pcsk_[A-Za-z0-9_]{40,}",  # Pinecone
    r"nvapi-[A-Za-z0-9_-]{40,}",  # NVIDIA
    r"r8_[A-Za-z0-9]{37}",  # Replicate
    r"ABSK[A-Za-z0-9+/]{100,}={0,2}",  # Bedrock
    r"bedrock-api-key-[A-Za-z0-9+/_-]{40,}={0,2}",
    r"gsk_[A-Za-z0-9]{40,}",  # Groq
    r"xai-[A-Za-z0-9]{40,}",
    r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
    r"whsec_[A-Za-z0-9+/=]{24,}",
    r"AIza[A-Za-z0-9_-]{35}",  # Google
    r"ya29\.[A-Za-z0-9_.-]{20,}",
    r"GOCSPX-[A-Za-z0-9_-]{20,}",
    r"1//0[A-Za-z0-9_-]{30,}",
    r"AQ\.Ab8[A-Za-z0-9_-]{30,}",
    r"npm_[A-Za-z0-9]{30,}",
    r"pypi-AgE[A-Za-z0-9_-]{16,}",
    r"dckr_[op]at_[A-Za-z0-9_-]{20,}",  # Docker
    r"do[opr]_v1_[a-f0-9]{40,}",  # DigitalOcean
    r"dapi[a-f0-9]{32}",  # Databricks
    r"gl(?:sa|c)_[A-Za-z0-9_=+/]{32,}",  # Grafana
    r"lin_api_[A-Za-z0-9]{32,}",
    r"AT[AC]TT3[A-Za-z0-9_=-]{40,}",  # Atlassian
    r"NRAK-[A-Z0-9]{27}",  # New Relic
    r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}",  # Postman
    r"HRKU-[A-Za-z0-9_-]{36,}",  # Heroku
    r"AKCp[A-Za-z0-9]{60,}",  # Artifactory
    r"rubygems_[a-f0-9]{48}",
    r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,}",  # Doppler
    r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",  # Dynatrace
    r"sntry[su]_[A-Za-z0-9+/=_-]{40,}",  # Sentry
    r"sbp_[a-f0-9]{40}",  # Supabase
    r"sb_secret_[A-Za-z0-9_-]{20,}",
    r"ntn_[A-Za-z0-9]{40,}",  # Notion
    r"secret_[A-Za-z0-9]{43}(?![A-Za-z0-9])",
    r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9._=-]{30,}",  # PlanetScale
    r"ops_eyJ[A-Za-z0-9+/=_-]{60,}",  # 1Password
    r"figd_[A-Za-z0-9_-]{40,}",  # Figma
    r"fm2_[A-Za-z0-9+/=]{60,}",  # Fly.io
    r"tskey-[a-z]+-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}",  # Tailscale
    r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}",  # Shopify
    r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"AGE-SECRET-KEY-(?:PQ-)?1[A-Z0-9]{40,}",
    r"dgt_[a-f0-9]{64}",  # delegraph's own API tokens
    r"v[1-4]\.(?:local|public)\.[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]+)?",  # PASETO
    # Session tokens of AWS: the prefix names the service that issued them.
    r"(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz|FQoDYXdz|AQoDYXdz|AgoJb3JpZ2lu)[A-Za-z0-9+/]{8,}={0,2}",
    r"(?:IQoJ|F[wQ]oG|FQoD|AQoD|AgoJ)[A-Za-z0-9+/]{60,}={0,2}",
    # An Authorization header (RFC 6750 section 2.1, RFC 9449 section 7.1). A digit must be in it: "bearer
    # tokens are short-lived" is English.
    *(scheme + r"[ +]+(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{16,}=*" for scheme in _SCHEMES),
)
# A private key in PEM (RFC 7468): to its end marker, or to the end of the text. In form encoding `+` is a space.
_PEM: Final = (
    r"-----BEGIN[ +](?:[A-Z0-9]+[ +])*PRIVATE[ +]KEY(?:[ +]BLOCK)?-----"
    r"(?:(?!-----)[^\"\x01])*(?:-----END[ +][A-Z0-9 +]*-----)?"
)
# The beginnings of all the above.
_BEGINNINGS: Final = (
    *(
        r"e(?:yJ|yA|wo|w0|wk)",
        r"hv[sbr]\.",
        r"[sb]\.",
        r"gh[pousr]_",
        "github_pat_",
        "gl[a-z]{1,5}[-_]",
        "xox",
        "x(?:app|wfp)-",
    ),
    *(r"hooks\.slack", "sk[-_]", "rk_", "gsk_", "xai-", "hf_", "whsec_", "AIza", r"ya29\.", "GOCSPX", "1//0", "npm_"),
    *(
        "pypi-",
        "dckr_",
        "do[opr]_",
        "dgt_",
        "dapi",
        "lin_api_",
        "AT[AC]TT3",
        "tskey-",
        "shp[acps]",
        r"SG\.",
        "AGE-SECRET",
    ),
    *("lsv2_", "pplx-", "pcsk_", "nvapi-", "r8_", "ABSK", "bedrock-", r"AQ\.", "NRAK-", "PMAK-", "HRKU-", "AKCp"),
    *("rubygems_", r"dp\.", "dt0", "sntry", "sb[ps_]", "ntn_", "secret_", "pscale_", "ops_eyJ", "figd_", "fm2_"),
    *(
        r"v[1-4]\.[lp]",
        "IQoJ",
        "F[wQ]o[GD]",
        "A[Qg]o[DJ]",
        "-----BEGIN",
        *(rf"{scheme}[ +]" for scheme in (*_SCHEMES, "Basic", "basic", "BASIC")),
    ),
)
_FIRST_LETTERS: Final = "esbghxrwAyG1npdltaSvIFB-DNPHof"


def _by_first_letter(patterns: Iterable[str]) -> str:
    """Join patterns, grouped by their first letters: at most positions, a search tries at most one group."""
    rests: dict[str, list[str]] = {}
    for pattern in patterns:
        first = _first_of(pattern)
        if first.group(1):
            letters = [(one[0], one[1:]) for one in first.group(1).split("|")]
        else:
            letters = [(letter, "") for letter in first.group().strip("[]")]
        for letter, more in letters:
            rests.setdefault(letter, []).append(more + pattern[first.end() :])
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(rest)})" for letter, rest in rests.items())


def _after(left: str, patterns: Iterable[str]) -> str:
    """Join patterns, each with a condition on its left context.

    The lookbehind comes after the first letter of each pattern, so that the engine can scan for that letter first.
    """
    return "|".join(_behind_first(left, pattern) for pattern in patterns)


def _behind_first(left: str, pattern: str) -> str:
    first = _first_of(pattern)
    if first.group(1):  # alternatives, each with its own first letter
        rest = pattern[first.end() :]
        return "|".join(_behind_first(left, one + rest) for one in first.group(1).split("|"))
    return first.group() + left.format(first.group()) + pattern[first.end() :]


def _first_of(pattern: str) -> re.Match[str]:
    first = re.match(r"\[[^]]+\]|\(\?:([^)]+)\)|.", pattern)
    assert first is not None  # noqa: S101 (no pattern is empty)
    return first


# No letter or digit may precede: `risk-...` is not `sk-...`, but `https://idp#eyJ...` contains a token.
_ALONE: Final = "(?<![A-Za-z0-9]{})"
_KINDS: Final = tuple(
    re.compile(kind)
    for kind in (
        # A first part without a following dot is consumed whole, since no match can begin within it: this keeps the
        # search linear.
        f"{_after(_ALONE, [_FIRST_PART])}({_OTHER_PARTS})?",
        f"({_after(_ALONE, SECRETS)}|{_PEM})",
    )
)
_STRING: Final = re.compile("|".join([_FIRST_PART + _OTHER_PARTS, *SECRETS, _PEM]).encode())
# Anything that begins like a credential, at the start of a text and further on.
AT_START: Final = re.compile(_by_first_letter(_BEGINNINGS))
FURTHER_ON: Final = re.compile(f"[^A-Za-z0-9](?=[{_FIRST_LETTERS}])(?:{_by_first_letter(_BEGINNINGS)})")
_AFTER_LENGTH: Final = re.compile(_after("(?<=[A-Za-z0-9]{})", _BEGINNINGS).encode())

# A password in the authority of a URL (RFC 3986 section 3.2.1), which ends at `/`, `?` or `#`.
_IN_URL: Final = re.compile(r"://[^\s/?#:@\"'\\<>]*:([^\s/?#@\"'\\<>]+)@")
_IN_ORACLE_URL: Final = re.compile(r":(?:thin|oci):[^\s/@:\"'\\]+/([^\s/@\"'\\]+)@")
_BASIC: Final = re.compile(r"(?<![A-Za-z0-9])[Bb](?:asic|ASIC)[ +]+([A-Za-z0-9+/_-]{4,}={0,2})")
# A SAML assertion in XML: to its closing tag, or to the end of the text.
_ASSERTION: Final = re.compile(
    r"<(?:[A-Za-z0-9]+:)?Assertion(?=\s)(?:(?!</(?:[A-Za-z0-9]+:)?Assertion>).)*+", re.DOTALL
)
# A secret in place of the user, as in `https://<token>@github.com/`: long, with letters and digits.
_AS_USER: Final = re.compile(r"://(?=[^\s/?#:@0-9]*[0-9])([A-Za-z0-9_%+.~-]{20,})@")
# Azure: the middle or the end of the secrets that Microsoft makes recognisable.
_OF_AZURE: Final = (
    ("Q~", re.compile(r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}")),  # client secret
    ("JQQJ99", re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{40,52}JQQJ99[A-Za-z0-9]{20,}={0,2}")),  # keys of services
    ("AZDO", re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]{60,76}AZDO[A-Za-z0-9]{4}")),  # DevOps
)
# A JWS whose parts are items of a list or members of an object (RFC 7515 section 7.2), where the signature makes it
# # valid.
_Q: Final = "[\"'\x01]"
_PARTS_IN_LIST: Final = re.compile(rf"{_Q}(eyJ[A-Za-z0-9_-]{{8,}})({_Q}\s*,\s*{_Q}[A-Za-z0-9_-]*){{2,4}}{_Q}\s*\]")
_SIGNATURE: Final = re.compile(rf"{_Q}(?:signature|sig|encrypted_key|ciphertext){_Q}\s*:\s*{_Q}([A-Za-z0-9_-]{{16,}})")
_HEADER_MEMBER: Final = re.compile(rf"{_Q}(?:protected|payload|header){_Q}\s*:\s*{_Q}eyJ")
# A token broken into lines, as in mail: whole lines of its letters.
_BROKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ|IQoJ|F[wQ]oG)[A-Za-z0-9_./+=-]{8,}+"
    r"((?:\r?\n[ \t]*[A-Za-z0-9_./+=-]++(?=[\s\"'\x01<]|$))+)?"
)
# Vault before 1.0 accepted the token itself in the path.
_IN_VAULT_PATH: Final = re.compile(r"auth/token/(?:lookup|renew|revoke|revoke-orphan)/([^\s\"'\\?&,}]+)")


def in_text(text: str) -> Iterator[FoundCredential]:
    """Find every credential in a text that is recognisable by its shape."""
    for pattern in _KINDS:
        for match in pattern.finditer(text):
            if match.group(1):
                yield FoundCredential(*match.span(), Style.DIGEST, match.group())
    if "://" in text:
        yield from _groups(_IN_URL, text, Style.REMOVED)
    if "/" in text:
        yield from _groups(_IN_ORACLE_URL, text, Style.REMOVED)
        yield from (each for each in _groups(_IN_VAULT_PATH, text, Style.DIGEST) if ":" not in each.secret)
        yield from _groups(_AS_USER, text, Style.DIGEST)
    for match in _BASIC.finditer(text):
        if is_user_and_password(match.group(1)):
            yield FoundCredential(*match.span(1), Style.REMOVED, match.group(1))
    for mark, pattern in _OF_AZURE:
        if mark in text:
            yield from (FoundCredential(*match.span(), Style.DIGEST, match.group()) for match in pattern.finditer(text))
    if "eyJ" in text or "oG" in text or "IQoJ" in text:
        yield from _in_parts(text)
    if "Assertion" in text:
        yield from (FoundCredential(*match.span(), Style.DIGEST, match.group()) for match in _ASSERTION.finditer(text))


def _in_parts(text: str) -> Iterator[FoundCredential]:
    """Yield tokens whose parts are separated: in a list, in an object, on several lines."""
    for match in _PARTS_IN_LIST.finditer(text):
        yield FoundCredential(
            match.start(1),
            match.end() - len(match.group()) + match.group().rindex(match.group()[0]),
            Style.DIGEST,
            match.group(),
        )
    if _HEADER_MEMBER.search(text) is not None:
        yield from _groups(_SIGNATURE, text, Style.DIGEST)
    if "\n" in text:
        for match in _BROKEN.finditer(text):
            whole = "".join(match.group().split()) if match.group(1) else ""
            if any(found is not None and found.group(1) for found in (kind.fullmatch(whole) for kind in _KINDS)):
                yield FoundCredential(*match.span(), Style.DIGEST, whole)


def _groups(pattern: re.Pattern[str], text: str, style: Style) -> Iterator[FoundCredential]:
    for match in pattern.finditer(text):
        if not re.fullmatch(r"\*+|removed|sha256", match.group(1)):
            yield FoundCredential(*match.span(1), style, match.group(1))


def is_user_and_password(encoded: str) -> bool:
    """Whether this is the base64 of ``user:password``, which follows ``Basic`` (RFC 7617), and not an ordinary word."""
    try:
        plain = base64.b64decode(encoded.rstrip("=").translate(_TO_STANDARD) + "===")
    except binascii.Error:
        return False
    return b":" in plain and plain.isascii() and plain.decode().isprintable()


_LENGTH_BYTES: Final = 3  # of a string: no record is longer
_TO_STANDARD: Final = str.maketrans("-_", "+/")


def behind_lengths(raw: bytes) -> Iterator[FoundCredential]:
    """Credentials in Avro that directly follow the length of their string, whose last byte may look like a letter.

    Where the length begins is ambiguous, because the value before it may end in bytes that look like a part of it. So
    each beginning is tried, and the longest credential counts.
    """
    for beginning in _AFTER_LENGTH.finditer(raw):
        start, length, end = beginning.start(), 0, 0
        for at in range(start - 1, max(-1, start - 1 - _LENGTH_BYTES), -1):
            if at < start - 1 and raw[at] < 0x80:  # noqa: PLR2004
                break
            length = length << 7 | raw[at] & 0x7F
            if length & 1 == 0 and (match := _STRING.match(raw, start, start + (length >> 1))):
                end = max(end, match.end())
        if end:
            yield FoundCredential(start, end, Style.DIGEST, raw[start:end].decode("latin-1"))
