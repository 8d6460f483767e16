"""Orders, lifts and acknowledgements over HTTP: plain functions from caller and body to a document.

The authenticated caller is the one who orders, lifts or acknowledges; nothing in a body can change that.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from lineage.core.model.errors import OtherOrderError, OverloadedError
from lineage.core.model.events import Target
from lineage.core.model.vocabulary import ACKNOWLEDGEMENT_OUTCOMES, JUDGEMENTS, MODES, REASONS, TARGET_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.commands import acknowledgements as acknowledging
from lineage.serve.commands.judgements import judge as judge_finding
from lineage.serve.commands.lift import lift_order
from lineage.serve.commands.order_request import OrderRequest, approve_plan
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import KeyReusedError, NotFoundError
from lineage.serve.http.core.json_body import Fields
from lineage.serve.http.core.query import ParameterError, usable_id

FIELDS: Final = ("target", "mode", "cascade", "reason", "issued_before", "note", "plan_digest", "unseen")
_KEY_CHARACTERS: Final = 255
_DIGEST: Final = re.compile("[0-9a-f]{64}")


def order(site: AppContext, caller: Caller, body: Document, *, key: str | None = None) -> Document:
    """Give an order.

    Args:
        site: The application context.
        caller: Who orders.
        body: The order: ``FIELDS``.
        key: Identifies repetitions of one order (``Idempotency-Key``). It is specific to the caller and survives a
            restart, because the id of the order is derived from it.

    Raises:
        DriftError: The order differs from that of the plan with the given digest, or would end what the plan does
            not list.
        KeyReusedError: A different order was given with this key.
        NotFoundError: No fact names the target, and ``unseen`` is not set.
    """
    fields = Fields(body, FIELDS)
    target = target_of(fields.object("target", ("kind", "id")))
    request = replace(
        request_of(site, caller, fields, target), revocation=None if key is None else id_by_key("rev", caller, key)
    )
    try:
        with turn_to_order(site):
            document = give_order(site.service, request)
    except OtherOrderError as fault:
        raise KeyReusedError(str(fault)) from fault
    if document is None:
        remedy = 'with "unseen": true it is ordered dead before it is seen'
        raise NotFoundError(f"{request.target.kind}:{request.target.id}", remedy)
    return document


def target_of(fields: Fields) -> Target:
    """Read a target: its kind and its id."""
    return Target(fields.choice("kind", TARGET_KINDS), fields.id("id"))


def request_of(site: AppContext, caller: Caller, fields: Fields, target: Target) -> OrderRequest:
    """Read the order of an authenticated caller on a target."""
    digest = fields.text("plan_digest")
    if digest is not None and not _DIGEST.fullmatch(digest):
        raise ParameterError("plan_digest", "is not the digest of a plan, which has 64 hexadecimal digits")
    return OrderRequest(
        target=target,
        reason=fields.choice("reason", REASONS),
        ordered_by=caller.name,
        mode=fields.choice("mode", MODES, default=MODES[0]),
        cascade=fields.flag("cascade", default=True),
        issued_before=fields.instant("issued_before"),
        note=fields.text("note"),
        plan_digest=digest,
        four_eyes=site.four_eyes,
        unseen=fields.flag("unseen", default=False),
        by_approval=True,
    )


@contextmanager
def turn_to_order(site: AppContext) -> Iterator[None]:
    """Wait for the turn to give an order.

    Raises:
        OverloadedError: Others take too long; nothing was ordered.
    """
    if not site.one_order.acquire(timeout=site.limits.seconds):
        raise OverloadedError("another order is being given and takes its time; nothing was ordered, try again")
    try:
        yield
    finally:
        site.one_order.release()


def id_by_key(prefix: str, caller: Caller, key: str) -> str:
    """Derive the id of the order, or of the incident, that a caller orders with a key.

    Raises:
        ParameterError: The key is invalid.
    """
    if not 0 < len(key) <= _KEY_CHARACTERS or not (key.isascii() and key.isprintable()):
        raise ParameterError("Idempotency-Key", f"has 1 to {_KEY_CHARACTERS} printable characters of ASCII")
    digest = hashlib.sha256(f"{caller.name}\0{key}".encode()).hexdigest()
    return f"{prefix}-{digest[:32]}"


def approve(site: AppContext, caller: Caller, digest: str, body: Document) -> Document:
    """Approve a plan, so that another person can order by it.

    Raises:
        NotFoundError: No such plan is stored.
        RefusedError: The caller's approval could not count.
    """
    Fields(body, ())
    if not _DIGEST.fullmatch(digest):
        raise ParameterError("id", "is not the digest of a plan, which has 64 hexadecimal digits")
    document = approve_plan(site.service, digest, approved_by=caller.name)
    if document is None:
        raise NotFoundError(digest)
    return document


def lift(site: AppContext, caller: Caller, revocation: str, body: Document) -> Document:
    """Lift an order.

    Raises:
        NotFoundError: There is no such order.
    """
    fields = Fields(body, ("note",))
    usable_id(revocation, parameter="id")
    with turn_to_order(site):
        document = lift_order(
            site.service, revocation, lifted_by=caller.name, note=fields.text("note"), four_eyes=site.four_eyes
        )
    if document is None:
        raise NotFoundError(revocation)
    return document


def judge(site: AppContext, caller: Caller, finding: str, body: Document) -> Document:
    """Judge a finding.

    Raises:
        NotFoundError: There is no such finding.
        RefusedError: There is no reason, or a suppression has no end in the future.
    """
    fields = Fields(body, ("judgement", "reason", "until"))
    usable_id(finding, parameter="id")
    document = judge_finding(
        site.service,
        finding,
        fields.choice("judgement", JUDGEMENTS),
        by=caller.name,
        reason=fields.text("reason") or "",
        until=fields.instant("until"),
    )
    if document is None:
        raise NotFoundError(finding)
    return document


def acknowledge(site: AppContext, caller: Caller, revocation: str, body: Document) -> Document:
    """Record a receiver's acknowledgement of an order.

    Raises:
        NotFoundError: There is no such order.
        RefusedError: The receiver is not registered.
    """
    fields = Fields(body, ("outcome", "token", "note"))
    usable_id(revocation, parameter="id")
    document = acknowledging.acknowledge(
        site.service,
        revocation,
        receiver=caller.name,
        outcome=fields.choice("outcome", ACKNOWLEDGEMENT_OUTCOMES),
        token=fields.id("token") if fields.states("token") else None,
        note=fields.text("note"),
    )
    if document is None:
        raise NotFoundError(revocation)
    return document
