"""Findings about receivers, the acknowledgements of a revocation, and uses of the elements that it ended."""

from collections.abc import Iterator

from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import Answers, Receivers, narrowed, registration_of
from lineage.core.authority.world import World
from lineage.core.model.events import Fact, RevocationAcknowledged
from lineage.core.model.finding import Finding
from lineage.core.model.sentences import keyed, moment, sentence, thing
from lineage.core.revocation.late_uses import LateUse


def acknowledgement_findings(world: World, revocation: str) -> Iterator[Finding]:
    """Yield contradictions in the acknowledgements of an id: no such order, too early, unregistered receiver."""
    of = f"revocation:{revocation}"
    orders = world.orders.with_id(revocation)
    for fact in world.receivers.acknowledgements.get(revocation):
        receiver = _receiver(fact)
        if orders and is_too_early(fact, orders):
            why = sentence(
                "{} acknowledged {} before it was ordered: the acknowledgement does not count",
                thing("receiver", receiver),
                thing("revocation", revocation),
            )
            yield Finding("acknowledgement-before-order", of, why, (fact, orders[0].fact), about=receiver)
        if not orders:
            why = sentence(
                "{} acknowledges {}, and there is no such order",
                thing("receiver", receiver),
                thing("revocation", revocation),
            )
            yield Finding("acknowledgement-without-order", of, why, (fact,), about=receiver)
        if receiver not in world.receivers.registrations:
            why = sentence(
                "{} acknowledges {}, and this receiver is not registered: its acknowledgements close nothing",
                thing("receiver", receiver),
                thing("revocation", revocation),
            )
            yield Finding("unregistered-receiver", of, why, (fact,), about=receiver)


def is_too_early(acknowledgement: Fact, orders: list[Order]) -> bool:
    """Whether an acknowledgement was given before every one of some orders."""
    return all(acknowledgement.given_at < order.given_at for order in orders)


def unmatched_findings(answers: Answers, revocation: str) -> Iterator[Finding]:
    """Yield the acknowledgements without ``token`` before which nothing had been delivered to their receiver."""
    for fact in answers.unmatched():
        why = sentence(
            "{} acknowledges {} without naming a token, and nothing had been delivered to it before: "
            "the acknowledgement does not count",
            thing("receiver", _receiver(fact)),
            thing("revocation", revocation),
        )
        yield Finding("acknowledgement-of-nothing", f"revocation:{revocation}", why, (fact,), about=_receiver(fact))


def _receiver(fact: Fact) -> str:
    body = fact.event.body
    assert isinstance(body, RevocationAcknowledged)  # noqa: S101 (only acknowledgements are asked about)
    return body.receiver


def use_finding(key: str, order: Order, use: LateUse) -> Finding:
    """Return the finding of a success under an element that an order ended."""
    of, revocation = f"action:{use.action}", order.body.revocation
    if use.in_force:
        why = sentence(
            "{} succeeded under {} when {} was in force already",
            keyed(of),
            keyed(key),
            thing("revocation", revocation),
        )
        return Finding(
            "used-after-revocation",
            of,
            why,
            use.facts,
            about=key,
            first_seen=use.occurred_at,
            last_seen=use.occurred_at,
        )
    why = sentence(
        "{} succeeded under {} after {} took effect and before it was known",
        keyed(of),
        keyed(key),
        thing("revocation", revocation),
    )
    return Finding("tainted-use", of, why, use.facts, about=key, first_seen=use.occurred_at, last_seen=use.occurred_at)


def coverage_findings(receivers: Receivers, receiver: str) -> Iterator[Finding]:
    """Find registrations by which a receiver covers less than it did before: ``coverage-narrowed``."""
    for before, after in receivers.narrowings(receiver):
        earlier, later = registration_of(before), registration_of(after)
        less = "; ".join(
            f"{field}: {_shown(getattr(later, field))}, before {_shown(getattr(earlier, field) or 'all')}"
            for field in narrowed(earlier, later)
        )
        why = sentence(
            "{} covers less since {} ({}); orders given earlier still count what it covered before",
            thing("receiver", receiver),
            moment(after.given_at),
            less,
        )
        yield Finding("coverage-narrowed", f"receiver:{receiver}", why, (before, after))


def _shown(value: object) -> str:
    return f"({', '.join(map(str, value))})" if isinstance(value, tuple) else str(value)
