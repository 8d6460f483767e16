"""Tokens of callers of the introspection endpoint."""

from typing import Any

import jwt
from starlette.requests import HTTPConnection

from lineage.deliver.http.callers import Caller, Role, UnauthenticatedError

ISSUER = "https://idp.example"


SECRET = "a-secret-of-tests-that-is-long-enough-for-hs256"


def raw(jti: str | None, **claims: Any) -> str:
    fields = {"iss": ISSUER, **({} if jti is None else {"jti": jti}), **claims}
    return jwt.encode(fields, SECRET, algorithm="HS256")


def caller(connection: HTTPConnection) -> Caller:
    name = connection.headers.get("x-caller")
    if name is None:
        raise UnauthenticatedError("no credentials")
    return Caller(name=name, roles=frozenset({Role(connection.headers.get("x-role", "receiver"))}))
