"""What Vault's tokens and their holders are called here: always as logged, whatever of it is hashed.

One log knows a token by two handles: its accessor, which is its id here, and the digest of the token itself,
by which ``auth/token/revoke`` names it. The digest stands as the token's session, so that an order can be
aimed at it.
"""

import re
from typing import Any, Final

from ingest.codec.credentials import handle
from ingest.sources.adapters.untrusted_json import text

HASHED: Final = "hmac-sha256:"
_NAMELESS: Final = "token"  # the display name that Vault gives a token for which none was asked
# Vault before 1.0 took the token itself in the path.
_TOKEN_IN_PATH: Final = re.compile(r"(auth/token/(?:lookup|renew|revoke|revoke-orphan)/)(.+)")


def token_of(auth: dict[str, Any]) -> str | None:
    """The accessor; without one (a batch token, one that Vault does not know) the digest of the token."""
    if accessor := text(auth, "accessor"):
        return f"vault#{accessor}"
    token = text(auth, "client_token")
    if token is None:
        return None
    return f"vault#{token}" if token.startswith(HASHED) else _handle(token)


def session_of(client_token: str | None) -> str | None:
    """The digest of the token itself: Vault's, or where the log is not hashed ours."""
    if client_token is None:
        return None
    return f"vault#{client_token if client_token.startswith(HASHED) else _handle(client_token)}"


def principal_of(auth: dict[str, Any]) -> str | None:
    """Whose token it is: the entity, else the display name; of a nameless one, whoever holds it.

    Examples:
        >>> principal_of({"entity_id": "e1", "display_name": "userpass-alice"})
        'vault:entity:e1'
        >>> principal_of({"display_name": "userpass-alice"})
        'vault:display-name:userpass-alice'
        >>> principal_of({"display_name": "token", "accessor": "a1"})
        'vault:holder:a1'
    """
    if entity := text(auth, "entity_id"):
        return f"vault:entity:{entity}"
    name = text(auth, "display_name")
    return holder_of(auth) if name == _NAMELESS else name and f"vault:display-name:{name}"


def holder_of(auth: dict[str, Any]) -> str | None:
    """Whoever holds a token: a party of which the log says nothing else."""
    token = token_of(auth)
    return f"vault:holder:{token.removeprefix('vault#')}" if token else None


def without_token(path: str) -> str:
    """A path with the token that old versions took in it replaced by its digest.

    Examples:
        >>> without_token("auth/token/lookup/x")
        'auth/token/lookup/sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'
    """
    return _TOKEN_IN_PATH.sub(lambda match: match[1] + handle(match[2]), path)


def _handle(token: str) -> str:
    return token if token.startswith("sha256:") else handle(token)
