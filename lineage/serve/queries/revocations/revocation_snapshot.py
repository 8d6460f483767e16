"""A snapshot of the store for receipts and verdicts, read in parts, with its cached effects.

Memory use does not grow with what a revocation ends, except for eight bytes per element and the open items that a
verdict lists.
"""

import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

from ingest.trust_file import Trust
from lineage.core.authority.world import World
from lineage.core.model.errors import TooManyError
from lineage.core.model.events import Fact
from lineage.core.model.times import Instant
from lineage.core.revocation.ended import EndedElement, ended_in
from lineage.core.revocation.enforced_elsewhere import endings_elsewhere
from lineage.core.revocation.late_uses import LateUse, uses_under
from lineage.core.revocation.receipt import ReceiptLine, receipt_of
from lineage.serve.cache.revocation_cache import (
    KEPT,
    NOTHING,
    ChangeWatch,
    EffectsBuilder,
    Invalidation,
    RevocationCache,
    RevocationEffects,
    elements_and_names,
    patched,
)
from lineage.serve.queries.revocations.other_orders import OtherOrders
from lineage.serve.queries.service import Service
from lineage.store.reading.descendants import PART, load_successes, parts_below
from lineage.store.reading.reader import Reader


def parts_of(
    reader: Reader,
    world: World,
    revocation: str,
    at: Instant,
    *,
    size: int = PART,
    most: float = math.inf,
    with_expired: bool = False,
) -> Iterator[tuple[World, list[ReceiptLine]]]:
    """Yield the lines of a receipt in parts, each with the world it was computed in; ``with_expired`` as there.

    Raises:
        TooManyError: It has more elements than ``most``.
    """
    targets = [(order.key, order.effective_at) for order in world.orders.with_id(revocation) if order.in_force(at)]
    for part, keys in parts_below(reader, targets, nearby_of(world, revocation), size=size, most=most):
        yield part, receipt_of(part, revocation, at, keys, with_expired=with_expired)


def part_of(reader: Reader, keys: Collection[str], nearby: Iterable[Fact]) -> World:
    """Build a world with some elements, their transitive dependencies, and the facts in ``nearby``."""
    part = reader.world()
    for fact in chain(nearby, reader.facts_above(keys)):
        part.add(fact)
    return part


def nearby_of(world: World, revocation: str) -> list[Fact]:
    """Return the facts that every part must contain."""
    registered = world.principals.registrations
    nearby = [fact for id_ in registered for fact in registered.get(id_)]
    nearby += [order.fact for order in world.orders.with_id(revocation)]
    nearby += world.orders.lifts.get(revocation)
    return nearby


def around(reader: Reader, revocation: str) -> World:
    """Load the orders, lifts and acknowledgements of an id, and the aliases of its targets."""
    world = reader.world()
    reader.load_about(world, [f"revocation:{revocation}"])
    reader.load_parties(world, {order.key for order in world.orders.with_id(revocation)})
    return world


@contextmanager
def snapshot(service: Service) -> Iterator[Service]:
    """Pin the service to a snapshot of its store within the block; for answers that read much, once."""
    with service.store.snapshot(frugal=True) as store:
        trust = Trust(table=service.trust.table, file=service.trust.file, fault=service.trust.fault)
        frozen = Service(store, service.log, trust, service.clock, source=service.source, options=service.options)
        frozen.ends = service.ends
        yield frozen


@dataclass(frozen=True, slots=True)
class RevocationMoment:
    """A snapshot of the store and the cached effects valid in it.

    Attributes:
        service: The service pinned to the snapshot.
        reader: Reads what is known in the snapshot.
        kept: The cache, and what arrived since the snapshot; None without a cache.
        others: Loads the orders of other ids into a part.
    """

    service: Service
    reader: Reader
    kept: tuple[RevocationCache, ChangeWatch] | None
    others: OtherOrders

    def ends(self, world: World, revocation: str, at: Instant) -> RevocationEffects | None:
        """Return the cached effects of a revocation, updated to this snapshot; None if they must be computed."""
        if self.kept is None:
            return None
        cache, watch = self.kept
        found = cache.of(revocation, world.orders.with_id(revocation), at, watch)
        if found is None:
            return None
        ends, stale = found
        if stale == NOTHING:
            return ends.at(at)
        brought_up = self._mended(world, revocation, at, ends, stale)
        if ends.since <= at:  # otherwise those at a later instant stay cached
            self.keep(revocation, brought_up)
        return None if brought_up is None else brought_up.at(at)

    def _mended(
        self, world: World, revocation: str, at: Instant, ends: RevocationEffects, stale: Invalidation
    ) -> RevocationEffects | None:
        """Recompute the stale part of cached effects; None if it is too large."""
        gathering, nearby = EffectsBuilder(world, revocation, at), nearby_of(world, revocation)
        since = min(order.effective_at for order in world.orders.with_id(revocation))
        try:
            parts = list(parts_below(self.reader, [(key, since) for key in stale.grants], nearby, most=PART))
        except TooManyError:
            return None
        parts.append((part_of(self.reader, stale.elements, nearby), set(stale.elements)))
        again: set[str] = set()
        for part, keys in parts:
            lines = receipt_of(part, revocation, at, keys - again, with_expired=True)
            self._take(gathering, part, lines, since)
            again |= keys
        recomputed = gathering.ends()
        if recomputed is None:
            return None
        if not ends.covers(at):  # then everything was recomputed that an action names
            ends = replace(ends, since=ends.phase.since, until=ends.phase.until)
        return patched(ends, again, recomputed)

    def keep(self, revocation: str, ends: RevocationEffects | None) -> None:
        """Cache what was computed; None means it is too large."""
        if self.kept is not None and ends is not None:
            self.kept[0].keep(revocation, ends, self.kept[1])

    def gathered(
        self, world: World, revocation: str, at: Instant, gathering: EffectsBuilder
    ) -> Iterator[tuple[list[EndedElement], dict[str, list[LateUse]]]]:
        """Yield what the orders of an id end, in parts, and the actions under it.

        Raises:
            TooManyError: It is larger than the cache allows, so it would take longer than a request may.
        """
        since = min(order.effective_at for order in world.orders.with_id(revocation))
        most = math.inf if self.service.ends is None else KEPT
        try:
            for part, lines in parts_of(self.reader, world, revocation, at, most=most, with_expired=True):
                ended, uses = self._take(gathering, part, lines, since)
                yield [one for one in ended if not one.is_over(at)], uses
        except TooManyError as fault:
            raise TooManyError(
                f"{revocation} ends too much to be looked at here: {fault}; on the command line it takes its time: "
                f"delegraph closure '{revocation}', or delegraph receipt"
            ) from None

    def _take(
        self, gathering: EffectsBuilder, part: World, lines: list[ReceiptLine], since: Instant
    ) -> tuple[list[EndedElement], dict[str, list[LateUse]]]:
        """Gather some lines and the actions under them."""
        revocation, at, keys = gathering.revocation, gathering.at, {line.key for line in lines}
        around = set() if gathering.is_over else elements_and_names(part)
        self.others.bring(part, revocation, keys)
        endings = endings_elsewhere(part, revocation, keys)
        load_successes(self.reader, part, [line.key for line in lines], since)
        if endings:
            first = min(one.order.effective_at for some in endings.values() for one in some)
            load_successes(self.reader, part, endings.keys(), first)
        uses = uses_under(part, lines, at)
        ended = ended_in(part, lines, endings, at)
        gathering.take(part, ended, uses, around)
        return ended, uses

    def worked_out(self, world: World, revocation: str, at: Instant) -> RevocationEffects | None:
        """Compute what a revocation ends and cache it; None if it is too large to cache.

        Raises:
            TooManyError: It has more elements than can be cached.
        """
        found = self.ends(world, revocation, at)
        if found is not None:
            return found
        gathering = EffectsBuilder(world, revocation, at)
        for _ in self.gathered(world, revocation, at, gathering):
            pass
        found = gathering.ends()
        self.keep(revocation, found)
        return None if found is None else found.at(at)


@contextmanager
def moment_of(service: Service, known_at: Instant | None) -> Iterator[RevocationMoment]:
    """Open a snapshot of the store together with the cached effects of the same state."""
    ends = None if known_at is not None else service.ends
    watch = None if ends is None else ends.watch()
    with snapshot(service) as frozen, frozen.store.reader(trust=frozen.trust.table, known_at=known_at) as reader:
        # If more arrived meanwhile, the cached effects match neither state.
        is_there = watch is not None and frozen.store.version() == watch.place[:2]
        cached = (ends, watch) if ends is not None and watch is not None and is_there else None
        yield RevocationMoment(frozen, reader, cached, OtherOrders(reader))


def work_out(service: Service, revocation: str) -> None:
    """Compute what a revocation ends now, or ended until it was lifted, so that it is cached."""
    at = service.clock()
    with moment_of(service, None) as moment:
        world = around(moment.reader, revocation)
        orders = world.orders.with_id(revocation)
        if not any(order.in_force(at) for order in orders):
            at = max((order.lifted_at - 1 for order in orders if order.in_force(order.lifted_at - 1)), default=at)
        if orders:
            moment.worked_out(world, revocation, at)
