"""Cache the parts of the world that questions have loaded (ADR 0025).

A part is dropped as soon as a fact arrives that could change it. The store is checked for new facts before each
answer, so a cached part is never older than the question.
"""

import threading
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Final, NamedTuple, TypeGuard

from ingest.log.port import Log
from lineage.core.authority.elements import FactIndex
from lineage.core.model.errors import WouldBlockError
from lineage.core.model.events import (
    TIME_FIELDS,
    ActionPerformed,
    DecisionMade,
    DelegationGranted,
    Event,
    Fact,
    TokenIssued,
)
from lineage.core.model.references import RefRole, about, listed, mentions
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.serve.cache.loader import Answer, LoadedWorld, Positions, WorldLoader, WorldPart, as_of
from lineage.serve.cache.revocation_cache import RevocationCache
from lineage.serve.documents.core_documents import Document
from lineage.store.follower import Follower, StoreState
from lineage.store.store import Store

KEPT: Final = 50_000  # The most keys of all parts together: about 50 MB, and 0.3 s of garbage collection.
_LARGEST_SHARE: Final = 0.5  # of KEPT, for one part: a chain of 10,000 tokens has 20,000 keys
_CAME: Final = 500  # records at once; beyond this, starting empty is faster
_WATCHED: Final = frozenset({RefRole.USES, RefRole.ACTS, RefRole.ASKS, RefRole.DEPENDS, RefRole.NAMES})
_AT_ONCE: Final = 200  # keys of a part that is evaluated within a millisecond


class CachedWorld:
    """A part of the world, which does not change, with the last answer to each question about it.

    Attributes:
        keys: Everything that its facts are about or mention, including the thing asked about.
    """

    def __init__(self, key: str, loaded: WorldPart) -> None:
        """Create the part for a key from what was loaded."""
        loaded.world.settle()
        self._loaded = loaded
        self.is_whole = loaded.is_whole
        self.judged: dict[str, tuple[Fact, ...]] = {}  # people's judgements of findings, as far as loaded
        uses = (_use(one) for one in loaded.watched)
        self.keys = frozenset(chain([key], uses, *(_mentioned(fact.event) for fact in loaded.world.facts())))
        self._moments = sorted({moment for fact in loaded.world.facts() for moment in _moments(fact)})
        self._answers: dict[str, tuple[tuple[int, int], Document]] = {}

    def answer(self, question: str, at: Instant, answer: Answer) -> Document:
        """Answer a question; between two neighbouring times in its facts the answer is the same (clause 2.1)."""
        between = bisect_left(self._moments, at), bisect_right(self._moments, at)
        known = self._answers.get(question)
        if known is None or known[0] != between:
            known = self._answers[question] = between, answer(self._loaded)
        return known[1]

    def judgements_at_hand(self, findings: Collection[str]) -> FactIndex:
        """Return the cached judgements of findings.

        Raises:
            WouldBlockError: They have not been loaded yet.
        """
        judged, index = self.judged, FactIndex()
        for finding in findings:
            if finding not in judged:
                raise WouldBlockError(f"the judgements of {finding} have to be loaded")
            for fact in judged[finding]:
                index.add(finding, fact)
        return index


class _Progress(NamedTuple):
    """What ``as_of`` says of a state, and when it began to ask the log."""

    place: StoreState
    document: Document
    asked_at: float


class QuestionCache:
    """Caches what was loaded. Thread-safe.

    Attributes:
        ends: The cache of what revocations end.
    """

    def __init__(
        self,
        store: Store,
        log: Log | None,
        trust: Trusted | None,
        *,
        log_inside: bool,
        behind_seconds: float = 0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create an empty cache.

        Args:
            store: The store.
            log: Its log.
            trust: The trust table in force.
            log_inside: Whether the log is in the store's own file, so that nothing is appended unnoticed.
            behind_seconds: How old the count of records that are not projected yet may be otherwise.
            monotonic: A monotonic clock, for that age.
        """
        self._store = store
        self._log = log
        self._log_inside = log_inside
        self._loading = WorldLoader(store, log, trust)
        self._follower = Follower(store, load=self._begin, apply=self._drop_touched, trust=trust, most=_CAME)
        self.ends = RevocationCache(store, trust)
        self._behind_seconds = behind_seconds
        self._monotonic = monotonic
        self._progress: _Progress | None = None
        self._counting = threading.Lock()
        # All of these are protected by the follower's lock.
        self._parts: OrderedDict[str, CachedWorld] = OrderedDict()
        self._holding: defaultdict[str, set[str]] = defaultdict(set)  # key -> the parts that contain it
        self._size = 0

    def of(self, key: str, known_at: Instant | None) -> LoadedWorld | None:
        """Return the cached part; on a miss load it from the store and cache it."""
        if known_at is not None:
            return self._loading.of(key, known_at)
        with self._follower.caught_up() as place:
            part = self._part(key)
        progress = self._as_of(place)
        if part is None:
            loaded = self._loading.load(key, None)
            if loaded is None:
                return None
            part = CachedWorld(key, loaded)
            self._keep(key, part, place)
        return LoadedWorld(
            part.answer, progress, part.is_whole, lambda findings: self._judgements(key, part, findings, place)
        )

    def _judgements(self, key: str, part: CachedWorld, findings: Collection[str], place: StoreState) -> FactIndex:
        """Return people's judgements of findings of a part, and cache them with it."""
        with suppress(WouldBlockError):
            return part.judgements_at_hand(findings)
        found = self._loading.judgements(findings, None)
        with self._follower.held() as now:
            if now is not None and now[:3] == place[:3] and self._parts.get(key) is part:
                part.judged |= {finding: found.get(finding) for finding in findings}
                added = {f"finding:{finding}" for finding in findings} - part.keys
                part.keys |= added
                self._size += len(added)
                for one in added:
                    self._holding[one].add(key)
        return found

    def non_blocking(self, version: object = None) -> "NonBlocking":
        """A view of the cache for callers that may not block.

        Args:
            version: The version of the store that the view answers for; None to determine it for each answer, if that
                is possible without blocking.
        """
        return NonBlocking(partial(self._of_non_blocking, version))

    def _of_non_blocking(self, version: object, key: str) -> LoadedWorld:
        with self._follower.non_blocking(version) as place:
            part = self._part(key)
        progress = self._progress
        if part is None or len(part.keys) > _AT_ONCE or not self._is_current(progress, place):
            raise WouldBlockError(f"what {key} depends on has to be loaded")
        return LoadedWorld(part.answer, progress.document, part.is_whole, part.judgements_at_hand)

    def _as_of(self, place: StoreState) -> Document:
        if self._is_current(progress := self._progress, place):
            return progress.document
        with self._counting:  # one caller asks the log, and those who waited use the answer
            if self._is_current(progress := self._progress, place):
                return progress.document
            asked_at = self._monotonic()
            document = as_of(self._store, self._log, place.positions, place.recorded_at)
            self._progress = _Progress(place, document, asked_at)
            return document

    def _is_current(self, progress: "_Progress | None", place: StoreState) -> TypeGuard["_Progress"]:
        """Whether the progress is that of a state, and the end of the log was read recently enough."""
        if progress is None or progress.place is not place:
            return False
        return self._log_inside or self._monotonic() - progress.asked_at < self._behind_seconds

    def _part(self, key: str) -> CachedWorld | None:
        part = self._parts.get(key)
        if part is not None:
            self._parts.move_to_end(key)
        return part

    def _keep(self, key: str, part: CachedWorld, place: StoreState) -> None:
        """Cache what was loaded at or after a place, unless newer facts arrived: the part may lack them."""
        with self._follower.held() as now:
            if now is None or now[:3] != place[:3] or key in self._parts or len(part.keys) > KEPT * _LARGEST_SHARE:
                return
            self._parts[key] = part
            self._size += len(part.keys)
            for one in part.keys:
                self._holding[one].add(key)
            while self._size > KEPT:
                self._drop(next(iter(self._parts)))

    def _drop(self, key: str) -> None:
        part = self._parts.pop(key)
        self._size -= len(part.keys)
        for one in part.keys:
            parts = self._holding[one]
            parts.discard(key)
            if not parts:
                del self._holding[one]

    def _begin(self, _still: Store) -> None:
        self._parts.clear()
        self._holding.clear()
        self._size = 0

    def _drop_touched(self, snapshot: Store, positions: Positions) -> None:
        if not self._parts:
            return
        for fact in snapshot.facts_after(positions):
            for one in _touched(fact.event):
                for key in list(self._holding.get(one, ())):
                    self._drop(key)


class NonBlocking:
    """A view of what is cached and current, which never blocks."""

    def __init__(self, find: Callable[[str], LoadedWorld]) -> None:
        """Keep the function that looks up the cache."""
        self._find = find

    def of(self, key: str, known_at: Instant | None) -> LoadedWorld:
        """Return the cached part.

        Raises:
            WouldBlockError: It is not cached, or may be outdated.
        """
        if known_at is not None:
            raise WouldBlockError("what was known earlier is not kept")
        return self._find(key)


def _mentioned(event: Event) -> Iterator[str]:
    yield about(event)
    for _, kind, id_ in mentions(event):
        yield f"{kind}:{id_}"


def _touched(event: Event) -> Iterable[str]:
    """Yield the keys by which an event may change a part that contains them.

    A grant, a decision or an action affects the parts that contain it, those that watch what it uses, depends on or
    names, and the other tokens at its status list entry. Any other event affects everything that it mentions.
    """
    if not isinstance(event.body, TokenIssued | DelegationGranted | ActionPerformed | DecisionMade):
        return set(_mentioned(event))
    touched = [about(event), *(_use(f"{kind}:{id_}") for role, kind, id_ in mentions(event) if role in _WATCHED)]
    if isinstance(event.body, TokenIssued) and event.body.status_list is not None:
        touched.append("{}:{}".format(*listed(event.body.status_list)))
    return touched


def _use(key: str) -> str:
    """Return the watch key for actions under or by a thing, or derivations from it."""
    return f"use of {key}"


def _moments(fact: Fact) -> Iterator[Instant]:
    """Yield every time in a fact."""
    yield fact.recorded_at
    for record in (fact.event, fact.event.body):
        for field in TIME_FIELDS.intersection(record._fields):
            moment = getattr(record, field)
            if moment is not None:
                yield moment
