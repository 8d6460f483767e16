"""Aggregates over many facts: who used what, who was denied what, how much each source states.

Each action, decision and element is entered once, in any order, and the result does not depend on the order.
"""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, NamedTuple

from lineage.core.model.events import Fact, fact_order
from lineage.core.model.times import DAY, NEVER, Instant

Moments = array  # of 64-bit integers
_NAMED: Final = 3  # of the agents that share something
_BUSY: Final = 32  # uses of an element, beyond which they are not counted again for each batch


class Sample(NamedTuple):
    """The period in which something was seen, with the fact that shows it first."""

    first: Instant
    last: Instant
    fact: Fact


class Denied(NamedTuple):
    """A denial."""

    at: Instant
    what: tuple[str, str | None]  # the operation, the resource
    fact: Fact
    key: str  # the decision, or the action that was denied without one


def moments(values: Iterable[Instant] = ()) -> "array[int]":
    """Store instants, eight bytes each."""
    return array("q", values)


def seen(samples: dict[str, Sample], key: str, at: Instant, fact: Fact) -> None:
    """Enter that something was seen at an instant."""
    known = samples.get(key)
    if known is None:
        samples[key] = Sample(at, at, fact)
        return
    if at > known.first:  # nearly always
        if at > known.last:
            samples[key] = Sample(known.first, at, known.fact)
        return
    is_first = at < known.first or (at == known.first and _place(fact) < _place(known.fact))
    samples[key] = Sample(min(known.first, at), max(known.last, at), fact if is_first else known.fact)


def _place(fact: Fact) -> tuple[Any, ...]:
    return fact.event.source, fact.event.event_id, fact_order(fact), fact.recorded_at


@dataclass(slots=True)
class Used:
    """The successes under one element."""

    times: "array[int]" = field(default_factory=moments)
    actors: dict[str, Sample] = field(default_factory=dict)
    workloads: dict[str, Sample] = field(default_factory=dict)
    keys: dict[str, Sample] = field(default_factory=dict)
    tools: dict[str, Sample] = field(default_factory=dict)
    acts: dict[str, Fact] = field(default_factory=dict)  # the first few, for single-use tokens and as evidence
    needed: dict[str, Instant] = field(default_factory=dict)  # scope -> when it was last needed
    needs_known: bool = True

    @property
    def last(self) -> Instant:
        """The time at which it was last used."""
        return max(self.times, default=-1)

    def after(self, moment: Instant) -> int:
        """Count the uses after an instant."""
        return sum(at > moment for at in self.times)


class UsedElements:
    """The uses of elements: those that are kept, and those that can be counted again.

    The uses of an element are a dozen objects for a few actions, and after some minutes nearly nobody asks for them.
    """

    __slots__ = ("_again", "_busy", "_kept", "_others")

    def __init__(
        self, again: Callable[[str], Used | None] | None = None, others: Callable[[], Iterable[str]] = tuple[str]
    ) -> None:
        """Start empty.

        Args:
            again: Counts the uses of an element; None if all are kept.
            others: Returns all elements that may have uses besides those that are kept.
        """
        self._again = again
        self._others = others
        self._kept: dict[str, Used] = {}
        self._busy = 0  # how many of them were when they were last trimmed

    def get(self, key: str) -> Used | None:
        """Return the uses of an element, if there are any."""
        known = self._kept.get(key)
        if known is None and self._again is not None and (known := self._again(key)) is not None:
            self._kept[key] = known
        return known

    def of(self, key: str) -> Used:
        """Return the uses of an element, to which a use is added."""
        known = self.get(key)
        if known is None:
            known = self._kept[key] = Used()
        return known

    def forget(self, key: str) -> None:
        """Discard the uses of an element, so that they are counted again when needed."""
        self._kept.pop(key, None)

    def trim(self, most: int) -> None:
        """Discard the uses that were counted first, if those of more than ``most`` are kept, but not of busy ones."""
        kept = self._kept
        if self._again is None or len(kept) <= self._busy + most:
            return
        busy = {key: used for key, used in kept.items() if len(used.times) > _BUSY}
        self._busy = len(busy)
        self._kept = busy | dict(islice(kept.items(), len(kept) - most // 2, None))

    def __contains__(self, key: str) -> bool:
        """Whether an element has any uses."""
        return self.get(key) is not None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the elements that have any uses."""
        yield from [key for key in {**self._kept, **dict.fromkeys(self._others())} if key in self]

    def __bool__(self) -> bool:
        """Whether any element has uses."""
        return bool(self._kept) or any(key in self for key in self._others())


@dataclass(slots=True)
class Shares:
    """The share of successes of a source's operation that have a decision, day by day."""

    days: dict[int, list[int]] = field(default_factory=dict)  # day -> all, with a decision

    def enter(self, at: Instant, *, decided: bool) -> None:
        """Count a success."""
        day = self.days.setdefault(at // DAY, [0, 0])
        day[0] += 1
        day[1] += decided

    def take_back(self, at: Instant, *, decided: bool) -> None:
        """Stop counting a success."""
        day = self.days[at // DAY]
        day[0] -= 1
        day[1] -= decided
        if not day[0]:
            del self.days[at // DAY]

    def until(self, at: Instant, window: Instant) -> tuple[int, int]:
        """Count the successes from a window before an instant to the day of the instant."""
        last = at // DAY
        if len(self.days) == 1 and last in self.days:
            count, decided = self.days[last]
            return count, decided
        within = [counts for day, counts in self.days.items() if last - window // DAY <= day <= last]
        return sum(counts[0] for counts in within), sum(counts[1] for counts in within)


@dataclass(slots=True)
class SourceTally:
    """The statements of one source."""

    facts: int = 0
    first: Instant = NEVER
    last: Instant = -1
    last_fact: Fact | None = None
    minutes: set[int] = field(default_factory=set)  # minutes in which any of its facts was recorded
    names_authority: int = 0  # of how many successes
    unattributed: int = 0  # successes of agents and workloads under nothing
    late: int = 0
    early: int = 0
    samples: dict[str, Sample] = field(default_factory=dict)  # of what is unattributed, late, early


@dataclass(slots=True)
class Wielders:
    """The agents whose tokens one client or session uses; very many may share one.

    Attributes:
        tokens: By agent, the smallest key of its tokens, and the facts about that token.
        facts: All these facts, in order.
        named: The smallest few of the agents, sorted.
    """

    tokens: dict[str, tuple[str, tuple[Fact, ...]]] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    named: list[str] = field(default_factory=list)

    def enter(self, agent: str, token: str, facts: tuple[Fact, ...]) -> None:
        """Enter a token of an agent."""
        known = self.tokens.get(agent)
        if known is None:
            insort(self.named, agent)
            del self.named[_NAMED:]
        elif known[0] <= token:
            return
        else:
            for fact in known[1]:
                del self.facts[bisect_left(self.facts, fact_order(fact), key=fact_order)]
        self.tokens[agent] = token, facts
        for fact in facts:
            if not self.facts or fact.event.occurred_at > self.facts[-1].event.occurred_at:  # nearly always
                self.facts.append(fact)
            else:
                insort(self.facts, fact, key=fact_order)

    def __reduce__(self) -> "tuple[object, ...]":
        return _wielders, (self.tokens,)

    def count(self) -> int:
        """Count the agents."""
        return len(self.tokens)

    def token_of(self, agent: str) -> str | None:
        """Return the smallest key of an agent's tokens."""
        known = self.tokens.get(agent)
        return None if known is None else known[0]


def _wielders(tokens: dict[str, tuple[str, tuple[Fact, ...]]]) -> Wielders:
    made = Wielders()
    for agent, (token, facts) in tokens.items():
        made.enter(agent, token, facts)
    return made


class Tally:
    """All aggregates."""

    def __init__(self) -> None:
        """Start empty."""
        self.used = UsedElements()
        self.decision_uses: defaultdict[str, dict[str, Fact]] = defaultdict(dict)
        self.denials: defaultdict[tuple[str, str, str], list[Denied]] = defaultdict(list)
        self.permits: defaultdict[tuple[str, str, str], list[Instant]] = defaultdict(list)
        self.denied: defaultdict[str, list[Denied]] = defaultdict(list)  # by party
        self.policies: defaultdict[tuple[str, str], dict[str, Instant]] = defaultdict(dict)
        self.shares: defaultdict[tuple[str, str], Shares] = defaultdict(Shares)  # by source and operation
        self.operations: defaultdict[str, dict[str, Instant]] = defaultdict(dict)  # party -> operation -> first
        self.successes: defaultdict[str, list[Instant]] = defaultdict(list)  # by party: the first few
        self.pairs: defaultdict[str, dict[str, Instant]] = defaultdict(dict)  # delegator -> delegatee -> first
        self.granted: defaultdict[str, dict[frozenset[str] | None, Instant]] = defaultdict(dict)  # to a party
        self.grants: defaultdict[str, list[Instant]] = defaultdict(list)  # by delegator: the first few
        self.renewals: defaultdict[tuple[object, ...], list[tuple[Instant, str]]] = defaultdict(list)
        self.scopes: set[str] = set()
        self.spelled_alike: Counter[str] = Counter()  # by source: operations spelled as scopes are
        self.issuers: dict[str, Instant] = {}
        self.binding_issuers: Counter[str] = Counter()  # how many tokens each binds
        self.wielded: defaultdict[str, Wielders] = defaultdict(Wielders)  # by client or session
        self.inputs: Counter[frozenset[str]] = Counter()  # how many things offer the same inputs to rules
        self.principals: dict[str, Sample] = {}  # named by grants, tokens and actions
        self.acting: dict[str, Sample] = {}  # parties that succeeded in something
        self.decisions = 0
        self.instructions = 0  # actions that state where their instruction came from
        self.needs_known = 0  # actions whose needed scopes are known
        self.tasks = 0  # actions that state a task
        self.sources: defaultdict[str, SourceTally] = defaultdict(SourceTally)

    def wielder(self, name: str, agent: str) -> str | None:
        """Return the smallest key of an agent's tokens that a client or session uses."""
        wielders = self.wielded.get(name)
        return None if wielders is None else wielders.token_of(agent)


def first_few(times: list[Instant], at: Instant, most: int) -> None:
    """Keep the earliest ``most`` of some instants."""
    place = bisect_left(times, at)
    if place < most:
        times.insert(place, at)
        del times[most:]


def any_between(times: list[Instant], after: Instant, until: Instant) -> bool:
    """Whether any of some sorted instants is after one and not after another."""
    place = bisect_right(times, after)
    return place < len(times) and times[place] <= until


def densest(times: list[Instant], window: Instant) -> tuple[int, Instant, Instant]:
    """Return the largest number of instants within one window, with its start and end; of equal windows the first."""
    times = sorted(times)
    best = (0, 0, 0)
    start = 0
    for end, at in enumerate(times):
        while at - times[start] > window:
            start += 1
        if end - start + 1 > best[0]:
            best = (end - start + 1, times[start], at)
    return best


def crowded(items: list[Denied], window: Instant, *, least: int, kinds: int) -> list[Denied]:
    """Return the denials that lie within a window with enough others, of enough different things, in order.

    Cost: sorting them.
    """
    items = sorted(items, key=lambda one: (one.at, one.key))
    found: list[Denied] = []
    within: Counter[tuple[str, str | None]] = Counter()
    start = included = 0  # the start of the window, and the first denial that is not included yet
    for end, one in enumerate(items):
        within[one.what] += 1
        while one.at - items[start].at > window:
            within[items[start].what] -= 1
            if not within[items[start].what]:
                del within[items[start].what]
            start += 1
        if end - start + 1 >= least and len(within) >= kinds:
            found += items[max(start, included) : end + 1]
            included = end + 1
    return found
