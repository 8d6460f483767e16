"""The stop-proof of a revocation: what its enforcement points do when asked, not what they have acknowledged.

A closure relies on acknowledgements, a proof on observed denials. A denial counts if the question was asked while the
order was in force and after every known use of the element; all times are by the clock of the prober, so the clocks of
enforcement points do not matter. The elements to be stopped, and the points that cover them, are read before the
questions and again after the answers: a point that joined in between was not asked, and an element that was linked in
between is not proved. A denial by a status list counts once no enforcement point may use an older copy of it. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from lineage.core.model.times import SECOND, Instant
from lineage.core.revocation.closure import ClosureVerdict

SKEW: Final = 300 * SECOND
"""The time for which an ended element still has to be denied, since the clock of an enforcement point may be slow."""
_EVER: Final = -1  # before all instants


class Reply(StrEnum):
    """The reply of an enforcement point about an element."""

    DENIED = "denied"
    ACCEPTED = "accepted"
    UNSUPPORTED = "revocation_unsupported"
    UNAVAILABLE = "revocation_unavailable"


class Observation(NamedTuple):
    """The replies of an enforcement point to one question; times are by the clock of the prober.

    Attributes:
        receiver: The enforcement point.
        replies: The reply about each element, by ``KIND:ID``.
        asked_at: When the question was sent.
        answered_at: When the answer was received.
        lag: For how long the enforcement point may continue to use an older status, in microseconds, if the answer was
            taken from a list, of which it may have a copy.
    """

    receiver: str
    replies: Mapping[str, Reply]
    asked_at: Instant
    answered_at: Instant
    lag: int = 0


class Stopped(NamedTuple):
    """An element that has to be denied.

    Attributes:
        key: ``KIND:ID``.
        receivers: The enforcement points that cover it.
        uncovered: Whether no point covered it when it was ordered dead.
        in_force_at: When enforcement of the order that ends it has to begin.
        ends_at: When it would have expired; NEVER if it has no end.
        used_at: An upper bound for the time of its last successful use; None if there is none.
    """

    key: str
    receivers: tuple[str, ...]
    uncovered: bool
    in_force_at: Instant
    ends_at: Instant
    used_at: Instant | None = None


@dataclass(slots=True)
class PointProof:
    """The result of the replies of an enforcement point.

    Attributes:
        receiver: The enforcement point.
        covers: The number of elements that it has to deny.
        denied: The number that it denied.
        accepted: The number that it accepted, or that were used after it had denied them.
        not_asked: The number that it was not asked about.
        unsupported: For how many it cannot answer.
        unavailable: For how many it did not answer in time, or may act on a copy of an older status.
        last_success: When one of these elements was last known to be accepted by any point.
        first_denial: Since when it was known to deny all of them; None if it does not.
    """

    receiver: str
    covers: int = 0
    denied: int = 0
    accepted: int = 0
    not_asked: int = 0
    unsupported: int = 0
    unavailable: int = 0
    last_success: Instant | None = None
    first_denial: Instant | None = None

    @property
    def verdict(self) -> ClosureVerdict:
        """The verdict for all elements that it covers."""
        if self.accepted:
            return ClosureVerdict.PARTIAL
        return ClosureVerdict.CLOSED if self.denied == self.covers else ClosureVerdict.UNKNOWN


@dataclass(frozen=True, slots=True)
class StopProof:
    """The result of a proof, and the evidence against it.

    Attributes:
        verdict: ``PARTIAL`` if an element is accepted somewhere, else ``UNKNOWN`` if one is not shown to be denied
            everywhere, else ``CLOSED``.
        elements: The number of elements that had to be denied.
        expired: The number of them that had expired long before, so that this was not required.
        points: The proof of each enforcement point, sorted.
        accepted: The accepted elements, each with the enforcement point, sorted.
        uncovered: The elements that no enforcement point covers, sorted.
    """

    verdict: ClosureVerdict
    elements: int
    expired: int
    points: tuple[PointProof, ...]
    accepted: tuple[tuple[str, str], ...]
    uncovered: tuple[str, ...]


class _Replies(NamedTuple):
    """The replies of an enforcement point about an element.

    Attributes:
        accepted_at: When the last acceptance was received; None if there is none.
        denied_at: When the first denial after that was requested; None if there is none.
        denied_since: When it acted on that denial at the latest; None if there is none.
        is_unsupported: Whether it replied that it cannot answer.
    """

    accepted_at: Instant | None
    denied_at: Instant | None
    denied_since: Instant | None
    is_unsupported: bool


def prove(elements: Sequence[Stopped], observations: Iterable[Observation], at: Instant) -> StopProof:
    """Judge the observations.

    Args:
        elements: The elements that have to be denied, as known after the last reply.
        observations: The replies.
        at: When the proof is made.
    """
    replies = _RepliesByPlace(observations)
    points: dict[str, PointProof] = {}
    accepted: list[tuple[str, str]] = []
    uncovered: list[str] = []
    unproved = False
    expired = 0
    for one in elements:
        for receiver in one.receivers:
            _note_success(points.setdefault(receiver, PointProof(receiver)), one.used_at)
        if at >= one.ends_at + SKEW and not _is_used_after_end(one):
            expired += 1
            continue
        if one.uncovered or not one.receivers:
            uncovered.append(one.key)
        for receiver in one.receivers:
            if not _judge(one, points[receiver], replies.of(receiver, one.key), accepted):
                unproved = True
    for point in points.values():
        if point.denied < point.covers:
            point.first_denial = None
    return StopProof(
        verdict=_verdict(accepted=bool(accepted), unproved=unproved or bool(uncovered)),
        elements=len(elements),
        expired=expired,
        points=tuple(points[name] for name in sorted(points)),
        accepted=tuple(sorted(accepted)),
        uncovered=tuple(sorted(uncovered)),
    )


def _verdict(*, accepted: bool, unproved: bool) -> ClosureVerdict:
    if accepted:
        return ClosureVerdict.PARTIAL
    return ClosureVerdict.UNKNOWN if unproved else ClosureVerdict.CLOSED


class _RepliesByPlace:
    """The replies by enforcement point and element; there may be very many."""

    def __init__(self, observations: Iterable[Observation]) -> None:
        self._first: dict[str, dict[str, Observation]] = {}
        self._several: dict[tuple[str, str], list[Observation]] = {}
        for one in observations:
            first = self._first.setdefault(one.receiver, {})
            for key in one.replies:
                known = first.setdefault(key, one)
                if known is not one:
                    self._several.setdefault((one.receiver, key), [known]).append(one)

    def of(self, receiver: str, key: str) -> _Replies | None:
        """Return the replies of an enforcement point about an element; None if it was not asked."""
        one = self._first.get(receiver, {}).get(key)
        if one is None:
            return None
        several = self._several.get((receiver, key))
        return _replied(one, one.replies[key]) if several is None else _replies(several, key)


def _replied(one: Observation, reply: Reply) -> _Replies:
    """Convert a single reply."""
    if reply is Reply.DENIED:
        return _Replies(None, one.asked_at, one.asked_at - one.lag, is_unsupported=False)
    accepted_at = one.answered_at if reply is Reply.ACCEPTED else None
    return _Replies(accepted_at, None, None, is_unsupported=reply is Reply.UNSUPPORTED)


def _replies(several: Sequence[Observation], key: str) -> _Replies:
    accepted_at = max((one.answered_at for one in several if one.replies[key] is Reply.ACCEPTED), default=None)
    denials = [one for one in several if one.replies[key] is Reply.DENIED]
    counting = [one for one in denials if accepted_at is None or one.asked_at > accepted_at]
    denied = min(counting, key=lambda one: one.asked_at, default=None)
    return _Replies(
        accepted_at=accepted_at,
        denied_at=None if denied is None else denied.asked_at,
        denied_since=None if denied is None else denied.asked_at - denied.lag,
        is_unsupported=any(one.replies[key] is Reply.UNSUPPORTED for one in several),
    )


def _is_used_after_end(one: Stopped) -> bool:
    return one.used_at is not None and one.used_at >= one.ends_at


def _judge(one: Stopped, point: PointProof, replies: _Replies | None, accepted: list[tuple[str, str]]) -> bool:
    """Count an element at an enforcement point; return whether it is shown to be denied there."""
    point.covers += 1
    if replies is None:
        point.not_asked += 1
        return False
    _note_success(point, replies.accepted_at)
    _, denied_at, since, _ = replies
    used_at = _EVER if one.used_at is None else one.used_at
    if denied_at is not None and since is not None and since >= one.in_force_at and since > used_at:
        point.denied += 1
        point.first_denial = max(denied_at, point.first_denial or denied_at)
        return True
    if replies.accepted_at is not None or (denied_at is not None and denied_at <= used_at):
        point.accepted += 1
        accepted.append((one.key, point.receiver))
    elif replies.is_unsupported:
        point.unsupported += 1
    else:
        point.unavailable += 1
    return False


def _note_success(point: PointProof, at: Instant | None) -> None:
    if at is not None:
        point.last_success = max(at, point.last_success or at)
