"""Grants in parts: what very many have in common, and what each has alone, until somebody reads the event. Pure.

Nearly all tokens below one target differ only in their ids and times. The rule needs these, and what a grant names and
depends on; the event is built each time it is read, which few questions do.
"""

from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from lineage.core.model.events import Body, DelegationGranted, Event, Fact, TokenIssued
from lineage.core.model.keys import split_key
from lineage.core.model.references import about, names_of, parents_of
from lineage.core.model.times import Instant


class GrantTemplate:
    """The fields that many grants have in common.

    Attributes:
        body: These fields; the id is empty and the times are absent.
        names: What each of these grants names (``names_of``).
        parents: What each of them depends on (``parents_of``).
    """

    __slots__ = ("body", "names", "parents")

    def __init__(self, body: TokenIssued | DelegationGranted) -> None:
        """Use a body without id and times."""
        self.body = body
        self.names = names_of(body)
        self.parents = parents_of(body)


class GrantParts(NamedTuple):
    """A grant whose event is not built yet.

    Attributes:
        key: ``KIND:ID`` of the element.
        template: The fields of its body that it shares with others.
    """

    key: str
    template: GrantTemplate
    event_id: str
    source: str
    occurred_at: Instant
    issued_at: Instant | None
    not_before: Instant | None
    expires_at: Instant | None

    @property
    def event(self) -> Event:
        """The event."""
        id_, body = split_key(self.key)[1], self.template.body
        times: dict[str, Any] = {"not_before": self.not_before, "expires_at": self.expires_at}
        if isinstance(body, TokenIssued):
            body = body._replace(token=id_, issued_at=self.issued_at, **times)
        else:
            body = body._replace(delegation=id_, **times)
        return Event(self.event_id, self.source, self.occurred_at, body)


class FactInParts(Fact):
    """A fact of a grant in parts, equal to the fact of its event.

    Attributes:
        parts: The grant.
    """

    __slots__ = ()

    parts: GrantParts = property(itemgetter(0))  # type: ignore[assignment]  # in the place of the event

    @classmethod
    def of(cls, parts: GrantParts, recorded_at: Instant, *, misrouted: bool) -> "FactInParts":
        """Build the fact of a grant in parts."""
        return tuple.__new__(cls, (parts, recorded_at, misrouted))

    @property
    def event(self) -> Event:
        """The event, built each time."""
        return self.parts.event

    def __eq__(self, other: object) -> bool:
        """Whether the other is the same fact, in parts or not."""
        return isinstance(other, Fact) and (self.event, *self[1:]) == (other.event, *other[1:])

    def __ne__(self, other: object) -> bool:
        """Whether the other is a different fact."""
        return not self == other

    def __hash__(self) -> int:
        """Hash it as the fact of its event."""
        return hash((self.event, *self[1:]))


def granted_by(fact: Fact) -> str:
    """Return the key of the element that a fact of a grant is about."""
    return fact.parts.key if isinstance(fact, FactInParts) else about(fact.event)


def distinct_bodies(facts: Iterable[Fact]) -> Collection[Body]:
    """Return the bodies of some facts as ``common_body`` does, those that facts share once."""
    return {id(body): body for body in map(common_body, facts)}.values()


def common_body(fact: Fact) -> Body:
    """Return the body of a fact; of a grant in parts only the fields that it shares, without its id and times."""
    return fact.parts.template.body if isinstance(fact, FactInParts) else fact.event.body
