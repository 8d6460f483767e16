"""Receivers: the enforcement points, what each of them covers, and what they say that they did about an order.

DESIGN section 7. A registration holds whole until a later one replaces it: an empty list covers everything, so that the
lists of several cannot be added up. For an order all registrations count that were in force at any moment since it was
given: a later one can widen what has to be enforced, and none can take it back (ADR 0030).
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from lineage.core.authority.elements import Element, FactIndex, by_given
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
    """What coverage depends on: the kind of an element, its issuer and the audience that it states."""

    kind: str
    issuer: str | None
    audience: tuple[str, ...]


def alike_of(key: str, element: Element | None) -> Alike:
    """What coverage of an element depends on; None: one that nobody granted, which states no audience."""
    kind, _, id_ = key.partition(":")
    audience = () if element is None else element.first("audience") or ()
    return Alike(kind, issuer_of(id_), audience)


def covers(receiver: ReceiverRegistered, alike: Alike) -> bool:
    """Whether a receiver covers an element: by its kind, by its issuer, and by an audience that they share.

    An empty list of the registration covers all; an element that states no audience is covered.
    """
    if receiver.kinds and alike.kind not in receiver.kinds:
        return False
    if receiver.issuers and alike.issuer not in receiver.issuers:
        return False
    return not (receiver.audiences and alike.audience) or not set(receiver.audiences).isdisjoint(alike.audience)


class Coverage:
    """Which receivers cover an element, each by any of its registrations; what is alike is looked at once."""

    def __init__(self, registrations: Iterable[ReceiverRegistered]) -> None:
        """Take the registrations that count."""
        self.registrations = tuple(registrations)
        self._known: dict[Alike, tuple[str, ...]] = {}

    def of(self, key: str, element: Element | None) -> tuple[str, ...]:
        """The receivers that cover an element; None: one that nobody granted."""
        return self.of_alike(alike_of(key, element))

    def of_alike(self, alike: Alike) -> tuple[str, ...]:
        """The receivers that cover the elements that are alike."""
        known = self._known.get(alike)
        if known is None:
            covering = (one.receiver for one in self.registrations if covers(one, alike))
            known = self._known[alike] = tuple(dict.fromkeys(covering))
        return known


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

    def of(self, receiver: str, key: str, delivered_at: Instant | None) -> Answer | None:
        """The latest word of a receiver that speaks for an element, which was delivered to it then (None: never).

        With ``token`` it speaks for that one, without for what had been delivered to it before it was given.
        """
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
