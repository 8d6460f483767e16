"""Revocations as documents: the receipt of one, whether it is over, and all of them (clauses 10.3 to 10.16).

A receipt and a verdict are made in parts of a few thousand elements, from one moment of the store: what is in memory
does not grow with what a revocation ends, but for eight bytes an element, and what a verdict has to name as open.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from ingest.trust_file import Trust
from lineage.core.authority.orders import Order
from lineage.core.authority.world import World
from lineage.core.model.errors import RefusedError, TooManyError
from lineage.core.model.events import Fact, canonical_json, digest
from lineage.core.model.keys import split_key
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.core.revocation.closure import Closure, Ended, Judged, Tally, close, ended_in
from lineage.core.revocation.enforced_elsewhere import endings_elsewhere
from lineage.core.revocation.late_uses import Use, in_force_at, uses_under
from lineage.core.revocation.receipt import Line, orders_of, receipt_of
from lineage.serve.cache.revocation_cache import (
    KEPT,
    NOTHING,
    Ends,
    Gathering,
    KeptEnds,
    Stale,
    Watch,
    elements_and_names,
    mended,
)
from lineage.serve.documents.core_documents import Document, depth_documents, finding_documents, instant, listing
from lineage.serve.queries.external_sort import in_order
from lineage.serve.queries.other_orders import OtherOrders, OtherWords
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import PART, Reader

PAGE: Final = 100  # revocations that are listed at once, each with its verdict, if nothing else is said


# The receipt


@dataclass(frozen=True, slots=True)
class Receipt:
    """The receipt of a revocation, to be read once.

    Attributes:
        lines: One element each, sorted by id, as canonical JSON (RFC 8785) without a line end.
        orders: The orders of the id.
        as_of: How far it goes.
    """

    lines: Iterator[bytes]
    orders: tuple[Order, ...]
    as_of: Document


@contextmanager
def receipt(
    service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None
) -> Iterator[Receipt | None]:
    """What the orders of an id end, element by element; None if there is no such order. To be read while this lasts."""
    with frozen(service) as still, still.store.reader(trust=still.trust.table, known_at=known_at) as reader:
        world = around(reader, revocation)
        orders = orders_of(world, revocation)
        if not orders:
            yield None
            return
        documents = (
            (line.place, canonical_json(line_document(line)))
            for _, lines in parts_of(reader, world, revocation, at)
            for line in lines
        )
        yield Receipt(in_order(documents), tuple(orders), still.as_of())


def line_document(line: Line) -> Document:
    """One line of a receipt."""
    kind, id_ = split_key(line.key)
    path = list(line.path)
    return {
        "kind": kind,
        "id": id_,
        "state": str(line.state),
        "revocation": line.order.body.revocation,
        "effective_at": format_instant(line.order.effective_at),
        "path": path,
        **({"path_length": line.path_length} if line.path_length > len(path) else {}),
        "principals": line.principals,
        "expires_at": instant(line.element.expires_at) if line.element is not None else None,
        "born_dead": line.born_dead,
        "recorded_at": format_instant(line.proven_at),
    }


def receipt_summary(found: Receipt, *, at: Instant, known_at: Instant | None) -> Document:
    """A receipt in a few numbers, and its digest: SHA-256 over the lines, a line feed behind each."""
    hashed = hashlib.sha256()
    states: Counter[str] = Counter()
    depths: Counter[tuple[int, str]] = Counter()
    born_dead = 0
    for row in found.lines:
        hashed.update(row + b"\n")
        line = json.loads(row)
        states[line["state"]] += 1
        depths[line.get("path_length", len(line["path"])) - 1, line["kind"]] += 1
        born_dead += line["born_dead"]
    return {
        "revocation": found.orders[0].body.revocation,
        "orders": [order_document(order) for order in found.orders],
        "at": format_instant(at),
        "known_at": instant(known_at),
        "elements": sum(states.values()),
        "states": dict(sorted(states.items())),
        "depths": depth_documents(depths),
        "born_dead": born_dead,
        "digest": hashed.hexdigest(),
        "as_of": found.as_of,
    }


def parts_of(
    reader: Reader, world: World, revocation: str, at: Instant, *, size: int = PART, most: float = math.inf
) -> Iterator[tuple[World, list[Line]]]:
    """The lines of a receipt in parts of so many elements, each part with the world that it was made in.

    Raises:
        TooManyError: They are of more elements than ``most``.
    """
    targets = [(order.key, order.effective_at) for order in orders_of(world, revocation) if order.in_force(at)]
    for part, keys in reader.parts_below(targets, _nearby(world, revocation), size=size, most=most):
        yield part, receipt_of(part, revocation, at, keys)


def _part_of(reader: Reader, keys: Collection[str], nearby: Iterable[Fact]) -> World:
    """A world with some elements, all that they depend on, and what is nearby."""
    part = reader.world()
    for fact in chain(nearby, reader.facts_above(keys)):
        part.add(fact)
    return part


def _nearby(world: World, revocation: str) -> list[Fact]:
    """What every part is to hold."""
    registered = world.principals.registrations
    nearby = [fact for id_ in registered for fact in registered.get(id_)]
    nearby += [order.fact for order in orders_of(world, revocation)]
    nearby += world.orders.lifts.get(revocation)
    return nearby


def around(reader: Reader, revocation: str) -> World:
    """A world with the orders, lifts and acknowledgements of an id, and all that its targets are called."""
    world = reader.world()
    reader.load_about(world, [f"revocation:{revocation}"])
    reader.load_parties(world, {order.key for order in orders_of(world, revocation)})
    return world


@contextmanager
def frozen(service: Service) -> Iterator[Service]:
    """The service as its store is now, for as long as this lasts; for answers that read much, and all of it once."""
    with service.store.frozen(frugal=True) as store:
        trust = Trust(table=service.trust.table, file=service.trust.file, fault=service.trust.fault)
        still = Service(store, service.log, trust, service.clock, source=service.source)
        still.ends = service.ends
        yield still


def receipt_page(
    service: Service, revocation: str, start: int, limit: int, *, at: Instant, known_at: Instant | None = None
) -> list[Document] | None:
    """So many lines of a receipt, behind so many others; None if there is no such order.

    Raises:
        TooManyError: It is of more elements than are kept.
    """
    with _moment(service, known_at) as moment:
        world = around(moment.reader, revocation)
        if not world.orders.by_id.get(revocation):
            return None
        ends = moment.worked_out(world, revocation, at)
        if ends is not None:
            keys = list(islice(ends.ended, start, start + limit))
            part = _part_of(moment.reader, keys, _nearby(world, revocation))
            return [line_document(line) for line in receipt_of(part, revocation, at, set(keys))]
    with receipt(service, revocation, at=at, known_at=known_at) as found:  # too many to be held at once
        return None if found is None else [json.loads(line) for line in islice(found.lines, start, start + limit)]


@dataclass(frozen=True, slots=True)
class _Moment:
    """One moment of the store, and what is kept of it.

    Attributes:
        service: The service as it is then.
        reader: Reads what is known then.
        kept: What is kept, and what came since that moment; None: nothing is.
        others: Brings the orders of other ids into a part.
    """

    service: Service
    reader: Reader
    kept: tuple[KeptEnds, Watch] | None
    others: OtherOrders

    def ends(self, world: World, revocation: str, at: Instant) -> Ends | None:
        """What is kept of a revocation, brought up to this moment; None: it has to be worked out."""
        found = None if self.kept is None else self.kept[0].of(revocation, at, self.kept[1])
        if found is None:
            return None
        ends, stale = found
        if stale == NOTHING:
            return ends
        brought_up = self._mended(world, revocation, at, ends, stale)
        self.keep(revocation, brought_up)
        return brought_up

    def _mended(self, world: World, revocation: str, at: Instant, ends: Ends, stale: Stale) -> Ends | None:
        """What is kept, with what has come since; None: it is too much."""
        gathering, nearby = Gathering(world, revocation, at), _nearby(world, revocation)
        since = min(order.effective_at for order in orders_of(world, revocation))
        try:
            parts = list(self.reader.parts_below([(key, since) for key in stale.grants], nearby, most=PART))
        except TooManyError:
            return None
        parts.append((_part_of(self.reader, stale.elements, nearby), set(stale.elements)))
        again: set[str] = set()
        for part, keys in parts:
            self._take(gathering, part, receipt_of(part, revocation, at, keys - again), since)
            again |= keys
        anew = gathering.ends()
        return None if anew is None else mended(ends, again, anew)

    def keep(self, revocation: str, ends: Ends | None) -> None:
        """Keep what was worked out; None: it is too much."""
        if self.kept is not None and ends is not None:
            self.kept[0].keep(revocation, ends, self.kept[1])

    def gathered(
        self, world: World, revocation: str, at: Instant, gathering: Gathering
    ) -> Iterator[tuple[list[Ended], dict[str, list[Use]]]]:
        """What the orders of an id end, in parts, and what was done under it.

        Raises:
            TooManyError: It is more than is kept, where anything is: it would take longer than a request may.
        """
        since = min(order.effective_at for order in orders_of(world, revocation))
        most = math.inf if self.service.ends is None else KEPT
        try:
            for part, lines in parts_of(self.reader, world, revocation, at, most=most):
                yield self._take(gathering, part, lines, since)
        except TooManyError as fault:
            raise TooManyError(
                f"{revocation} ends too much to be looked at here: {fault}; on the command line it takes its time: "
                f"delegraph closure '{revocation}', or delegraph receipt"
            ) from None

    def _take(
        self, gathering: Gathering, part: World, lines: list[Line], since: Instant
    ) -> tuple[list[Ended], dict[str, list[Use]]]:
        """Have some lines gathered, and what was done under them."""
        revocation, at, keys = gathering.revocation, gathering.at, {line.key for line in lines}
        around = elements_and_names(part)
        self.others.bring(part, revocation, keys)
        endings = endings_elsewhere(part, revocation, keys)
        self.reader.load_successes(part, keys, since)
        if endings:
            first = min(one.order.effective_at for some in endings.values() for one in some)
            self.reader.load_successes(part, endings.keys(), first)
        uses = uses_under(part, lines, at)
        ended = ended_in(part, lines, endings, at)
        gathering.take(part, ended, uses, around)
        return ended, uses

    def worked_out(self, world: World, revocation: str, at: Instant) -> Ends | None:
        """What a revocation ends, which is kept from now on if it was not; None: it is too much for that.

        Raises:
            TooManyError: It is of more elements than are kept.
        """
        found = self.ends(world, revocation, at)
        if found is not None:
            return found
        gathering = Gathering(world, revocation, at)
        for _ in self.gathered(world, revocation, at, gathering):
            pass
        found = gathering.ends()
        self.keep(revocation, found)
        return found


@contextmanager
def _moment(service: Service, known_at: Instant | None) -> Iterator[_Moment]:
    ends = None if known_at is not None else service.ends
    watch = None if ends is None else ends.watch()
    with frozen(service) as still, still.store.reader(trust=still.trust.table, known_at=known_at) as reader:
        # Where more came meanwhile, what is kept is of neither moment.
        is_there = watch is not None and still.store.place() == watch.place[:2]
        kept = (ends, watch) if ends is not None and watch is not None and is_there else None
        yield _Moment(still, reader, kept, OtherOrders(reader))


def work_out(service: Service, revocation: str) -> None:
    """Work out what a revocation ends by now, so that it is kept."""
    at = service.clock()
    with _moment(service, None) as moment:
        world = around(moment.reader, revocation)
        if world.orders.by_id.get(revocation):
            moment.worked_out(world, revocation, at)


# The verdict


def closure(service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Whether a revocation is over, and what is open; None if there is no such order."""
    with _moment(service, known_at) as moment:
        found = _closed(moment, revocation, at)
        return None if found is None else {**found[1], "as_of": moment.service.as_of()}


def revocation(service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """The verdict on an id, and its orders; None if there is no such order."""
    with _moment(service, known_at) as moment:
        found = _closed(moment, revocation, at)
        if found is None:
            return None
        orders = [order_document(order) for order in orders_of(found[0], revocation)]
        return {**found[1], "as_of": moment.service.as_of(), "orders": orders}


def _closed(moment: _Moment, revocation: str, at: Instant) -> tuple[World, Document] | None:
    """The verdict on an id, and a world with its orders."""
    receivers = moment.reader.world()
    moment.reader.load_receivers(receivers)
    world = _around_with(moment.reader, receivers, revocation)
    return None if world is None else (world, closure_document(_close(moment, world, revocation, at)))


def _around_with(reader: Reader, receivers: World, revocation: str) -> World | None:
    """A world with what ``around`` loads, and with some receivers; None if there is no such order."""
    world = around(reader, revocation)
    if not world.orders.by_id.get(revocation):
        return None
    for receiver in receivers.receivers.registrations:
        for fact in receivers.receivers.registrations.get(receiver):
            world.add(fact)
    return world


def _close(moment: _Moment, world: World, revocation: str, at: Instant) -> Closure:
    """The verdict.

    Raises:
        TooManyError: It is of more elements than are kept.
    """
    ends = moment.ends(world, revocation, at)
    words = OtherWords(moment.reader, world, revocation)
    if ends is None:
        judged = _judged(moment, world, revocation, at, words)
    else:
        judged = _judged_again(moment.reader, ends, at, words)
    return close(world, revocation, at, judged)


def _judged(moment: _Moment, world: World, revocation: str, at: Instant, words: OtherWords) -> Iterator[Judged]:
    gathering = Gathering(world, revocation, at)
    for ended, uses in moment.gathered(world, revocation, at, gathering):
        words.bring(ended)
        delivered = moment.reader.deliveries([one.key for one in ended], at)
        for one in ended:
            yield Judged(one, uses.get(one.key, ()), delivered)
    moment.keep(revocation, gathering.ends())


def _judged_again(reader: Reader, ends: Ends, at: Instant, words: OtherWords) -> Iterator[Judged]:
    """What is kept, with what was delivered by now."""
    words.bring(ends.ended.values())
    every = iter(ends.ended.values())
    while part := list(islice(every, PART)):
        delivered = reader.deliveries([one.key for one in part], at)
        for one in part:
            yield Judged(one, ends.uses.get(one.key, ()), delivered)


def closure_document(found: Closure) -> Document:
    """A verdict, but for how far it goes."""
    seconds = None if found.enforced_at is None else (found.enforced_at - found.ordered_at) / SECOND
    return {
        "revocation": found.revocation,
        "verdict": str(found.verdict),
        "ordered_at": format_instant(found.ordered_at),
        "in_force_at": format_instant(found.in_force_at),
        "closed_at": instant(found.closed_at),
        "seconds": seconds,
        "elements": found.elements,
        "receivers": [_tally_document(tally) for tally in found.receivers],
        "open": [_open_document(*one) for one in found.open],
        "reopened_by": list(found.reopened_by),
        "findings": finding_documents(found.findings),
    }


def _tally_document(tally: Tally) -> Document:
    return {
        "receiver": tally.receiver,
        "covers": tally.covers,
        "delivered": tally.delivered,
        "enforced": tally.enforced,
        "rejected": tally.rejected,
        "pending": tally.pending,
    }


def _open_document(key: str, receiver: str | None, reason: str) -> Document:
    kind, id_ = split_key(key)
    where = {} if receiver is None else {"receiver": receiver}
    return {"kind": kind, "id": id_, **where, "reason": reason}


def confirmation_of(reader: Reader, world: World, key: str, at: Instant, *, successes: bool = True) -> Document:
    """What revoked one element, which receivers have not enforced that, and what was done with it all the same.

    Args:
        reader: One moment of the store.
        world: Holds the element and what judging it needs.
        key: ``KIND:ID``.
        at: The instant asked about.
        successes: Whether all that was done with it is to be read; else what the world holds is all that is looked at.
    """
    ids = sorted(id_ for id_ in world.orders.by_id if receipt_of(world, id_, at, {key}))
    unconfirmed: list[Document] = []
    used_after: set[str] = set()
    delivered = reader.deliveries([key], at) if ids else {}
    if ids:
        reader.load_receivers(world)
        reader.load_about(world, [f"revocation:{id_}" for id_ in ids])
    for id_ in ids:
        [line] = receipt_of(world, id_, at, {key})
        # Without all that was done with it nobody can say that it was not used since.
        endings = endings_elsewhere(world, id_, {key}) if successes else {}
        if successes:
            orders = (line.order, *(one.order for some in endings.values() for one in some))
            reader.load_successes(world, [key], min(order.effective_at for order in orders))
        uses = uses_under(world, [line], at).get(key, [])
        [ended] = ended_in(world, [line], endings, at)
        OtherWords(reader, world, id_).bring([ended])
        found = close(world, id_, at, [Judged(ended, uses, delivered)])
        unconfirmed += [{"revocation": id_, "receiver": one.receiver, "reason": one.reason} for one in found.open]
        used_after.update(use.action for use in uses if use.in_force)
    return {"revoked_by": ids, "unconfirmed": unconfirmed, "used_after": sorted(used_after)}


# All of them


def revocations(
    service: Service,
    *,
    at: Instant,
    known_at: Instant | None = None,
    after: str | None = None,
    limit: int = PAGE,
) -> Document:
    """All orders, the latest first, each with the verdict on its id.

    Args:
        service: Whose answers.
        at: The instant that the verdicts are of.
        known_at: Only what was recorded by then.
        after: Go on behind this one: the ``next`` of the page before.
        limit: How many at once.

    Cost:
        A verdict for each id on the page: what its orders end. Where that is kept, and one ends more than can be, its
        verdict is None.
    """
    with _moment(service, known_at) as moment:
        world, orders = _by_time(moment.reader)
        moment.reader.load_receivers(world)
        start = 0 if after is None else _place_behind(orders, after)
        page = orders[start : start + limit]
        verdicts: dict[str, Closure | None] = {}
        items = []
        for order in page:
            id_ = order.body.revocation
            if id_ not in verdicts:
                about = _around_with(moment.reader, world, id_)
                assert about is not None  # noqa: S101 (an order of this id was listed)
                try:
                    verdicts[id_] = _close(moment, about, id_, at)
                except TooManyError:
                    verdicts[id_] = None
            items.append({**order_document(order), **_verdict_in_brief(verdicts[id_])})
        following = digest(page[-1].fact.event) if start + limit < len(orders) else None
        return {**listing(items, total=len(orders), following=following), "as_of": moment.service.as_of()}


def latest(service: Service, limit: int) -> list[str]:
    """The ids of the latest orders, each once."""
    with service.reader() as reader:
        return list(dict.fromkeys(order.body.revocation for order in _by_time(reader)[1]))[:limit]


def _by_time(reader: Reader) -> tuple[World, list[Order]]:
    """All orders, the latest first, and a world with them."""
    world = reader.world()
    reader.load_orders(world)
    orders = (order for id_ in world.orders.by_id for order in orders_of(world, id_))
    return world, sorted(orders, key=lambda order: (-order.given_at, order.rank))


def _place_behind(orders: list[Order], after: str) -> int:
    for place, order in enumerate(orders):
        if digest(order.fact.event) == after:
            return place + 1
    raise RefusedError(f"{after!r} is not the `next` of a list of revocations; begin anew without it")


def _verdict_in_brief(found: Closure | None) -> Document:
    """Of a verdict; None: it is too much to be worked out here."""
    if found is None:
        return {"elements": None, "verdict": None, "closed_at": None, "open": None}
    return {
        "elements": found.elements,
        "verdict": str(found.verdict),
        "closed_at": instant(found.closed_at),
        "open": len(found.open),
    }


def order_document(order: Order) -> Document:
    """An order as it was given."""
    body = order.body
    return {
        "revocation": body.revocation,
        "target": {"kind": body.target.kind, "id": body.target.id},
        "mode": body.mode,
        "cascade": body.cascade,
        "issued_before": instant(body.issued_before),
        "reason": body.reason,
        "note": body.note,
        "ordered_by": body.ordered_by,
        "approved_by": body.approved_by,
        "ordered_at": format_instant(order.given_at),
        "effective_at": format_instant(order.effective_at),
        "in_force_at": format_instant(in_force_at(order)),
        "lifted_at": format_instant(order.lifted_at) if order.is_lifted else None,
    }
