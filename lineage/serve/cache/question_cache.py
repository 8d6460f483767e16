"""Cache answers to questions about one thing, and the small parts of the world that they were found in (ADR 0071).

An answer is kept with the hashes of everything that it depends on, and dropped if a fact affects one of them. The store
is checked for new facts before each answer, so a cached answer is never older than the question.
"""

import json
import math
import threading
import time
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
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
from lineage.plumbing.gc_pause import gc_paused
from lineage.serve.cache.loader import Answered, Positions, Question, WorldLoader, WorldPart, as_of
from lineage.serve.cache.revocation_cache import RevocationCache
from lineage.serve.documents.core_documents import Document
from lineage.store.follower import Follower, StoreState
from lineage.store.store import Store

KEPT: Final = 50_000  # The most that is kept, in units of about a KB: about 50 MB, and 0.3 s of garbage collection.
_LARGEST_SHARE: Final = 0.5  # of KEPT, for one thing: the answer about a chain of 10,000 tokens takes a third
SMALL: Final = 200  # the most keys of a part that is always kept: it is evaluated within a millisecond
LARGE: Final = 2_000  # a part of more keys, such as a chain of a thousand tokens, is kept as long as there is room
_HASHES: Final = 128  # in a unit
_OBJECTS: Final = 200  # bytes of JSON whose objects take a unit
_CAME: Final = 500  # records at once; beyond this, starting empty is faster
CHANGES: Final = 50_000  # the most changed keys that are remembered, about 5 MB, before all answers are compared
_WATCHED: Final = frozenset({RefRole.USES, RefRole.ACTS, RefRole.ASKS, RefRole.DEPENDS, RefRole.NAMES})


class _Answer(NamedTuple):
    """An answer, and the neighbouring times in facts between which it is the same (clause 2.1).

    Attributes:
        since, until: It is the answer for every instant between these, which are excluded; if they are the same, for
            that one.
        document: The answer.
        is_whole: Whether the entire basis of findings was examined.
        size: The length of the document as JSON; 0 beside a small part, where answers are not counted.
    """

    since: float
    until: float
    document: Document
    is_whole: bool
    size: int

    def holds_at(self, at: Instant) -> bool:
        """Whether it is the answer for an instant."""
        return self.since < at < self.until or self.since == at == self.until


class KeptThing:
    """The last answer to each question about a thing, and what these depend on.

    Attributes:
        answers: By the name of the question.
        judged: People's judgements of findings, as far as they were loaded.
        keys: The hashes of everything that is mentioned by the facts that were loaded, including the thing itself.
        seen: The number of changes that had occurred when the keys were last known not to be affected.
        size: What it took when it was last measured, in units of about a KB.
        part_size: The share of its part in that, if the part is large; it may be released. What the part has kept for
            answers is included, since most of it is shared with them or with the part.
    """

    def __init__(self, key: str, loaded: WorldPart, seen: int) -> None:
        """Start without answers.

        Args:
            key: The thing.
            loaded: The part of the world that contains it.
            seen: The number of changes that had occurred before it was loaded.
        """
        uses = (_use(one) for one in loaded.watched)
        keys = set(chain([key], uses, loaded.left_out, *(_mentioned(fact.event) for fact in loaded.world.facts())))
        self.keys = array("q", set(map(hash, keys)))
        self.seen = seen
        self.size = 0
        self.part_size = 0
        self.judged: dict[str, tuple[Fact, ...]] = {}
        self.answers: dict[str, _Answer] = {}
        self._moments = sorted({moment for fact in loaded.world.facts() for moment in _moments(fact)})
        self._part: WorldPart | None = loaded
        self._is_small = len(keys) <= SMALL
        if self._is_small or len(keys) > LARGE:
            loaded.world.settle()

    def at_hand(self, question: Question) -> _Answer | None:
        """Answer a question within a millisecond; None if that is impossible."""
        if self._is_small:
            return self.answer(question)
        known = self.answers.get(question.name)
        return known if known is not None and known.holds_at(question.at) else None

    def answer(self, question: Question) -> _Answer | None:
        """Answer a question; None if neither the answer nor the part of the world is kept."""
        known = self.answers.get(question.name)
        if known is not None and known.holds_at(question.at):
            return known
        moments, part = self._moments, self._part  # in this order, since another thread may release them
        if part is None:
            return None
        since, until = _around(moments, question.at)
        document = question.answer(part)
        size = 0 if self._is_small else _size(document)
        known = self.answers[question.name] = _Answer(since, until, document, part.is_whole, size)
        return known

    def settle(self, other: "KeptThing | None") -> None:
        """Drop the part of the world if it is of a middle size, and adopt the answers of another, valid as well."""
        if not self._is_small and len(self.keys) <= LARGE:
            self.release()
        if other is not None:
            self.keys = array("q", {*self.keys, *other.keys})
            self.answers = {**other.answers, **self.answers}
            self.judged = {**other.judged, **self.judged}
        self.measure()

    def release(self) -> None:
        """Drop the part of the world, and keep the answers."""
        self._part = None  # first, see ``answer``
        self._moments = []
        self.size -= self.part_size
        self.part_size = 0

    def measure(self) -> None:
        """Determine what it takes; of a small part that is kept, the answers are small beside it."""
        if self._part is not None and self._is_small:
            self.size = len(self.keys)
        else:
            documents = sum(answer.size for answer in list(self.answers.values()))  # other threads add some
            self.part_size = 0 if self._part is None else len(self.keys)
            self.size = 1 + len(self.keys) // _HASHES + documents // _OBJECTS + self.part_size

    def keep_judgements(self, judged: Mapping[str, tuple[Fact, ...]]) -> None:
        """Keep people's judgements of findings."""
        self.judged = {**self.judged, **judged}
        self.keys = array("q", {*self.keys, *map(_judgement, judged)})

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
        self._follower = Follower(store, load=self._begin, apply=self._note_changes, trust=trust, most=_CAME)
        self.ends = RevocationCache(store, trust)
        self._behind_seconds = behind_seconds
        self._monotonic = monotonic
        self._progress: _Progress | None = None
        self._counting = threading.Lock()
        # All of these are protected by the follower's lock.
        self._kept: OrderedDict[str, KeptThing] = OrderedDict()
        self._large: dict[str, None] = {}  # the things whose large parts are kept, the first loaded first
        self._size = 0
        self._changes = 0  # how many keys facts have affected so far
        self._changed: dict[int, int] = {}  # the hash of each key that was affected -> which change was the last
        self._complete_since = 0  # all changes after this one are in ``_changed``

    def ask(self, question: Question, known_at: Instant | None) -> Answered | None:
        """Answer from the cache; on a miss answer from the store, and cache the answer."""
        if known_at is not None:
            return self._loading.ask(question, known_at)
        with self._follower.caught_up() as place:
            kept = self._valid(question.key)
            seen = self._changes
        progress = self._as_of(place)
        known = None if kept is None else kept.answers.get(question.name)
        answer = None if kept is None else kept.answer(question)
        if kept is not None and answer is not None and answer is not known:  # it was found in the part
            with self._follower.held():
                self._measure(question.key, kept)
        if kept is None or answer is None:
            with gc_paused():  # most of it is dropped again, so it is not worth scanning
                found = self._load(question, seen)
            if found is None:
                return None
            kept, answer = found
        return Answered(
            answer.document,
            progress,
            answer.is_whole,
            lambda findings: self._judgements(question.key, kept, findings, seen),
        )

    def _load(self, question: Question, seen: int) -> tuple[KeptThing, _Answer] | None:
        """Answer a question from the store, and cache the answer; None if no fact mentions the thing."""
        loaded = self._loading.load(question.key, None)
        if loaded is None:
            return None
        kept = KeptThing(question.key, loaded, seen)
        answer = kept.answer(question)
        assert answer is not None  # noqa: S101 (it has a part)
        self._keep(question.key, kept)
        return kept, answer

    def _judgements(self, key: str, kept: KeptThing, findings: Collection[str], seen: int) -> FactIndex:
        """Return people's judgements of findings, and cache them unless they have changed since a number of changes."""
        with suppress(WouldBlockError):
            return kept.judgements_at_hand(findings)
        found = self._loading.judgements(findings, None)
        with self._follower.held():
            if self._kept.get(key) is kept and self._are_unchanged(map(_judgement, findings), seen):
                kept.keep_judgements({finding: found.get(finding) for finding in findings})
                self._measure(key, kept)
        return found

    def non_blocking(self, version: object = None) -> "NonBlocking":
        """A view of the cache for callers that may not block.

        Args:
            version: The version of the store that the view answers for; None to determine it for each answer, if that
                is possible without blocking.
        """
        return NonBlocking(partial(self._ask_non_blocking, version))

    def _ask_non_blocking(self, version: object, question: Question) -> Answered:
        with self._follower.non_blocking(version) as place:
            kept = self._valid(question.key)
        progress = self._progress
        answer = None if kept is None else kept.at_hand(question)
        if kept is None or answer is None or not self._is_current(progress, place):
            raise WouldBlockError(f"what {question.key} depends on has to be loaded")
        if self._is_due(progress) and not self._counting.locked():
            raise WouldBlockError("the end of the log is read again")  # by this caller, before all others have to wait
        return Answered(answer.document, progress.document, answer.is_whole, kept.judgements_at_hand)

    def _as_of(self, place: StoreState) -> Document:
        # One caller asks the log. The others use the last answer as long as it is recent enough, or wait for the next.
        if self._is_current(progress := self._progress, place):
            if not self._is_due(progress) or not self._counting.acquire(blocking=False):
                return progress.document
        else:
            self._counting.acquire()
        try:
            if self._is_current(progress := self._progress, place) and not self._is_due(progress):
                return progress.document
            asked_at = self._monotonic()
            document = as_of(self._store, self._log, place.positions, place.recorded_at)
            self._progress = _Progress(place, document, asked_at)
            return document
        finally:
            self._counting.release()

    def _is_current(self, progress: "_Progress | None", place: StoreState) -> TypeGuard["_Progress"]:
        """Whether the progress is that of a state, and the end of the log was read recently enough."""
        if progress is None or progress.place is not place:
            return False
        return self._log_inside or self._monotonic() - progress.asked_at < self._behind_seconds

    def _is_due(self, progress: "_Progress") -> bool:
        """Whether the end of the log is read again although it was read recently, so that nobody has to wait for it."""
        return not self._log_inside and self._monotonic() - progress.asked_at > self._behind_seconds / 2

    def _valid(self, key: str) -> KeptThing | None:
        """Return what is kept about a thing, unless facts have affected it."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not self._is_unaffected(kept):
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    def _is_unaffected(self, kept: KeptThing) -> bool:
        """Whether no fact has affected what is kept about a thing since that was last known."""
        if not self._are_unchanged(kept.keys, kept.seen):
            return False
        kept.seen = self._changes
        return True

    def _are_unchanged(self, keys: Iterable[int], seen: int) -> bool:
        """Whether no fact has affected any of some keys after a number of changes."""
        if seen == self._changes:
            return True
        if seen < self._complete_since:
            return False
        changed = self._changed
        return all(changed.get(one, 0) <= seen for one in keys)

    def _keep(self, key: str, kept: KeptThing) -> None:
        """Cache what was loaded and answered, unless newer facts affect it: it may lack them."""
        with self._follower.held():
            if not self._is_unaffected(kept):
                return
            kept.settle(self._valid(key))
            if key in self._kept:
                self._drop(key)
            self._kept[key] = kept
            self._size += kept.size
            if kept.part_size:
                self._large[key] = None
            self._limit(key, kept)

    def _measure(self, key: str, kept: KeptThing) -> None:
        """Determine again what is taken by a thing, if it is still kept."""
        if self._kept.get(key) is kept:
            before = kept.size
            kept.measure()
            self._size += kept.size - before
            self._limit(key, kept)

    def _limit(self, key: str, kept: KeptThing) -> None:
        """Drop a thing whose answers take too much alone, and make room for what it takes otherwise."""
        if kept.size - kept.part_size > KEPT * _LARGEST_SHARE:
            self._drop(key)
        self._shrink()

    def _shrink(self) -> None:
        """Release large parts, and then drop the things that were asked about least recently, until there is room."""
        while self._size > KEPT:
            if self._large:
                kept = self._kept[next(iter(self._large))]
                self._size -= kept.part_size
                kept.release()
                del self._large[next(iter(self._large))]
            else:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._large.pop(key, None)
        self._size -= self._kept.pop(key).size

    def _begin(self, _still: Store) -> None:
        self._kept.clear()
        self._large.clear()
        self._size = 0
        self._changes += 1  # what is being loaded now is not kept
        self._forget_changes()

    def _forget_changes(self) -> None:
        self._changed.clear()
        self._complete_since = self._changes

    def _note_changes(self, snapshot: Store, positions: Positions) -> None:
        for fact in snapshot.facts_after(positions):
            self._changes += 1
            self._changed.update(dict.fromkeys(map(hash, _touched(fact.event)), self._changes))
        if len(self._changed) > CHANGES:
            for key, kept in list(self._kept.items()):
                if not self._is_unaffected(kept):
                    self._drop(key)
            self._forget_changes()


class NonBlocking:
    """A view of what is cached and current, which never blocks."""

    def __init__(self, find: Callable[[Question], Answered]) -> None:
        """Keep the function that looks up the cache."""
        self._find = find

    def ask(self, question: Question, known_at: Instant | None) -> Answered:
        """Answer from the cache.

        Raises:
            WouldBlockError: It is not cached, or may be outdated.
        """
        if known_at is not None:
            raise WouldBlockError("what was known earlier is not kept")
        return self._find(question)


def _around(moments: Sequence[Instant], at: Instant) -> tuple[float, float]:
    """Return the nearest of some times, in order, before and after an instant; the instant itself if it is one."""
    place = bisect_left(moments, at)
    if place < len(moments) and moments[place] == at:
        return at, at
    return moments[place - 1] if place else -math.inf, moments[place] if place < len(moments) else math.inf


def _size(document: Document) -> int:
    """Return the length of a document as JSON, without findings as values."""
    return len(json.dumps(document, default=lambda _: None))


def _judgement(finding: str) -> int:
    return hash(f"finding:{finding}")


def _mentioned(event: Event) -> Iterator[str]:
    yield about(event)
    for _, kind, id_ in mentions(event):
        yield f"{kind}:{id_}"


def _touched(event: Event) -> Iterable[str]:
    """Yield the keys by which an event may change answers that depend on them.

    A grant, a decision or an action affects the answers that depend on it, those that watch what it uses, depends on
    or names, and those about other tokens at its status list entry. Any other event affects everything that it
    mentions.
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
