"""The next events of a stream: first its notices, then the rows of the outbox that its receiver covers, in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, in_force
from lineage.core.revocation.enforced import orders_ending
from lineage.deliver.ssf.security_event_tokens import claims_of, claims_of_notice, type_of
from lineage.deliver.ssf.stream_coverage import StreamCoverage, causing
from lineage.store.delivery import ssf_streams as streams
from lineage.store.delivery.omissions import forget_omissions, is_premature, note_omitted, omissions_of
from lineage.store.delivery.ssf_streams import Stream, UndeliveredRow
from lineage.store.store import Store

_PAGE: Final = 500  # rows read at a time


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """An event to be delivered.

    Attributes:
        jti: Its id.
        claims: The claims of its token.
        seq: The row of the outbox that it reports; None for a notice.
        notice: The id of the notice; None for a row of the outbox.
    """

    jti: str
    claims: Mapping[str, Any]
    seq: int | None = None
    notice: int | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """The next events of a stream.

    Attributes:
        stream: The stream as it is now.
        tellings: The next events, in order.
        through: Every row up to here is among them, is settled, or is not for this receiver.
        more: Whether there may be further events.
    """

    stream: Stream
    outgoing: Sequence[OutgoingEvent]
    through: int
    more: bool

    def settled(self, done: set[str]) -> dict[str, Any]:
        """Return the changes of the stream when some events, given by ``jti``, are settled."""
        seqs = [event.seq for event in self.outgoing if event.seq is not None]
        delivered = {event.seq for event in self.outgoing if event.seq is not None and event.jti in done}
        seq = next((seq for seq in seqs if seq not in delivered), self.through + 1) - 1
        seq = max(seq, self.stream.seq)
        return {"seq": seq, "settled": frozenset(each for each in self.stream.settled | delivered if each > seq)}


class EventSource:
    """Finds the next events of streams."""

    def __init__(self, store: Store, trust: Trusted | None, issuer: str) -> None:
        """Create an event source.

        Args:
            store: The store with outbox, streams and facts.
            trust: Provides the trust table in force.
            issuer: The issuer of the events.
        """
        self._store = store
        self._trust = trust
        self._issuer = issuer

    def covers(self, receiver: str) -> str:
        """Return the current coverage of a receiver, in its stored form."""
        return self._coverage(receiver).written

    def outstanding(self, stream: Stream, *, limit: int, at: Instant) -> Outstanding:
        """Find the first events that a stream has not settled yet.

        If the receiver's coverage has changed, delivery starts again from the beginning with the latest state of each
        element, since it may have missed elements that it did not cover before. So it does if the clock was ahead,
        since it may have missed elements that seemed to have expired.

        Raises:
            FencedError: Another process has changed the stream; read it again.
        """
        coverage = self._coverage(stream.receiver)
        covers, omissions = coverage.written, omissions_of(self._store, stream.id)
        too_early = is_premature(omissions, at)
        if covers != stream.covers or too_early:
            begun = streams.from_the_beginning(self._store)
            stream = streams.change(self._store, stream, covers=covers, **begun)
            if too_early:
                forget_omissions(self._store, stream.id, omissions)
        outgoing = [
            OutgoingEvent(claims["jti"], claims, notice=each.id)
            for each in streams.notices(self._store, stream.id)
            for claims in [claims_of_notice(each, stream, self._issuer)]
        ]
        through, whole = stream.seq, False
        while not whole and len(outgoing) < limit:
            rows = streams.undelivered(self._store, stream, after=through, limit=_PAGE)
            outgoing += self._state_events(stream, self._relevant(stream, rows, at), coverage, at)
            through = rows[-1].seq if rows else through
            whole = len(rows) < _PAGE
        cut = outgoing[limit:]
        if cut and cut[0].seq is not None:
            through = cut[0].seq - 1
        elif cut:
            through = stream.seq
        return Outstanding(stream, outgoing[:limit], through, more=bool(cut) or not whole)

    def _relevant(self, stream: Stream, rows: Sequence[UndeliveredRow], at: Instant) -> list[UndeliveredRow]:
        """Return the rows that are not settled, and omit those of elements that nobody honours any more."""
        rows = [row for row in rows if row.seq not in stream.settled]
        times = [row.change.version.outcome.over_at for row in rows]
        if omitted := [time for time in times if time <= at]:
            note_omitted(self._store, stream.id, max(omitted))  # before they are settled
        return [row for row, time in zip(rows, times, strict=True) if at < time]

    def _state_events(
        self, stream: Stream, rows: Sequence[UndeliveredRow], coverage: StreamCoverage, at: Instant
    ) -> list[OutgoingEvent]:
        matching = [
            row
            for row in rows
            if not stream.settings.events or type_of(row.change.version.outcome.state) in stream.settings.events
        ]
        if not matching:
            return []
        revocations = {row.change.version.outcome.revocation for row in matching}
        with self._store.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            keys = {row.change.key for row in matching}
            reader.load_about(world, keys | {f"revocation:{each}" for each in revocations if each is not None})
            if coverage.needs_orders(world, keys) or any(len(_orders(world, row)) > 1 for row in matching):
                reader.load_elements(world, keys)
        return [
            OutgoingEvent(claims["jti"], claims, seq=row.seq)
            for row in matching
            for orders in [_orders(world, row)]
            if coverage.holds(world, row.change, orders, at)
            for claims in [claims_of(row, stream, self._issuer, orders[0].body if orders else None)]
        ]

    def _coverage(self, receiver: str) -> StreamCoverage:
        with self._store.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            reader.load_about(world, [f"receiver:{receiver}"])
        return StreamCoverage(world.receivers)


def _orders(world: World, row: UndeliveredRow) -> list[Order]:
    """Return the revocations that caused a state: those with its id that took effect at its time.

    If there are several, only those that end the element, as far as the world can tell.
    """
    outcome = row.change.version.outcome
    found = [world.orders.resolve(fact) for fact in world.orders.by_id.get(outcome.revocation or "")]
    found = [order for order in found if order.effective_at == outcome.effective_at]
    return found if len(found) <= 1 else causing(found, orders_ending(world, row.change.key))
