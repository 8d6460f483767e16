"""Receivers: the enforcement points, what each of them covers, and what they say that they did about an order.

DESIGN section 7. A receiver is what its latest registration says, taken whole: an empty list covers everything, so that
lists of several registrations cannot be added up without widening what was narrowed on purpose (ADR 0015).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from lineage.core.elements import Element, FactIndex, split_key
from lineage.core.events import Fact, ReceiverRegistered, RevocationAcknowledged
from lineage.core.times import Instant

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
        """What each receiver covers by its latest registration, sorted by receiver."""
        latest = [self.registrations.get(receiver)[-1].event.body for receiver in sorted(self.registrations)]
        return [body for body in latest if isinstance(body, ReceiverRegistered)]

    def acknowledging(self) -> set[str]:
        """Every receiver that has acknowledged anything, registered or not."""
        facts = (fact for id_ in self.acknowledgements for fact in self.acknowledgements.get(id_))
        bodies = (fact.event.body for fact in facts)
        return {body.receiver for body in bodies if isinstance(body, RevocationAcknowledged)}


def issuer_of(id_: str) -> str | None:
    """The issuer that an id names: what stands before its first ``#``; None without one."""
    before, mark, _ = id_.partition("#")
    return before if mark else None


def covers(receiver: ReceiverRegistered, key: str, audience: Collection[str]) -> bool:
    """Whether a receiver covers an element: by its kind, by its issuer, and by an audience that they share.

    Args:
        receiver: Its registration; an empty list covers all.
        key: ``KIND:ID`` of the element.
        audience: What the element states; one that states none is covered.
    """
    kind, id_ = split_key(key)
    if receiver.kinds and kind not in receiver.kinds:
        return False
    if receiver.issuers and issuer_of(id_) not in receiver.issuers:
        return False
    return not (receiver.audiences and audience) or not set(receiver.audiences).isdisjoint(audience)


class Coverage:
    """Which of some receivers cover an element. Elements that are alike are looked at once."""

    def __init__(self, receivers: Iterable[ReceiverRegistered]) -> None:
        """Take the receivers."""
        self.receivers = tuple(receivers)
        self._known: dict[tuple[str, str | None, tuple[str, ...]], tuple[str, ...]] = {}

    def of(self, key: str, element: Element | None) -> tuple[str, ...]:
        """The receivers that cover an element; None: one that nobody granted, which states no audience."""
        kind, id_ = split_key(key)
        audience = tuple(element.first("audience") or ()) if element is not None else ()
        alike = kind, issuer_of(id_), audience
        if alike not in self._known:
            self._known[alike] = tuple(one.receiver for one in self.receivers if covers(one, key, audience))
        return self._known[alike]


class Answer(NamedTuple):
    """What a receiver said of an element, and when."""

    outcome: str
    said_at: Instant
    fact: Fact


class Answers:
    """What receivers have said about the elements of one order, as of an instant."""

    def __init__(self, facts: Iterable[Fact], at: Instant) -> None:
        """Take the acknowledgements in order."""
        self._named: dict[tuple[str, str], tuple[int, Answer]] = {}
        self._general: dict[str, list[tuple[int, Answer]]] = {}
        self._first: dict[str, Instant] = {}  # when the first element was delivered to those who spoke in general
        for place, fact in enumerate(facts):
            body, said_at = fact.event.body, fact.event.occurred_at
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

        With ``token`` it speaks for that one, without for what had been delivered to it before. The earlier of the two
        clocks, the receiver's and the log's, says what came before: what is in doubt stays open.
        """
        found = self._named.get((receiver, key))
        if delivered_at is not None:
            for place, answer in reversed(self._general.get(receiver, ())):
                if found is not None and found[0] > place:
                    break
                if delivered_at <= min(answer.said_at, answer.fact.recorded_at):
                    return answer
        return None if found is None else found[1]

    def of_nothing(self) -> list[Fact]:
        """The acknowledgements without ``token`` of receivers to which nothing had been delivered: they say nothing."""
        first = self._first
        return [
            answer.fact
            for receiver, answers in self._general.items()
            for _, answer in answers
            if receiver not in first or first[receiver] > min(answer.said_at, answer.fact.recorded_at)
        ]
