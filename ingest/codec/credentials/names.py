"""Names that indicate a secret: ``password``, ``DB_PASSWORD``, ``X-Amz-Security-Token``, ``clientSecret``.

A secret made by a machine is replaced by its digest, so that it can be searched for. A secret that a person may have
chosen is removed without a digest, since a short secret can be found from its digest by brute force.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final


class SecretKind(Enum):
    """The kind of value that a name indicates."""

    MADE = "made by a machine"
    CHOSEN = "chosen by a person"
    MAYBE = "an id, a number or a secret: its value decides"


# Names reduced to lower-case letters and digits; each also matches as the end of a longer name.
_MADE: Final = (
    *("accesstoken", "apitoken", "authtoken", "bearertoken", "clienttoken", "idtoken", "idtokenhint", "logouttoken"),
    *("refreshtoken", "registrationaccesstoken", "sastoken", "securitytoken", "sessiontoken", "subjecttoken"),
    *("actortoken", "vaulttoken", "webidentitytoken", "usertoken", "servicetoken", "deploytoken"),
    *("accountkey", "apikey", "encryptionkey", "masterkey", "privatekey", "secretkey", "secretaccesskey"),
    *("sharedaccesskey", "signingkey", "hmackey", "accesskey", "secretid", "sharedkey", "functionkey"),
    *("assertion", "clientassertion", "samlresponse", "authorization", "cookie", "codeverifier", "devicecode"),
    *("authorizationcode", "authcode", "xamzsignature", "connectionstring", "privatekeydata", "privatekeypem"),
)
_CHOSEN: Final = (
    *("password", "passwd", "pwd", "passphrase", "passcode", "passwordhash", "secret", "secretstring"),
    *("secretbinary", "secretvalue"),
)
# Too short or too common to match as the end of a longer name.
_MADE_ALONE: Final = frozenset({"jwt", "credential", "credentials", "sig", "samlrequest"})
_CHOSEN_ALONE: Final = frozenset(
    {"pass", "dbpass", "smtppass", "pin", "otp", "totp", "cvv", "tokencode", "mfacode", "smscode"}
    | {"verificationcode", "onetimecode", "backupcode", "recoverycode", "usercode"}
)
_MAYBE: Final = ("token",)
_MAYBE_ALONE: Final = frozenset({"code"})
# Harmless names that end like the name of a secret.
_HARMLESS: Final = (
    *("nexttoken", "pagetoken", "nextpagetoken", "continuationtoken", "synctoken", "clientrequesttoken"),
    *(
        "subjectfromwebidentitytoken",
        "idempotencytoken",
        "cancellationtoken",
        "resumetoken",
        "maxtoken",
        "publicapikey",
        "publicaccesskey",
    ),
)
_NO_LETTER: Final = re.compile(r"[^a-z0-9]+")
# Words that say which of several secrets it is, or in what form: `password_old`, `apiKey2`, `secretAccessKeyValue`.
_WHICH: Final = re.compile(
    r"(?<=[a-z])(?:old|new|previous|current|value|plain|plaintext|raw|text|string|encoded|base64|b64|confirm|confirmation"
    r"|repeat|[0-9]{1,2})$"
)
_MOST_NAMES: Final = 8192
_LONGEST: Final = 96  # characters at the end of a name that are examined: its end decides
# Every name above contains one of these.
MARKS: Final = (
    *("pass", "pwd", "secret", "token", "key", "auth", "cookie", "assertion", "saml", "code", "sig", "jwt"),
    *("credential", "connection", "pin", "otp", "cvv"),
)


def kind_of(name: str) -> SecretKind | None:
    """The kind of secret that a name indicates; None if it indicates none.

    Examples:
        >>> kind_of("AWS_SECRET_ACCESS_KEY")
        <SecretKind.MADE: 'made by a machine'>
        >>> kind_of("spring.datasource.password")
        <SecretKind.CHOSEN: 'chosen by a person'>
        >>> kind_of("accessKeyId"), kind_of("token_type"), kind_of("nextToken")
        (None, None, None)
    """
    return KINDS[name]


def kind_in_ours(name: str) -> SecretKind | None:
    """Like ``kind_of`` for an event's own strings, where names such as ``token`` are followed by ids."""
    kind = kind_of(name)
    return None if kind is SecretKind.MAYBE else kind


def kind_in_invalid(name: str) -> SecretKind | None:
    """Like ``kind_of`` for a record that looks like an event but is not valid: only ``token`` itself is an id."""
    return None if name == "token" else kind_of(name)


Kinds = Callable[[str], SecretKind | None]
"""One of the three functions above."""


class _Kinds(dict[str, SecretKind | None]):
    """A cache of kinds by name: a log has few distinct names, and each is looked up for every record."""

    def __missing__(self, name: str) -> SecretKind | None:
        if len(name) > _LONGEST:  # not remembered
            return self[name[-_LONGEST:]]
        plain = _NO_LETTER.sub("", name.lower())
        kind = _kind_of_plain(plain) or (_kind_of_plain(plain[:-1]) if plain.endswith("s") else None)
        if kind is None and (which := _WHICH.search(plain)):
            kind = _kind_of_plain(plain[: which.start()], alone=False)
        if len(self) >= _MOST_NAMES:
            self.clear()
        self[name] = kind
        return kind


KINDS: Final = _Kinds()
"""``kind_of`` with a cache, for frequent callers."""


def _kind_of_plain(plain: str, *, alone: bool = True) -> SecretKind | None:
    if plain.endswith(_HARMLESS):
        return None
    if plain.endswith(_CHOSEN) or (alone and plain in _CHOSEN_ALONE):
        return SecretKind.CHOSEN
    if plain.endswith(_MADE) or (alone and plain in _MADE_ALONE):
        return SecretKind.MADE
    return SecretKind.MAYBE if plain.endswith(_MAYBE) or (alone and plain in _MAYBE_ALONE) else None


# A placeholder for a secret, or a value that says there is none.
_PLACEHOLDER: Final = re.compile(
    r"""(?ix) \s* (?:
        | \*+ | x{3,} | [.\-_]+ | \#+ | [|>][+-]?
        | \$\{[^{}]*\} | \{\{[^{}]*\}\} | \$\([^()]*\) | <[a-z _-]+> | \[[a-z _-]+\] | \([a-z _-]+\)
        | removed | redacted | masked | hidden | filtered | omitted | hidden_due_to_security_reasons
        | null | none | nil | undefined | true | false | empty | yes | no | n/a
    ) \s*"""
)
_DIGEST: Final = re.compile(r"(?:[A-Za-z]+ )?(?:\$?[a-z0-9.-]+\#)?(?:hmac-)?sha(?:256|384|512):[0-9a-fA-F]{64,128}")
# `<iss>#<jti>`, `aws#ASIA...`; the names of cloud resources; the public half of an AWS key.
_HANDLE: Final = re.compile(
    r"(?:[a-z][a-z0-9+.-]*:[^\s\#]*|[a-z][a-z0-9-]{0,15}|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[^\s\#]*)?)\#\S+"
    r"|arn:\S+|A[KS]IA[A-Z0-9]{12,}"
)
_LEAST_MAYBE: Final = 8
_LEAST_CODE: Final = 20
_MIXED: Final = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])\S+")


def is_secret(value: str, kind: SecretKind, *, name: str = "") -> bool:
    """Whether the value of a secret's name is really a secret, and not a placeholder, digest or public id.

    Examples:
        >>> [is_secret(value, SecretKind.CHOSEN) for value in ("hunter2", "***", "${DB_PASSWORD}")]
        [True, False, False]
        >>> [is_secret(value, SecretKind.MADE) for value in ("https://idp.example#4711", "arn:aws:iam::1:role/r")]
        [False, False]
    """
    if _PLACEHOLDER.fullmatch(value) or _DIGEST.fullmatch(value) or value.startswith("hmac-sha256:"):
        return False
    if kind is SecretKind.CHOSEN:
        return not (name.lower().endswith("pwd") and value.startswith(("/", "~")))  # the shell's working folder
    if _HANDLE.fullmatch(value):
        return False
    if kind is SecretKind.MADE:
        return True
    least = _LEAST_CODE if name.lower().endswith("code") else _LEAST_MAYBE
    return len(value) >= least and (least == _LEAST_MAYBE or _MIXED.fullmatch(value) is not None)


def is_secret_of_ours(name: str, value: str) -> bool:
    """Whether the value of a name in an event is a raw secret.

    Examples:
        >>> is_secret_of_ours("password", "hunter2"), is_secret_of_ours("token", "t1")
        (True, False)
        >>> is_secret_of_ours("secret", "db/prod"), is_secret_of_ours("authorization", "rbac")
        (False, False)
    """
    kind = kind_in_ours(name)
    if kind is None or not is_secret(value, kind, name=name):
        return False
    if _NO_LETTER.sub("", name.lower()) in _NAMES_A_THING:
        return len(value) >= _LEAST_MAYBE and _MIXED.fullmatch(value) is not None and "/" not in value
    return True


# In the request context of a policy decision point, these names may also refer to the name of a secret or a rule.
_NAMES_A_THING: Final = frozenset(
    {"secret", "secrets", "authorization", "secretid", "assertion", "credential", "credentials", "cookie", "cookies"}
)
