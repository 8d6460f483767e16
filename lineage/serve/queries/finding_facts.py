"""The input of all rules: every relevant fact, and what ingestion noticed."""

from collections.abc import Collection
from typing import Final, NamedTuple

from lineage.core.authority.sequence_gaps import Runs
from lineage.core.authority.world import World
from lineage.core.findings.scene import Intake, SentCredentials
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable, authorised
from lineage.store.store import Store

_READ: Final = 5_000  # facts read at once


class Gathered(NamedTuple):
    """Everything that is known.

    Attributes:
        world: The relevant facts.
        facts: The same, as a list.
        intake: What ingestion noticed.
    """

    world: World
    facts: list[Fact]
    intake: Intake


def gathered(store: Store, trust: TrustTable | None, known_at: Instant | None = None) -> Gathered:
    """Read every fact recorded by a moment (None for all).

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
            said = stored.fact
            if said.event.sequence is not None:
                sequences.setdefault(said.event.source, Runs()).add(said.event.sequence, stored.number)
                sequenced[stored.number] = said
            if known_at is not None and said.recorded_at > known_at:
                continue
            numbered |= said.event.sequence is not None
            if authorised(said, trust):
                counting.append(said)
                world.add(said)
            else:
                noticed.append(said)
    conflicts = [_known(group, known_at) for group in store.conflicts()]
    pairs = [pair for _, runs in sorted(sequences.items()) for pair in runs.holes()]
    holes = [(sequenced[before], sequenced[following]) for before, following in pairs]
    intake = Intake(
        unauthorised=tuple(noticed),
        conflicts=tuple(group for group in conflicts if len(group) > 1),
        holes=tuple(pair for pair in holes if _known(pair, known_at) == pair),
        known_prefixes=_prefixes(trust),
        numbered=numbered,
        credentials=tuple(SentCredentials(*row) for row in store.credentials_sent(until=known_at)),
    )
    return Gathered(world, counting, intake)


def _known(facts: Collection[Fact], known_at: Instant | None) -> tuple[Fact, ...]:
    return tuple(fact for fact in facts if known_at is None or fact.recorded_at <= known_at)


def _prefixes(trust: TrustTable | None) -> tuple[str, ...]:
    if trust is None:
        return ()
    return tuple(sorted({prefix for grant in trust.sources.values() for prefix in grant.prefixes if prefix}))
