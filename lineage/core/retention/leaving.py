"""Records that retention may delete: old ones on which nothing that remains depends. Pure.

Only facts about tokens, delegations, decisions and actions may be deleted, and all facts about one of them together.
Something stays if any of this is true:

- one of its facts is not old, or was repeated since;
- it is a token or a delegation that may still be alive: under any trust file, it would not have ended long ago;
- it is one that rests on such a one, because an order on that must reach a child of both that is reported late;
- an order or an acknowledgement names it, or an order may have ended it, or what it rests on: receipts and verdicts
  need it;
- a hold in force names it, or what it rests on;
- something that stays mentions it: a child, a decision, an action.

So everything that remains has all that it depends on, and its state, its chain and the verdicts of orders are what they
were. Orders, lifts, registrations, bindings, acknowledgements, cases and holds are never deleted.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import or_
from typing import Final, NamedTuple

from lineage.core.model.events import (
    DelegationGranted,
    Event,
    Fact,
    PrincipalRegistered,
    RevocationAcknowledged,
    RevocationOrdered,
    TokenIssued,
)
from lineage.core.model.keys import is_element
from lineage.core.model.records import lane_of
from lineage.core.model.references import RefRole, mentions, subject_of
from lineage.core.model.times import NEVER, Instant

KINDS: Final = frozenset({"token", "delegation", "decision", "action"})
_ELEMENTS: Final = frozenset({"token", "delegation"})
_RESTS_ON: Final = frozenset({RefRole.DEPENDS, RefRole.USES})


class HoldConditions(NamedTuple):
    """The conditions of a hold; a record is held if all of those that are stated apply to it. None is any.

    Attributes:
        names: Keys of parties, sessions and clients. They name a record that mentions them, or rests on one that does.
        keys: Keys of single things.
        starts_at: The first instant of a span, by when a record occurred or was recorded.
        ends_at: The first instant after it.
        by: The key of the hold or the open case, so that a count can name it.
    """

    names: frozenset[str] | None = None
    keys: frozenset[str] | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    by: str = ""

    def covers(self, fact: Fact) -> bool:
        """Whether a fact is in the span."""
        start = -NEVER if self.starts_at is None else self.starts_at
        end = NEVER if self.ends_at is None else self.ends_at
        return any(start <= at < end for at in (fact.event.occurred_at, fact.recorded_at))


class Leaving(NamedTuple):
    """The records that may be deleted, and those that only holds keep.

    Attributes:
        numbers: The numbers of the records that may be deleted, by the key of the thing that they are about.
        held: The number that could be deleted in addition if there were no hold.
        held_by: The number of these that each hold keeps, by ``Held.by``. Several may keep the same record.
    """

    numbers: Mapping[str, list[int]]
    held: int
    held_by: Mapping[str, int]


class Seen(NamedTuple):
    """A fact with the numbers of its records: its own, and those of its duplicates."""

    numbers: tuple[int, ...]
    fact: Fact


@dataclass(slots=True)
class _FactsAbout:
    """The facts about one thing, taken together."""

    rests_on: set[str] = field(default_factory=set)
    mentioned: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    numbers: list[int] = field(default_factory=list)
    ends: dict[str, Instant | None] = field(default_factory=dict)  # by source, the latest end that it states
    spans: int = 0  # the holds, as bits, whose span covers one of its facts
    stays: bool = False

    @property
    def latest_end(self) -> Instant:
        """The latest instant at which it may end, depending on which of its sources are trusted."""
        return max(NEVER if end is None else end for end in self.ends.values())

    def ended_by(self, horizon: Instant) -> bool:
        """Whether it has ended by an instant, whichever of its sources are trusted."""
        return not self.ends or self.latest_end <= horizon


class Aliases:
    """The aliases of principals, whatever source states them."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        """Join the aliases that registrations state."""
        self._members: dict[str, frozenset[str]] = {}
        for fact in facts:
            body = fact.event.body
            if isinstance(body, PrincipalRegistered):
                ids = {body.principal, *body.aliases}
                joined = frozenset().union(ids, *(self._members.get(id_, frozenset()) for id_ in ids))
                self._members.update(dict.fromkeys(joined, joined))

    def keys_of(self, kind: str, id_: str) -> frozenset[str]:
        """Return the keys of a principal and of its aliases; of anything else, its key."""
        if kind not in ("principal", "workload"):
            return frozenset({f"{kind}:{id_}"})
        return frozenset(f"principal:{one}" for one in self._members.get(id_, (id_,)))


def ordered_at(facts: Iterable[Fact], parties: Aliases) -> dict[str, Instant]:
    """Return the earliest instant from which an order may work, by the key of its target and of its aliases.

    Whether the order is trusted, was lifted or cascades is not considered: it may be so under another trust file.
    """
    found: dict[str, Instant] = {}
    for fact in facts:
        body = fact.event.body
        if isinstance(body, RevocationOrdered):
            works = min(fact.given_at, NEVER if body.effective_at is None else body.effective_at)
            for key in parties.keys_of(*body.target):
                found[key] = min(works, found.get(key, NEVER))
    return found


class RetentionSurvey:
    """Finds what may be deleted. Every fact of the store must be added before it is asked.

    Memory grows with the number of tokens, delegations, decisions and actions.
    """

    def __init__(
        self,
        horizon: Instant,
        cutoffs: Mapping[int, int],
        held: Sequence[HoldConditions],
        ordered: Mapping[str, Instant],
    ) -> None:
        """Start without facts.

        Args:
            horizon: What is deleted has ended by then.
            cutoffs: For each partition, by the number of its first offset, the number before which records are old.
            held: What the holds in force name.
            ordered: The result of ``ordered_at``.
        """
        self._horizon, self._cutoffs, self._held, self._ordered = horizon, cutoffs, held, ordered
        self._things: dict[str, _FactsAbout] = {}
        self._answered: set[str] = set()  # the keys that orders and acknowledgements mention

    def add(self, seen: Seen) -> None:
        """Add a fact."""
        event = seen.fact.event
        kind, id_ = subject_of(event)
        if kind not in KINDS:
            if isinstance(event.body, RevocationOrdered | RevocationAcknowledged):
                self._answered.update(f"{mentioned}:{other}" for _, mentioned, other in mentions(event))
            return
        thing = self._things.setdefault(f"{kind}:{id_}", _FactsAbout())
        for role, mentioned, other in mentions(event):
            key = f"{mentioned}:{other}"
            if mentioned not in KINDS:
                thing.names.add(key)
                continue
            thing.mentioned.add(key)
            if role in _RESTS_ON:
                thing.rests_on.add(key)
        if kind in _ELEMENTS:
            stated = [end for end in (thing.ends.get(event.source), _end_of(event)) if end is not None]
            thing.ends[event.source] = max(stated, default=None)
        thing.numbers.extend(seen.numbers)
        thing.stays = thing.stays or not all(map(self._is_old, seen.numbers))
        for bit, held in enumerate(self._held):
            if not thing.spans >> bit & 1 and held.covers(seen.fact):
                thing.spans |= 1 << bit

    def leaving(self) -> Leaving:
        """Return what may be deleted, and what only holds keep."""
        ended, living, named = self._ended_by_orders(), self._under_living(), self._flow(self._holds_naming, or_)
        needed = self._with_mentioned(
            key
            for key, thing in self._things.items()
            if thing.stays or key in ended or key in self._answered or (is_element(key) and key in living)
        )
        holders: dict[str, list[str]] = {}
        for key in self._things.keys() - needed:
            for by in self._holders(key, named[key]):
                holders.setdefault(by, []).append(key)
        held_by = {by: self._with_mentioned(keys) - needed for by, keys in holders.items()}
        held = set[str]().union(*held_by.values())
        stays = needed | held
        return Leaving(
            {key: sorted(thing.numbers) for key, thing in self._things.items() if key not in stays},
            self._count(held),
            {by: self._count(keys) for by, keys in sorted(held_by.items())},
        )

    def _with_mentioned(self, keys: Iterable[str]) -> set[str]:
        """Return some things, and everything that they mention, at any depth."""
        waiting = deque(keys)
        found = set(waiting)
        while waiting:
            more = {
                key for key in self._things[waiting.popleft()].mentioned if key in self._things and key not in found
            }
            found |= more
            waiting.extend(more)
        return found

    def _count(self, keys: Iterable[str]) -> int:
        return sum(len(self._things[key].numbers) for key in keys)

    def _is_old(self, number: int) -> bool:
        return number < self._cutoffs.get(lane_of(number), 0)

    def _holders(self, key: str, named: int) -> set[str]:
        """Return the holds that keep a thing."""
        covered = self._things[key].spans
        return {
            held.by
            for bit, held in enumerate(self._held)
            if covered >> bit & 1
            and (held.names is None or named >> bit & 1)
            and (held.keys is None or key in held.keys)
        }

    def _ended_by_orders(self) -> set[str]:
        """Return what an order may have ended, and the decisions and actions that rest on it."""
        hit = self._flow(lambda names: min((self._ordered.get(name, NEVER) for name in names), default=NEVER), min)
        ended = {key for key, at in hit.items() if is_element(key) and at < self._latest_end(key)}
        below = self._flow(lambda names: int(next(iter(names)) in ended), max)
        return {key for key, marked in below.items() if marked}

    def _under_living(self) -> set[str]:
        """Return what may still be alive, and all that rests on it."""
        living = {key for key, thing in self._things.items() if not thing.ended_by(self._horizon)}
        below = self._flow(lambda names: int(names[0] in living), max)
        return {key for key, marked in below.items() if marked}

    def _latest_end(self, key: str) -> Instant:
        """Return the latest end of an element; what nobody granted has none."""
        thing = self._things.get(key)
        return NEVER if thing is None or not thing.ends else thing.latest_end

    def _holds_naming(self, names: Iterable[str]) -> int:
        """Return the holds, as bits, that name one of some parties, sessions or clients."""
        given = set(names)
        bits = (1 << bit for bit, held in enumerate(self._held) if held.names and not held.names.isdisjoint(given))
        return sum(bits)

    def _flow(self, own: Callable[[Sequence[str]], int], combine: Callable[[int, int], int]) -> dict[str, int]:
        """Compute a value of each thing, combined with those of all that it rests on, at any depth.

        Args:
            own: Returns the value of a thing, given its key and those that it names.
            combine: Combines two values; the order does not matter.
        """
        below: dict[str, list[str]] = {}
        for key, thing in self._things.items():
            for other in thing.rests_on:
                below.setdefault(other, []).append(key)
        # What was never granted can still be the target of an order that ends what rests on it.
        values = {key: own((key,)) for key in below}
        values.update({key: own((key, *thing.names)) for key, thing in self._things.items()})
        waiting = deque(below)
        while waiting:
            key = waiting.popleft()
            for child in below.get(key, ()):
                combined = combine(values[child], values[key])
                if combined != values[child]:
                    values[child] = combined
                    waiting.append(child)
        return values


def _end_of(event: Event) -> Instant | None:
    body = event.body
    return body.expires_at if isinstance(body, TokenIssued | DelegationGranted) else None
