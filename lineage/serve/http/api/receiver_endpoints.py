"""Enforcement points over HTTP: list and register them, mark one by hand, and deliver again.

A mark by hand is the statement of the authenticated caller; nothing in a body can change that.
"""

from typing import Final

from lineage.core.model.events import ReceiverRegistered
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.deliver.http.callers import Caller
from lineage.serve.commands import receivers as handling
from lineage.serve.commands.submission_policy import refuse_registration
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.answer_formats import as_table
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import NotFoundError
from lineage.serve.http.core.json_body import Fields
from lineage.serve.http.core.parameters import KNOWN_AT
from lineage.serve.http.core.query import ParameterError, Query, usable_id
from lineage.serve.http.core.question import Question
from lineage.serve.queries.revocations.receivers import receivers

_LONGEST_DEADLINE: Final = 10 * 365 * 24 * 60 * 60  # seconds


def register(site: AppContext, caller: Caller, body: Document) -> Document:
    """Register an enforcement point: a responder may register any, a receiver only itself.

    Raises:
        ForbiddenError: The caller is neither a responder nor this receiver.
        RefusedError: It would cover less than before, and ``narrow`` does not allow that.
    """
    fields = Fields(body, ("receiver", "issuers", "audiences", "kinds", "deadline_seconds", "narrow"))
    receiver = fields.id("receiver")
    refuse_registration(caller, 1, receiver)
    kinds = fields.texts("kinds")
    if unknown := sorted(set(kinds) - ELEMENT_KINDS):
        raise ParameterError("kinds", f"{unknown[0][:64]!a} is none of {', '.join(sorted(ELEMENT_KINDS))}")
    registration = ReceiverRegistered(
        receiver=receiver,
        issuers=fields.texts("issuers"),
        audiences=fields.texts("audiences"),
        kinds=kinds,
        deadline_seconds=fields.number("deadline_seconds", most=_LONGEST_DEADLINE),
    )
    return handling.register(site.service, registration, narrow=fields.flag("narrow", default=False))


def mark(site: AppContext, caller: Caller, revocation: str, body: Document) -> Document:
    """Record the caller's statement that an enforcement point has enforced an order.

    Raises:
        NotFoundError: There is no such order.
        RefusedError: There is no reason, or nothing is open at the enforcement point.
    """
    fields = Fields(body, ("receiver", "reason"))
    usable_id(revocation, parameter="id")
    document = handling.mark_by_hand(
        site.service, revocation, receiver=fields.id("receiver"), by=caller.name, reason=fields.text("reason") or ""
    )
    if document is None:
        raise NotFoundError(revocation)
    return document


def deliver_again(site: AppContext, caller: Caller, revocation: str, body: Document) -> Document:
    """Deliver again what is open, at every enforcement point or at the one that the body names.

    Raises:
        NotFoundError: There is no such order.
        RefusedError: Nothing is open there.
    """
    fields = Fields(body, ("receiver",))
    usable_id(revocation, parameter="id")
    receiver = fields.id("receiver") if fields.states("receiver") else None
    document = handling.deliver_again(site.service, revocation, by=caller.name, receiver=receiver)
    if document is None:
        raise NotFoundError(revocation)
    return document


def _all(site: AppContext, _caller: Caller, query: Query) -> Document:
    """List the registered enforcement points."""
    return receivers(site.service, site.contacts, known_at=query.known_at)


RECEIVERS: Final = (
    as_table(
        Question(
            path="/receivers",
            ask=_all,
            parameters=(KNOWN_AT,),
            title="The registered enforcement points, and what each covers",
            answer="Registered",
        ),
        "receivers",
    ),
)
