"""Measure before an incident, on a canary, which enforcement points would enforce a revocation, and how fast."""

import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Target
from lineage.core.model.keys import key_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.closure import ClosureVerdict
from lineage.core.revocation.stop_proof import Reply
from lineage.deliver.http.signing_keys import NO_SIGNING_KEY, SigningKeys
from lineage.deliver.probes.inquiry import Inquiry
from lineage.deliver.probes.prober import ask_all
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.commands.stop_proof import Probes, inquiry_about
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.revocations.signed_receipt import signed
from lineage.serve.queries.revocations.stopped import stopped_by
from lineage.serve.queries.service import Service

TYPE: Final = "delegraph-readiness+jws"
_PAUSE_SECONDS: Final = 0.2  # between two questions about a canary


def prove_ready(
    service: Service, keys: SigningKeys | None, probes: Probes, canary: Target, *, by: str, wait_seconds: float
) -> Document | None:
    """Revoke a canary and measure how long each enforcement point keeps accepting it; None if no fact names it.

    The canary is a token that nobody uses. Its revocation is an order like any other, with the reason ``test`` and
    without cascade.

    Raises:
        RefusedError: It is not a live token, or there is no signing key.
        UnavailableError: The log or the store cannot be written.
    """
    if keys is None:
        raise RefusedError(NO_SIGNING_KEY)
    if canary.kind != "token":
        raise RefusedError(f"a canary is a token, not a {canary.kind}: issue one that nobody uses, and name token:ID")
    service.catch_up()
    state = service.status(canary.kind, canary.id, at=service.clock())
    if state is None:
        return None
    key = key_of(canary.kind, canary.id)
    if state["state"] != "active":
        raise RefusedError(f"{key} is {state['state']}, so it cannot show how fast it is denied: issue another canary")
    inquiry = inquiry_about(service, keys, probes, dict.fromkeys(probes, (key,)), secrets.token_hex(16))
    before = {one.receiver: one.replies[key] for one in ask_all(probes, dict.fromkeys(probes, (key,)), inquiry)}
    order = OrderRequest(target=canary, reason="test", ordered_by=by, cascade=False, max_kills=1)
    ordered = give_order(service, order)
    assert ordered is not None  # noqa: S101 (a fact names it)
    ordered_at = service.clock()
    denied = _until_denied(probes, key, inquiry, before, wait_seconds)
    stopped = stopped_by(service, ordered["revocation"]) or ()
    covering = {receiver for one in stopped for receiver in one.receivers}
    points = [
        {
            "receiver": receiver,
            "asked_by": probes[receiver].kind if receiver in probes else None,
            "before": str(before.get(receiver, Reply.UNSUPPORTED)),
            "milliseconds": (denied[receiver] - ordered_at) // 1_000 if receiver in denied else None,
            "would_enforce": receiver in denied,
        }
        for receiver in sorted({*covering, *before})
    ]
    document = {
        "type": "delegraph-readiness",
        "revocation": ordered["revocation"],
        "canary": key,
        "by": by,
        "nonce": inquiry.nonce,
        "ordered_at": format_instant(ordered_at),
        "verdict": _readiness(points),
        "points": points,
    }
    return signed(keys, "proof", document, TYPE)


def _readiness(points: Sequence[Document]) -> str:
    if any(point["before"] == Reply.ACCEPTED and not point["would_enforce"] for point in points):
        return str(ClosureVerdict.PARTIAL)
    whole = points and all(point["would_enforce"] for point in points)
    return str(ClosureVerdict.CLOSED if whole else ClosureVerdict.UNKNOWN)


def _until_denied(
    probes: Probes, key: str, inquiry: Inquiry, before: Mapping[str, Reply], wait_seconds: float
) -> dict[str, Instant]:
    """Ask until every enforcement point that accepted the canary denies it, or the time is up."""
    left = {receiver for receiver, reply in before.items() if reply is Reply.ACCEPTED}
    denied: dict[str, Instant] = {}
    until = time.monotonic() + wait_seconds
    while left:
        for one in ask_all(probes, dict.fromkeys(left, (key,)), inquiry):
            if one.replies[key] is Reply.DENIED:
                denied[one.receiver] = one.answered_at
        left -= denied.keys()
        if not left or time.monotonic() >= until:
            break
        time.sleep(_PAUSE_SECONDS)
    return denied
