"""What a stream is to be told next: notices first, then what its receiver covers of the outbox, in that order."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lineage.core.authority.elements import by_given
from lineage.core.authority.orders import Order
from lineage.core.authority.receivers import Coverage, Receivers, registration_of
from lineage.core.authority.world import World
from lineage.core.model.events import ReceiverRegistered, RevocationOrdered, canonical_json
from lineage.core.model.times import Instant
from lineage.core.model.trust import TrustTable
from lineage.core.revocation.enforced import orders_ending
from lineage.deliver.ssf.security_event_tokens import claims_of, claims_of_notice, type_of
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

    def __init__(self, store: Store, trust: TrustTable | None, issuer: str) -> None:
        """Take where it is found, which registrations count, and who tells it."""
        self._store = store
        self._trust = trust
        self._issuer = issuer

    def covers(self, receiver: str) -> str:
        """What a receiver covers now, as it is kept."""
        return _written(self._receivers(receiver))

    def outstanding(self, stream: Stream, *, limit: int, at: Instant) -> Outstanding:
        """The first events that a stream was not told, or has not settled yet.

        A receiver whose coverage has changed is told everything from the beginning, the last word on each element: it
        may have missed what it did not cover.

        Raises:
            FencedError: Somebody else has changed the stream; read it again.
        """
        receivers = self._receivers(stream.receiver)
        covers = _written(receivers)
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
            tellings += self._told(stream, rows, receivers, at)
            through = rows[-1].seq if rows else through
            whole = len(rows) < _PAGE
        cut = tellings[limit:]
        if cut and cut[0].seq is not None:
            through = cut[0].seq - 1
        elif cut:
            through = stream.seq
        return Outstanding(stream, tellings[:limit], through, more=bool(cut) or not whole)

    def _told(self, stream: Stream, rows: Sequence[Untold], receivers: Receivers, at: Instant) -> list[Telling]:
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
        with self._store.reader(trust=self._trust) as reader:
            world = reader.world()
            keys = {row.change.key for row in wanted}
            reader.load_about(world, keys | {f"revocation:{each}" for each in revocations if each is not None})
            if _changed(receivers):  # then it matters when each of the orders was given that end an element
                reader.load_elements(world, keys)
        return [
            Telling(claims["jti"], claims, seq=row.seq)
            for row in wanted
            if _covered(world, receivers, row, at)
            for claims in [claims_of(row, stream, self._issuer, _first_order(world, row))]
        ]

    def _receivers(self, receiver: str) -> Receivers:
        """The registrations of a receiver."""
        with self._store.reader(trust=self._trust) as reader:
            world = reader.world()
            reader.load_about(world, [f"receiver:{receiver}"])
        return world.receivers


def _orders(world: World, row: Untold) -> list[Order]:
    """The orders that a state is because of: those of its id that took effect at its moment."""
    outcome = row.change.version.outcome
    found = [world.orders.resolve(fact) for fact in world.orders.by_id.get(outcome.revocation or "")]
    return [order for order in found if order.effective_at == outcome.effective_at]


def _first_order(world: World, row: Untold) -> RevocationOrdered | None:
    orders = _orders(world, row)
    return orders[0].body if orders else None


def _covered(world: World, receivers: Receivers, row: Untold, at: Instant) -> bool:
    """Whether a receiver is to be told of a row; one that nobody registered is told of all.

    What counts are its registrations since any of the orders was given that end the element. Where none does any more
    all count that there ever were: who was told of an end is told that it is over.
    """
    if not receivers.registrations:
        return True
    key, element = row.change.key, world.graph.element(row.change.key)
    if not _changed(receivers) or not row.change.version.outcome.ended:
        return bool(Coverage(_all(receivers)).of(key, element))
    orders = [*_orders(world, row), *(order for order in orders_ending(world, key) if order.in_force(at))]
    return any(Coverage(receivers.counting_for(order.fact)).of(key, element) for order in orders)


def _all(receivers: Receivers) -> list[ReceiverRegistered]:
    """All registrations of a receiver, in the order in which they were given, without those that repeat the last."""
    facts = [fact for one in receivers.registrations for fact in by_given(receivers.registrations.get(one))]
    found: list[ReceiverRegistered] = []
    for body in map(registration_of, facts):
        if not found or _lists(found[-1]) != _lists(body):
            found.append(body)
    return found


def _changed(receivers: Receivers) -> bool:
    return len(_all(receivers)) > 1


def _written(receivers: Receivers) -> str:
    """What a receiver covers and has covered, in few characters."""
    written = [canonical_json(_lists(body)).decode() for body in _all(receivers)]
    return "".join(written) if len(written) <= 1 else hashlib.sha256("\n".join(written).encode()).hexdigest()


def _lists(body: ReceiverRegistered) -> dict[str, list[str]]:
    return {name: sorted(getattr(body, name)) for name in ("issuers", "audiences", "kinds")}
