"""What of a foreign record may be kept: everything but the secrets that its format puts into it.

A secret that a machine made is replaced by its digest, so that it can be looked for. What people may have
chosen (a password, the value of a secret in Vault) is taken out: the digest of a short word gives the word
away. What Vault has hashed itself stays.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from ingest.codec.credentials import find, handle, hides_credential, redact
from ingest.sources.adapters.raw_records import RawRecord, parse
from ingest.sources.adapters.vault_names import HASHED, without_token
from lineage.core.model.errors import BadRecordError

# Names in small letters, without hyphens and underscores.
_MACHINE_MADE: Final = frozenset(
    {
        "accesstoken",
        "authorization",
        "clienttoken",
        "idtoken",
        "jwt",
        "privatekey",
        "refreshtoken",
        "samlassertion",
        "secretaccesskey",
        "secretid",
        "secretkey",
        "securitytoken",
        "sessiontoken",
        "token",
        "webidentitytoken",
        "xvaulttoken",
    }
)
_CHOSEN: Final = frozenset(
    {
        "clientsecret",
        "masteruserpassword",
        "newpassword",
        "oldpassword",
        "passcode",
        "passphrase",
        "password",
        "secret",
        "secretstring",
    }
)
# In Vault's lines: what was written and read, and the headers that an operator chose to log.
_PAYLOADS: Final = ("data", "headers")
_REMOVED: Final = "removed"
# How a credential is spoken of already, by us or by whoever wrote the log.
_SPOKEN_OF: Final = ("sha256:", "Bearer sha256:")
# In what is no JSON: a secret's name before a value that is not hashed, and a payload of Vault's.
_NAMED_SECRET: Final = re.compile(
    "(?:"
    + "|".join("[_-]?".join(name) for name in sorted(_MACHINE_MADE | _CHOSEN))
    + r")[\"']?\s*[:=]\s*(?!\"hmac-sha256:[0-9a-f]{64}\")"
    + r"|\"(?:data|headers)\"\s*:",
    re.IGNORECASE,
)


def safe_raw(record: RawRecord) -> bytes:
    """The bytes of a record as quarantine may keep them: unchanged, if nothing secret stands in them.

    What is no JSON cannot be searched name by name: if it may hold a secret, its size and its SHA-256 stand
    for it.
    """
    try:
        value = parse(record.raw)
    except BadRecordError:
        text = record.raw.decode(errors="replace")
        harmless = not _NAMED_SECRET.search(text) and "\\u" not in text  # a name may be spelled with escapes
        return redact(record.raw) if harmless and not hides_credential(record.raw) else _note(record.raw)
    clean = _clean(value)
    for part in ("request", "response"):
        _clean_payloads(clean.get(part) if isinstance(clean, dict) else None)
    raw = record.raw if clean == value else json.dumps(clean, separators=(",", ":")).encode()
    return _note(record.raw) if hides_credential(raw) else redact(raw)


def scrubbed(value: Any) -> Any:
    """A value without raw credentials, as adapters see it: by the names of members and by the shape of strings.

    A secret that stands under a name for one, or in the shape of one, is replaced by its digest; what people may
    have chosen is taken out. An object under such a name is looked into: ``jwt`` may hold claims.
    """
    if isinstance(value, str):
        return value if find(value) is None else redact(value.encode(errors="surrogatepass")).decode(errors="replace")
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {name: _scrubbed_member(name, item) for name, item in value.items()}
    return value


def _scrubbed_member(name: str, value: Any) -> Any:
    if type(value) is str and _plain(name) in _MACHINE_MADE and not value.startswith((HASHED, *_SPOKEN_OF)):
        return handle(value) if value else value
    return _clean_member(name, value, scrubbed)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _clean(value: Any) -> Any:
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {name: _clean_member(name, item, _clean) for name, item in value.items()}
    return value


def _clean_member(name: str, value: Any, clean: Callable[[Any], Any]) -> Any:
    plain_name = _plain(name)
    if plain_name in _MACHINE_MADE and not isinstance(value, dict):
        return _each_string(value, handle)
    if plain_name in _CHOSEN:
        return _each_string(value, lambda _: _REMOVED)
    if name == "path" and isinstance(value, str):
        return without_token(value)
    return clean(value)


def _clean_payloads(part: Any) -> None:
    for name in _PAYLOADS:
        if isinstance(part, dict) and name in part:
            part[name] = _each_string(part[name], lambda _: _REMOVED)


def _each_string(value: Any, replaced: Any) -> Any:
    """A value with each string that is not hashed replaced; numbers too, which may be codes to type in."""
    if isinstance(value, list):
        return [_each_string(item, replaced) for item in value]
    if isinstance(value, dict):
        return {name: _each_string(item, replaced) for name, item in value.items()}
    if value is None or isinstance(value, bool) or (isinstance(value, str) and value.startswith((HASHED, *_SPOKEN_OF))):
        return value
    return replaced(str(value))


def _note(raw: bytes) -> bytes:
    return json.dumps({"bytes": len(raw), "digest": handle(raw)}).encode()
