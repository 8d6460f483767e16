"""Introspection (RFC 7662): whether a token may still be honoured, and on whose behalf it acts.

The caller sends the token itself. It is converted to its ids first, and is never stored, logged or repeated. A receiver
only gets answers about tokens that it covers (RFC 7662 section 4), and every answer is logged in the access log. **No
signature is verified here**: the caller must verify it first, since otherwise the token may claim to be another one.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ingest.codec import credentials
from ingest.producer.event_builders import token_id
from lineage.core.authority.chain import chain_of
from lineage.core.authority.elements import Element
from lineage.core.authority.receivers import coverage_class_of, covers, issuer_of
from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError, WouldBlockError
from lineage.core.model.times import SECOND, Instant
from lineage.deliver.http.access_log import LONGEST, log_access
from lineage.deliver.http.callers import Authentication, Caller, Role, require
from lineage.deliver.http.route import Route
from lineage.store.authority_replica import AuthorityReplica

Document = dict[str, Any]

INACTIVE: Final[Document] = {"active": False}
BODY_BYTES: Final = 262_144  # tokens are a few kilobytes
_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = {"Cache-Control": "no-store"}
_DEPTH: Final = 256  # the most nested actors in an answer, which the caller has to parse


def route(
    current: AuthorityReplica,
    clock: Callable[[], Instant],
    authentication: Authentication,
) -> Route:
    """Build the route ``POST /introspect``.

    Args:
        current: The replica of the authority graph.
        clock: Returns the current time.
        authentication: Authenticates the caller, who needs the role ``receiver``.
    """

    async def introspect(request: Request) -> Response:
        ids = await _token_ids(request)
        try:  # switching to a thread and back takes longer than the answer
            return JSONResponse(answered_at_once(request, ids), headers=_HEADERS)
        except WouldBlockError:
            return JSONResponse(await run_in_threadpool(answered, request, ids), headers=_HEADERS)

    def answered_at_once(request: Request, ids: tuple[str, ...]) -> Document:
        if authentication.recognise is None:
            raise WouldBlockError("the caller has to be authenticated")
        caller = require(authentication.recognise(request), Role.RECEIVER)
        with current.world_at_once() as world:
            found = introspected(world, ids, clock(), caller.name)
        return logged(request, caller, found)

    def answered(request: Request, ids: tuple[str, ...]) -> Document:
        caller = require(authentication.authenticate(request), Role.RECEIVER)
        with current.world() as world:
            found = introspected(world, ids, clock(), caller.name)
        return logged(request, caller, found)

    def logged(request: Request, caller: Caller, found: Introspected) -> Document:
        log_access(caller, request, of=found.of[:LONGEST], active=found.document["active"], why=found.why)
        return found.document

    return Route("POST", "/introspect", introspect)


async def _token_ids(request: Request) -> tuple[str, ...]:
    """Read the request, and return the ids of its token. The token itself is discarded.

    Raises:
        HTTPException: The body is not a form, or is too large.
        RefusedError: The form has no token, or more than one; the message does not repeat its content.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the body must be a form: Content-Type {_FORM}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a form has at most {BODY_BYTES:,} bytes")
    try:
        form = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="surrogateescape", max_num_fields=16)
    except ValueError:  # its message may contain part of the body
        raise RefusedError("the body is not a valid form") from None
    tokens = form.get("token", [])
    if len(tokens) != 1 or not tokens[0]:
        raise RefusedError("the form must have one field 'token'")
    return ids_of(tokens[0].encode(errors="surrogateescape"))


def ids_of(token: bytes) -> tuple[str, ...]:
    """Return the ids under which a token may be known: ``<iss>#<jti>`` if it is a JWT with both, and its digest."""
    return tuple(dict.fromkeys((token_id(token), credentials.handle(token))))


class Introspected(NamedTuple):
    """An answer, and the fields for the access log.

    Attributes:
        document: The answer.
        of: The key of the token: an id that facts name, else the digest of the token.
        why: Its state, or ``not covered``.
    """

    document: Document
    of: str
    why: str


def introspection(world: World, ids: tuple[str, ...], at: Instant, receiver: str | None = None) -> Document:
    """Answer for a token with several possible ids: active if it is active under one, and not ended under any other.

    Args:
        world: The facts.
        ids: The ids of the token.
        at: The current time.
        receiver: The receiver that asks; None for a caller that covers every token.
    """
    return introspected(world, ids, at, receiver).document


def introspected(world: World, ids: tuple[str, ...], at: Instant, receiver: str | None) -> Introspected:
    """Answer like ``introspection``, with the fields for the access log."""
    states = verdicts_of(world, [f"token:{id_}" for id_ in ids], at)
    known = {key: verdict.state for key, verdict in states.items() if verdict.state is not State.UNKNOWN}
    if not known:  # the bearer of an unknown token chooses its claims, which may contain anything, so log its digest
        return Introspected(INACTIVE, f"token:{ids[-1]}", State.UNKNOWN.value)
    for key, state in known.items():
        if state is not State.ACTIVE:
            return Introspected(INACTIVE, key, state.value)
    registration = None if receiver is None else world.receivers.in_force(receiver)
    for key in known:
        element = world.graph.element(key)
        assert element is not None  # noqa: S101 (an active element was granted)
        if registration is None or covers(registration, coverage_class_of(key, element)):
            return Introspected({"active": True, **_members(world, element)}, key, State.ACTIVE.value)
    return Introspected(INACTIVE, next(iter(known)), "not covered")


def _members(world: World, element: Element) -> Document:
    issuer = issuer_of(element.id)
    subject = element.first("subject")
    act, truncated = _act(world, element.key, subject, issuer)
    members: Document = {
        "scope": " ".join(element.first("scopes") or ()),
        "client_id": _at_issuer(element.first("client"), issuer),
        "token_type": element.first("token_type"),
        "exp": _seconds(element.expires_at),
        "iat": _seconds(element.issued_at),
        "nbf": _seconds(element.not_before),
        "sub": _at_issuer(subject, issuer),
        "act": act,
        "act_truncated": truncated,
        "aud": _one_or_many(element.audience),
        "iss": issuer,
        "jti": None if issuer is None else element.id[len(issuer) + 1 :],
    }
    return {name: value for name, value in members.items() if value}


def _act(world: World, key: str, subject: str, issuer: str | None) -> tuple[Document | None, bool]:
    """Build the actors of a token, nested as in RFC 8693 section 4.1: the current one is outermost.

    Returns:
        The ``act`` claim, and whether the first actors of the chain were left out because there are too many.
    """
    parties = [hop.principal for hop in chain_of(world, key).hops]
    behind = parties.index(subject) + 1 if subject in parties else 0
    act: Document | None = None
    acting = parties[behind:]
    for party in acting[-_DEPTH:]:
        actor = {"sub": _at_issuer(party, issuer)}
        act = actor if act is None else {**actor, "act": act}
    return act, len(acting) > _DEPTH


def _at_issuer(id_: str | None, issuer: str | None) -> str | None:
    """Return an id as its issuer states it: without the prefix of our own form, ``<issuer>#<id>``."""
    return id_ if id_ is None or issuer is None else id_.removeprefix(f"{issuer}#")


def _seconds(instant: Instant | None) -> int | None:
    return None if instant is None else instant // SECOND


def _one_or_many(values: tuple[str, ...]) -> str | list[str] | None:
    return values[0] if len(values) == 1 else list(values) or None
