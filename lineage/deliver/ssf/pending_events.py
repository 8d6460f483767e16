"""What a stream is to be told next: notices first, then what its receiver covers of the outbox, in that order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted, in_force
from lineage.deliver.ssf.security_event_tokens import claims_of, claims_of_notice, type_of
from lineage.deliver.ssf.stream_coverage import StreamCoverage
from lineage.store.delivery import ssf_streams as streams
from lineage.store.delivery.ssf_streams import Stream, Untold
from lineage.store.store import Store

GRACE: Final = 300_000_000  # microseconds; somebody may honour for so long what has ended: clocks differ
_PAGE: Final = 500  # rows looked at together


@dataclass(frozen=True, slots=True)
class Telling:
    """An event to be told.

    Attributes:
        jti: Its id.
        claims: What it says.
        seq: The row that it tells; None: a notice.
        notice: The notice that it is.
    """

    jti: str
    claims: Mapping[str, Any]
    seq: int | None = None
    notice: int | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What there is to tell.

    Attributes:
        stream: To which stream, as it is now.
        tellings: The first of it, in order.
        through: Every row up to here is among them, is settled, or is not to be told.
        more: Whether there may be more behind it.
    """

    stream: Stream
    tellings: Sequence[Telling]
    through: int
    more: bool

    def settled(self, done: set[str]) -> dict[str, Any]:
        """What to change of the stream when some events, by ``jti``, are settled."""
        seqs = [telling.seq for telling in self.tellings if telling.seq is not None]
        told = {telling.seq for telling in self.tellings if telling.seq is not None and telling.jti in done}
        seq = next((seq for seq in seqs if seq not in told), self.through + 1) - 1
        seq = max(seq, self.stream.seq)
        return {"seq": seq, "settled": frozenset(each for each in self.stream.settled | told if each > seq)}


class Teller:
    """Finds what streams are to be told."""

    def __init__(self, store: Store, trust: Trusted | None, issuer: str) -> None:
        """Take where it is found, which registrations count, and who tells it."""
        self._store = store
        self._trust = trust
        self._issuer = issuer

    def covers(self, receiver: str) -> str:
        """What a receiver covers now, as it is kept."""
        return self._coverage(receiver).written

    def outstanding(self, stream: Stream, *, limit: int, at: Instant) -> Outstanding:
        """The first events that a stream was not told, or has not settled yet.

        A receiver whose coverage has changed is told everything from the beginning, the last word on each element: it
        may have missed what it did not cover.

        Raises:
            FencedError: Somebody else has changed the stream; read it again.
        """
        coverage = self._coverage(stream.receiver)
        covers = coverage.written
        if covers != stream.covers:
            begun = streams.from_the_beginning(self._store)
            stream = streams.change(self._store, stream, covers=covers, **begun)
        tellings = [
            Telling(claims["jti"], claims, notice=each.id)
            for each in streams.notices(self._store, stream.id)
            for claims in [claims_of_notice(each, stream, self._issuer)]
        ]
        through, whole = stream.seq, False
        while not whole and len(tellings) < limit:
            rows = streams.untold(self._store, stream, after=through, limit=_PAGE)
            tellings += self._told(stream, rows, coverage, at)
            through = rows[-1].seq if rows else through
            whole = len(rows) < _PAGE
        cut = tellings[limit:]
        if cut and cut[0].seq is not None:
            through = cut[0].seq - 1
        elif cut:
            through = stream.seq
        return Outstanding(stream, tellings[:limit], through, more=bool(cut) or not whole)

    def _told(self, stream: Stream, rows: Sequence[Untold], coverage: StreamCoverage, at: Instant) -> list[Telling]:
        wanted = [
            row
            for row in rows
            if row.seq not in stream.settled
            and row.change.version.outcome.matters(at - GRACE)
            and (not stream.said.events or type_of(row.change.version.outcome.state) in stream.said.events)
        ]
        if not wanted:
            return []
        revocations = {row.change.version.outcome.revocation for row in wanted}
        with self._store.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            keys = {row.change.key for row in wanted}
            reader.load_about(world, keys | {f"revocation:{each}" for each in revocations if each is not None})
            if coverage.needs_orders(world, keys):
                reader.load_elements(world, keys)
        return [
            Telling(claims["jti"], claims, seq=row.seq)
            for row in wanted
            for orders in [_orders(world, row)]
            if coverage.holds(world, row.change, orders, at)
            for claims in [claims_of(row, stream, self._issuer, orders[0].body if orders else None)]
        ]

    def _coverage(self, receiver: str) -> StreamCoverage:
        with self._store.reader(trust=in_force(self._trust)) as reader:
            world = reader.world()
            reader.load_about(world, [f"receiver:{receiver}"])
        return StreamCoverage(world.receivers)


def _orders(world: World, row: Untold) -> list[Order]:
    """The orders that a state is because of: those of its id that took effect at its moment."""
    outcome = row.change.version.outcome
    found = [world.orders.resolve(fact) for fact in world.orders.by_id.get(outcome.revocation or "")]
    return [order for order in found if order.effective_at == outcome.effective_at]
