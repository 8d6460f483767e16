"""The elements that a revocation has ended and who has to deny them, which a stop-proof asks about."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import StatusList, TokenIssued
from lineage.core.model.keys import key_of
from lineage.core.model.times import Instant, format_instant
from lineage.core.revocation.closure import Closure, Coverings, ElementEvidence, compute_closure
from lineage.core.revocation.late_uses import in_force_at
from lineage.core.revocation.stop_proof import Stopped
from lineage.serve.queries.revocations.closure import around_with, evidence
from lineage.serve.queries.revocations.revocation_snapshot import RevocationMoment, moment_of
from lineage.serve.queries.service import Service
from lineage.store.reading.revocation_facts import load_receivers


class StoppedElements(NamedTuple):
    """The elements that a revocation has ended, as known at one moment.

    Attributes:
        elements: What has to be denied, and by whom.
        closure: What has been acknowledged.
        recorded_at: When the last fact that was known had been recorded.
    """

    elements: Sequence[Stopped]
    closure: Closure
    recorded_at: str | None

    @property
    def acknowledged(self) -> Mapping[str, int]:
        """Count the elements that each enforcement point has acknowledged as enforced."""
        return {tally.receiver: tally.enforced for tally in self.closure.receivers}


def stopped_by(service: Service, revocation: str) -> Sequence[Stopped] | None:
    """Load what a revocation has ended, and who has to deny it; None if there is no such order.

    Raises:
        RefusedError: It was lifted, or is not in effect yet.
    """
    with _at_once(service, revocation) as found:
        if found is None:
            return None
        _, world, _, seen = found
        coverings = Coverings(world.receivers)
        return [_stopped(one, coverings) for one in seen]


def stopped_and_acknowledged(service: Service, revocation: str) -> StoppedElements | None:
    """Load what a revocation has ended, and in the same snapshot what has been acknowledged of it.

    Raises:
        RefusedError: It was lifted, or is not in effect yet.
    """
    with _at_once(service, revocation) as found:
        if found is None:
            return None
        moment, world, at, seen = found
        coverings = Coverings(world.receivers)
        elements: list[Stopped] = []

        def noted() -> Iterator[ElementEvidence]:
            for one in seen:
                elements.append(_stopped(one, coverings))
                yield one

        closure = compute_closure(world, revocation, at, noted())
        return StoppedElements(elements, closure, moment.service.as_of()["recorded_at"])


class _StopEvidence(NamedTuple):
    moment: RevocationMoment
    world: World
    at: Instant
    evidence: Iterator[ElementEvidence]


@contextmanager
def _at_once(service: Service, revocation: str) -> Iterator[_StopEvidence | None]:
    """Read a revocation that has to be enforced from one snapshot; None if there is no such order."""
    at = service.clock()
    with moment_of(service, None) as moment:
        receivers = moment.reader.world()
        load_receivers(moment.reader, receivers)
        world = around_with(moment.reader, receivers, revocation)
        if world is None:
            yield None
            return
        _refuse_unless_in_force(world, revocation, at)
        yield _StopEvidence(moment, world, at, evidence(moment, world, revocation, at))


def _refuse_unless_in_force(world: World, revocation: str, at: Instant) -> None:
    orders = world.orders.with_id(revocation)
    if all(order.is_lifted and order.lifted_at <= at for order in orders):
        lifted_at = format_instant(max(order.lifted_at for order in orders))
        raise RefusedError(f"{revocation} was lifted at {lifted_at}, so nothing has to be stopped any more")
    if waiting := [order for order in orders if at < order.effective_at and order.takes_effect]:
        since = format_instant(max(order.effective_at for order in waiting))
        raise RefusedError(f"{revocation} takes effect at {since}; nothing can be proved before")


def _stopped(seen: ElementEvidence, coverings: Coverings) -> Stopped:
    one = seen.ended
    covering = coverings.of(one)
    # The time of a use is when it was recorded: the clock of its reporter may be wrong.
    used = [fact.recorded_at for use in seen.uses for fact in use.facts]
    return Stopped(
        key=one.key,
        receivers=covering.receivers,
        uncovered=covering.uncovered,
        in_force_at=in_force_at(one.order),
        ends_at=one.ends_at,
        used_at=max(used, default=None),
    )


def places_of(service: Service, keys: Collection[str]) -> Mapping[str, set[StatusList]]:
    """Return the entries of status lists that facts state for some tokens."""
    found: dict[str, set[StatusList]] = {}
    with moment_of(service, None) as moment:
        for fact in moment.reader.known_about(keys):
            body = fact.event.body
            if isinstance(body, TokenIssued) and body.status_list is not None:
                found.setdefault(key_of("token", body.token), set()).add(body.status_list)
    return found
