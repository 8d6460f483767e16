"""The index of findings, written after every batch from findings that are kept up to date in memory."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from lineage.core.findings.keeping.live import LiveFindings
from lineage.core.findings.options import Options
from lineage.core.findings.scene.scene import IngestionFacts
from lineage.core.model.errors import FencedError, UnavailableError
from lineage.core.model.events import Fact
from lineage.core.model.times import SECOND, Instant
from lineage.core.model.trust import TrustTable
from lineage.plumbing.gc_pause import gc_freeze, gc_paused
from lineage.plumbing.scratch_file import ScratchFile
from lineage.serve.commands.kept_form import differences, kept, resolved
from lineage.serve.queries.findings.finding_facts import Noticed
from lineage.store import kept_findings
from lineage.store.kept_findings import REFRESHED, RESOLVED, Current, IndexState, Positions, StoredFinding
from lineage.store.store import Store

logger = logging.getLogger(__name__)

AT_ONCE: Final = 2_000  # records in one batch, which takes a quarter of a second; then their findings are written
READ: Final = 20_000  # records read at a time if all are read
TOGETHER: Final = 2_000  # versions in one transaction, which takes a quarter of a second
_ATTEMPTS: Final = 20  # while other processes also write
_STILL: Final = 30_000_000  # microseconds after which the index records its progress again
_REFRESH: Final = 2_000_000  # microseconds within which further evidence for a finding is written only once
_FREEZE: Final = 500  # facts after which, at the end of a batch, they are hidden from the garbage collector


class _Sight(NamedTuple):
    """The parts of a finding that people see first; a change of these is written immediately."""

    severity: int
    status: str
    first_seen: str
    last_seen: str


class LiveIndex:
    """Keeps the index of one store equal to an evaluation, batch by batch.

    Attributes:
        is_behind: Whether there was more than one batch takes.
        took: How long loading took, in seconds.
    """

    def __init__(
        self,
        options: Options,
        trust: TrustTable | None,
        basis: str,
        monotonic: Callable[[], float],
        scratch: Path | None = None,
    ) -> None:
        """Start without facts; ``load`` reads them.

        Args:
            options: The settings.
            trust: Decides which facts count.
            basis: What the index depends on besides the facts.
            monotonic: Measures how long rules take.
            scratch: The folder for what has ended; None for the system's.
        """
        self._options = options
        self._basis = basis
        self._scratch = ScratchFile(scratch)
        self._live = LiveFindings(options, trust=trust, monotonic=monotonic, shelf=self._scratch)
        self._trust = trust
        self._edition = b""
        self._positions: Positions = {}
        self._recorded_at: Instant | None = None
        self._noticed: Noticed | None = None
        self._mark: object = None  # of the store when there was last nothing new
        self._turn = -1  # the version of the index that ``_current`` describes
        self._current: dict[str, Current] = {}
        self._numbers: Counter[tuple[str, int, str]] = Counter()  # by kind, severity and status
        self._sights: dict[str, _Sight] = {}
        self._unwritten: set[str] = set()
        self._late: set[str] = set()  # findings with further evidence that is not written yet
        self._written_at: Instant = 0
        self._refreshed_at: Instant = 0
        self._unfrozen = 0
        self.is_behind = False
        self.took = 0.0

    @property
    def total_seconds(self) -> dict[str, float]:
        """Return how long each rule took, estimated from a sample."""
        return self._live.seconds

    def load(self, store: Store, now: Instant) -> None:
        """Read every fact, and evaluate every rule. Cost: all facts.

        They are read in the order of their partitions, a part of each at a time, so that what has ended since need not
        be in memory together.
        """
        with gc_paused(), store.snapshot(frugal=True) as still:
            self._edition, self._positions = still.version()
            _, self._recorded_at = still.progress()
            self._noticed = Noticed(still, self._trust)
            read: Positions = {}
            while read != self._positions:
                upto = shared_out(read, self._positions, READ)
                self._apply(list(self._noticed.first(still.stored_after(read, upto), now)), now, None)
                read = upto
            self._apply([], now, self._noticed.intake(still))
        gc_freeze(collect_first=True)

    def is_of(self, edition: bytes, basis: str) -> bool:
        """Whether it follows this edition of the store, on this basis."""
        return self._edition == edition and self._basis == basis and self._noticed is not None

    def follow(
        self, store: Store, now: Instant, notify: Callable[[list[tuple[str, StoredFinding]], Instant], None]
    ) -> int:
        """Apply new facts and the passage of time, and write what changes; return the number of versions written.

        Raises:
            FencedError: Other processes were faster every time, or the facts were projected again.
            UnavailableError: The store is unavailable; try again.
        """
        mark = store.change_token()
        is_due = self._is_due(now)
        if mark == self._mark and not is_due:
            return 0
        written = 0
        with gc_paused():  # nearly all objects created for a batch stay
            # On SQLite the mark also changes with what is written here, which must not be written again.
            if self._advance(store, now) or is_due:
                written = self._write(store, notify)
            if self._unfrozen >= _FREEZE:
                self._unfrozen = 0
                gc_freeze()
        if not self.is_behind:
            self._mark = mark
        return written

    def is_still(self, store: Store, now: Instant) -> bool:
        """Whether ``follow`` has nothing to apply or write. Cost: one check of the store for changes."""
        return not self._is_due(now) and store.change_token() == self._mark

    def _is_due(self, now: Instant) -> bool:
        waiting = bool(self._unwritten) or (bool(self._late) and now - self._refreshed_at >= _REFRESH)
        return waiting or now >= min(self._live.due_at, self._written_at + _STILL)

    def _advance(self, store: Store, now: Instant) -> bool:
        """Apply new facts and the passage of time; return whether there is anything to write."""
        with store.snapshot() as still:
            edition, positions = still.version()
            if edition != self._edition or self._noticed is None:
                raise FencedError("the facts were projected again; they are read again first")
            capped = shared_out(self._positions, positions, AT_ONCE)
            self.is_behind = capped != positions
            stored = list(still.stored_after(self._positions, capped))
            intake = self._noticed.more(still, stored, now)
            facts = [one.fact for one in stored]
            if not self.is_behind:
                _, self._recorded_at = still.progress()
            elif facts:
                self._recorded_at = max(self._recorded_at or 0, *(fact.recorded_at for fact in facts))
        self._unwritten |= self._apply(facts, now, intake)
        moved = capped != self._positions
        self._positions = capped
        self._unfrozen += len(facts)
        return moved or intake is not None or bool(self._unwritten)

    def _apply(self, facts: list[Fact], now: Instant, intake: IngestionFacts | None) -> set[str]:
        try:
            return self._live.advance(facts, now, intake)
        except OSError as fault:
            self._noticed = None  # so everything is read again
            raise UnavailableError(
                f"what left the memory cannot be read again ({fault}); all facts are read"
            ) from fault

    def close(self) -> None:
        """Delete the file of what was moved out of memory."""
        self._scratch.close()

    # Writing

    def _write(self, store: Store, notify: Callable[[list[tuple[str, StoredFinding]], Instant], None]) -> int:
        written = 0
        for _ in range(_ATTEMPTS):
            before = kept_findings.state_of(store)
            if before.turn != self._turn:
                if self._is_ahead(before):
                    return written
                self._read(store, before)
            try:
                refreshing = self._live.at - self._refreshed_at >= _REFRESH
                changes = [*self._changes(store, refresh_all=refreshing)]
                while len(changes) > TOGETHER:
                    part, changes = changes[:TOGETHER], changes[TOGETHER:]
                    before = self._written(store, before, before, part, notify)
                    written += len(part)
                self._written(store, before, self._state(before, refreshed=refreshing), changes, notify)
            except FencedError as fault:
                logger.debug("%s", fault)
                continue
            self._unwritten.clear()
            if refreshing:
                self._late.clear()
                self._refreshed_at = self._live.at
            return written + len(changes)
        raise FencedError(f"other processes that keep the findings were faster {_ATTEMPTS} times in a row")

    def _is_ahead(self, state: IndexState) -> bool:
        """Whether another process has written all that is known here, and more."""
        same = state.swept is not None and state.edition == self._edition and state.basis == self._basis
        reached = all((state.swept or {}).get(place, 0) >= end for place, end in self._positions.items())
        return same and reached and state.swept_at >= self._live.at

    def _read(self, store: Store, before: IndexState) -> None:
        """Read the contents of the index, and compare all of it again."""
        self._turn = before.turn
        self._current = {id_: one for id_, one in kept_findings.current(store).items() if one.change != RESOLVED}
        self._numbers = Counter(kept_findings.counts(store))
        self._sights.clear()
        self._unwritten = {*self._live.findings, *self._current}

    def _changes(self, store: Store, *, refresh_all: bool) -> Iterator[tuple[str, StoredFinding]]:
        asked = self._unwritten | (self._late if refresh_all else set())
        live = self._live
        found = {
            id_: kept(live.findings[id_], self._options, live.status[id_]) for id_ in asked if id_ in live.findings
        }
        for change, one in differences(self._current, found):
            if change == REFRESHED and not refresh_all and _sight(one) == self._sights.get(one.id):
                self._late.add(one.id)
            else:
                yield change, one
        over = [id_ for id_ in asked if id_ not in live.findings and id_ in self._current]
        yield from ((RESOLVED, resolved(one)) for one in kept_findings.kept_of(store, over).values())
        self._late &= live.findings.keys()

    def _state(self, before: IndexState, *, refreshed: bool) -> IndexState:
        return IndexState(
            turn=before.turn,
            seq=before.seq,
            edition=self._edition,
            looked=self._positions,
            swept=self._positions,
            swept_at=self._live.at,
            recorded_at=self._recorded_at,
            took=int(self.took * SECOND),
            basis=self._basis,
            not_evaluated=self._live.not_evaluated,
            lagging=0 if refreshed else len(self._late),
        )

    def _counted(self, changes: list[tuple[str, StoredFinding]]) -> Counter[tuple[str, int, str]]:
        """Return the counts of findings after some changes."""
        numbers = self._numbers.copy()
        for change, one in changes:
            if (known := self._current.get(one.id)) is not None:
                numbers[one.kind, known.severity, known.status] -= 1
            if change != RESOLVED:
                numbers[one.kind, one.severity, one.status] += 1
        return +numbers

    def _written(
        self,
        store: Store,
        before: IndexState,
        after: IndexState,
        changes: list[tuple[str, StoredFinding]],
        notify: Callable[[list[tuple[str, StoredFinding]], Instant], None],
    ) -> IndexState:
        now = self._live.at
        numbers = self._counted(changes)
        state = kept_findings.write(store, before, replace(after, numbers=numbers), changes, now)
        self._turn, self._numbers = state.turn, numbers
        for number, (change, one) in enumerate(changes, start=before.seq + 1):
            if change == RESOLVED:
                self._current.pop(one.id, None)
                self._sights.pop(one.id, None)
            else:
                self._current[one.id] = Current(number, change, one.severity, one.status, one.digest)
                self._sights[one.id] = _sight(one)
        self._written_at = now
        notify(changes, now)
        return state


def _sight(one: StoredFinding) -> _Sight:
    return _Sight(one.severity, one.status, str(one.document["first_seen"]), str(one.document["last_seen"]))


def shared_out(known: Positions, positions: Positions, most: int) -> dict[tuple[str, int], int]:
    """Return positions some ``most`` records further on, of which each partition has a share in what it is behind.

    So no partition waits until another has been read to its end: not the orders for the decisions, nor the latest
    facts of one partition for those of the others. A share is rounded up, so there may be one record more for each.
    """
    behind = {place: end - known.get(place, 0) for place, end in positions.items()}
    total = sum(behind.values())
    if total <= most:
        return {**known, **positions}
    shares = {place: -(-count * most // total) for place, count in behind.items()}
    return {**known, **{place: known.get(place, 0) + share for place, share in shares.items()}}
