"""Verdicts: coverage, acknowledgements and late uses, compared with the model, and in single stories."""

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.receivers import CoverageClass, covers, issuer_of, narrowed
from lineage.core.authority.world import World
from lineage.core.model.events import (
    ActionPerformed,
    DecisionMade,
    Fact,
    ReceiverRegistered,
    RevocationAcknowledged,
    RevocationLifted,
    RevocationOrdered,
    Target,
    TokenIssued,
)
from lineage.core.model.keys import by_id
from lineage.core.revocation.closure import (
    Closure,
    ClosureVerdict,
    ElementEvidence,
    closure_of,
    compute_closure,
    compute_closure_of_groups,
)
from lineage.core.revocation.ended import EndedElement, EndedGroups, ended_in
from lineage.core.revocation.enforced import orders_ending
from lineage.core.revocation.enforced_elsewhere import endings_elsewhere
from lineage.core.revocation.late_uses import uses_under
from lineage.core.revocation.open_items import OpenItem, OpenItems
from lineage.core.revocation.receipt import receipt_of
from tests.support import compare, model, worlds
from tests.support.enforcement import RECEIVERS, ack, enforcement, fact

SEEDS = st.integers(0, 2**32)


# Random worlds


@pytest.mark.slow
@settings(max_examples=300)
@given(SEEDS)
def test_the_verdict_equals_that_of_the_model(seed: int):
    """
    For any registrations, acknowledgements, deliveries and actions, in any order: the same verdict, and the same open
    items.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    records += enforcement(rng, records)
    trust = worlds.trust(rng) if rng.random() < 0.1 else None
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts, trust=compare.table_of(trust), known_at=known_at)

    for revocation in worlds.REVOCATIONS:
        at = rng.choice(worlds.grid[3:])
        keys = [line.key for line in receipt_of(world, revocation, at)]
        delivered = {
            (receiver, key): rng.choice(worlds.grid) for receiver in RECEIVERS for key in keys if rng.random() < 0.5
        }
        expected = model.closure(records, revocation, at, known_at, trust, delivered)
        if expected is None:
            assert not world.orders.by_id.get(revocation)
            continue
        found = closure_of(world, revocation, at, delivered)
        assert expected == compare.closure_in(found), (revocation, at)
        assert (found.closed_at is not None) == (found.verdict is ClosureVerdict.CLOSED)
        assert found.closed_at is None or found.closed_at <= max(at, found.in_force_at)


@pytest.mark.parametrize("seed", range(50))
def test_an_acknowledgement_of_something_else_changes_no_figure(seed: int):
    """
    Elements that nobody has acknowledged are counted together; an acknowledgement of another token makes the verdict
    examine them one by one, with the same result.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    records += enforcement(rng, records)
    facts = [one for one in compare.facts_of(records) if not isinstance(one.event.body, RevocationAcknowledged)]
    facts.append(fact(ReceiverRegistered("urn:all"), min(worlds.grid)))
    at = max(worlds.grid)
    world, told = World(facts), World(facts)
    for revocation in worlds.REVOCATIONS:
        told.add(fact(RevocationAcknowledged(revocation, "urn:nobody", "enforced", "other"), at))

    for revocation in sorted(world.orders.by_id):
        lines = receipt_of(world, revocation, at)
        uses, endings = (
            uses_under(world, lines, at),
            endings_elsewhere(world, revocation, [line.key for line in lines]),
        )
        ended = ended_in(world, lines, endings, at)
        delivered = {
            (receiver, one.key): at for receiver in (*RECEIVERS, "urn:all") for one in ended if rng.random() < 0.5
        }
        rng.shuffle(ended)
        judged = [ElementEvidence(one, uses.get(one.key, ()), delivered) for one in ended]
        expected, found = (compute_closure(each, revocation, at, judged) for each in (told, world))
        assert replace(expected, findings=()) == replace(found, findings=())
        assert list(found.open) == sorted(found.open, key=lambda one: (*by_id(one.key), one.receiver or ""))


@pytest.mark.parametrize("seed", range(100))
def test_elements_counted_in_groups_have_the_verdict_of_each_alone(seed: int):
    """
    For any registrations, acknowledgements and actions, while nothing was delivered: every figure is the same at any
    instant, also if some of the elements have expired by then.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    records += enforcement(rng, records)
    facts = compare.facts_of(records)
    if rng.random() < 0.5:
        facts.append(fact(ReceiverRegistered("urn:all"), min(worlds.grid)))
    world = World(facts)
    for revocation in sorted(world.orders.by_id):
        at = rng.choice(worlds.grid[3:])
        lines = receipt_of(world, revocation, at)
        uses, endings = (
            uses_under(world, lines, at),
            endings_elsewhere(world, revocation, [line.key for line in lines]),
        )
        groups = EndedGroups({one.key: one for one in ended_in(world, lines, endings, at)}, uses)
        for then in (at, max(worlds.grid), rng.choice(worlds.grid[3:])):
            judged = [ElementEvidence(one, uses.get(one.key, ()), {}) for one in groups.ended.values()]
            expected = compute_closure(world, revocation, then, judged)
            assert expected == compute_closure_of_groups(world, revocation, then, groups), (revocation, then)


@pytest.mark.parametrize("seed", range(100))
def test_groups_that_were_updated_equal_new_ones(seed: int, monkeypatch: pytest.MonkeyPatch):
    """
    Whatever elements are new, ended no longer or used since, and however many are few. Orders are read again each time.
    """
    rng = random.Random(seed)
    monkeypatch.setattr("lineage.core.model.keys.FEW", rng.choice((0, 2, 1_000)))
    monkeypatch.setattr("lineage.core.revocation.ended.FEW", rng.choice((0, 2, 1_000)))
    records = worlds.world(rng)
    facts = compare.facts_of(records + enforcement(rng, records))
    at = rng.choice(worlds.grid[3:])
    for revocation in sorted(World(facts).orders.by_id):
        groups, before = None, {}
        for _ in range(4):
            world = World(facts)
            lines = receipt_of(world, revocation, at)
            uses = uses_under(world, lines, at)
            endings = endings_elsewhere(world, revocation, [line.key for line in lines])
            every = ended_in(world, lines, endings, at)
            some = {one.key: one for one in every if rng.random() < 0.7}
            used = {key: found for key, found in uses.items() if key in some and rng.random() < 0.5}
            differing = {key for key in before | some if differs(key, before, (some, used))}
            if groups is not None:
                keys = differing | {one.key for one in every if rng.random() < 0.3}
                ended = {key: some[key] if key in keys else groups.ended[key] for key in some}
                groups = groups.updated(keys, ended, used)
            else:
                groups = EndedGroups(some, used)
            before = {key: (one, used.get(key)) for key, one in some.items()}
            fresh = EndedGroups(some, used)
            assert fresh.keys == groups.keys
            assert (fresh.apart, fresh.ends, fresh.first_end) == (groups.apart, groups.ends, groups.first_end)
            for then in (at, max(worlds.grid)):
                expected, found = (compute_closure_of_groups(world, revocation, then, each) for each in (fresh, groups))
                assert expected == found


def differs(key: str, before: dict[str, Any], now: tuple[dict[str, EndedElement], dict[str, Any]]) -> bool:
    """Return whether an element, or the successes under it, were others before."""
    ended, uses = now
    return before.get(key) != (None if key not in ended else (ended[key], uses.get(key)))


def test_open_items_are_read_one_by_one_and_in_parts():
    """
    Like a tuple of the same items, whatever the number of reasons of each element.
    """
    entries = [("token:a", ((None, "uncovered"), ("urn:gw", "pending"))), ("token:b", (("urn:gw", "overdue"),))]
    whole = (
        OpenItem("token:a", None, "uncovered"),
        OpenItem("token:a", "urn:gw", "pending"),
        OpenItem("token:b", "urn:gw", "overdue"),
    )
    found = OpenItems(entries)
    assert (3, whole, whole[1], whole[-1]) == (len(found), tuple(found), found[1], found[-1])
    assert [list(whole[part]) for part in PARTS] == [found[part] for part in PARTS]
    assert {(None, "uncovered"): 1, ("urn:gw", "pending"): 1, ("urn:gw", "overdue"): 1} == found.by_receiver
    assert (0, ()) == (len(OpenItems()), OpenItems())
    with pytest.raises(IndexError):
        found[3]


PARTS = [slice(None), slice(1, 2), slice(-2, None), slice(5, 9), slice(None, None, 2)]
HALF_HOUR = 1_800_000_000


def reused_ids(rng: random.Random) -> list[dict[str, Any]]:
    """Generate orders, lifts and acknowledgements that share two ids, on two tokens, one depending on the other."""
    start = model.micros("2026-11-01T09:00:00Z")
    target = {"kind": "token", "id": "idp#t1"}
    child = {"token": "idp#t2", "subject": "human:alice", "derived_from": [{"token": "idp#t1", "role": "subject"}]}
    events: list[dict[str, Any]] = [
        {"type": "token.issued", "token": "idp#t1", "subject": "human:alice"},
        {"type": "token.issued", **child},
        *({"type": "receiver.registered", "receiver": receiver} for receiver in RECEIVERS[: rng.randint(1, 2)]),
    ]
    moments = [start] * len(events)
    for _ in range(rng.randint(3, 12)):
        revocation = {"revocation": rng.choice(["r1", "r1", "r2"])}
        match rng.choice(["order", "lift", "word", "word"]):
            case "order":
                mode = {"mode": rng.choice(["suspend", "suspend", "revoke"]), "cascade": rng.random() < 0.8}
                fields = {"target": target, "reason": "test", "ordered_by": "human:ir", **mode}
                event = {"type": "revocation.ordered", **revocation, **fields}
            case "lift":
                event = {"type": "revocation.lifted", **revocation, "lifted_by": "human:ir"}
            case _:
                about = rng.choice([{}, {"token": "idp#t1"}, {"token": "idp#t2"}])
                outcome = rng.choice(["enforced", "enforced", "rejected"])
                fields = {"receiver": rng.choice(RECEIVERS[:2]), "outcome": outcome, **about}
                event = {"type": "revocation.acknowledged", **revocation, **fields}
        events.append(event)
        moments.append(start + rng.randint(1, 12) * HALF_HOUR)
    found = []
    for number, (event, moment) in enumerate(zip(events, moments, strict=True)):
        recorded_at = moment + rng.choice([0, 0, 0, -1, 2]) * HALF_HOUR
        key = {"event_id": f"e-{number}", "source": "urn:gw", "occurred_at": model.rfc3339(moment)}
        found.append({"event": {**event, **key}, "recorded_at": recorded_at, "via": "orders"})
    return found


@pytest.mark.slow
@settings(max_examples=300)
@given(SEEDS)
def test_an_acknowledgement_applies_only_to_orders_given_by_then(seed: int):
    """
    Ids of orders are reused, with suspensions and lifts in between: the verdict is that of the model at every half
    hour, and no element counts as enforced if every acknowledgement is older than all orders that end it. Clause 10.10.
    """
    rng = random.Random(seed)
    records = reused_ids(rng)
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts)
    start = model.micros("2026-11-01T09:00:00Z")

    for revocation in ("r1", "r2"):
        for at in range(start, start + 16 * HALF_HOUR, HALF_HOUR):
            delivered = {
                (receiver, f"token:idp#{token}"): start + rng.randint(1, 12) * HALF_HOUR
                for receiver in RECEIVERS[:2]
                for token in ("t1", "t2")
                if rng.random() < 0.7
            }
            expected = model.closure(records, revocation, at, None, None, delivered)
            if expected is None:
                assert not world.orders.by_id.get(revocation)
                continue
            found = closure_of(world, revocation, at, delivered)
            assert expected == compare.closure_in(found), (revocation, at)
            words = [fact.given_at for id_ in ("r1", "r2") for fact in world.receivers.acknowledgements.get(id_)]
            counting = [order for line in receipt_of(world, revocation, at) for order in orders_ending(world, line.key)]
            if counting and max(words, default=0) < min(order.given_at for order in counting):
                assert ClosureVerdict.CLOSED is not found.verdict
                assert not any(tally.enforced for tally in found.receivers)


# One story at a time

ORDERED, LATER, LATEST = 1_000, 2_000, 9_000
GATEWAY, MAIL = "urn:gw", "urn:mail"


def issued(token: str, at: int = 0, **fields: Any) -> Fact:
    return fact(TokenIssued(token, "human:alice", **fields), at)


def ordered(id_: str = "idp#t1", **fields: Any) -> Fact:
    recorded_at = fields.pop("recorded_at", None)
    body = RevocationOrdered("r1", Target("token", id_), "test", "human:ir", **fields)
    return fact(body, ORDERED, recorded_at)


def registered(receiver: str, at: int = 0, **fields: Any) -> Fact:
    return fact(ReceiverRegistered(receiver, **fields), at)


def done(action: str, at: int, outcome: str = "succeeded", token: str = "idp#t1") -> Fact:
    return fact(ActionPerformed(action, "mail.send", outcome, token=token), at)


def verdict(*facts: Fact, at: int = LATEST, delivered: dict[tuple[str, str], int] | None = None) -> Closure:
    return closure_of(World(facts), "r1", at, delivered or {})


def opened(found: Closure) -> list[tuple[str, str | None, str]]:
    return [(one.key, one.receiver, one.reason) for one in found.open]


LEAF = [issued("idp#t1"), ordered()]


def test_an_uncovered_element_makes_the_verdict_unknown():
    """
    Without a receiver nobody can say that the revocation is complete. Clause 10.11.
    """
    found = verdict(*LEAF)

    assert (ClosureVerdict.UNKNOWN, [("token:idp#t1", None, "uncovered")]) == (found.verdict, opened(found))
    assert (None, 1) == (found.closed_at, found.elements)


def test_a_receiver_that_has_not_answered_is_open_and_named():
    """
    One of two receivers has acknowledged enforced: PARTIAL, and the other one is named. Clause 10.11.
    """
    found = verdict(*LEAF, registered(GATEWAY), registered(MAIL), ack(GATEWAY, LATER))

    assert (ClosureVerdict.PARTIAL, [("token:idp#t1", MAIL, "pending")]) == (found.verdict, opened(found))
    assert [1, 0] == [tally.enforced for tally in found.receivers]


def test_it_is_closed_when_the_last_receiver_has_enforced_it():
    """
    CLOSED at the last acknowledgement, which is also when the interval from the order ends. Clause 10.11.
    """
    found = verdict(*LEAF, registered(GATEWAY), registered(MAIL), ack(GATEWAY, LATER), ack(MAIL, 3_000))

    assert (ClosureVerdict.CLOSED, 3_000, 3_000, ()) == (found.verdict, found.closed_at, found.enforced_at, found.open)


def test_partial_takes_precedence_over_unknown():
    """
    PARTIAL is the first verdict that applies. Clause 10.11.
    """
    child = issued("other#t2", derived_from=(("idp#t1", "subject"),))
    found = verdict(*LEAF, registered(GATEWAY, issuers=("idp",)), child)

    assert ClosureVerdict.PARTIAL is found.verdict
    assert [("token:idp#t1", GATEWAY, "pending"), ("token:other#t2", None, "uncovered")] == opened(found)


def test_an_expired_element_is_not_open():
    """
    Nobody answers, and the revocation is closed at the element's end. Clause 10.15.
    """
    facts = [issued("idp#t1", expires_at=5_000), ordered(), registered(GATEWAY)]

    assert ClosureVerdict.PARTIAL is verdict(*facts, at=4_999).verdict
    assert (ClosureVerdict.CLOSED, 5_000, None) == (
        (found := verdict(*facts, at=5_000)).verdict,
        found.closed_at,
        found.enforced_at,
    )


def test_a_rejection_stays_open():
    """
    A receiver that rejects is open and named, until it acknowledges enforced.
    """
    facts = [*LEAF, registered(GATEWAY), ack(GATEWAY, LATER, "rejected")]
    found = verdict(*facts)

    assert (ClosureVerdict.PARTIAL, [("token:idp#t1", GATEWAY, "rejected")]) == (found.verdict, opened(found))
    assert ClosureVerdict.CLOSED is verdict(*facts, ack(GATEWAY, 3_000)).verdict


def test_the_last_acknowledgement_of_a_receiver_counts():
    """
    Enforced first and rejected later is open. Clause 10.9.
    """
    assert (
        ClosureVerdict.PARTIAL
        is verdict(*LEAF, registered(GATEWAY), ack(GATEWAY, 3_000, "rejected"), ack(GATEWAY, 2_000)).verdict
    )


def test_an_answer_past_its_deadline_is_overdue():
    """
    `deadline_seconds` from in_force_at on: pending before, overdue at it.
    """
    facts = [*LEAF, registered(GATEWAY, deadline_seconds=1)]

    assert "pending" == verdict(*facts, at=1_000_999).open[0].reason
    assert "overdue" == verdict(*facts, at=1_001_000).open[0].reason


def test_an_acknowledgement_without_a_token_applies_to_earlier_deliveries():
    """
    Of two tokens one was delivered before and one after it: one is closed, the other is open. Clause 10.9.
    """
    child = issued("idp#t2", derived_from=(("idp#t1", "subject"),))
    delivered = {(GATEWAY, "token:idp#t1"): 1_500, (GATEWAY, "token:idp#t2"): 2_500}
    found = verdict(*LEAF, child, registered(GATEWAY), ack(GATEWAY, LATER, token=None), delivered=delivered)

    assert [("token:idp#t2", GATEWAY, "pending")] == opened(found)
    assert (2, 2, 1, 1) == ((one := found.receivers[0]).covers, one.delivered, one.enforced, one.pending)


def test_an_acknowledgement_without_any_delivery_does_not_count():
    """
    It closes nothing, and the answer says so. Clause 10.9.
    """
    found = verdict(*LEAF, registered(GATEWAY), ack(GATEWAY, LATER, token=None))

    assert ClosureVerdict.PARTIAL is found.verdict
    assert ["acknowledgement-of-nothing"] == [finding.kind for finding in found.findings]


def test_an_acknowledgement_before_the_order_does_not_count():
    """
    An acknowledgement that is before the order by either clock closes nothing, and the answer says so. Clause 10.10.
    """
    early = ack(GATEWAY, ORDERED - 1)
    found = verdict(*LEAF, registered(GATEWAY), early)

    assert ClosureVerdict.PARTIAL is found.verdict
    assert ["acknowledgement-before-order"] == [finding.kind for finding in found.findings]
    assert ClosureVerdict.PARTIAL is verdict(*LEAF, registered(GATEWAY), early._replace(recorded_at=LATER)).verdict
    ahead = ack(GATEWAY, LATER)._replace(recorded_at=ORDERED)
    assert (ClosureVerdict.CLOSED, ORDERED) == (
        (found := verdict(*LEAF, registered(GATEWAY), ahead)).verdict,
        found.closed_at,
    )


@pytest.mark.parametrize("token", ["idp#t1", None])
@pytest.mark.parametrize("outcome", ["enforced", "rejected"])
def test_an_acknowledged_suspension_does_not_cover_a_later_order_of_its_id(token: str | None, outcome: str):
    """
    Suspended, acknowledged, lifted, and revoked under the same id: the revocation has not been acknowledged yet. Clause
    10.10.
    """
    revoked = fact(RevocationOrdered("r1", Target("token", "idp#t1"), "test", "human:ir"), 4_000)
    lift = fact(RevocationLifted("r1", "human:ir"), 3_000)
    delivered = {(GATEWAY, "token:idp#t1"): 1_500}
    facts = [issued("idp#t1"), ordered(mode="suspend"), registered(GATEWAY), ack(GATEWAY, LATER, outcome, token)]
    found = verdict(*facts, lift, revoked, delivered=delivered)

    assert (ClosureVerdict.PARTIAL, [("token:idp#t1", GATEWAY, "pending")]) == (found.verdict, opened(found))
    assert ClosureVerdict.PARTIAL is verdict(*facts, lift, revoked, ack(GATEWAY, 3_999), delivered=delivered).verdict
    now = verdict(*facts, lift, revoked, ack(GATEWAY, 4_000), delivered=delivered)
    assert (ClosureVerdict.CLOSED, 4_000) == (now.verdict, now.closed_at)


def test_enforcement_persists_if_another_order_of_the_id_is_added():
    """
    An order that is still in force was acknowledged: the element was never alive in between. Clause 10.10.
    """
    second = fact(RevocationOrdered("r1", Target("token", "idp#t1"), "test", "human:ir"), 4_000)

    assert ClosureVerdict.CLOSED is verdict(*LEAF, registered(GATEWAY), ack(GATEWAY, LATER), second).verdict


def test_an_unregistered_receiver_closes_nothing():
    """
    Its acknowledgement is a finding, and the element stays uncovered.
    """
    found = verdict(*LEAF, ack(GATEWAY, LATER))

    assert (ClosureVerdict.UNKNOWN, ["unregistered-receiver"]) == (
        found.verdict,
        [finding.kind for finding in found.findings],
    )


def test_a_use_after_the_order_reopens_the_verdict():
    """
    A success under the dead token after all receivers had enforced it: open again, because of that action, and closed
    by a newer acknowledgement. Clause 10.16.
    """
    facts = [*LEAF, registered(GATEWAY), ack(GATEWAY, LATER), done("a1", 3_000)]
    found = verdict(*facts)

    assert (ClosureVerdict.PARTIAL, ("a1",)) == (found.verdict, found.reopened_by)
    assert [("token:idp#t1", GATEWAY, "used-after-revocation")] == opened(found)
    assert ["used-after-revocation"] == [finding.kind for finding in found.findings]
    again = verdict(*facts, ack(GATEWAY, 4_000))
    assert (ClosureVerdict.CLOSED, 4_000, ()) == (again.verdict, again.closed_at, again.reopened_by)


def test_a_use_before_the_order_was_known_is_tainted_and_reopens_nothing():
    """
    Back-dated by an hour, used in that hour: listed, and the verdict is unchanged. Clause 10.16.
    """
    facts = [issued("idp#t1"), ordered(effective_at=500), registered(GATEWAY), ack(GATEWAY, LATER), done("a1", 700)]
    found = verdict(*facts)

    assert (ClosureVerdict.CLOSED, ()) == (found.verdict, found.reopened_by)
    assert ["tainted-use"] == [finding.kind for finding in found.findings]


@pytest.mark.parametrize(("moment", "kind"), [(1_999, "tainted-use"), (2_000, "used-after-revocation")])
def test_an_order_is_in_force_from_its_recording_on(moment: int, kind: str):
    """
    in_force_at is recorded_at if that is later than effective_at; a use at that time is late. Clause 10.2.
    """
    found = verdict(issued("idp#t1"), ordered(recorded_at=2_000), done("a1", moment))

    assert (2_000, [kind]) == (found.in_force_at, [finding.kind for finding in found.findings])


def test_a_failed_or_denied_use_reopens_nothing():
    """
    A gateway that refuses the dead token does what it should.
    """
    facts = [*LEAF, registered(GATEWAY), ack(GATEWAY, LATER), done("a1", 3_000, "denied"), done("a2", 3_000, "failed")]

    assert (ClosureVerdict.CLOSED, ()) == (verdict(*facts).verdict, verdict(*facts).findings)


def test_a_token_that_is_honoured_past_its_end_is_open():
    """
    A receiver that accepts it after expires_at does not check expires_at either. Clause 10.16.
    """
    facts = [issued("idp#t1", expires_at=5_000), ordered(), registered(GATEWAY), done("a1", 6_000)]

    assert ClosureVerdict.PARTIAL is verdict(*facts).verdict
    assert ClosureVerdict.CLOSED is verdict(*facts, at=5_500).verdict


def test_an_order_that_is_not_in_effect_yet_is_unknown():
    """
    Nothing is dead yet, and nobody can say that the revocation is complete. Clause 10.11.
    """
    found = verdict(issued("idp#t1"), ordered(effective_at=8_000), registered(GATEWAY), at=5_000)

    assert (ClosureVerdict.UNKNOWN, [("token:idp#t1", None, "not-in-force")]) == (found.verdict, opened(found))


def test_a_lifted_suspension_is_complete():
    """
    From the lift on, nothing is left to enforce.
    """
    lift = fact(RevocationLifted("r1", "human:ir"), 3_000)
    found = verdict(issued("idp#t1"), ordered(mode="suspend"), registered(GATEWAY), lift)

    assert (ClosureVerdict.CLOSED, 3_000, 0) == (found.verdict, found.closed_at, found.elements)


# Coverage


@pytest.mark.parametrize(
    ("receiver", "key", "audience", "expected"),
    [
        ({}, "token:idp#1", (), True),
        ({}, "delegation:d", ("a",), True),
        ({"issuers": ("idp",)}, "token:idp#1", (), True),
        ({"issuers": ("idp",)}, "token:idp#1#2", (), True),
        ({"issuers": ("other", "idp")}, "token:idp#1", (), True),
        ({"issuers": ("other",)}, "token:idp#1", (), False),
        ({"issuers": ("idp",)}, "token:sha256:00", (), False),
        ({"issuers": ("idp",)}, "token:idp", (), False),
        ({"audiences": ("a",)}, "token:idp#1", (), True),
        ({"audiences": ("a",)}, "token:idp#1", ("b", "a"), True),
        ({"audiences": ("a",)}, "token:idp#1", ("b",), False),
        ({"kinds": ("delegation",)}, "token:idp#1", (), False),
        ({"kinds": ("token", "delegation")}, "delegation:d", (), True),
        ({"issuers": ("idp",), "audiences": ("a",)}, "token:idp#1", ("b",), False),
    ],
)
def test_a_receiver_covers_by_issuer_audience_and_kind(receiver: Any, key: str, audience: Any, expected: bool):
    """
    All three must match; a missing value on either side matches, except for an id without an issuer. Clause 10.6.
    """
    kind, _, id_ = key.partition(":")
    assert expected is covers(ReceiverRegistered("urn:r", **receiver), CoverageClass(kind, issuer_of(id_), audience))


@pytest.mark.parametrize(
    ("id_", "expected"), [("idp#1", "idp"), ("a#b#c", "a"), ("sha256:0", None), ("#x", ""), ("vault#acc", "vault")]
)
def test_the_issuer_is_the_text_before_the_first_hash(id_: str, expected: str | None):
    """
    The id up to the first `#`; without one there is none. Clause 10.6.
    """
    assert expected == issuer_of(id_)


def test_the_latest_registration_before_an_order_replaces_earlier_ones():
    """
    A receiver that was narrowed on purpose no longer covers what it did, not even by a value that it left out.
    """
    facts = [*LEAF, registered(GATEWAY, 0, audiences=("a",)), registered(GATEWAY, 10, issuers=("other",))]

    assert [("token:idp#t1", None, "uncovered")] == opened(verdict(*facts))
    assert [("token:idp#t1", GATEWAY, "pending")] == opened(verdict(*facts, registered(GATEWAY, 20)))


NARROWER = [{"kinds": ("delegation",)}, {"issuers": ("other",)}, {"audiences": ("b",)}]
LATE = [(LATER, LATER), (10**15, LATER), (500, LATER), (ORDERED, LATER)]


@pytest.mark.parametrize("narrower", NARROWER)
@pytest.mark.parametrize("moments", LATE)
def test_no_later_registration_reduces_what_an_order_requires(narrower: Any, moments: tuple[int, int]):
    """
    Recorded after the order, dated now, in the future or in the past: the earlier coverage is still open, and the
    narrowing is a finding. Clause 10.7.
    """
    facts = [issued("idp#t1", audience=("a",)), ordered(), registered(GATEWAY), registered(MAIL), ack(MAIL, LATER)]
    found = verdict(*facts, fact(ReceiverRegistered(GATEWAY, **narrower), *moments))

    assert (ClosureVerdict.PARTIAL, [("token:idp#t1", GATEWAY, "pending")]) == (found.verdict, opened(found))
    narrowings = [finding.of for finding in found.findings if finding.kind == "coverage-narrowed"]
    assert [f"receiver:{GATEWAY}"] == narrowings


def test_a_later_registration_widens_what_has_to_be_enforced():
    """
    An element that became covered only after the order was given is open. Clause 10.7.
    """
    facts = [*LEAF, registered(GATEWAY, issuers=("other",)), registered(MAIL), ack(MAIL, LATER)]

    assert ClosureVerdict.CLOSED is verdict(*facts).verdict
    assert [("token:idp#t1", GATEWAY, "pending")] == opened(verdict(*facts, registered(GATEWAY, 3_000)))


def test_each_order_of_an_id_has_its_own_registrations():
    """
    Narrowed between two orders of one id: an element that only the second ends is not covered by the earlier
    registration. Clause 10.7.
    """
    second = RevocationOrdered("r1", Target("token", "idp#t2"), "test", "human:ir")
    facts = [
        *(issued("idp#t1"), issued("idp#t2"), ordered(), fact(second, 3_000)),
        *(registered(GATEWAY), registered(GATEWAY, LATER, issuers=("other",)), registered(MAIL)),
    ]

    assert [("token:idp#t1", GATEWAY, "pending"), ("token:idp#t1", MAIL, "pending")] == opened(verdict(*facts))[:2]
    assert [("token:idp#t2", MAIL, "pending")] == opened(verdict(*facts))[2:]


def test_a_later_registration_does_not_postpone_a_deadline():
    """
    Of the deadlines that count for an order the shortest applies.
    """
    facts = [*LEAF, registered(GATEWAY, deadline_seconds=1), registered(GATEWAY, LATER, deadline_seconds=1_000)]

    assert "overdue" == verdict(*facts, at=1_001_000).open[0].reason


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({}, {"kinds": ("token", "delegation")}, []),
        ({}, {"kinds": ("token",)}, ["kinds"]),
        ({"kinds": ("token",)}, {}, []),
        ({"kinds": ("token",)}, {"kinds": ("delegation",)}, ["kinds"]),
        ({}, {"issuers": ("a",)}, ["issuers"]),
        ({"issuers": ("a",)}, {}, []),
        ({"issuers": ("a",)}, {"issuers": ("b", "a")}, []),
        ({"issuers": ("a", "b")}, {"issuers": ("b",), "audiences": ("x",)}, ["issuers", "audiences"]),
        ({"audiences": ("a",)}, {"audiences": ("b",)}, ["audiences"]),
    ],
)
def test_a_registration_narrows_by_every_value_that_it_leaves_out(before: Any, after: Any, expected: list[str]):
    """
    An empty list covers everything, so any list covers less.
    """
    assert expected == narrowed(ReceiverRegistered("urn:r", **before), ReceiverRegistered("urn:r", **after))


@pytest.mark.parametrize("moments", [(0, LATER), (0, 0), (LATER, LATER), (10**15, LATER)])
def test_no_other_sighting_removes_an_audience(moments: tuple[int, int]):
    """
    Dated before the known facts, or after them: the receivers that covered the token still do, and those that share the
    new audience as well. Clause 3.2.
    """
    facts = [issued("idp#t1", 10, audience=("api",)), ordered(), registered(GATEWAY, audiences=("api",))]
    facts += [registered(MAIL, audiences=("zz",)), ack(MAIL, LATER)]
    before = verdict(*facts)
    found = verdict(*facts, fact(TokenIssued("idp#t1", "human:alice", audience=("zz",)), *moments))

    assert [("token:idp#t1", GATEWAY, "pending")] == opened(before) == opened(found)
    assert [1, 1] == [tally.covers for tally in found.receivers]
    known = World([*facts, fact(TokenIssued("idp#t1", "human:alice", audience=("zz",)), *moments)], known_at=LATER)
    assert opened(found) == opened(closure_of(known, "r1", LATEST, {}))


# Later statements (ADR 0031)


def again(token: str, occurred_at: int = 0, **fields: Any) -> Fact:
    """Build another sighting of a token, recorded after everything else."""
    return fact(TokenIssued(token, "human:alice", **fields), occurred_at, LATEST, named="again")


ENFORCED = [ordered(), registered(GATEWAY, audiences=("a",)), registered(MAIL, audiences=("b",)), ack(MAIL, LATER)]


def test_a_first_audience_stated_afterwards_removes_no_receiver():
    """
    Without one every receiver covers a token; this differs from an audience stated before the order was recorded.
    Clause 10.8.
    """
    found = verdict(issued("idp#t1"), *ENFORCED, again("idp#t1", audience=("b",)))
    known = verdict(issued("idp#t1"), again("idp#t1", audience=("b",))._replace(recorded_at=ORDERED), *ENFORCED)

    assert [("token:idp#t1", GATEWAY, "pending")] == opened(found)
    assert ClosureVerdict.CLOSED is known.verdict


def test_an_audience_stated_afterwards_does_not_cover_an_uncovered_token():
    """
    A receiver that shares it has to enforce the end as well, and the audience known before stays uncovered. Clause
    10.8.
    """
    found = verdict(issued("idp#t1", audience=("c",)), *ENFORCED, again("idp#t1", audience=("b",)))

    assert (ClosureVerdict.UNKNOWN, [("token:idp#t1", None, "uncovered")]) == (found.verdict, opened(found))
    assert 1 == found.receivers[1].enforced


@pytest.mark.parametrize("expires_at", [500, ORDERED, LATER])
def test_a_first_end_stated_afterwards_closes_nothing(expires_at: int):
    """
    Whether before the order or after it: when it was ordered dead, the token was not known to have an end. Clause 10.8.
    """
    facts = [issued("idp#t1"), ordered(), registered(GATEWAY)]
    late, known = again("idp#t1", expires_at=expires_at), again("idp#t1", expires_at=expires_at)
    found = verdict(*facts, late)

    assert (1, [("token:idp#t1", GATEWAY, "pending")]) == (found.elements, opened(found))
    assert ClosureVerdict.CLOSED is verdict(*facts, known._replace(recorded_at=ORDERED)).verdict


def test_a_known_end_may_be_extended():
    """
    The latest stated end counts, whenever it came.
    """
    facts = [issued("idp#t1", expires_at=LATER), ordered(), registered(GATEWAY), again("idp#t1", expires_at=8_000)]

    assert (ClosureVerdict.PARTIAL, ClosureVerdict.CLOSED) == (
        verdict(*facts, at=7_999).verdict,
        verdict(*facts, at=8_000).verdict,
    )


def test_nothing_counts_as_stated_about_a_token_revoked_before_it_was_seen():
    """
    A token that leaked before anybody saw it: later statements of its issuer close nothing. Clause 10.8.
    """
    facts = [*ENFORCED, again("idp#t1", audience=("b",), expires_at=500)]

    assert [("token:idp#t1", GATEWAY, "pending")] == opened(verdict(*facts))


def test_an_element_known_later_counts_by_its_first_facts():
    """
    The audience of a child issued after the revocation is the one that its first fact states. Clause 10.8.
    """
    root = issued("idp#t1", audience=("a",))
    child = TokenIssued(
        "idp#t2", "human:alice", derived_from=(("idp#t1", "subject"),), audience=("b",), expires_at=4_000
    )
    found = verdict(root, *ENFORCED, fact(child, 3_000), at=3_500)

    assert [("token:idp#t1", GATEWAY, "pending"), ("token:idp#t2", MAIL, "pending")] == opened(found)
    assert [("token:idp#t1", GATEWAY, "pending")] == opened(verdict(root, *ENFORCED, fact(child, 3_000)))


@pytest.mark.parametrize(
    "contradiction",
    [
        ActionPerformed("a1", "mail.send", "denied", token="idp#t1"),
        ActionPerformed("a1", "mail.send", "succeeded", token="idp#other"),
        ActionPerformed("a1", "mail.send", "failed"),
    ],
)
@pytest.mark.parametrize("occurred_at", [0, 3_000, 10**15])
def test_no_other_fact_undoes_a_late_use(contradiction: ActionPerformed, occurred_at: int):
    """
    A fact that it failed, was done with another token, or before the order: the verdict is reopened anyway. Clause
    10.16.
    """
    facts = [*LEAF, registered(GATEWAY), ack(GATEWAY, LATER), done("a1", 3_000)]
    found = verdict(*facts, fact(contradiction, occurred_at, LATEST))

    assert (ClosureVerdict.PARTIAL, ("a1",)) == (found.verdict, found.reopened_by)


def test_no_other_fact_about_a_decision_undoes_a_late_use():
    """
    An action that names only its decision was done with the token that any fact states for that decision. Clause 10.16.
    """
    decided = DecisionMade("q1", True, "mail.send", token="idp#t1")
    use = ActionPerformed("a1", "mail.send", "succeeded", decision="q1")
    facts = [*LEAF, registered(GATEWAY), ack(GATEWAY, LATER), fact(decided, 2_900), fact(use, 3_000)]
    found = verdict(*facts, fact(decided._replace(token="idp#other"), 0, LATEST))

    assert (ClosureVerdict.PARTIAL, ("a1",)) == (verdict(*facts).verdict, verdict(*facts).reopened_by)
    assert (ClosureVerdict.PARTIAL, ("a1",)) == (found.verdict, found.reopened_by)
