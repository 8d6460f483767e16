"""Rules about revocations: overdue, rejected, too many at once, and contradictions."""

from collections.abc import Iterator
from typing import Final

from lineage.core.authority.elements import by_given
from lineage.core.authority.receivers import REJECTED
from lineage.core.authority.world import World
from lineage.core.findings.options import Options, this_minute
from lineage.core.findings.rules.orders import order_findings
from lineage.core.findings.rules.rule import PRINCIPAL, RECEIVER, REVOCATION, Check, Rule
from lineage.core.findings.rules.standing import no_receivers
from lineage.core.findings.rules.using import no_orders
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.tally import densest
from lineage.core.model.events import Fact, RevocationAcknowledged, RevocationOrdered
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.keys import split_key
from lineage.core.model.sentences import principal, sentence, thing
from lineage.core.model.times import Instant
from lineage.core.revocation.closure import Closure, closure_of
from lineage.core.revocation.closure_findings import acknowledgement_findings, coverage_findings

_OVERDUE: Final = frozenset({"overdue", REJECTED})


def revocation_overdue(scene: Scene, key: str) -> Iterator[Finding]:
    """Find receivers that have not enforced an order in the promised time, or that reject it."""
    id_ = key.removeprefix("revocation:")
    orders = scene.world.orders.by_id.get(id_)
    if not orders or not _may_be_overdue(scene, id_):
        return
    yield from overdue_in(scene.world, closure_of(scene.world, id_, scene.at, scene.deliveries), scene.at)


def overdue_in(world: World, closure: Closure, at: Instant) -> Iterator[Finding]:
    """Find in a verdict the receivers whose deadline has passed, or that refuse."""
    id_ = closure.revocation
    still_open = closure.open.by_receiver
    for tally in closure.receivers:
        late = sum(still_open[tally.receiver, reason] for reason in _OVERDUE)
        rejected = still_open[tally.receiver, REJECTED] > 0
        if tally.pending and _refuses(world, closure, tally.receiver, at):
            # It may not have been told of every element: what it refuses is the order.
            late, rejected = max(late, tally.pending + tally.rejected), True
        if late:
            why = sentence(
                "{} {} {} ",
                thing("receiver", tally.receiver),
                "refuses to enforce" if rejected else "has not enforced",
                thing("revocation", id_),
            )
            why += f"for {late} of {closure.elements} elements" + ("" if rejected else ", and its deadline has passed")
            registered = world.receivers.registrations.get(tally.receiver)
            overdue = [
                fact
                for fact in world.receivers.acknowledgements.get(id_)
                if getattr(fact.event.body, "receiver", None) == tally.receiver
            ]
            yield finding(
                "revocation-overdue",
                f"revocation:{id_}",
                why,
                (*world.orders.by_id.get(id_), *registered, *overdue),
                at=closure.in_force_at,
                last=max(closure.in_force_at, this_minute(at)) if not rejected else None,
                about=f"receiver:{tally.receiver}",
                count=late,
            )


def _refuses(world: World, closure: Closure, receiver: str, at: Instant) -> bool:
    """Whether the last word of a receiver about a revocation as a whole is that it rejects it."""
    said = [
        fact.event.body
        for fact in by_given(world.receivers.acknowledgements.get(closure.revocation))
        if closure.ordered_at <= fact.given_at <= at
    ]
    outcomes = [
        body.outcome
        for body in said
        if isinstance(body, RevocationAcknowledged) and body.receiver == receiver and body.token is None
    ]
    return outcomes[-1:] == [REJECTED]


def _may_be_overdue(scene: Scene, id_: str) -> bool:
    if any(one.deadline_seconds is not None for one in scene.world.receivers.registered()):
        return True
    acknowledgements = scene.world.receivers.acknowledgements.get(id_)
    return any(getattr(fact.event.body, "outcome", None) == REJECTED for fact in acknowledgements)


def mass_revocation(scene: Scene, key: str) -> Iterator[Finding]:
    """Find parties that order very many revocations at once, or one that ends very many elements."""
    kind, id_ = split_key(key)
    options = scene.options
    if kind == PRINCIPAL:
        orders = scene.orders_by.get(id_, ())
        count, first, last = densest([fact.given_at for fact in orders], options.revocations_window)
        if count > options.revocations:
            within = [fact for fact in orders if first <= fact.given_at <= last]
            planned = all(getattr(fact.event.body, "plan_digest", None) for fact in within)
            minutes = options.revocations_window // 60_000_000
            why = sentence("{} ordered {} revocations within {} minutes", principal(id_), count, minutes)
            why += ", each from a plan" if planned else ""
            severity = Severity.LOW if planned else None
            yield finding("mass-revocation", key, why, within, at=first, last=last, count=count, severity=severity)
        return
    for fact in scene.world.orders.by_id.get(id_):
        body = fact.event.body
        if not isinstance(body, RevocationOrdered):
            continue
        target = body.target.key if body.target.kind != "workload" else f"principal:{body.target.id}"
        elements = scene.struck_by(target, options.revocation_kills)
        yield from mass_order(fact, body, len(elements), options)


def mass_order(fact: Fact, body: RevocationOrdered, elements: int, options: Options) -> Iterator[Finding]:
    """Find an order that ends very many elements."""
    if elements > options.revocation_kills:
        why = sentence(
            "{}, ordered by {}, ends {} elements",
            thing("revocation", body.revocation),
            principal(body.ordered_by),
            elements,
        )
        yield finding(
            "mass-revocation",
            f"revocation:{body.revocation}",
            why + (" from a plan" if body.plan_digest else ""),
            (fact,),
            at=fact.given_at,
            count=elements,
            severity=Severity.LOW if body.plan_digest else None,
        )


def _only(kind: str) -> Check:
    def check(scene: Scene, key: str) -> Iterator[Finding]:
        id_ = key.removeprefix("revocation:")
        found = (*order_findings(scene.world, id_), *acknowledgement_findings(scene.world, id_))
        return (one for one in found if one.kind == kind)

    return check


def _narrowed(scene: Scene, key: str) -> Iterator[Finding]:
    """Find registrations that cover less than an earlier one."""
    yield from coverage_findings(scene.world.receivers, key.removeprefix("receiver:"))


_Words = tuple[str, str, str]  # title, needs, fix


def _rule(kind: str, severity: Severity, looks_at: str, words: _Words) -> Rule:
    title, needs, fix = words
    return Rule(
        kind=kind,
        severity=severity,
        title=title,
        of=(REVOCATION,),
        check=_only(kind),
        needs=needs,
        looks_at=(looks_at,),
        fix=fix,
        maps_to=("MANAGE 4.3",),
    )


RULES: Final = (
    Rule(
        kind="revocation-overdue",
        severity=Severity.HIGH,
        title="A revocation that is not enforced",
        of=(REVOCATION,),
        check=revocation_overdue,
        needs="orders, registered receivers and their acknowledgements",
        looks_at=(inputs.ORDER,),
        maps_to=("MANAGE 2.4", "MANAGE 4.1", "MANAGE 4.3", "ASI08"),
        fix="Disconnect the receiver, or end by hand the tokens that it still accepts.",
        missing=no_receivers,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="mass-revocation",
        severity=Severity.MEDIUM,
        title="Very much revoked at once",
        of=(PRINCIPAL, REVOCATION),
        check=mass_revocation,
        needs="orders",
        settings=("revocations", "revocations_window_minutes", "revocation_kills"),
        maps_to=("ASI09", "MANAGE 4.3"),
        fix="Ask the person who ordered it; lift the orders that were not intended.",
        missing=no_orders,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="coverage-narrowed",
        severity=Severity.MEDIUM,
        title="A receiver that covers less than before",
        of=(RECEIVER,),
        check=_narrowed,
        needs="registrations of receivers",
        looks_at=(inputs.RECEIVER,),
        maps_to=("MANAGE 4.3",),
        fix="Find out who enforces what this receiver covered before; earlier orders still count it.",
    ),
    _rule(
        "shared-order-id",
        Severity.MEDIUM,
        inputs.ORDER,
        ("Several orders of one id", "orders", "Give each order a different id: all of these count."),
    ),
    _rule(
        "far-effective-at",
        Severity.MEDIUM,
        inputs.ORDER,
        ("An order that takes effect far away", "orders", "Order it again with the intended time."),
    ),
    _rule(
        "lift-without-effect",
        Severity.LOW,
        inputs.LIFT,
        ("A lift that changes nothing", "lifts", "Grant again what should be alive: its revocation is permanent."),
    ),
    _rule(
        "acknowledgement-before-order",
        Severity.MEDIUM,
        inputs.ACKNOWLEDGEMENT,
        (
            "Acknowledged before it was ordered",
            "acknowledgements",
            "Compare the clocks; let the receiver acknowledge again.",
        ),
    ),
    _rule(
        "acknowledgement-without-order",
        Severity.MEDIUM,
        inputs.ACKNOWLEDGEMENT,
        ("An acknowledgement of no order", "acknowledgements", "Ask the receiver which order it means."),
    ),
    _rule(
        "unregistered-receiver",
        Severity.MEDIUM,
        inputs.ACKNOWLEDGEMENT,
        (
            "Acknowledged by an unregistered receiver",
            "acknowledgements",
            "Register it: until then its acknowledgements close nothing.",
        ),
    ),
)
