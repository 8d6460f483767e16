"""Build events from tokens, AuthZEN requests and MCP tool calls. Pure.

**Nothing is verified here.** The claims of a token are read without checking its signature: pass a token that was just
issued, or has already been verified.

**No token is recorded.** An event contains the id of a token (``token_id``) and those claims that have a field; of
parameters a digest; of a context only the members requested by name. If any of these still contains a raw credential,
it is refused with a CredentialError that does not repeat it.

The result is a JSON document without an event id, for ``Producer.emit``; add to it what else is known:
``producer.emit(token_issued_from_jwt(token) | {"delegation": "d-17"})``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

import jwt

from ingest.codec import credentials, limits
from ingest.codec.params_digest import canonical, digest_of
from ingest.codec.validation import refuse_credentials
from lineage.core.model.errors import BadRecordError
from lineage.core.model.times import EARLIEST, LATEST, SECOND, Instant, format_instant

Document = dict[str, Any]

_TOKEN_TYPES: Final = "urn:ietf:params:oauth:token-type:"
# Maps the ``typ`` header of a JWT (RFC 9068 section 2.1; transaction tokens) to the token types of RFC 8693.
_TYPES_BY_HEADER: Final = {"at+jwt": "access_token", "application/at+jwt": "access_token", "txntoken+jwt": "txn_token"}
# An id with one of these prefixes states its kind and is the same at every issuer (clause 2.4).
_KIND_PREFIXES: Final = ("human:", "agent:", "service:", "spiffe://")
# AuthZEN subject types that correspond to a kind of principal.
_SUBJECT_KINDS: Final = {"user": "human", "human": "human", "agent": "agent", "service": "service"}
_DEEPEST_ACT: Final = 64


# Tokens


def token_id(token: str | bytes) -> str:
    """Compute the id of a token, the same for everyone who has it (clause 2.5): ``<iss>#<jti>``, else ``sha256:<hex>``.

    Examples:
        >>> token_id("s3cr3t")
        'sha256:4e738ca5563c06cfd0018299933d58db1dd8bf97f6973dc99bf6cdc64b5550bd'
    """
    text = _text(token)
    claims = _claims(text)
    if claims is not None and text.rpartition(".")[2]:  # signed
        issuer, number = claims.get("iss"), claims.get("jti")
        if isinstance(issuer, str) and isinstance(number, str) and issuer and number:
            named = f"{issuer}#{number}"
            if limits.fault_of_id(named) is None and credentials.find(named) is None:
                return named
    return credentials.handle(token)


def principal_id(issuer: str | None, subject: str) -> str:
    """The id of the principal that an issuer names by a subject.

    A subject with a kind prefix is used unchanged; any other is unique only at its issuer, whose name is prefixed.

    Examples:
        >>> principal_id("https://idp.example", "human:alice@example.com")
        'human:alice@example.com'
        >>> principal_id("https://idp.example", "248289")
        'https://idp.example#248289'

    Source:
        RFC 7519 section 4.1.2: ``sub`` is unique in the context of the issuer.
    """
    if issuer is None or subject.startswith(_KIND_PREFIXES):
        return subject
    return f"{issuer}#{subject}"


def token_issued_from_jwt(
    token: str | bytes, *, principal: Callable[[str | None, str], str] = principal_id, **fields: object
) -> Document:
    """Build ``token.issued`` from the claims of a JWT; **its signature is not verified**.

    Args:
        token: The token, in compact form.
        principal: Makes the id of a principal from an issuer and a subject.
        fields: Further fields of ``token.issued``; they take precedence over the claims.

    Raises:
        BadRecordError: It is not a JWT with readable claims, or a claim is invalid.
        CredentialError: A claim contains a raw credential.
    """
    claims = _claims(_text(token))
    if claims is None:
        raise BadRecordError("not-a-jwt", "the token is not a signed JWT whose claims can be read")
    return _safe(
        {"type": "token.issued", "token": token_id(token), "token_type": _token_type(_text(token))}
        | _from_claims(claims, principal)
        | fields
    )


def token_issued_from_exchange(
    response: Mapping[str, Any],
    *,
    subject_token: str | bytes,
    actor_token: str | bytes | None = None,
    received_at: Instant,
    principal: Callable[[str | None, str], str] = principal_id,
    **fields: object,
) -> Document:
    """Build ``token.issued`` from a token exchange (RFC 8693); **no signature is verified**.

    The exchange is a delegation if the issued token has an actor, else an impersonation. If the issued token is opaque,
    its subject and actor are those of the tokens exchanged, where these can be read.

    Args:
        response: The response of the token endpoint.
        subject_token: The token that was exchanged.
        actor_token: The token of the actor, if one was sent.
        received_at: When the response was received, from which ``expires_in`` counts.
        principal: Makes the id of a principal from an issuer and a subject.
        fields: Further fields of ``token.issued``; they take precedence over everything else.

    Raises:
        BadRecordError: The response has no token, or no subject can be read: then pass ``subject``.
        CredentialError: A claim contains a raw credential.
    """
    issued = response.get("access_token")
    if not isinstance(issued, str | bytes) or not issued:
        raise BadRecordError("missing-field", "access_token is missing: the response contains no token")
    made: Document = {"type": "token.issued", "token": token_id(issued)}
    claims = _claims(_text(issued))
    if claims is not None:
        made |= _from_claims(claims, principal)
    else:
        made |= _party(subject_token, "subject", principal)
        if actor_token is not None:
            made |= _party(actor_token, "actor", principal)
    made |= _from_response(response, received_at, claims or {})
    made["derived_from"] = [{"token": token_id(subject_token), "role": "subject"}]
    if actor_token is not None:
        made["derived_from"].append({"token": token_id(actor_token), "role": "actor"})
    made |= fields
    made.setdefault("exchange", "delegation" if made.get("actor") else "impersonation")
    if "subject" not in made:
        raise BadRecordError("missing-field", "subject is missing: neither token states one, so pass it")
    return _safe(made)


def _text(token: str | bytes) -> str:
    return token.decode("utf-8", errors="surrogateescape") if isinstance(token, bytes) else token


def _claims(token: str) -> Mapping[str, Any] | None:
    """The unverified claims of a signed JWT; None if it is not one."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token, options={"verify_signature": False, "verify_aud": False, "verify_exp": False}
        )
    except Exception:  # noqa: BLE001  (hostile bytes may raise anything; what was raised may quote them)
        return None
    return claims


def _token_type(token: str) -> str:
    typ = jwt.get_unverified_header(token).get("typ")
    return _TOKEN_TYPES + _TYPES_BY_HEADER.get(typ.lower() if isinstance(typ, str) else "", "jwt")


def _from_claims(claims: Mapping[str, Any], principal: Callable[[str | None, str], str]) -> Document:
    issuer = _string(claims, "iss")
    made: Document = {"subject": principal(issuer, _required(claims, "sub"))}
    chain = _actors(claims, issuer, principal)
    if chain:
        made["actor"] = chain[-1]
        made["prior_actors"] = chain[:-1]
    for claim, name in (("client_id", "client"), ("sid", "session")):
        if (value := _string(claims, claim)) is not None:
            made[name] = value if issuer is None else f"{issuer}#{value}"
    made["scopes"] = _scopes(claims)
    made["audience"] = _strings(claims, "aud")
    for claim, name in (("iat", "issued_at"), ("nbf", "not_before"), ("exp", "expires_at")):
        if (moment := _moment(claims, claim)) is not None:
            made[name] = format_instant(moment)
    made["txn"] = _string(claims, "txn")
    made["key_thumbprint"] = _thumbprint(claims)
    made["status_list"] = _status_list(claims)
    return {name: value for name, value in made.items() if value not in (None, [])}


def _actors(claims: Mapping[str, Any], issuer: str | None, principal: Callable[[str | None, str], str]) -> list[str]:
    """The actors, root to leaf: the outermost ``act`` is the current one (RFC 8693 section 4.1)."""
    chain: list[str] = []
    act = claims.get("act")
    while act is not None:
        if not isinstance(act, Mapping):
            raise BadRecordError("wrong-kind", "act is not an object")
        if len(chain) == _DEEPEST_ACT:
            raise BadRecordError("too-deep", f"act is nested deeper than {_DEEPEST_ACT}")
        # An actor without ``iss`` belongs to the issuer of the enclosing claims.
        issuer = _string(act, "iss") or issuer
        chain.append(principal(issuer, _required(act, "sub")))
        act = act.get("act")
    return chain[::-1]


def _from_response(response: Mapping[str, Any], received_at: Instant, claims: Mapping[str, Any]) -> Document:
    made: Document = {}
    if (issued_type := _string(response, "issued_token_type")) is not None:
        made["token_type"] = issued_type
    if response.get("scope") is not None:  # REQUIRED by RFC 8693 if it differs from the scope requested
        made["scopes"] = _scopes({"scope": response["scope"]})
    seconds = response.get("expires_in")
    if seconds is not None and claims.get("exp") is None:
        if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
            seconds = int(seconds[:20])
        made["expires_at"] = format_instant(_micros(seconds, "expires_in", received_at))
    return made


def _party(token: str | bytes, role: str, principal: Callable[[str | None, str], str]) -> Document:
    claims = _claims(_text(token))
    subject = claims.get("sub") if claims else None
    if claims is None or not isinstance(subject, str):
        return {}
    return {role: principal(_string(claims, "iss"), subject)}


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    # RFC 8693 section 4.2: a space-separated string. Some issuers use an array, or the claim `scp`.
    value = claims.get("scope", claims.get("scp"))
    return value.split() if isinstance(value, str) else _strings({"scope": value}, "scope")


def _thumbprint(claims: Mapping[str, Any]) -> str | None:
    confirmation = claims.get("cnf")
    if not isinstance(confirmation, Mapping):
        return None
    return _string(confirmation, "jkt") or _string(confirmation, "x5t#S256")


def _status_list(claims: Mapping[str, Any]) -> Document | None:
    status = claims.get("status")
    entry = status.get("status_list") if isinstance(status, Mapping) else None
    if not isinstance(entry, Mapping):
        return None
    return {"uri": entry.get("uri"), "idx": entry.get("idx")}


def _required(claims: Mapping[str, Any], name: str) -> str:
    value = _string(claims, name)
    if value is None:
        raise BadRecordError("missing-field", f"the claim {name} is missing: pass the field that it would set")
    return value


def _string(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is None or isinstance(value, str):
        return value
    raise BadRecordError("wrong-kind", f"the claim {name} is not a string")


def _strings(claims: Mapping[str, Any], name: str) -> list[str]:
    value = claims.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise BadRecordError("wrong-kind", f"the claim {name} is neither a string nor an array of strings")


def _moment(claims: Mapping[str, Any], name: str) -> Instant | None:
    value = claims.get(name)
    return None if value is None else _micros(value, f"the claim {name}", 0)


def _micros(seconds: object, name: str, since: Instant) -> Instant:
    # RFC 7519 section 2, NumericDate: seconds since 1970, with or without a fraction.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
        raise BadRecordError("bad-time", f"{name} is not a number of seconds")
    moment = since + (seconds * SECOND if isinstance(seconds, int) else round(seconds * SECOND))
    if not EARLIEST <= moment <= LATEST:
        raise BadRecordError("bad-time", f"{name} is outside the years 1970 to 9999")
    return moment


# Decisions


def decision_from_authzen(
    request: Mapping[str, Any],
    response: Mapping[str, Any],
    *,
    keep: Sequence[str] = (),
    params: object = None,
    **fields: object,
) -> Document:
    """Build ``decision.made`` from the decision of a policy decision point (AuthZEN Authorization API 1.0).

    If the context names an ``agent`` and the subject is not one, the agent acted on behalf of the subject; else the
    subject acted itself.

    Args:
        request: The AuthZEN request: subject, action, resource, context.
        response: The AuthZEN response: decision, context.
        keep: The members of the request's context to record. No others are, since a context may contain anything,
            including tokens.
        params: The parameters that were decided on. Only their digest is recorded, the same as that of the action's
            parameters (``action_from_mcp``), so that what was done can be compared with what was permitted.
        fields: Further fields of ``decision.made``; they take precedence over everything else.

    Raises:
        BadRecordError: A member that AuthZEN requires is missing or has the wrong type.
        CredentialError: A value to be recorded contains a raw credential.
    """
    permitted = response.get("decision")
    if not isinstance(permitted, bool):
        raise BadRecordError("wrong-kind", "decision is neither true nor false")
    resource = _object(request, "resource")
    context = request.get("context") or {}
    if not isinstance(context, Mapping):
        raise BadRecordError("wrong-kind", "context is not an object")
    made: Document = {
        "type": "decision.made",
        "decision": str(uuid4()),
        "permitted": permitted,
        "operation": _required(_object(request, "action"), "name"),
        "resource": {"type": _required(resource, "type"), "id": _required(resource, "id")},
        "reasons": _reasons(response.get("context")),
        "context": {name: _as_text(context[name]) for name in keep if context.get(name) is not None},
        "params_digest": None if params is None else digest_of(params),
    }
    return _safe(made | _askers(_object(request, "subject"), context) | fields)


def _askers(subject: Mapping[str, Any], context: Mapping[str, Any]) -> Document:
    kind, name = _required(subject, "type"), _required(subject, "id")
    known = _SUBJECT_KINDS.get(kind)
    asker = name if known is None or name.startswith(_KIND_PREFIXES) else f"{known}:{name}"
    agent = context.get("agent")
    if known not in ("agent", "service") and isinstance(agent, str) and agent:
        actor = agent if agent.startswith(_KIND_PREFIXES) else f"agent:{agent}"
        return {"actor": actor, "on_behalf_of": asker}
    return {"actor": asker}


def _reasons(context: object) -> list[str]:
    """The reasons in a decision's context: each a string, a list, or an object of texts by language or code."""
    found: list[str] = []
    if isinstance(context, Mapping):
        for name in ("reason", "reason_admin", "reason_user"):
            value = context.get(name)
            if isinstance(value, Mapping):
                found += [f"{key}: {_as_text(text)}" for key, text in value.items()]
            elif isinstance(value, list):
                found += map(_as_text, value)
            elif value is not None:
                found.append(_as_text(value))
    return found


def _object(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    if not isinstance(value, Mapping):
        raise BadRecordError("missing-field", f"{name} is missing, or not an object")
    return value


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    text = canonical(value)
    if text is None:
        raise BadRecordError("wrong-kind", "a member of the context is not JSON")
    return text.decode()


# Actions


def action_from_mcp(
    call: Mapping[str, Any], result: Mapping[str, Any] | None, *, tool: str | None = None, **fields: object
) -> Document:
    """Build ``action.performed`` from an MCP tool call (``tools/call``) and its response.

    Only a digest of the arguments is recorded, and of the result only whether it is an error.

    Args:
        call: The JSON-RPC request, or its ``params``.
        result: The JSON-RPC response, or its ``result``; None if there was no response, which counts as a failure.
        tool: The name of the server, needed if several servers have a tool of the same name.
        fields: Further fields of ``action.performed``; they take precedence over everything else.

    Raises:
        BadRecordError: The call does not name a tool.
        CredentialError: A value to be recorded contains a raw credential.
    """
    params = _object(call, "params") if "params" in call else call
    name = _required(params, "name")
    made: Document = {
        "type": "action.performed",
        "action": str(uuid4()),
        "operation": "tools/call",
        "tool": name if tool is None else f"{tool}/{name}",
        "outcome": "failed" if _has_failed(result) else "succeeded",
        "params_digest": digest_of(params.get("arguments") or {}),
    }
    return _safe(made | fields)


def _has_failed(result: Mapping[str, Any] | None) -> bool:
    if result is None or result.get("error") is not None:
        return True
    inner = result.get("result")
    return bool((inner if isinstance(inner, Mapping) else result).get("isError"))


def _safe(made: Document) -> Document:
    """Remove absent fields, and refuse raw credentials."""
    stated = {name: value for name, value in made.items() if value is not None and value not in ([], {})}
    refuse_credentials(stated)
    return stated
