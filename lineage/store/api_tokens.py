"""Tokens of the HTTP API in a store: who may call it, by the digest of the token presented.

They belong to this store alone and are not part of the log, so a rebuild does not change them.
"""

import json
from typing import NamedTuple

import sqlalchemy as sa

from lineage.core.model.times import Instant
from lineage.store.database.dialects import add_missing, storable, writing
from lineage.store.database.tables import api_token, api_token_end
from lineage.store.store import Store


class ApiToken(NamedTuple):
    """A token, without its secret.

    Attributes:
        id: Its public id.
        name: Its owner, as the caller is named.
        roles: The roles of the caller.
        sources: For a producer, the sources whose events it may send; one that ends in ``*`` is a prefix.
        created_at: When it was created.
        expires_at: When it expires.
        revoked_at: When it was revoked; None if it was not.
    """

    id: str
    name: str
    roles: tuple[str, ...]
    sources: tuple[str, ...]
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None

    def state(self, at: Instant) -> str:
        """``revoked``, ``expired`` or ``active`` at an instant."""
        if self.revoked_at is not None and self.revoked_at <= at:
            return "revoked"
        return "active" if at < self.expires_at else "expired"


class ApiTokens:
    """The tokens in a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        """Use a store."""
        self._store = store

    def add(self, token: ApiToken, digest: str) -> None:
        """Store a new token by the SHA-256 of its secret, in hexadecimal digits."""
        row = {
            "id": token.id,
            "digest": digest,
            "name": storable(token.name),
            "roles": " ".join(token.roles),
            "sources": storable(json.dumps(token.sources)),
            "created_at": token.created_at,
            "expires_at": token.expires_at,
        }
        with writing(self._store.engine) as connection:
            connection.execute(api_token.insert(), [row])

    def revoke(self, id_: str, at: Instant) -> ApiToken | None:
        """Revoke a token; a revoked one keeps its first time. None if there is no such token."""
        if self.of_id(id_) is None:
            return None
        with writing(self._store.engine) as connection:
            add_missing(connection, api_token_end, [(storable(id_), at)])
        return self.of_id(id_)

    def of_id(self, id_: str) -> ApiToken | None:
        """Return the token with an id, or None."""
        return next(iter(self._found(api_token.c.id == storable(id_))), None)

    def of_digest(self, digest: str) -> ApiToken | None:
        """Return the token whose secret has a SHA-256, or None."""
        return next(iter(self._found(api_token.c.digest == storable(digest))), None)

    def all(self) -> list[ApiToken]:
        """List all tokens, latest first."""
        return self._found(sa.true())

    def _found(self, where: sa.ColumnElement[bool]) -> list[ApiToken]:
        one = api_token.c
        query = (
            sa.select(one.id, one.name, one.roles, one.sources, one.created_at, one.expires_at)
            .add_columns(api_token_end.c.revoked_at)
            .outerjoin(api_token_end, api_token_end.c.token == one.id)
            .where(where)
            .order_by(one.created_at.desc(), one.id)
        )
        with self._store.connection() as connection:
            rows = connection.execute(query).all()
        return [
            ApiToken(
                row.id,
                row.name,
                tuple(row.roles.split()),
                tuple(json.loads(row.sources)),
                row.created_at,
                row.expires_at,
                row.revoked_at,
            )
            for row in rows
        ]
