"""Receivers: the enforcement points, what each of them covers, and what they say that they did about an order.

Clauses 10.6 and 10.7. A registration holds whole until a later one replaces it: an empty list covers everything, so
that the lists of several cannot be added up. For an order all registrations count that were in force at any moment
since it was given: a later one can widen what has to be enforced, and none can take it back (ADR 0030).
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element, FactIndex, audience_of, by_given
from lineage.core.authority.known_then import facts_then
from lineage.core.authority.orders import Order
from lineage.core.model.events import Fact, ReceiverRegistered, RevocationAcknowledged
from lineage.core.model.keys import ELEMENT_KINDS
from lineage.core.model.times import Instant

ENFORCED: Final = "enforced"
REJECTED: Final = "rejected"

Deliveries = Mapping[tuple[str, str], Instant]
"""When an element (``KIND:ID``) was delivered to a receiver: (receiver, key) -> the instant."""


class Receivers:
    """Registrations by receiver, and acknowledgements by the id of the order."""

    def __init__(self) -> None:
        """Start with nothing registered."""
        self.registrations = FactIndex()
        self.acknowledgements = FactIndex()

    def add(self, fact: Fact) -> None:
        """Take in a registration or an acknowledgement."""
        body = fact.event.body
        if isinstance(body, ReceiverRegistered):
            self.registrations.add(body.receiver, fact)
        elif isinstance(body, RevocationAcknowledged):
            self.acknowledgements.add(body.revocation, fact)

    def registered(self) -> list[ReceiverRegistered]:
        """The latest registration of each receiver, sorted by receiver: what a new order counts."""
        return [registration_of(by_given(self.registrations.get(one))[-1]) for one in sorted(self.registrations)]

    def in_force(self, receiver: str) -> ReceiverRegistered | None:
        """The latest registration of a receiver; None if there is none."""
        facts = self.registrations.get(receiver)
        return registration_of(by_given(facts)[-1]) if facts else None

    def counting_for(self, order: Fact) -> list[ReceiverRegistered]:
        """The registrations that count for an order, sorted by receiver.

        A receiver may have several: the one that was in force when the order was given, and all that were given since.
        A registration replaces an earlier one for the order only if it was given and recorded no later than the order:
        one that arrives afterwards under an earlier date takes nothing back.
        """
        found: list[ReceiverRegistered] = []
        for receiver in sorted(self.registrations):
            facts = by_given(self.registrations.get(receiver))
            first = max((place for place, fact in enumerate(facts) if precedes(fact, order)), default=0)
            found += dict.fromkeys(registration_of(fact) for fact in facts[first:])
        return found

    def narrowings(self, receiver: str) -> list[tuple[Fact, Fact]]:
        """The registrations of a receiver that cover less than the one before, each behind that one."""
        return [
            (before, after)
            for before, after in pairwise(by_given(self.registrations.get(receiver)))
            if narrowed(registration_of(before), registration_of(after))
        ]

    def acknowledging(self) -> set[str]:
        """Every receiver that has acknowledged anything, registered or not."""
        facts = (fact for id_ in self.acknowledgements for fact in self.acknowledgements.get(id_))
        bodies = (fact.event.body for fact in facts)
        return {body.receiver for body in bodies if isinstance(body, RevocationAcknowledged)}


def registration_of(fact: Fact) -> ReceiverRegistered:
    """What a fact that registers a receiver says."""
    body = fact.event.body
    assert isinstance(body, ReceiverRegistered)  # noqa: S101 (only registrations are indexed)
    return body


def precedes(registration: Fact, order: Fact) -> bool:
    """Whether a registration was given before an order by both clocks, its source's and the log's."""
    return registration.given_at <= order.given_at and registration.recorded_at <= order.recorded_at


def narrowed(before: ReceiverRegistered, after: ReceiverRegistered) -> list[str]:
    """The fields by which a registration covers less than another: a value fewer, or a list where there was none."""
    kinds = frozenset(after.kinds or ELEMENT_KINDS)
    fields = [] if kinds >= frozenset(before.kinds or ELEMENT_KINDS) else ["kinds"]
    for field in ("issuers", "audiences"):
        earlier, later = set(getattr(before, field)), set(getattr(after, field))
        if later and (not earlier or not earlier <= later):
            fields.append(field)
    return fields


def issuer_of(id_: str) -> str | None:
    """The issuer that an id names: what stands before its first ``#``; None without one."""
    before, mark, _ = id_.partition("#")
    return before if mark else None


class Alike(NamedTuple):
    """What coverage depends on.

    Attributes:
        kind: Of the element.
        issuer: Of its id.
        audience: Every audience stated for it.
        audience_then: Those that had been stated when it was ordered dead; None: the same.
    """

    kind: str
    issuer: str | None
    audience: tuple[str, ...]
    audience_then: tuple[str, ...] | None = None


def alike_of(key: str, element: Element | None, orders: Collection[Order] = ()) -> Alike:
    """What coverage of an element depends on.

    Args:
        key: ``KIND:ID``.
        element: None: nobody granted it, so that it states no audience.
        orders: That end it.
    """
    kind, _, id_ = key.partition(":")
    audience = () if element is None else element.audience
    if element is None or not audience or not orders or (known := facts_then(element, orders)) is element.facts:
        return Alike(kind, issuer_of(id_), audience)
    return Alike(kind, issuer_of(id_), audience, audience_of(known))


def covers(receiver: ReceiverRegistered, alike: Alike) -> bool:
    """Whether a receiver covers an element: by its kind, by its issuer, and by an audience that they share.

    An empty list of the registration covers all; an element that states no audience, or did not then, is covered.
    """
    return _covers(receiver, alike, alike.audience) or _covered_then(receiver, alike)


def _covered_then(receiver: ReceiverRegistered, alike: Alike) -> bool:
    return _covers(receiver, alike, alike.audience if alike.audience_then is None else alike.audience_then)


def _covers(receiver: ReceiverRegistered, alike: Alike, audience: tuple[str, ...]) -> bool:
    if receiver.kinds and alike.kind not in receiver.kinds:
        return False
    if receiver.issuers and alike.issuer not in receiver.issuers:
        return False
    return not (receiver.audiences and audience) or not set(receiver.audiences).isdisjoint(audience)


class Coverage:
    """Which receivers cover an element, each by any of its registrations; what is alike is looked at once."""

    def __init__(self, registrations: Iterable[ReceiverRegistered]) -> None:
        """Take the registrations that count."""
        self.registrations = tuple(registrations)
        self._known: dict[Alike, Covering] = {}

    def of(self, key: str, element: Element | None, orders: Collection[Order] = ()) -> tuple[str, ...]:
        """The receivers that cover an element, which some orders end; None: one that nobody granted."""
        return self.of_alike(alike_of(key, element, orders))

    def of_alike(self, alike: Alike) -> tuple[str, ...]:
        """The receivers that cover the elements that are alike."""
        return self.covering(alike).receivers

    def covering(self, alike: Alike) -> "Covering":
        """The receivers that cover the elements that are alike, and whether these were covered at all."""
        known = self._known.get(alike)
        if known is None:
            receivers = dict.fromkeys(one.receiver for one in self.registrations if covers(one, alike))
            # An audience that was stated only afterwards makes no element covered that was not.
            uncovered = not any(_covered_then(one, alike) for one in self.registrations)
            known = self._known[alike] = Covering(tuple(receivers), uncovered)
        return known


class Covering(NamedTuple):
    """Who covers an element.

    Attributes:
        receivers: Those that do.
        uncovered: Whether nobody did by what had been stated when it was ordered dead.
    """

    receivers: tuple[str, ...]
    uncovered: bool


class Answer(NamedTuple):
    """What a receiver said of an element, and when it was given."""

    outcome: str
    said_at: Instant
    fact: Fact


class Answers:
    """What receivers have said about the elements of one order, as of an instant."""

    def __init__(self, facts: Iterable[Fact], at: Instant) -> None:
        """Take the acknowledgements; the latest is the one that was given last."""
        self._named: dict[tuple[str, str], tuple[int, Answer]] = {}
        self._general: dict[str, list[tuple[int, Answer]]] = {}
        self._first: dict[str, Instant] = {}  # when the first element was delivered to those who spoke in general
        for place, fact in enumerate(by_given(facts)):
            body, said_at = fact.event.body, fact.given_at
            if not isinstance(body, RevocationAcknowledged) or said_at > at:
                continue
            answer = place, Answer(body.outcome, said_at, fact)
            if body.token is not None:
                self._named[body.receiver, f"token:{body.token}"] = answer
            else:
                self._general.setdefault(body.receiver, []).append(answer)

    def hear(self, key: str, delivered: Deliveries) -> None:
        """Take in to whom an element was delivered, and when."""
        for receiver in self._general:
            instant = delivered.get((receiver, key))
            if instant is not None:
                self._first[receiver] = min(instant, self._first.get(receiver, instant))

    def of(self, receiver: str, key: str, delivered_at: Instant | None, since: Instant) -> Answer | None:
        """The latest word of a receiver that speaks for an element; None if there is none.

        With ``token`` it speaks for that one, without for what had been delivered to the receiver before it was given.

        Args:
            receiver: Whose word.
            key: ``KIND:ID`` of the element.
            delivered_at: When the element was delivered to the receiver; None if it never was.
            since: When the first of the orders that end the element was given: an earlier word is about none of them.
        """
        latest = self._latest(receiver, key, delivered_at)
        return None if latest is None or latest.said_at < since else latest

    def _latest(self, receiver: str, key: str, delivered_at: Instant | None) -> Answer | None:
        found = self._named.get((receiver, key))
        if delivered_at is not None:
            for place, answer in reversed(self._general.get(receiver, ())):
                if found is not None and found[0] > place:
                    break
                if delivered_at <= answer.said_at:
                    return answer
        return None if found is None else found[1]

    def of_nothing(self) -> list[Fact]:
        """The acknowledgements without ``token`` of receivers to which nothing had been delivered: they say nothing."""
        first = self._first
        return [
            answer.fact
            for receiver, answers in self._general.items()
            for _, answer in answers
            if receiver not in first or first[receiver] > answer.said_at
        ]
