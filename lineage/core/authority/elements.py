"""Elements: the tokens and delegations that can be alive or dead, and how several facts about one combine.

Section 3 and clause 4.1 of docs/rule-of-authority.md. Pure: facts in, values out.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from lineage.core.model.events import DelegationGranted, Event, Fact, StatusList, TokenIssued, digest, fact_order
from lineage.core.model.grants import FactInParts, common_body
from lineage.core.model.keys import shared_text, split_key
from lineage.core.model.references import names_of, parents_of
from lineage.core.model.times import NEVER, Instant


class Stated(NamedTuple):
    """A value and the fact that states it."""

    value: Any
    fact: Fact


def in_order(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Sort facts into the order in which they combine (clause 3.4), each content once, as it was first recorded."""
    once: dict[Event, Fact] = {}
    for fact in facts:
        known = once.setdefault(fact.event, fact)
        if fact.recorded_at < known.recorded_at:
            once[fact.event] = fact
    return tuple(once.values()) if len(once) == 1 else tuple(sorted(once.values(), key=fact_order))


class FactsByKey(ABC):
    """Facts by key."""

    @abstractmethod
    def get(self, key: str) -> tuple[Fact, ...]:
        """Return the facts under a key, sorted by ``in_order``; empty if there are none."""

    def of(self, keys: Iterable[str]) -> tuple[Fact, ...]:
        """Return the facts under some keys, in the order of the keys."""
        return tuple(chain.from_iterable(map(self.get, keys)))

    @abstractmethod
    def __contains__(self, key: object) -> bool:
        """Whether there is any fact under a key."""

    @abstractmethod
    def __iter__(self) -> Iterator[str]:
        """The keys."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of keys."""


class FactIndex(FactsByKey):
    """Facts by key, sorted lazily when they are read."""

    def __init__(self, ordered: dict[str, tuple[Fact, ...]] | None = None) -> None:
        """Start empty; a map for the facts may be given."""
        self._ordered: dict[str, tuple[Fact, ...]] = {} if ordered is None else ordered
        self._added: dict[str, list[Fact]] = {}

    def add(self, key: str, fact: Fact) -> None:
        """Add a fact under a key. A duplicate changes nothing."""
        if key in self._ordered:
            self._added.setdefault(key, []).append(fact)
        else:
            self._ordered[key] = (fact,)

    def get(self, key: str) -> tuple[Fact, ...]:
        """Return the facts under a key, sorted by ``in_order``; empty if there are none."""
        if self._added and key in self._added:
            self._ordered[key] = in_order((*self._ordered[key], *self._added.pop(key)))
        return self._ordered.get(key, ())

    def __contains__(self, key: object) -> bool:
        """Whether there is any fact under a key."""
        return key in self._ordered

    def __iter__(self) -> Iterator[str]:
        """The keys."""
        return iter(self._ordered)

    def __len__(self) -> int:
        """The number of keys."""
        return len(self._ordered)


def first_stated(facts: Sequence[Fact], field: str) -> Stated | None:
    """Return the first fact, in order, that states a field (clause 3.4): absent, null and empty lists state nothing."""
    for fact in facts:
        value = getattr(fact.event.body, field, None)
        if value is not None and value != ():
            return Stated(value, fact)
    return None


def last_stated(facts: Sequence[Fact], field: str) -> Stated | None:
    """Return the last fact, by the time it was given, that states the field.

    Used for the display name, owner, purpose and environment of a principal, which change over time (clause 3.5).
    """
    return first_stated(by_given(facts)[::-1], field)


def by_given(facts: Iterable[Fact]) -> list[Fact]:
    """Sort facts by the time they were given, then in fact order; "last" means the last of these (clause 3.6).

    The earlier of the two clocks decides, so a fact dated in the future does not stay last for ever.
    """
    return sorted(facts, key=lambda fact: (fact.given_at, fact_order(fact)))


def disagreements(facts: Sequence[Fact], fields: Iterable[str]) -> list[tuple[str, list[Stated]]]:
    """Return the fields with several stated values, each value with the first fact that states it (clause 3.7)."""
    found = []
    for field in fields:
        values: dict[Any, Stated] = {}
        for fact in facts:
            value = getattr(fact.event.body, field, None)
            if value is not None and value != ():
                values.setdefault(value, Stated(value, fact))
        if len(values) > 1:
            found.append((field, list(values.values())))
    return found


class Element(NamedTuple):
    """A granted token or delegation: the combination of everything claimed about it.

    Attributes:
        key: ``KIND:ID``.
        facts: The facts that granted it, in order. Not empty.
        issued_at: The earliest issue time.
        not_before: The first stated value, or None.
        ends_at: The latest stated ``expires_at``; NEVER if none was stated.
        parents: The key of each dependency, with the roles it was claimed in (a delegation's own are ``parent`` and
            ``delegation``). The union of all claims.
        names: The keys of everything it names: subject, actor, workload, session, client; delegator, delegatee. The
            union of all claims.
    """

    key: str
    facts: tuple[Fact, ...]
    issued_at: Instant
    not_before: Instant | None
    ends_at: Instant
    parents: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        """The id without the kind."""
        return split_key(self.key)[1]

    @property
    def expires_at(self) -> Instant | None:
        """The latest stated ``expires_at``, or None."""
        return None if self.ends_at == NEVER else self.ends_at

    def first(self, field: str) -> Any:
        """The first stated value of a field, or None."""
        if len(self.facts) == 1:  # nearly every element
            value = getattr(self.facts[0].event.body, field, None)
            return None if value == () else value
        found = first_stated(self.facts, field)
        return found.value if found else None

    @property
    def audience(self) -> tuple[str, ...]:
        """Every audience that any fact states: the union, so no fact can remove one."""
        return audience_of(self.facts)

    @property
    def places(self) -> tuple[StatusList, ...]:
        """Every status list entry that any fact states."""
        found = (getattr(fact.event.body, "status_list", None) for fact in self.facts)
        return tuple(dict.fromkeys(place for place in found if place is not None))


def audience_of(facts: Sequence[Fact]) -> tuple[str, ...]:
    """Every audience that some grants state, each once."""
    if len(facts) == 1:  # the usual case
        return getattr(common_body(facts[0]), "audience", ())
    return tuple(dict.fromkeys(value for fact in facts for value in getattr(common_body(fact), "audience", ())))


def granted_key(body: object) -> str | None:
    """Return the key of the element that a body grants, or None.

    Equal keys are one object, since whoever keeps many elements keeps each key in many places.
    """
    match body:
        case TokenIssued():
            return shared_text(f"token:{body.token}")
        case DelegationGranted():
            return shared_text(f"delegation:{body.delegation}")
        case _:
            return None


def claimed_by(fact: Fact) -> Element | None:
    """Return what a fact alone claims about an element; None if it grants none."""
    if isinstance(fact, FactInParts):
        return _in_parts(fact)
    key = granted_key(fact.event.body)
    return None if key is None else merge_facts(key, (fact,))


def _in_parts(fact: FactInParts) -> Element:
    key, template, _, _, occurred_at, issued_at, not_before, ends_at = fact.parts
    if issued_at is None:
        issued_at = occurred_at
    if ends_at is None:
        ends_at = NEVER
    # Quicker than the constructor of a named tuple, for very many.
    return tuple.__new__(Element, (key, (fact,), issued_at, not_before, ends_at, template.parents, template.names))


def merge_facts(key: str, facts: tuple[Fact, ...]) -> Element:
    """Combine everything that was claimed about one element into one value (clauses 3.2 to 3.4).

    Args:
        key: ``KIND:ID``.
        facts: The facts that granted it, sorted by ``in_order``. Not empty.
    """
    if len(facts) == 1:  # nearly every element, hence a fast path
        fact = facts[0]
        if isinstance(fact, FactInParts):
            return _in_parts(fact)
        occurred_at, body = fact.event.occurred_at, fact.event.body
        assert isinstance(body, TokenIssued | DelegationGranted)  # noqa: S101 (the caller chose them by granted_key)
        issued_at = body.issued_at if isinstance(body, TokenIssued) and body.issued_at is not None else occurred_at
        ends_at = NEVER if body.expires_at is None else body.expires_at
        return Element(key, facts, issued_at, body.not_before, ends_at, parents_of(body), names_of(body))
    singles = [merge_facts(key, (fact,)) for fact in facts]
    merged: dict[str, tuple[str, ...]] = {}
    for single in singles:
        for parent, roles in single.parents.items():
            merged[parent] = tuple(dict.fromkeys((*merged.get(parent, ()), *roles)))
    ends = [single.ends_at for single in singles if single.ends_at != NEVER]
    return Element(
        key,
        facts,
        min(single.issued_at for single in singles),
        next((single.not_before for single in singles if single.not_before is not None), None),
        max(ends, default=NEVER),
        merged,
        tuple(dict.fromkeys(name for single in singles for name in single.names)),
    )


# The same facts are cited repeatedly: by every action of a mismatching token and every question about it.
_digest = lru_cache(maxsize=4_096)(digest)


def cite(facts: Iterable[Fact]) -> list[dict[str, str]]:
    """Facts as findings cite them: source, event id and the digest of the content."""
    return [
        {"source": fact.event.source, "event_id": fact.event.event_id, "digest": _digest(fact.event)}
        for fact in in_order(facts)
    ]
