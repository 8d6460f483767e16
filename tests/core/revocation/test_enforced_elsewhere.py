"""Enforcement under orders of other ids: compared with the model, with a simulated receiver, and in single stories."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import (
    ActionPerformed,
    Body,
    Event,
    Fact,
    PrincipalRegistered,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.core.revocation.closure import Closure, ClosureVerdict, closure_of
from lineage.core.revocation.enforced import orders_ending
from lineage.core.revocation.receipt import receipt_of
from tests.support import compare, model
from tests.support.enforcement import (
    ENDED,
    HALF_HOUR,
    IDS,
    LAST,
    RECEIVERS,
    START,
    an_order,
    fact,
    late_fact,
    several_ids,
)

SEEDS = st.integers(0, 2**32)


def body_of(fields: dict[str, Any]) -> Body:
    """Return the body of an event of a random world."""
    [found] = compare.facts_of([{"event": {**fields, **ENVELOPE}, "recorded_at": 0, "via": "orders"}])
    return found.event.body


ENVELOPE = {"event_id": "e", "source": "urn:x", "occurred_at": model.rfc3339(START)}


def random_deliveries(rng: random.Random) -> dict[tuple[str, str], int]:
    """Return the deliveries to receivers, with their times."""
    return {
        (receiver, f"token:{token}"): START + rng.randint(1, 12) * HALF_HOUR
        for receiver in RECEIVERS[:2]
        for token in ENDED
        if rng.random() < 0.7
    }


@pytest.mark.slow
@settings(max_examples=300)
@given(SEEDS)
def test_orders_of_several_ids_have_the_verdict_of_the_model(seed: int):
    """
    Several ids over the same tokens, with lifts in between and uses after: the same verdict, and the same open items.
    """
    rng = random.Random(seed)
    records = several_ids(rng)
    known_at = rng.choice([None, None, START + rng.randint(1, 14) * HALF_HOUR])
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts, known_at=known_at)
    for at in rng.sample(range(START, LAST + HALF_HOUR, HALF_HOUR), 3):
        delivered = random_deliveries(rng)
        for revocation in IDS:
            expected = model.closure(records, revocation, at, known_at, None, delivered)
            if expected is None:
                assert not world.orders.by_id.get(revocation)
                continue
            found = closure_of(world, revocation, at, delivered)
            assert expected["verdict"] == "CLOSED" or found.verdict is not ClosureVerdict.CLOSED
            assert expected == compare.closure_in(found), (revocation, at)


def said_under(body: Body) -> str | None:
    """Return the id of an acknowledgement."""
    return body.revocation if isinstance(body, RevocationAcknowledged) else None


class Log:
    """A log that records everything immediately, and two receivers that do what they are told.

    Producers may send any date. A receiver ends an element when it acknowledges an order that is known to end it, and
    honours it again as soon as the element is known to be alive.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.now = START
        self.facts: list[Fact] = []
        self.ended: set[tuple[str, str]] = set()
        self.delivered: dict[tuple[str, str], int] = {}
        for token in ENDED:
            self.say(TokenIssued(token, "human:alice"))
        for receiver in RECEIVERS[:2]:
            self.say(ReceiverRegistered(receiver))

    def say(self, body: Body, occurred_at: int | None = None) -> None:
        event_id = f"e-{len(self.facts)}"
        self.facts.append(Fact(Event(event_id, "urn:x", occurred_at or self.now, body), self.now))

    def dead(self) -> set[str]:
        """Return the tokens that are dead by current knowledge."""
        world = World(self.facts)
        judged = verdicts_of(world, [f"token:{token}" for token in ENDED], self.now)
        return {key for key, verdict in judged.items() if verdict.state not in (State.ACTIVE, State.NOT_YET_VALID)}

    def ids_ending(self, key: str) -> set[str]:
        orders = orders_ending(World(self.facts), key)
        return {order.body.revocation for order in orders if order.in_force(self.now)}

    def deliver(self) -> None:
        """Notify every receiver immediately of what is dead and what is not."""
        dead = self.dead()
        for receiver in RECEIVERS[:2]:
            for token in ENDED:
                key = f"token:{token}"
                if key in dead:
                    self.delivered.setdefault((receiver, key), self.now)
                else:
                    self.delivered.pop((receiver, key), None)
                    self.ended.discard((receiver, key))

    def acknowledge(self) -> None:
        """A receiver acknowledges, for a token or in general, that it has enforced an order."""
        receiver, revocation = self._rng.choice(RECEIVERS[:2]), self._rng.choice(IDS)
        keys = {key for key in self.dead() if revocation in self.ids_ending(key)}
        if keys and self._rng.random() < 0.7:
            key = self._rng.choice(sorted(keys))
            self.say(RevocationAcknowledged(revocation, receiver, "enforced", key.removeprefix("token:")))
            self.ended.add((receiver, key))
        elif revocation in {id_ for key in self.dead() for id_ in self.ids_ending(key)}:
            self.say(RevocationAcknowledged(revocation, receiver, "enforced"))
            self.ended |= {(receiver, key) for key in keys}

    def go_on(self) -> None:
        """Something happens."""
        self.now += HALF_HOUR
        match self._rng.choice(["order", "order", "lift", "word", "word", "word", "late"]):
            case "order":
                self.say(
                    body_of({"type": "revocation.ordered", "revocation": self._rng.choice(IDS)} | an_order(self._rng))
                )
            case "lift":
                self.say(RevocationLifted(self._rng.choice(IDS), "human:ir"))
            case "late":
                self.say(body_of(late_fact(self._rng)), self.now - self._rng.randint(0, 20) * HALF_HOUR)
            case _:
                self.acknowledge()
        self.deliver()

    def enforced(self, revocation: str, *, alone: bool) -> set[tuple[str, str]]:
        """Return what counts as enforced, with the receiver; with ``alone`` only by acknowledgements under its id."""
        elsewhere = set(IDS) - {revocation} if alone else set()
        world = World(one for one in self.facts if said_under(one.event.body) not in elsewhere)
        found = closure_of(world, revocation, self.now, self.delivered)
        still = {(one.receiver, one.key) for one in found.open}
        lines = [line.key for line in receipt_of(world, revocation, self.now) if line.ends_at > self.now]
        return {(receiver, key) for receiver in RECEIVERS[:2] for key in lines} - still


@pytest.mark.slow
@settings(max_examples=300)
@given(SEEDS)
def test_nothing_counts_as_enforced_that_a_receiver_has_not_ended(seed: int):
    """
    Whatever producers add, with any date: an element that counts as enforced, under the id or another, is ended there.
    """
    rng = random.Random(seed)
    log = Log(rng)
    for _ in range(rng.randint(4, 20)):
        log.go_on()
        for revocation in IDS:
            if any(
                getattr(one.event.body, "target", None) and one.event.body.revocation == revocation for one in log.facts
            ):
                assert log.enforced(revocation, alone=True) <= log.ended, (revocation, log.now)
                assert log.enforced(revocation, alone=False) <= log.ended, (revocation, log.now)


# One story at a time

T1, T2 = "idp#t1", "idp#t2"
KEY = f"token:{T1}"
GATEWAY = RECEIVERS[0]


def order(
    id_: str, at: int, kind: str = "token", target: str = T1, recorded_at: int | None = None, **fields: Any
) -> Fact:
    return fact(RevocationOrdered(id_, Target(kind, target), "test", "human:ir", **fields), at, recorded_at)


def lift(id_: str, at: int, recorded_at: int | None = None, **fields: Any) -> Fact:
    return fact(RevocationLifted(id_, "human:ir", **fields), at, recorded_at)


def word(id_: str, at: int, outcome: str = "enforced", token: str | None = T1, recorded_at: int | None = None) -> Fact:
    return fact(RevocationAcknowledged(id_, GATEWAY, outcome, token), at, recorded_at)


def used(at: int, recorded_at: int | None = None) -> Fact:
    return fact(ActionPerformed(f"use-{at}", "mail.send", "succeeded", token=T1), at, recorded_at)


def link(recorded_at: int, occurred_at: int = 0) -> Fact:
    """Build a second sighting of the token, by which it depends on another."""
    body = TokenIssued(T1, "human:alice", derived_from=((T2, "subject"),))
    return fact(body, occurred_at, recorded_at)


HISTORY = [fact(TokenIssued(T1, "human:alice"), 0), fact(ReceiverRegistered(GATEWAY), 0)]


def verdict(
    *facts: Fact, of: str = "r2", at: int = 9_000, delivered: dict[tuple[str, str], int] | None = None
) -> Closure:
    return closure_of(World([*HISTORY, *facts]), of, at, delivered or {})


def test_enforcement_under_one_order_counts_for_a_later_one():
    """
    The token was dead throughout; the later verdict was closed as soon as its order was in force. Clause 10.10.
    """
    found = verdict(order("r1", 1_000), word("r1", 2_000), order("r2", 3_000))

    assert (ClosureVerdict.CLOSED, 3_000, ()) == (found.verdict, found.closed_at, found.open)
    assert (1, 0) == (found.receivers[0].enforced, found.receivers[0].pending)


def test_enforcement_under_a_later_order_counts_for_an_earlier_one():
    """
    The receiver acknowledges the second order and never the first.
    """
    found = verdict(order("r2", 1_000), order("r1", 2_000, "principal", "human:alice"), word("r1", 3_000))

    assert (ClosureVerdict.CLOSED, 3_000) == (found.verdict, found.closed_at)


def test_a_general_acknowledgement_applies_to_earlier_deliveries():
    """
    Without a token it is about everything that had been delivered to the receiver by then. Clause 10.9.
    """
    facts = [order("r1", 1_000), word("r1", 2_000, token=None), order("r2", 3_000)]

    assert ClosureVerdict.PARTIAL is verdict(*facts).verdict
    assert ClosureVerdict.CLOSED is verdict(*facts, delivered={(GATEWAY, KEY): 2_000}).verdict
    assert ClosureVerdict.PARTIAL is verdict(*facts, delivered={(GATEWAY, KEY): 2_001}).verdict


def test_a_general_acknowledgement_does_not_apply_to_elements_linked_later():
    """
    The token had been delivered because of another order, which the receiver never acknowledged. Clause 10.9.
    """
    facts = [order("r1", 1_000), order("r2", 2_000, target=T2), word("r2", 3_000, token=None)]
    delivered = {(GATEWAY, KEY): 1_500, (GATEWAY, f"token:{T2}"): 2_500}

    assert [KEY] == [one.key for one in verdict(*facts, link(3_001), delivered=delivered).open]
    assert ClosureVerdict.CLOSED is verdict(*facts, link(2_500), delivered=delivered).verdict
    assert ClosureVerdict.CLOSED is verdict(*facts, link(3_001), word("r1", 4_000), delivered=delivered).verdict


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        ([lift("r1", 2_500)], ClosureVerdict.PARTIAL),  # it was alive from then on
        ([lift("r1", 3_000)], ClosureVerdict.CLOSED),  # at that moment the next order takes over
        ([lift("r1", 8_000)], ClosureVerdict.CLOSED),
        ([lift("r1", 2_500, effective_at=4_000)], ClosureVerdict.CLOSED),
        ([lift("r1", 2_500, recorded_at=5_000)], ClosureVerdict.PARTIAL),  # the lift came late, but it was alive anyway
        ([lift("r1", 2_500), order("r3", 2_500, mode="suspend")], ClosureVerdict.CLOSED),  # taken over
        ([lift("r1", 2_500), order("r3", 2_600, mode="suspend")], ClosureVerdict.PARTIAL),
        ([lift("r1", 2_500), order("r3", 2_500, recorded_at=2_600)], ClosureVerdict.PARTIAL),  # known too late
        ([lift("r1", 2_500), order("r3", 2_600, effective_at=2_000)], ClosureVerdict.PARTIAL),
        ([order("r3", 1_500, mode="suspend"), lift("r3", 2_500)], ClosureVerdict.CLOSED),
    ],
)
def test_an_element_alive_in_between_must_be_enforced_again(between: list[Fact], expected: ClosureVerdict):
    """
    Suspended, acknowledged, perhaps lifted, and revoked by another order: it matters whether it was dead throughout.
    Clause 10.10.
    """
    found = verdict(order("r1", 1_000, mode="suspend"), word("r1", 2_000), *between, order("r2", 3_000))

    assert expected is found.verdict


@pytest.mark.parametrize("occurred_at", [0, 500, 10**15])
def test_no_later_link_makes_a_token_look_dead_in_between(occurred_at: int):
    """
    A later fact says that it depended on a revoked element: the receiver had honoured it again in between anyway.
    """
    revoked = order("r3", 500, target=T2)
    facts = [revoked, order("r1", 1_000, mode="suspend"), word("r1", 2_000), lift("r1", 2_500), order("r2", 3_000)]

    assert ClosureVerdict.CLOSED is verdict(*facts, link(1_500, occurred_at)).verdict
    assert ClosureVerdict.PARTIAL is verdict(*facts, link(2_501, occurred_at)).verdict
    assert ClosureVerdict.PARTIAL is verdict(*facts, link(4_000, occurred_at)).verdict


LATER_KNOWN = [
    PrincipalRegistered("human:alice", "human", aliases=("okta|1",)),
    TokenIssued(T1, "human:alice", actor="okta|1"),
    TokenIssued(T1, "human:alice", issued_at=10),
]


@pytest.mark.parametrize("late", LATER_KNOWN)
@pytest.mark.parametrize("recorded_at", [1_500, 4_000])
def test_no_other_later_fact_makes_a_token_look_dead_in_between(late: Body, recorded_at: int):
    """
    An alias, a name, an earlier issue: an order that hits the token because of it counts from when that was recorded.
    """
    by_name = order("r3", 500, "principal", "okta|1")
    if isinstance(late, TokenIssued) and late.issued_at is not None:
        by_name = order("r3", 500, "principal", "human:alice", issued_before=20)
    history = [fact(TokenIssued(T1, "human:alice"), 50), fact(ReceiverRegistered(GATEWAY), 0)]
    facts = [by_name, order("r1", 1_000, mode="suspend"), word("r1", 2_000), lift("r1", 2_500), order("r2", 3_000)]
    found = closure_of(World([*history, *facts, fact(late, 60, recorded_at)]), "r2", 9_000, {})

    assert (ClosureVerdict.CLOSED if recorded_at < 2_500 else ClosureVerdict.PARTIAL) is found.verdict


def test_an_acknowledgement_does_not_apply_to_an_element_linked_later():
    """
    A receiver had enforced everything delivered for one order; that the order ends this token too is stated later.
    """
    facts = [order("r1", 500, target=T2), order("r2", 1_000, mode="suspend"), word("r1", 2_000, token=None)]

    assert ClosureVerdict.PARTIAL is verdict(*facts, link(4_000), delivered={(GATEWAY, KEY): 1_500}).verdict
    assert ClosureVerdict.CLOSED is verdict(*facts, link(600), delivered={(GATEWAY, KEY): 1_500}).verdict


def test_a_later_use_invalidates_the_enforcement():
    """
    A receiver that accepts it after enforcing it has not ended it. A use before that changes nothing.
    """
    facts = [order("r1", 1_000), word("r1", 2_000), order("r2", 3_000)]

    assert ClosureVerdict.CLOSED is verdict(*facts, used(1_999)).verdict
    assert ClosureVerdict.PARTIAL is verdict(*facts, used(2_000)).verdict
    assert ClosureVerdict.PARTIAL is verdict(*facts, used(2_500, recorded_at=5_000)).verdict
    assert ClosureVerdict.CLOSED is verdict(*facts, used(2_500), word("r1", 2_600)).verdict


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([word("r1", 2_000), word("r1", 2_100, "rejected")], "pending"),
        ([word("r1", 2_000), word("r2", 3_100, "rejected")], "rejected"),
        ([word("r2", 3_100, "rejected"), word("r1", 3_200)], None),
        ([word("r1", 999)], "pending"),  # before the order: it speaks for nothing
        ([word("r1", 2_000, token=T2)], "pending"),
        ([word("r3", 2_000)], "pending"),  # an order that never ended it
        ([word("r1", 2_000, recorded_at=5_000)], None),
    ],
)
def test_the_last_acknowledgement_about_an_element_counts(words: list[Fact], expected: str | None):
    """
    Among everything a receiver acknowledged under the orders that end it; those under this id are reported as before.
    """
    other = order("r3", 500, target="idp#t9")
    found = verdict(order("r1", 1_000), other, order("r2", 3_000), *words)

    assert ([] if expected is None else [expected]) == [one.reason for one in found.open]


def test_an_untrusted_order_carries_no_enforcement_over():
    """
    It is not an order, so acknowledgements under it are about nothing.
    """
    foreign = order("r1", 1_000)
    foreign = foreign._replace(event=foreign.event._replace(source="urn:rogue"))
    facts = [*HISTORY, foreign, word("r1", 2_000), order("r2", 3_000)]
    table = TrustTable({"urn:test": SourceGrant(frozenset({"*"}), ("",)), "urn:rogue": SourceGrant(frozenset(), ("",))})

    assert ClosureVerdict.CLOSED is closure_of(World(facts), "r2", 9_000, {}).verdict
    assert ClosureVerdict.PARTIAL is closure_of(World(facts, trust=table), "r2", 9_000, {}).verdict


def test_enforcement_without_a_cascade_counts_under_an_order_with_one():
    """
    A rotation of one token, acknowledged, and then its owner is revoked with everything that depends on them.
    """
    facts = [order("r1", 1_000, cascade=False), word("r1", 2_000), order("r2", 3_000, "principal", "human:alice")]
    child = fact(TokenIssued(T2, "human:bob", derived_from=((T1, "subject"),)), 10)

    assert ClosureVerdict.CLOSED is verdict(*facts).verdict
    assert [f"token:{T2}"] == [one.key for one in verdict(*facts, child).open]


def test_imported_events_count_in_the_order_of_their_occurrence():
    """
    All are recorded at the import, long after they happened.
    """
    first = [order("r1", 1_000, recorded_at=7_000, mode="suspend"), word("r1", 2_000, recorded_at=7_000)]
    second = [order("r2", 3_000, recorded_at=8_000), lift("r1", 4_000, recorded_at=8_000)]

    assert ClosureVerdict.CLOSED is verdict(*first, *second).verdict
    assert ClosureVerdict.PARTIAL is verdict(*first, second[0], lift("r1", 2_500, recorded_at=8_000)).verdict


def test_no_later_link_closes_an_order_that_shares_its_id_with_an_earlier_one():
    """
    The receiver acknowledged everything before the second order of the id; that the first one ended this token too is
    stated afterwards.
    """
    facts = [
        *(order("r2", 500, target=T2), order("r1", 1_000, mode="suspend")),
        *(word("r2", 2_000, token=None), order("r2", 3_000)),
    ]
    delivered = {(GATEWAY, KEY): 1_500}

    assert [KEY] == [one.key for one in verdict(*facts, delivered=delivered).open if one.key == KEY]
    assert [KEY] == [one.key for one in verdict(*facts, link(4_000), delivered=delivered).open if one.key == KEY]
    assert [] == [one.key for one in verdict(*facts, link(1_200), delivered=delivered).open if one.key == KEY]
