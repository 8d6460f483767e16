"""Creating, listing and revoking the tokens with which scripts call the HTTP API."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from ingest.codec import credentials, limits
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import DAY, Instant, format_instant
from lineage.deliver.http.callers import BadTokenError, Caller, Role
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service
from lineage.store.api_tokens import ApiToken, ApiTokens

PREFIX: Final = "dgt_"
"""The prefix of a token, by which people and secret scanners recognise one."""
DEFAULT_LIFE: Final = 90 * DAY
MOST: Final = 1_000
"""The most tokens that are not revoked: scripts need few, and a loop that creates them is a mistake."""


def create_token(
    service: Service,
    *,
    name: str,
    roles: Sequence[str],
    sources: Sequence[str] = (),
    expires_at: Instant | None = None,
) -> Document:
    """Create a token. The document contains the token itself, which is stored nowhere and never shown again.

    Args:
        service: The service where it is valid.
        name: Its owner: an id such as ``service:ci``; a plain word means a service.
        roles: The roles of its caller.
        sources: For a producer, the sources whose events it may send.
        expires_at: When it expires; None for 90 days from now.

    Raises:
        RefusedError: The name is not an id, the expiry is not in the future, a producer has no sources or another
            role has some, or there are too many tokens.
    """
    now = service.clock()
    caller = name if ":" in name or not name else f"service:{name}"
    if credentials.find(caller):
        raise RefusedError("the name is a raw credential, which must not be stored; give the token another name")
    if fault := limits.fault_of_id(caller):
        raise RefusedError(f"the name {fault}; nothing was created")
    if (Role.PRODUCER in roles) != bool(sources):
        raise RefusedError("name the sources of a producer, and of a producer only, with --source; nothing was created")
    ends_at = now + DEFAULT_LIFE if expires_at is None else expires_at
    if ends_at <= now:
        raise RefusedError(f"{format_instant(ends_at)} is not in the future; nothing was created")
    tokens = ApiTokens(service.store)
    if sum(one.state(now) == "active" for one in tokens.all()) >= MOST:
        raise RefusedError(f"there are {MOST:,} tokens already; revoke those that nobody uses: delegraph token list")
    secret = PREFIX + secrets.token_hex(32)
    token = ApiToken(f"t-{secrets.token_hex(8)}", caller, tuple(sorted(set(roles))), tuple(sources), now, ends_at)
    tokens.add(token, digest_of(secret))
    return {**document_of(token, now), "token": secret}


def list_tokens(service: Service) -> Document:
    """List all tokens without their secrets, latest first; the list is complete."""
    now = service.clock()
    items = [document_of(one, now) for one in ApiTokens(service.store).all()]
    return {"items": items, "total": len(items), "complete": True, "next": None}


def revoke_token(service: Service, id_: str) -> Document | None:
    """Revoke a token: it is refused from the next request on. None if there is no token with this id."""
    now = service.clock()
    revoked = ApiTokens(service.store).revoke(id_, now)
    return None if revoked is None else document_of(revoked, now)


def caller_of_token(service: Service, secret: str) -> Caller:
    """Look up the caller that presents a token.

    Raises:
        BadTokenError: It is unknown here, expired, or revoked.
    """
    found = ApiTokens(service.store).of_digest(digest_of(secret))
    if found is None:
        raise BadTokenError("the API token is not one of this store: create one with 'delegraph token create'")
    if (state := found.state(service.clock())) != "active":
        raise BadTokenError(f"the API token {found.id} is {state}: create another with 'delegraph token create'")
    return Caller(name=found.name, roles=frozenset(map(Role, found.roles)), sources=found.sources, by_token=True)


def document_of(token: ApiToken, at: Instant) -> Document:
    """Convert a token to a document, without its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "roles": list(token.roles),
        "sources": list(token.sources),
        "state": token.state(at),
        "created_at": format_instant(token.created_at),
        "expires_at": format_instant(token.expires_at),
        "revoked_at": None if token.revoked_at is None else format_instant(token.revoked_at),
    }


def digest_of(secret: str) -> str:
    """Return the digest by which a token is stored. One round is enough.

    The token is 256 random bits, not a password.
    """
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
