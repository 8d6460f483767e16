"""Whether a revocation is complete, and what is open (clauses 10.3 to 10.16)."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload

from lineage.core.authority.receivers import HandMark
from lineage.core.authority.world import World
from lineage.core.findings.nearby import in_verdict, near
from lineage.core.model.keys import split_key
from lineage.core.model.times import SECOND, Instant, format_instant
from lineage.core.revocation.closure import (
    Closure,
    ClosureTally,
    ElementEvidence,
    compute_closure,
    compute_closure_of_groups,
)
from lineage.core.revocation.ended import ended_in
from lineage.core.revocation.enforced_elsewhere import endings_elsewhere
from lineage.core.revocation.late_uses import uses_under
from lineage.core.revocation.open_items import OpenItem, OpenItems
from lineage.core.revocation.receipt import receipt_of
from lineage.serve.cache.loader import judgements_of
from lineage.serve.cache.revocation_cache import (
    EffectsBuilder,
    RevocationEffects,
)
from lineage.serve.documents.core_documents import Document, instant, prepared
from lineage.serve.queries.revocations.other_orders import OtherWords
from lineage.serve.queries.revocations.revocation_snapshot import RevocationMoment, around, moment_of
from lineage.serve.queries.service import Service
from lineage.store.reading.descendants import PART, load_successes
from lineage.store.reading.reader import Reader
from lineage.store.reading.revocation_facts import deliveries, is_any_published, load_receivers


def closure(service: Service, revocation: str, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Answer whether a revocation is complete, and what is open (``OpenDocuments``); None if there is no such order."""
    with moment_of(service, known_at) as moment:
        found = closed(moment, revocation, at)
        if found is None:
            return None
        return {**found[1], "as_of": moment.service.as_of()}


def closed(moment: RevocationMoment, revocation: str, at: Instant) -> tuple[World, Document] | None:
    """Compute the verdict on an id, and a world with its orders; None if there are none."""
    receivers = moment.reader.world()
    load_receivers(moment.reader, receivers)
    world = around_with(moment.reader, receivers, revocation)
    if world is None:
        return None
    found = close_at(moment, world, revocation, at)
    options = moment.service.options
    findings = in_verdict(world, found, at, options)
    wrong = prepared(near(world, [f"revocation:{revocation}"], at, options, told=findings), options)
    judgements = judgements_of(moment.reader, [one.unjudged["id"] for one in wrong])
    return world, {**closure_document(found), "findings": [one.document(options, judgements, at) for one in wrong]}


def around_with(reader: Reader, receivers: World, revocation: str) -> World | None:
    """Load the world of ``around`` and add receivers; None if there is no such order."""
    world = around(reader, revocation)
    if not world.orders.by_id.get(revocation):
        return None
    for receiver in receivers.receivers.registrations:
        for fact in receivers.receivers.registrations.get(receiver):
            world.add(fact)
    return world


def close_at(moment: RevocationMoment, world: World, revocation: str, at: Instant) -> Closure:
    """Compute the verdict.

    Raises:
        TooManyError: It concerns more elements than can be cached.
    """
    ends = moment.ends(world, revocation, at)
    if ends is not None and not is_any_published(moment.reader):
        OtherWords(moment.reader, world, revocation).bring(ends.groups.apart)
        return compute_closure_of_groups(world, revocation, at, ends.groups)
    return compute_closure(world, revocation, at, evidence(moment, world, revocation, at))


def evidence(moment: RevocationMoment, world: World, revocation: str, at: Instant) -> Iterator[ElementEvidence]:
    """Yield what the orders of an id have ended, with the uses and deliveries of each.

    Args:
        moment: The snapshot.
        world: What ``around_with`` loaded; what other orders say of the elements is added to it.
        revocation: The id.
        at: The instant asked about.

    Raises:
        TooManyError: It concerns more elements than can be cached.
    """
    ends = moment.ends(world, revocation, at)
    words = OtherWords(moment.reader, world, revocation)
    if ends is not None:
        yield from _evidence_again(moment.reader, ends, at, words)
        return
    gathering = EffectsBuilder(world, revocation, at, is_over=moment.kept is None)
    for ended, uses in moment.gathered(world, revocation, at, gathering):
        words.bring(ended)
        delivered = deliveries(moment.reader, [one.key for one in ended], at)
        for one in ended:
            yield ElementEvidence(one, uses.get(one.key, ()), delivered)
    moment.keep(revocation, gathering.ends())


def _evidence_again(
    reader: Reader, ends: RevocationEffects, at: Instant, words: OtherWords
) -> Iterator[ElementEvidence]:
    """Combine the cached effects with the deliveries so far."""
    words.bring(ends.ended.values())
    every = iter(ends.ended.values())
    while part := list(islice(every, PART)):
        delivered = deliveries(reader, [one.key for one in part], at)
        for one in part:
            yield ElementEvidence(one, ends.uses.get(one.key, ()), delivered)


def closure_document(found: Closure) -> Document:
    """Convert a verdict, without its findings and without the progress of the projection."""
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
        "open": OpenDocuments(found.open),
        "reopened_by": list(found.reopened_by),
        **({"by_hand": [_mark_document(mark) for mark in found.by_hand]} if found.by_hand else {}),
        **({"lifted_at": format_instant(found.lifted_at)} if found.lifted_at is not None else {}),
    }


def _tally_document(tally: ClosureTally) -> Document:
    return {
        "receiver": tally.receiver,
        "covers": tally.covers,
        "delivered": tally.delivered,
        "enforced": tally.enforced,
        "rejected": tally.rejected,
        "pending": tally.pending,
    }


def _mark_document(mark: HandMark) -> Document:
    return {**mark._asdict(), "said_at": format_instant(mark.said_at)}


class OpenDocuments(Sequence[Document]):
    """Open items, of which there may be hundreds of thousands; each is converted when it is read.

    Attributes:
        items: The items.
    """

    def __init__(self, items: OpenItems) -> None:
        """Convert some items when they are read."""
        self.items = items

    def __len__(self) -> int:
        """The number of items."""
        return len(self.items)

    @overload
    def __getitem__(self, place: int) -> Document: ...
    @overload
    def __getitem__(self, place: slice) -> list[Document]: ...
    def __getitem__(self, place: int | slice) -> Document | list[Document]:
        """Convert one item, or a list of several."""
        if isinstance(place, slice):
            return list(map(_open_document, self.items[place]))
        return _open_document(self.items[place])

    def __iter__(self) -> Iterator[Document]:
        """Convert all items, one after the other."""
        return map(_open_document, self.items)

    def __eq__(self, other: object) -> bool:
        """Whether the items are the same."""
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list


def _open_document(one: OpenItem) -> Document:
    kind, id_ = split_key(one.key)
    if one.receiver is None:
        return {"kind": kind, "id": id_, "reason": one.reason}
    return {"kind": kind, "id": id_, "receiver": one.receiver, "reason": one.reason}


def confirmation_of(reader: Reader, world: World, key: str, at: Instant, *, successes: bool = True) -> Document:
    """Answer what revoked one element, which receivers have not enforced that, and its later uses.

    Args:
        reader: A snapshot of the store.
        world: The element and what is needed to evaluate it.
        key: ``KIND:ID``.
        at: The instant asked about.
        successes: Whether to read all its uses; otherwise only those in the world count.
    """
    ids = sorted(id_ for id_ in world.orders.by_id if receipt_of(world, id_, at, {key}))
    unconfirmed: list[Document] = []
    used_after: set[str] = set()
    delivered = deliveries(reader, [key], at) if ids else {}
    if ids:
        load_receivers(reader, world)
        reader.load_about(world, [f"revocation:{id_}" for id_ in ids])
    for id_ in ids:
        [line] = receipt_of(world, id_, at, {key})
        # Without all uses it cannot be ruled out that it was used since.
        endings = endings_elsewhere(world, id_, {key}) if successes else {}
        if successes:
            orders = (line.order, *(one.order for some in endings.values() for one in some))
            load_successes(reader, world, [key], min(order.effective_at for order in orders))
        uses = uses_under(world, [line], at).get(key, [])
        [ended] = ended_in(world, [line], endings, at)
        OtherWords(reader, world, id_).bring([ended])
        found = compute_closure(world, id_, at, [ElementEvidence(ended, uses, delivered)])
        unconfirmed += [{"revocation": id_, "receiver": one.receiver, "reason": one.reason} for one in found.open]
        used_after.update(use.action for use in uses if use.in_force)
    return {"revoked_by": ids, "unconfirmed": unconfirmed, "used_after": sorted(used_after)}
