"""The input of all rules: every relevant fact, and what ingestion noticed."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from lineage.core.authority.sequence_gaps import Runs
from lineage.core.authority.world import World
from lineage.core.findings.scene.scene import IngestionFacts, SentCredentials
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised
from lineage.store.deletions import deleted_sequences
from lineage.store.quarantine import credentials_sent
from lineage.store.store import Store, Stored

_READ: Final = 5_000  # facts read at once
_REFUSALS_EVERY: Final = 2_000_000  # microseconds; refused records move no position, so they are looked up by time


class Gathered(NamedTuple):
    """Everything that is known.

    Attributes:
        world: The relevant facts.
        facts: The same, as a list.
        intake: What ingestion noticed.
    """

    world: World
    facts: list[Fact]
    intake: IngestionFacts


def gathered(store: Store, trust: TrustTable | None, known_at: Instant | None = None) -> Gathered:
    """Read every fact recorded by an instant (None for all).

    Cost:
        Every fact is read into memory, about 2 KB each.
    """
    world = World(trust=trust, known_at=known_at)
    counting: list[Fact] = []
    noticed: list[Fact] = []
    sequences: dict[str, Runs] = {}
    sequenced: dict[int, Fact] = {}
    after, numbered = -1, False
    while page := store.facts(after=after, limit=_READ):
        after = page[-1].number
        for stored in page:
            fact = stored.fact
            if fact.event.sequence is not None:
                sequences.setdefault(fact.event.source, Runs()).add(fact.event.sequence, stored.number)
                sequenced[stored.number] = fact
            if known_at is not None and fact.recorded_at > known_at:
                continue
            numbered |= fact.event.sequence is not None
            if authorised(fact, trust):
                counting.append(fact)
                world.add(fact)
            else:
                noticed.append(fact)
    conflicts = [_known(group, known_at) for group in store.conflicts()]
    pairs = [pair for _, runs in sorted(sequences.items()) for pair in runs.holes()]
    holes = [(sequenced[before], sequenced[following]) for before, following in pairs]
    holes = without_deleted(store, holes)
    intake = IngestionFacts(
        unauthorised=tuple(noticed),
        conflicts=tuple(group for group in conflicts if len(group) > 1),
        holes=tuple(pair for pair in holes if _known(pair, known_at) == pair),
        known_prefixes=_prefixes(trust),
        numbered=numbered,
        credentials=tuple(SentCredentials(*row) for row in credentials_sent(store, until=known_at)),
    )
    return Gathered(world, counting, intake)


class Noticed:
    """Facts that only ingestion notices, updated as facts arrive."""

    def __init__(self, store: Store, trust: TrustTable | None) -> None:
        """Load the current state of a store. Cost: every record that is unauthorised, in conflict or numbered."""
        self._trust = trust
        self._runs: dict[str, Runs] = {}
        self._unauthorised: list[Fact] = []
        self._conflicts = {_identity(group[0]): tuple(group) for group in store.conflicts()}
        self._credentials = credentials_sent(store)
        self._credentials_at: Instant = 0
        self._numbers = 0  # the number of facts with a sequence number
        self._sequenced: dict[int, Fact] = {}  # the facts next to holes

    def first(self, stored: Iterable[Stored], now: Instant) -> Iterator[Fact]:
        """Yield the authorised facts of a store, and note the others."""
        self._credentials_at = now
        for one in stored:
            self._number(one)
            if authorised(one.fact, self._trust):
                yield one.fact
            else:
                self._unauthorised.append(one.fact)

    def more(self, store: Store, stored: Collection[Stored], now: Instant) -> IngestionFacts | None:
        """Note new facts; None if nothing new is noticed."""
        before = (len(self._unauthorised), self._conflicts, self._credentials, self._numbers)
        self._unauthorised += (one.fact for one in stored if not authorised(one.fact, self._trust))
        # The last fact of a conflict to be projected says so, unless it is unauthorised.
        asked = {_identity(one.fact) for one in stored if not one.is_accepted}
        if self._conflicts:
            asked |= self._conflicts.keys() & {_identity(one.fact) for one in stored}
        if asked and (conflicts := store.conflicts(asked)):
            self._conflicts = {**self._conflicts, **{_identity(group[0]): tuple(group) for group in conflicts}}
        for one in stored:
            self._number(one)
        if now - self._credentials_at > _REFUSALS_EVERY:
            self._credentials, self._credentials_at = credentials_sent(store), now
        after = (len(self._unauthorised), self._conflicts, self._credentials, self._numbers)
        return self.intake(store) if before != after else None

    def _number(self, one: Stored) -> None:
        event = one.fact.event
        if event.sequence is not None:
            self._numbers += 1
            self._runs.setdefault(event.source, Runs()).add(event.sequence, one.number)

    def _holes(self, store: Store) -> tuple[tuple[Fact, Fact], ...]:
        pairs = [pair for _, runs in sorted(self._runs.items()) for pair in runs.holes()]
        numbers = {number for pair in pairs for number in pair}
        self._sequenced = {number: fact for number, fact in self._sequenced.items() if number in numbers}
        self._sequenced |= store.facts_at(sorted(numbers - self._sequenced.keys()))
        holes = [(self._sequenced[before], self._sequenced[after]) for before, after in pairs]
        return tuple(without_deleted(store, holes))

    def intake(self, store: Store) -> IngestionFacts:
        """Return everything that was noticed."""
        return IngestionFacts(
            unauthorised=tuple(self._unauthorised),
            conflicts=tuple(self._conflicts[identity] for identity in sorted(self._conflicts)),
            holes=self._holes(store),
            known_prefixes=_prefixes(self._trust),
            numbered=self._numbers > 0,
            credentials=tuple(SentCredentials(*row) for row in self._credentials),
        )


def without_deleted(store: Store, holes: Sequence[tuple[Fact, Fact]]) -> list[tuple[Fact, Fact]]:
    """Leave out the holes in sequence numbers of which retention deleted every number: nothing is missing there."""
    if not holes or store.deleted_before() is None:
        return list(holes)
    runs = {source: deleted_sequences(store, source) for source in {before.event.source for before, _ in holes}}
    return [hole for hole in holes if not _is_deleted(hole, runs[hole[0].event.source])]


def _is_deleted(hole: tuple[Fact, Fact], runs: Sequence[tuple[int, int]]) -> bool:
    before, after = (fact.event.sequence or 0 for fact in hole)
    following = before + 1
    for first, last in runs:
        if first <= following <= last:
            following = last + 1
    return following >= after


def _identity(fact: Fact) -> tuple[str, str]:
    return fact.event.source, fact.event.event_id


def _known(facts: Collection[Fact], known_at: Instant | None) -> tuple[Fact, ...]:
    return tuple(fact for fact in facts if known_at is None or fact.recorded_at <= known_at)


def _prefixes(trust: TrustTable | None) -> tuple[str, ...]:
    if trust is None:
        return ()
    return tuple(sorted({prefix for grant in trust.sources.values() for prefix in grant.prefixes if prefix}))
