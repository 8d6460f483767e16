"""Receivers: the enforcement points, what each of them covers, and what they acknowledge about an order.

Clauses 10.6 and 10.7. A registration replaces the previous one as a whole: an empty list covers everything, so lists
of several registrations cannot be merged. For an order, all registrations in force at any time since it was given
count: a later one can widen what must be enforced, and none can narrow it (ADR 0030).
"""

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
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
BY_HAND: Final = "urn:delegraph:by-hand"
"""The source of acknowledgements that a person states for a receiver (ADR 0052).

A trust file that does not list it refuses them. Their note names the person, then the reason on the next line.
"""

Deliveries = Mapping[tuple[str, str], Instant]
"""The time at which an element was delivered to a receiver, by receiver and key (``KIND:ID``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Receivers:
    """Registrations by receiver, and acknowledgements by the id of the order."""

    registrations: FactIndex = field(default_factory=FactIndex)
    acknowledgements: FactIndex = field(default_factory=FactIndex)

    def add(self, fact: Fact) -> None:
        """Add a registration or an acknowledgement."""
        body = fact.event.body
        if isinstance(body, ReceiverRegistered):
            self.registrations.add(body.receiver, fact)
        elif isinstance(body, RevocationAcknowledged):
            self.acknowledgements.add(body.revocation, fact)

    def registered(self) -> list[ReceiverRegistered]:
        """Return the latest registration of each receiver, sorted by receiver; these count for a new order."""
        return [registration_of(by_given(self.registrations.get(one))[-1]) for one in sorted(self.registrations)]

    def in_force(self, receiver: str) -> ReceiverRegistered | None:
        """Return the latest registration of a receiver, or None."""
        facts = self.registrations.get(receiver)
        return registration_of(by_given(facts)[-1]) if facts else None

    def counting_for(self, order: Fact) -> list[ReceiverRegistered]:
        """Return the registrations that count for an order, sorted by receiver.

        A receiver may have several: the one in force when the order was given, and all given since. A registration
        replaces an earlier one for the order only if it was given and recorded no later than the order; one that
        arrives afterwards with an earlier date removes nothing.
        """
        found: list[ReceiverRegistered] = []
        for receiver in sorted(self.registrations):
            facts = by_given(self.registrations.get(receiver))
            first = max((place for place, fact in enumerate(facts) if precedes(fact, order)), default=0)
            found += dict.fromkeys(registration_of(fact) for fact in facts[first:])
        return found

    def narrowings(self, receiver: str) -> list[tuple[Fact, Fact]]:
        """Return the registrations of a receiver that cover less than their predecessor, paired with it."""
        return [
            (before, after)
            for before, after in pairwise(by_given(self.registrations.get(receiver)))
            if narrowed(registration_of(before), registration_of(after))
        ]

    def acknowledging(self) -> set[str]:
        """Return every receiver that has acknowledged anything, registered or not."""
        facts = (fact for id_ in self.acknowledgements for fact in self.acknowledgements.get(id_))
        bodies = (fact.event.body for fact in facts)
        return {body.receiver for body in bodies if isinstance(body, RevocationAcknowledged)}


def registration_of(fact: Fact) -> ReceiverRegistered:
    """Return the body of a fact that registers a receiver."""
    body = fact.event.body
    assert isinstance(body, ReceiverRegistered)  # noqa: S101 (only registrations are indexed)
    return body


def precedes(registration: Fact, order: Fact) -> bool:
    """Whether a registration precedes an order by both clocks, its source's and the log's."""
    return registration.given_at <= order.given_at and registration.recorded_at <= order.recorded_at


def narrowed(before: ReceiverRegistered, after: ReceiverRegistered) -> list[str]:
    """Return the fields by which a registration covers less than another: a missing value, or a new list."""
    kinds = frozenset(after.kinds or ELEMENT_KINDS)
    fields = [] if kinds >= frozenset(before.kinds or ELEMENT_KINDS) else ["kinds"]
    for name in ("issuers", "audiences"):
        earlier, later = set(getattr(before, name)), set(getattr(after, name))
        if later and (not earlier or not earlier <= later):
            fields.append(name)
    return fields


def issuer_of(id_: str) -> str | None:
    """Return the issuer part of an id: the text before its first ``#``, or None."""
    before, mark, _ = id_.partition("#")
    return before if mark else None


class CoverageClass(NamedTuple):
    """The properties of an element that coverage depends on.

    Attributes:
        kind: The kind of the element.
        issuer: The issuer in its id.
        audience: Every audience stated for it.
        audience_then: The audiences stated when it was ordered dead; None if they are the same.
    """

    kind: str
    issuer: str | None
    audience: tuple[str, ...]
    audience_then: tuple[str, ...] | None = None


def coverage_class_of(key: str, element: Element | None, orders: Collection[Order] = ()) -> CoverageClass:
    """Return the properties that coverage of an element depends on.

    Args:
        key: ``KIND:ID``.
        element: None if no event granted it; then it states no audience.
        orders: The orders that end it.
    """
    kind, _, id_ = key.partition(":")
    audience = () if element is None else element.audience
    if element is None or not audience or not orders or (known := facts_then(element, orders)) is element.facts:
        return CoverageClass(kind, issuer_of(id_), audience)
    return CoverageClass(kind, issuer_of(id_), audience, audience_of(known))


def covers(receiver: ReceiverRegistered, coverage_class: CoverageClass) -> bool:
    """Whether a receiver covers an element: by its kind, its issuer, and a shared audience.

    An empty list in the registration covers everything. An element that states no audience, or stated none at the
    time of the order, is covered.
    """
    return _covers(receiver, coverage_class, coverage_class.audience) or _covered_then(receiver, coverage_class)


def _covered_then(receiver: ReceiverRegistered, coverage_class: CoverageClass) -> bool:
    return _covers(
        receiver,
        coverage_class,
        coverage_class.audience if coverage_class.audience_then is None else coverage_class.audience_then,
    )


def _covers(receiver: ReceiverRegistered, coverage_class: CoverageClass, audience: tuple[str, ...]) -> bool:
    if receiver.kinds and coverage_class.kind not in receiver.kinds:
        return False
    if receiver.issuers and coverage_class.issuer not in receiver.issuers:
        return False
    return not (receiver.audiences and audience) or not set(receiver.audiences).isdisjoint(audience)


class Coverage:
    """Determines which receivers cover an element by any of their registrations; elements alike are computed once."""

    def __init__(self, registrations: Iterable[ReceiverRegistered]) -> None:
        """Use the registrations that count."""
        self.registrations = tuple(registrations)
        self._known: dict[CoverageClass, Covering] = {}

    def of(self, key: str, element: Element | None, orders: Collection[Order] = ()) -> tuple[str, ...]:
        """Return the receivers that cover an element (None: one that no event granted) ended by some orders."""
        return self.of_class(coverage_class_of(key, element, orders))

    def of_class(self, coverage_class: CoverageClass) -> tuple[str, ...]:
        """Return the receivers that cover elements with these properties."""
        return self.covering(coverage_class).receivers

    def covering(self, coverage_class: CoverageClass) -> "Covering":
        """Return the receivers that cover such elements, and whether anyone covered them at the time."""
        known = self._known.get(coverage_class)
        if known is None:
            receivers = dict.fromkeys(one.receiver for one in self.registrations if covers(one, coverage_class))
            # An element that was not covered does not become covered by an audience that was stated afterwards.
            uncovered = not any(_covered_then(one, coverage_class) for one in self.registrations)
            known = self._known[coverage_class] = Covering(tuple(receivers), uncovered)
        return known


class Covering(NamedTuple):
    """The receivers that cover an element.

    Attributes:
        receivers: The receivers that cover it.
        uncovered: Whether no receiver did, by what had been stated when it was ordered dead.
    """

    receivers: tuple[str, ...]
    uncovered: bool


class Answer(NamedTuple):
    """The acknowledgement of an element by a receiver, and its time."""

    outcome: str
    said_at: Instant
    fact: Fact

    @property
    def names_token(self) -> bool:
        """Whether it speaks for one token, and not for everything that had been delivered before."""
        body = self.fact.event.body
        return isinstance(body, RevocationAcknowledged) and body.token is not None


class HandMark(NamedTuple):
    """A person's statement that a receiver has enforced an order, and the number of elements that depend on it alone.

    Attributes:
        receiver: The receiver.
        by: The person.
        reason: How the person knows.
        said_at: When the person stated it.
        elements: The number of elements that count as enforced there because of it.
    """

    receiver: str
    by: str
    reason: str
    said_at: Instant
    elements: int


def note_by_hand(by: str, reason: str) -> str:
    """Build the note of a person's statement; no id contains a line break."""
    return f"{by}\n{reason}"


def said_by_hand(fact: Fact) -> tuple[str, str] | None:
    """Return the person behind an acknowledgement, and their reason; None if the receiver said it itself."""
    body = fact.event.body
    if fact.event.source != BY_HAND or not isinstance(body, RevocationAcknowledged):
        return None
    by, _, reason = (body.note or "").partition("\n")
    return by, reason


class Answers:
    """The acknowledgements of the elements of one order by receivers, as of an instant."""

    def __init__(self, facts: Iterable[Fact], at: Instant) -> None:
        """Read the acknowledgements; if there are several, the one given last counts."""
        self._named: dict[tuple[str, str], tuple[int, Answer]] = {}
        self._general: dict[str, list[tuple[int, Answer]]] = {}
        self._first: dict[str, Instant] = {}  # receivers that acknowledged without a token -> first delivery to them
        for place, fact in enumerate(by_given(facts)):
            body, said_at = fact.event.body, fact.given_at
            if not isinstance(body, RevocationAcknowledged) or said_at > at:
                continue
            answer = place, Answer(body.outcome, said_at, fact)
            if body.token is not None:
                self._named[body.receiver, f"token:{body.token}"] = answer
            else:
                self._general.setdefault(body.receiver, []).append(answer)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._named or self._general)

    def keys(self) -> AbstractSet[str]:
        """Return the keys of the elements that any acknowledgement names."""
        return {key for _, key in self._named}

    def record_delivery(self, key: str, delivered: Deliveries) -> None:
        """Record the receivers to which an element was delivered, and when."""
        for receiver in self._general:
            instant = delivered.get((receiver, key))
            if instant is not None:
                self._first[receiver] = min(instant, self._first.get(receiver, instant))

    def of(self, receiver: str, key: str, delivered_at: Instant | None, since: Instant) -> Answer | None:
        """Return the latest acknowledgement by a receiver that applies to an element, or None.

        With ``token`` it applies to that token; without, to everything delivered to the receiver before it was given.

        Args:
            receiver: The receiver.
            key: ``KIND:ID`` of the element.
            delivered_at: When the element was delivered to the receiver; None if it never was.
            since: When the first of the orders that end the element was given; an earlier acknowledgement applies to
                none of them.
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

    def unmatched(self) -> list[Fact]:
        """Return the acknowledgements without ``token`` by receivers that had received nothing: they do not count."""
        first = self._first
        return [
            answer.fact
            for receiver, answers in self._general.items()
            for _, answer in answers
            if receiver not in first or first[receiver] > answer.said_at
        ]
