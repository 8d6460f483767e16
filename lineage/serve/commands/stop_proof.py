"""Prove that a revocation has stopped what it ended: ask the enforcement points now, and sign what they replied."""

import random
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Target
from lineage.core.model.keys import key_of, split_key
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.closure import ClosureVerdict, Coverings, EndedElement
from lineage.core.revocation.late_uses import Use, in_force_at
from lineage.core.revocation.receipt import orders_of
from lineage.core.revocation.stop_proof import PointProof, Reply, Stopped, StopProof, prove
from lineage.deliver.http.signing_keys import Keys
from lineage.deliver.probes.probe_settings import Probe
from lineage.deliver.probes.prober import ask_all
from lineage.serve.cache.revocation_cache import EffectsBuilder
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.core_documents import Document, instant
from lineage.serve.queries.closure import around_with, closure
from lineage.serve.queries.revocation_snapshot import Moment, moment_of
from lineage.serve.queries.service import Service
from lineage.serve.queries.signed_receipt import signed

TYPE: Final = "delegraph-stop-proof+jws"
READY_TYPE: Final = "delegraph-readiness+jws"
FIRST: Final = 1_000  # entries listed besides a count
_NONCE_CHARACTERS: Final = 128
_PAUSE_SECONDS: Final = 0.2  # between two questions about a canary

Probes = Mapping[str, Probe]


def prove_stopped(
    service: Service,
    keys: Keys | None,
    probes: Probes,
    revocation: str,
    *,
    nonce: str | None = None,
    sample: int | None = None,
) -> Document | None:
    """Ask every enforcement point about what a revocation has ended; None if there is no such order.

    Args:
        service: The service.
        keys: What signs the proof.
        probes: How to ask the enforcement points.
        revocation: The id.
        nonce: Shows the caller that the proof was made for this request; None to have one made.
        sample: Roughly how many elements each introspection endpoint is asked about; None for all. What was not
            asked about is not proved.

    Raises:
        RefusedError: It was lifted or is not in effect yet, the nonce is unusable, or there is no signing key.
        UnavailableError: The log cannot be read for records that are not projected yet.
    """
    nonce = _usable(nonce)
    service.catch_up()
    began_at = service.clock()
    before = _stopped_by(service, revocation)
    if before is None:
        return None
    if keys is None:
        raise RefusedError("no signing key is configured, so nothing can be proved: set signing_key_file")
    observations = ask_all(probes, _wanted(before, probes, nonce, sample), nonce, service.clock)
    service.catch_up()  # receivers that joined, elements that were linked, and uses that were recorded since
    after = _stopped_by(service, revocation)
    said = closure(service, revocation, at=service.clock())
    assert after is not None and said is not None  # noqa: S101, PT018 (nothing is ever taken out of the log)
    ended_at = service.clock()
    proof = prove(after, observations, ended_at)
    acknowledged = {one["receiver"]: one["enforced"] for one in said["receivers"]}
    document = {
        "type": "delegraph-stop-proof",
        "revocation": revocation,
        "nonce": nonce,
        "verdict": str(proof.verdict),
        "began_at": format_instant(began_at),
        "ended_at": format_instant(ended_at),
        "closure": said["verdict"],
        **_proof_document(proof),
        "points": [_point_document(one, probes, acknowledged) for one in proof.points],
        "recorded_at": said["as_of"]["recorded_at"],
    }
    return signed(keys, "proof", document, TYPE)


def _usable(nonce: str | None) -> str:
    if nonce is None:
        return secrets.token_hex(16)
    if not 0 < len(nonce) <= _NONCE_CHARACTERS or not (nonce.isascii() and nonce.isprintable()):
        raise RefusedError(f"a nonce has 1 to {_NONCE_CHARACTERS} printable characters of ASCII")
    return nonce


def _wanted(elements: Iterable[Stopped], probes: Probes, nonce: str, sample: int | None) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for one in elements:
        for receiver in one.receivers:
            wanted.setdefault(receiver, []).append(one.key)
    chosen = random.Random(nonce)  # noqa: S311 (which elements are asked about is no secret)
    for receiver, found in wanted.items():
        probe = probes.get(receiver)
        if probe is not None and probe.asks_one_by_one and sample is not None and sample < len(found):
            wanted[receiver] = chosen.sample(found, sample)
    return wanted


def _stopped_by(service: Service, revocation: str) -> list[Stopped] | None:
    """Load what a revocation has ended, and who has to deny it; None if there is no such order.

    Raises:
        RefusedError: It was lifted, or is not in effect yet.
    """
    at = service.clock()
    with moment_of(service, None) as moment:
        receivers = moment.reader.world()
        moment.reader.load_receivers(receivers)
        world = around_with(moment.reader, receivers, revocation)
        if world is None:
            return None
        orders = orders_of(world, revocation)
        if all(order.is_lifted and order.lifted_at <= at for order in orders):
            lifted_at = format_instant(max(order.lifted_at for order in orders))
            raise RefusedError(f"{revocation} was lifted at {lifted_at}, so nothing has to be stopped any more")
        if waiting := [order for order in orders if at < order.effective_at < order.lifted_at]:
            since = format_instant(max(order.effective_at for order in waiting))
            raise RefusedError(f"{revocation} takes effect at {since}; nothing can be proved before")
        coverings = Coverings(world.receivers)
        return [_stopped(one, uses, coverings) for one, uses in _effects(moment, world, revocation, at)]


def _effects(
    moment: Moment, world: World, revocation: str, at: Instant
) -> Iterator[tuple[EndedElement, Sequence[Use]]]:
    """Yield what the orders of an id end, each element with its uses since."""
    kept = moment.ends(world, revocation, at)
    if kept is not None:
        yield from ((one, kept.uses.get(one.key, ())) for one in kept.ended.values())
        return
    builder = EffectsBuilder(world, revocation, at)
    for ended, uses in moment.gathered(world, revocation, at, builder):
        yield from ((one, uses.get(one.key, ())) for one in ended)
    moment.keep(revocation, builder.ends())


def _stopped(one: EndedElement, uses: Sequence[Use], coverings: Coverings) -> Stopped:
    covering = coverings.of(one)
    # The time of a use is when it was recorded: the clock of its reporter may be wrong.
    used = [fact.recorded_at for use in uses for fact in use.facts]
    return Stopped(
        key=one.key,
        receivers=covering.receivers,
        uncovered=covering.uncovered,
        in_force_at=in_force_at(one.order),
        ends_at=one.ends_at,
        used_at=max(used, default=None),
    )


def prove_ready(
    service: Service, keys: Keys | None, probes: Probes, canary: Target, *, by: str, wait_seconds: float
) -> Document | None:
    """Revoke a canary and measure how long each enforcement point keeps accepting it; None if no fact names it.

    The canary is a token that nobody uses. Its revocation is an order like any other, with the reason ``test`` and
    without cascade.

    Raises:
        RefusedError: It is not a live token, or there is no signing key.
        UnavailableError: The log or the store cannot be written.
    """
    if keys is None:
        raise RefusedError("no signing key is configured, so nothing can be proved: set signing_key_file")
    if canary.kind != "token":
        raise RefusedError(f"a canary is a token, not a {canary.kind}: issue one that nobody uses, and name token:ID")
    service.catch_up()
    state = service.status(canary.kind, canary.id, at=service.clock())
    if state is None:
        return None
    key = key_of(canary.kind, canary.id)
    if state["state"] != "active":
        raise RefusedError(f"{key} is {state['state']}, so it cannot show how fast it is denied: issue another canary")
    nonce = secrets.token_hex(16)
    before = {one.receiver: one.reply for one in ask_all(probes, dict.fromkeys(probes, (key,)), nonce, service.clock)}
    order = OrderRequest(target=canary, reason="test", ordered_by=by, cascade=False, max_kills=1)
    ordered = give_order(service, order)
    assert ordered is not None  # noqa: S101 (a fact names it)
    ordered_at = service.clock()
    denied = _until_denied(service, probes, key, nonce, before, wait_seconds)
    stopped = _stopped_by(service, ordered["revocation"]) or []
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
        "nonce": nonce,
        "ordered_at": format_instant(ordered_at),
        "verdict": _readiness(points),
        "points": points,
    }
    return signed(keys, "proof", document, READY_TYPE)


def _readiness(points: Sequence[Document]) -> str:
    if any(point["before"] == Reply.ACCEPTED and not point["would_enforce"] for point in points):
        return str(ClosureVerdict.PARTIAL)
    whole = points and all(point["would_enforce"] for point in points)
    return str(ClosureVerdict.CLOSED if whole else ClosureVerdict.UNKNOWN)


def _until_denied(
    service: Service, probes: Probes, key: str, nonce: str, before: Mapping[str, Reply], wait_seconds: float
) -> dict[str, Instant]:
    """Ask until every enforcement point that accepted the canary denies it, or the time is up."""
    left = {receiver for receiver, reply in before.items() if reply is Reply.ACCEPTED}
    denied: dict[str, Instant] = {}
    until = time.monotonic() + wait_seconds
    while left:
        for one in ask_all(probes, dict.fromkeys(left, (key,)), nonce, service.clock):
            if one.reply is Reply.DENIED:
                denied[one.receiver] = one.answered_at
        left -= denied.keys()
        if not left or time.monotonic() >= until:
            break
        time.sleep(_PAUSE_SECONDS)
    return denied


def _proof_document(proof: StopProof) -> Document:
    accepted = [{"kind": kind, "id": id_, "receiver": receiver} for kind, id_, receiver in _places(proof.accepted)]
    uncovered = [dict(zip(("kind", "id"), split_key(key), strict=True)) for key in proof.uncovered[:FIRST]]
    return {
        "elements": proof.elements,
        "expired": proof.expired,
        "accepted": {"count": len(proof.accepted), "first": accepted},
        "uncovered": {"count": len(proof.uncovered), "first": uncovered},
    }


def _places(accepted: Sequence[tuple[str, str]]) -> Iterable[tuple[str, str, str]]:
    return ((*split_key(key), receiver) for key, receiver in accepted[:FIRST])


def _point_document(one: PointProof, probes: Probes, acknowledged: Mapping[str, int]) -> Document:
    probe = probes.get(one.receiver)
    return {
        "receiver": one.receiver,
        "asked_by": None if probe is None else probe.kind,
        "verdict": str(one.verdict),
        "covers": one.covers,
        "denied": one.denied,
        "accepted": one.accepted,
        "not_asked": one.not_asked,
        "revocation_unsupported": one.unsupported,
        "revocation_unavailable": one.unavailable,
        "acknowledged": acknowledged.get(one.receiver, 0),
        "last_success": instant(one.last_success),
        "first_denial": instant(one.first_denial),
    }
