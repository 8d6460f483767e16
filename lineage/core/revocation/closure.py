"""The verdict on a revocation: whether it is complete, and what is still open per element and receiver.

Clauses 10.9 to 10.16. The first that applies: ``PARTIAL``, an element is open at a receiver that covers it;
``UNKNOWN``, an element that no receiver covers, or an order that is not in effect yet; ``CLOSED``. An element is open
until it is enforced or its end has passed. A success under a dead element while the order was in force invalidates
earlier acknowledgements: the element is open until its receivers acknowledge *enforced* again. Pure: computed from
the receipt, the actions and the acknowledgements.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple

from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import (
    ENFORCED,
    REJECTED,
    Answer,
    Answers,
    Coverage,
    CoverageClass,
    Covering,
    Deliveries,
    HandMark,
    Receivers,
    precedes,
    said_by_hand,
)
from lineage.core.authority.world import World
from lineage.core.model.finding import Finding
from lineage.core.model.keys import by_id, sorted_by_id, with_few_by_id
from lineage.core.model.times import SECOND, Instant
from lineage.core.revocation.closure_findings import (
    acknowledgement_findings,
    coverage_findings,
    is_too_early,
    unmatched_findings,
    use_finding,
)
from lineage.core.revocation.ended import EndedElement, EndedGroups, ended_in
from lineage.core.revocation.enforced_elsewhere import WordsElsewhere, endings_elsewhere, place_of
from lineage.core.revocation.late_uses import LateUse, in_force_at, uses_under
from lineage.core.revocation.open_items import OpenItems, Reasons
from lineage.core.revocation.receipt import receipt_of


class ClosureVerdict(StrEnum):
    """The verdicts, in precedence order: the first that applies is the answer."""

    PARTIAL = "PARTIAL"
    UNKNOWN = "UNKNOWN"
    CLOSED = "CLOSED"


class ElementEvidence(NamedTuple):
    """An ended element, with its uses and deliveries.

    Attributes:
        ended: The element.
        uses: The successes under its element.
        delivered: The deliveries to receivers, at least those of this element.
    """

    ended: EndedElement
    uses: Sequence[LateUse]
    delivered: Deliveries


@dataclass(slots=True)
class ClosureTally:
    """The number of elements that a receiver covers, by their outcome there."""

    receiver: str
    covers: int = 0
    delivered: int = 0
    enforced: int = 0
    rejected: int = 0
    pending: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """A verdict and its evidence.

    Attributes:
        revocation: The id.
        verdict: The verdict.
        ordered_at: When the first of its orders was given.
        in_force_at: When the first of them was in force: recorded, and in effect.
        closed_at: When the last element was closed; None if any is open.
        lifted_at: When the last order was lifted; None if any is not.
        enforced_at: The last acknowledgement that an element was ended; None if there is none.
        elements: The number of elements of the receipt.
        receivers: The outcome at each receiver, sorted.
        open: The reasons why it is not complete, in receipt order, then by receiver.
        reopened_by: The actions that keep it open, the earliest first.
        findings: ``used-after-revocation`` and ``tainted-use`` of actions; contradictions in acknowledgements.
        by_hand: The statements of people on which elements depend, the earliest first.
    """

    revocation: str
    verdict: ClosureVerdict
    ordered_at: Instant
    in_force_at: Instant
    closed_at: Instant | None
    lifted_at: Instant | None
    enforced_at: Instant | None
    elements: int
    receivers: tuple[ClosureTally, ...]
    open: OpenItems
    reopened_by: tuple[str, ...]
    findings: tuple[Finding, ...]
    by_hand: tuple[HandMark, ...] = ()


def closure_of(world: World, revocation: str, at: Instant, delivered: Deliveries) -> Closure:
    """Compute the verdict at an instant, in a world that contains everything, including an order of this id."""
    lines = receipt_of(world, revocation, at)
    uses = uses_under(world, lines, at)
    endings = endings_elsewhere(world, revocation, [line.key for line in lines])
    ended = ended_in(world, lines, endings, at)
    return compute_closure(
        world, revocation, at, (ElementEvidence(one, uses.get(one.key, ()), delivered) for one in ended)
    )


def compute_closure(world: World, revocation: str, at: Instant, judged: Iterable[ElementEvidence]) -> Closure:
    """Compute the verdict at an instant from a receipt that may arrive in parts.

    Args:
        world: The orders of the id (at least one), their lifts and acknowledgements, the receivers, and the
            acknowledgements of other ids whose orders end an element, by the time that element is processed.
        revocation: The id.
        at: The instant asked about.
        judged: The lines of the receipt.
    """
    ledger = _begin(world, revocation, at)
    for one in judged:
        ledger.enter(one)
    ledger.open = sorted_by_id(ledger.open, itemgetter(0))
    return _finish(world, revocation, ledger)


def compute_closure_of_groups(world: World, revocation: str, at: Instant, groups: EndedGroups) -> Closure:
    """Compute the same verdict if nothing was delivered to any receiver; elements of a group are counted together.

    Args:
        world: As for ``compute_closure``.
        revocation: The id.
        at: The instant asked about.
        groups: The elements.

    Cost:
        Hardly anything for each element, unless it was used, several orders end it, or a receiver acknowledged it.
    """
    ledger = _begin(world, revocation, at)
    answered = ledger.answers.keys() & groups.ended.keys()
    apart = dict.fromkeys((*(one.key for one in groups.apart), *answered))
    for key in apart:
        ledger.enter(ElementEvidence(groups.ended[key], groups.uses.get(key, ()), {}))
    singles, ledger.open = ledger.open, []
    ledger.enter_groups(groups, answered)
    ledger.open = with_few_by_id(ledger.open, singles, itemgetter(0))
    return _finish(world, revocation, ledger)


def _begin(world: World, revocation: str, at: Instant) -> "_ClosureBuilder":
    orders = world.orders.with_id(revocation)
    acknowledgements = [
        fact for fact in world.receivers.acknowledgements.get(revocation) if not is_too_early(fact, orders)
    ]
    answers = Answers(acknowledgements, at)
    return _ClosureBuilder(world.receivers, orders, answers, WordsElsewhere(world.receivers, revocation, at), at)


def _finish(world: World, revocation: str, ledger: "_ClosureBuilder") -> Closure:
    """Compute the verdict once all elements are entered and what is open is in receipt order."""
    at, orders, answers = ledger.at, ledger.orders, ledger.answers
    ledger.count_unanswered()
    waiting: list[tuple[str, Reasons]] = [
        (order.target.key, ((None, "not-in-force"),))
        for order in orders
        if order.effective_at > at and order.takes_effect
    ]
    still_open = OpenItems.sorted(ledger.open + waiting) if waiting else OpenItems(ledger.open)
    if any(receiver is not None for receiver, _ in still_open.by_receiver):
        verdict = ClosureVerdict.PARTIAL
    else:
        verdict = ClosureVerdict.UNKNOWN if still_open else ClosureVerdict.CLOSED
    found = [finding for _, finding in sorted(ledger.findings, key=lambda one: by_id(one[0]))]
    given = min(order.given_at for order in orders)
    started = min(in_force_at(order) for order in orders)
    return Closure(
        revocation=revocation,
        verdict=verdict,
        ordered_at=given,
        in_force_at=started,
        closed_at=_closed_at(orders, ledger, at) if verdict is ClosureVerdict.CLOSED else None,
        lifted_at=_lifted_at(orders, at),
        enforced_at=ledger.enforced_at,
        elements=ledger.elements,
        receivers=tuple(ledger.tallies.values()),
        open=still_open,
        reopened_by=tuple(action for _, action in sorted(ledger.reopening)),
        findings=(
            *found,
            *acknowledgement_findings(world, revocation),
            *unmatched_findings(answers, revocation),
            *ledger.narrowings(),
        ),
        by_hand=tuple(sorted(ledger.marks(), key=lambda mark: (mark.said_at, mark.receiver, mark.by, mark.reason))),
    )


def _closed_at(orders: Sequence[Order], ledger: "_ClosureBuilder", at: Instant) -> Instant:
    """Return when the last element was closed; for an empty receipt, when the orders had nothing left to end."""
    if ledger.over_at is not None:
        return ledger.over_at
    lifted = [order.lifted_at for order in orders if order.lifted_at <= at and not order.in_force(at)]
    return max(lifted, default=min(in_force_at(order) for order in orders))


def _lifted_at(orders: Sequence[Order], at: Instant) -> Instant | None:
    """Return when the last of the orders was lifted; None if one of them is not."""
    if all(order.is_lifted and order.lifted_at <= at for order in orders):
        return max(order.lifted_at for order in orders)
    return None


class Coverings:
    """The receivers of ended elements, for any of the orders that end them; a registration is read once per order."""

    def __init__(self, receivers: Receivers) -> None:
        """Use the registrations of some receivers."""
        self._receivers = receivers
        self._by_order: dict[Order, Coverage] = {}
        self._latest: tuple[Order, Coverage] | None = None

    def of(self, one: EndedElement) -> Covering:
        """Return the receivers that cover an element, and whether some order that ends it has none."""
        latest = self._latest
        if latest is None or latest[0] is not one.order:
            latest = self._latest = (one.order, self._of_order(one.order))
        found = latest[1].covering(one.coverage_class)
        if not one.others:  # the usual case
            return found
        more = [self._of_order(order).covering(one.coverage_class) for order in one.others]
        receivers = {*found.receivers, *(receiver for each in more for receiver in each.receivers)}
        return Covering(tuple(sorted(receivers)), found.uncovered or any(each.uncovered for each in more))

    def _of_order(self, order: Order) -> Coverage:
        if order not in self._by_order:
            self._by_order[order] = Coverage(self._receivers.counting_for(order.fact))
        return self._by_order[order]


@dataclass(slots=True)
class _Alike:
    """Elements of one order and class of coverage that nobody has answered for.

    Attributes:
        at_receivers: The outcomes at the receivers that cover them.
        reasons: Why each is open until it expires, with the receiver; None where no receiver covers it.
        open: The number that is open.
        expired: The number that has expired, so that nothing is open for them.
    """

    at_receivers: list[ClosureTally]
    reasons: Reasons
    open: int = 0
    expired: int = 0


class _Unanswered:
    """The common outcomes of the elements of one order that nobody has answered for, by the class of their coverage.

    Attributes:
        order: The order. It is referenced here so that its identity is not reused; an order may be several objects.
        by_class: The elements of each class.
    """

    __slots__ = ("by_class", "order")

    def __init__(self, order: Order) -> None:
        self.order = order
        self.by_class: dict[CoverageClass, _Alike] = {}


@dataclass(slots=True)
class _ClosureBuilder:
    """Accumulates the verdict while the receipt is read."""

    receivers: Receivers
    orders: Sequence[Order]
    answers: Answers
    elsewhere: WordsElsewhere
    at: Instant
    elements: int = 0
    over_at: Instant | None = None
    enforced_at: Instant | None = None
    open: list[tuple[str, Reasons]] = field(default_factory=list)  # what is open, by element
    reopening: list[tuple[Instant, str]] = field(default_factory=list)
    findings: list[tuple[str, Finding]] = field(default_factory=list)  # with the element
    tallies: dict[str, ClosureTally] = field(init=False)
    by_hand: Counter[tuple[str, str, str, Instant]] = field(init=False, default_factory=Counter)
    deadlines: dict[str, int] = field(init=False, default_factory=dict)
    coverings: Coverings = field(init=False)
    unanswered: "dict[int, _Unanswered]" = field(init=False, default_factory=dict)  # by the identity of the order

    def __post_init__(self) -> None:
        self.coverings = Coverings(self.receivers)
        counting = [one for order in self.orders for one in self.receivers.counting_for(order.fact)]
        self.tallies = {receiver: ClosureTally(receiver) for receiver in sorted({one.receiver for one in counting})}
        for one in counting:
            if one.deadline_seconds is not None:  # the shortest: a later registration may not postpone a deadline
                known = self.deadlines.get(one.receiver, one.deadline_seconds)
                self.deadlines[one.receiver] = min(known, one.deadline_seconds)

    def marks(self) -> Iterator[HandMark]:
        """Yield the statements of people on which elements depend."""
        for (receiver, by, reason, said_at), elements in self.by_hand.items():
            yield HandMark(receiver, by, reason, said_at, elements)

    def narrowings(self) -> Iterator[Finding]:
        """Yield the registrations by which a receiver covers less than it did for one of the orders."""
        for receiver in self.tallies:
            for finding in coverage_findings(self.receivers, receiver):
                if not all(precedes(finding.facts[1], order.fact) for order in self.orders):
                    yield finding

    def enter(self, judged: ElementEvidence) -> None:
        """Process one line of the receipt."""
        one, uses, delivered = judged
        if not (uses or self.answers or one.endings or one.others):
            self._enter_unanswered(one, delivered)
            return
        self.answers.record_delivery(one.key, delivered)
        self.elements += 1
        known: Sequence[LateUse] = ()
        if uses:
            self.findings += [(one.key, use_finding(one.key, one.order, use)) for use in uses]
            known = [use for use in uses if use.in_force]
        used_at = known[-1].occurred_at if known else None
        # Expiry closes it, unless it was accepted even afterwards.
        ended = self.at >= one.ends_at and (used_at is None or used_at < one.ends_at)
        reasons: list[tuple[str | None, str]] = []
        over = 0
        covering, uncovered = self.coverings.of(one)
        if uncovered and not ended:
            reasons.append((None, "uncovered"))
        for receiver in covering:
            delivered_at = delivered.get((receiver, one.key))
            at_receiver, reason = self._at_receiver(one, receiver, delivered_at, used_at, ended=ended)
            over = max(over, at_receiver)
            if reason is not None:
                reasons.append((receiver, reason))
        if uncovered:
            over = one.ends_at
        if reasons:
            self.open.append((one.key, tuple(reasons)))
            self.reopening += [(use.occurred_at, use.action) for use in known]
        else:
            over = min(over, one.ends_at) if ended else over
            self.over_at = max(over, self.over_at or 0)

    def _enter_unanswered(self, one: EndedElement, delivered: Deliveries) -> None:
        """Process one element if nobody has acknowledged anything, or used it: what most of a new revocation is."""
        self.elements += 1
        found = self._alike(one)
        if delivered:
            for tally in found.at_receivers:
                tally.delivered += (tally.receiver, one.key) in delivered
        self._count_alike(found, one.key, one.ends_at)

    def _alike(self, one: EndedElement) -> _Alike:
        """Return the common outcome of the elements of an order and a class that nobody has answered for.

        Each is open at every receiver that covers it until it expires, for the same reasons.
        """
        alike = self.unanswered.get(id(one.order))
        if alike is None:
            alike = self.unanswered[id(one.order)] = _Unanswered(one.order)
        found = alike.by_class.get(one.coverage_class)
        if found is None:
            covering, uncovered = self.coverings.of(one)
            reasons: list[tuple[str | None, str]] = [(None, "uncovered")] if uncovered else []
            reasons += [(receiver, self._reason(one, receiver, None)) for receiver in covering]
            tallies = [self.tallies[receiver] for receiver in covering]
            found = alike.by_class[one.coverage_class] = _Alike(tallies, tuple(reasons))
        return found

    def _count_alike(self, alike: _Alike, key: str, ends_at: Instant) -> None:
        if self.at >= ends_at:
            alike.expired += 1
            self.over_at = max(ends_at if alike.reasons else 0, self.over_at or 0)
            return
        alike.open += 1
        if alike.reasons:
            self.open.append((key, alike.reasons))
        else:
            self.over_at = self.over_at or 0

    def enter_groups(self, groups: EndedGroups, answered: AbstractSet[str]) -> None:
        """Process the elements of groups, except those that a receiver has answered for, if nothing was delivered."""
        alike = [self._alike(sample) for sample in groups.samples]
        if answered or self.at >= groups.first_end:
            for key, ends_at, group in zip(groups.keys, groups.ends, groups.groups, strict=True):
                if key not in answered:
                    self.elements += 1
                    self._count_alike(alike[group], key, ends_at)
            return
        self.elements += len(groups.keys)
        for one, size in zip(alike, groups.sizes, strict=True):
            one.open += size
            if size and not one.reasons:
                self.over_at = self.over_at or 0
        reasons = [one.reasons for one in alike]
        self.open += [
            (key, reasons[group]) for key, group in zip(groups.keys, groups.groups, strict=True) if reasons[group]
        ]

    def count_unanswered(self) -> None:
        """Add the elements that nobody has answered for to the outcomes at their receivers, once all are entered."""
        for unanswered in self.unanswered.values():
            for alike in unanswered.by_class.values():
                for tally in alike.at_receivers:
                    tally.covers += alike.open + alike.expired
                    tally.pending += alike.open

    def _at_receiver(
        self, one: EndedElement, receiver: str, delivered_at: Instant | None, used_at: Instant | None, *, ended: bool
    ) -> tuple[Instant, str | None]:
        """Process an element at a receiver that covers it.

        Returns:
            When it was closed there, and why it is still open; None if it is not.
        """
        tally = self.tallies[receiver]
        tally.covers += 1
        tally.delivered += delivered_at is not None
        answer = self.answers.of(receiver, one.key, delivered_at, one.given_at)
        if answer is not None and not one.is_spoken_of(answer):
            answer = None
        enforced = answer
        if answer is None or answer.outcome != ENFORCED or (used_at is not None and answer.said_at <= used_at):
            enforced = self._elsewhere(one, receiver, delivered_at, answer) if one.endings else None
        if enforced is not None:
            tally.enforced += 1
            if (hand := said_by_hand(enforced.fact)) is not None:
                self.by_hand[receiver, *hand, enforced.said_at] += 1
            # A receiver whose clock is slow cannot have enforced an order that was not in force.
            enforced_at = max(enforced.said_at, in_force_at(one.order))
            self.enforced_at = max(enforced_at, self.enforced_at or 0)
            return enforced_at, None
        rejected = answer is not None and answer.outcome == REJECTED
        tally.rejected += rejected
        if ended:
            return one.ends_at, None
        tally.pending += not rejected
        return one.ends_at, self._reason(one, receiver, answer)

    def _elsewhere(
        self, one: EndedElement, receiver: str, delivered_at: Instant | None, answer: Answer | None
    ) -> Answer | None:
        """Return an acknowledgement of enforcement under another id, if it is later than the last one under this id."""
        enforced = self.elsewhere.enforced(receiver, one.key, one.endings, delivered_at, one.used_at)
        if enforced is None or (answer is not None and place_of(enforced) < place_of(answer)):
            return None
        return enforced

    def _reason(self, one: EndedElement, receiver: str, answer: Answer | None) -> str:
        if answer is not None:
            return REJECTED if answer.outcome == REJECTED else "used-after-revocation"
        deadline = self.deadlines.get(receiver)
        late = deadline is not None and self.at >= in_force_at(one.order) + deadline * SECOND
        return "overdue" if late else "pending"
