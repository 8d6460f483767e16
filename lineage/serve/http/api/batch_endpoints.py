"""Plans and orders over several targets at once: plain functions from caller and body to a document."""

from typing import Final

from lineage.core.model.errors import OtherOrderError
from lineage.core.model.events import Target
from lineage.core.model.vocabulary import MODES
from lineage.deliver.http.callers import Caller
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke_batch import BatchRequest, give_batch, reach_batch
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.api.order_endpoints import FIELDS, id_by_key, request_of, target_of, turn_to_order
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.error_responses import KeyReusedError
from lineage.serve.http.core.json_body import Fields
from lineage.serve.http.core.query import ParameterError

BATCH_BYTES: Final = 1024 * 1024  # a thousand targets with the longest ids
BATCH_FIELDS: Final = ("targets", "incident", *FIELDS[1:])
REACH_FIELDS: Final = ("targets", "mode", "cascade", "issued_before", "effective_at", "unseen")


def reach_of_several(site: AppContext, caller: Caller, body: Document) -> Document:
    """Compute what orders on several targets would end together.

    Raises:
        UnknownTargetsError: No fact names some of the targets.
    """
    fields = Fields(body, REACH_FIELDS)
    targets = _targets_of(fields)
    order = OrderRequest(
        target=targets[0],
        reason="other",  # a reach does not say why
        ordered_by=caller.name,
        mode=fields.choice("mode", MODES, default=MODES[0]),
        cascade=fields.flag("cascade", default=True),
        issued_before=fields.instant("issued_before"),
        effective_at=fields.instant("effective_at"),
        unseen=fields.flag("unseen", default=False),
    )
    return reach_batch(site.service, BatchRequest(targets=targets, order=order))


def order_several(site: AppContext, caller: Caller, body: Document, *, key: str | None = None) -> Document:
    """Revoke several targets, all or none.

    Args:
        site: The application context.
        caller: Who orders.
        body: The orders: ``BATCH_FIELDS``.
        key: Identifies repetitions (``Idempotency-Key``); not needed if the body names the incident.

    Raises:
        DriftError: The orders differ from those of the plan, or would end what it does not list.
        KeyReusedError: Other orders were given with this key or for this incident.
        UnknownTargetsError: No fact names some of the targets.
    """
    fields = Fields(body, BATCH_FIELDS)
    targets = _targets_of(fields)
    incident = fields.id("incident") if fields.states("incident") else None
    if incident is None and key is not None:
        incident = id_by_key("inc", caller, key)
    request = BatchRequest(targets=targets, order=request_of(site, caller, fields, targets[0]), incident=incident)
    try:
        with turn_to_order(site):
            return give_batch(site.service, request)
    except OtherOrderError as fault:
        raise KeyReusedError(str(fault)) from fault


def _targets_of(fields: Fields) -> tuple[Target, ...]:
    """Read the targets.

    Raises:
        ParameterError: There are none, or some are not valid targets; the message names these.
    """
    targets, faults = [], []
    for one in fields.objects("targets", ("kind", "id")):
        try:
            targets.append(target_of(one))
        except ParameterError as fault:
            faults.append(fault)
    if faults:
        raise ParameterError(faults[0].parameter, "; ".join(str(one) for one in faults).partition(": ")[2])
    if not targets:
        raise ParameterError("targets", "names no target")
    return tuple(targets)
