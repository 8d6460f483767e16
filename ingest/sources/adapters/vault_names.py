"""The ids of Vault's tokens and their holders: always as logged, even if hashed.

One log knows a token by two handles: its accessor, which is its id here, and the digest of the token itself, by which
``auth/token/revoke`` names it. The digest is recorded as the token's session.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import Source, handle, text

HASHED: Final = "hmac-sha256:"
_NAMELESS: Final = "token"  # the display name that Vault gives a token by default
# Vault before 1.0 took the token itself in the path.
_TOKEN_IN_PATH: Final = re.compile(r"(auth/token/(?:lookup|renew|revoke|revoke-orphan)/)(.+)")


def native_token(auth: Mapping[str, Any]) -> str | None:
    """Return the accessor; for a batch token, which has none, the digest of the token.

    None if the line states neither.
    """
    if accessor := text(auth, "accessor"):
        return accessor
    return digest(text(auth, "client_token")) if text(auth, "token_type") == "batch" else None


def digest(client_token: str | None) -> str | None:
    """Return the digest of a token itself: Vault's, or ours if the log is not hashed."""
    if client_token is None or client_token.startswith((HASHED, "sha256:")):
        return client_token
    return handle(client_token)


def token_id(source: Source, native: str | None) -> str | None:
    """Return the id of a token. Our digest of an unhashed token is already an id."""
    if native is None or native.startswith("sha256:"):
        return native
    return source.id(native)


def session_id(source: Source, client_token: str | None) -> str | None:
    """Return the id of the session that represents the digest of a token."""
    native = digest(client_token)
    return None if native is None else source.id(native)


def wielder(source: Source, auth: Mapping[str, Any]) -> str | None:
    """Return who holds a token: the display name, because a child inherits its entity; else the token's holder.

    Examples:
        >>> vault = Source(name="vault", format="vault", prefix="vault", urn="urn:vault:audit")
        >>> wielder(vault, {"entity_id": "e1", "display_name": "token-planner"})
        'vault:display-name:token-planner'
        >>> wielder(vault, {"display_name": "token", "accessor": "a1"})
        'vault:holder:a1'
        >>> wielder(vault, {"entity_id": "e1"})
    """
    name = text(auth, "display_name")
    if name is None:
        return None
    if name != _NAMELESS:
        return source.principal("display-name", name)
    native = native_token(auth)
    return source.principal("holder", native) if native else None


def subject(source: Source, auth: Mapping[str, Any]) -> str | None:
    """Return whose authority a token carries: the entity's, else its holder's.

    Examples:
        >>> vault = Source(name="vault", format="vault", prefix="vault", urn="urn:vault:audit")
        >>> subject(vault, {"entity_id": "e1", "display_name": "token-planner"})
        'vault:entity:e1'
        >>> subject(vault, {"accessor": "a1"})
        'vault:holder:a1'
    """
    if entity := text(auth, "entity_id"):
        return source.principal("entity", entity)
    if (held_by := wielder(source, auth)) is not None:
        return held_by
    native = native_token(auth)
    return source.principal("holder", native) if native else None


def without_token(path: str) -> str:
    """Replace the token that old versions accepted in a path by its digest.

    Examples:
        >>> without_token("auth/token/lookup/x")
        'auth/token/lookup/sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'
    """
    return _TOKEN_IN_PATH.sub(lambda match: match[1] + (digest(match[2]) or ""), path)
