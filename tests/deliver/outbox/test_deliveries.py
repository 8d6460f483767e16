"""The ledger of deliveries: what counts as delivered, and what a general acknowledgement applies to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lineage.core.authority.verdict import State
from lineage.core.model.times import Instant, parse_instant
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Standing
from lineage.store.reading.revocation_facts import deliveries
from lineage.store.store import Store
from tests.support import stores
from tests.support.desk import Desk, day, done, granted, lifted, ordered
from tests.support.kafka_worlds import opened
from tests.support.receivers import acknowledged, receiver
from tests.support.store_histories import a_store

GATEWAY, MAIL = "urn:gw", "urn:mail"
A, B = "token:a", "token:b"


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def store(fresh: stores.Fresh) -> Iterator[Store]:
    with a_store(fresh) as (opened_store, _):
        yield opened_store


def tell(store: Store, *arguments: tuple[str, State], at: Instant = 1) -> None:
    """Append rows to the outbox."""
    after = outbox.cursor_of(store, outbox.SPREAD).seq
    found = [
        Change(key, PublishedState(n, ElementState(state, "r1", 1, None)))
        for n, (key, state) in enumerate(arguments, after + 1)
    ]
    outbox.write(store, found, after=after, at=at, standing=Standing(b"", {}))


def _deliveries(store: Store, at: Instant = 100, known_at: Instant | None = None) -> dict[tuple[str, str], Instant]:
    with store.reader(trust=None, known_at=known_at) as reader:
        return deliveries(reader, [A, B], at)


def test_the_first_acceptance_of_a_row_counts(store: Store):
    """Each receiver has separate times, and a repetition changes none."""
    tell(store, (A, State.REVOKED), (B, State.CASCADED))
    outbox.note_delivered(store, GATEWAY, [1], 10)
    outbox.note_delivered(store, GATEWAY, [2, 1], 20)
    outbox.note_delivered(store, MAIL, [2], 30)
    outbox.note_delivered(store, MAIL, [], 40)

    assert {(GATEWAY, A): 10, (GATEWAY, B): 20, (MAIL, B): 30} == _deliveries(store)


def test_a_row_not_accepted_by_then_was_not_delivered(store: Store):
    """The ledger is read as of an instant, and as of a time of knowledge."""
    tell(store, (A, State.REVOKED))
    outbox.note_delivered(store, GATEWAY, [1], 10)

    assert ({}, {(GATEWAY, A): 10}, {}) == (
        _deliveries(store, 9),
        _deliveries(store, 10),
        _deliveries(store, 100, known_at=9),
    )


def test_a_later_ended_state_keeps_the_first_delivery(store: Store):
    """Suspended and then revoked: it must not be honoured throughout."""
    tell(store, (A, State.SUSPENDED), (A, State.REVOKED))
    outbox.note_delivered(store, GATEWAY, [1], 10)
    outbox.note_delivered(store, GATEWAY, [2], 20)

    assert {(GATEWAY, A): 10} == _deliveries(store)


def test_a_delivery_before_the_element_was_active_again_does_not_count(store: Store):
    """
    An element that was reinstated must be delivered again when it ends again, even if a receiver accepted that it is
    active.
    """
    tell(store, (A, State.SUSPENDED))
    outbox.note_delivered(store, GATEWAY, [1], 10)
    tell(store, (A, State.ACTIVE), at=50)

    assert {(GATEWAY, A): 10} == _deliveries(store, 49)
    assert {} == _deliveries(store)
    tell(store, (A, State.REVOKED), at=60)
    outbox.note_delivered(store, MAIL, [1, 2], 61)
    outbox.note_delivered(store, GATEWAY, [3], 70)
    assert {(GATEWAY, A): 70} == _deliveries(store)


# The verdict


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create a delegation without an end, which an order has ended, and a receiver that covers everything."""
    desk = Desk(tmp_path)
    desk.take(granted("d1", "human:alice", "agent:a"), receiver(GATEWAY), ordered("r1", "delegation", "d1"))
    return desk


def spread(desk: Desk, at: str) -> None:
    with opened(desk.url) as store:
        OutboxWriter(store, None).round(lambda: instant(at))


def accept(desk: Desk, at: str, *seqs: int) -> None:
    with opened(desk.url) as store:
        outbox.note_delivered(store, GATEWAY, seqs, instant(at))


def instant(at: str) -> Instant:
    return parse_instant(day(at))


def closure(desk: Desk, at: str = "20:00") -> dict[str, Any]:
    [found] = desk.ask("closure", "r1", "--at", day(at))
    return found


def test_a_delegation_without_an_end_is_closed_by_a_general_acknowledgement(desk: Desk):
    """
    No acknowledgement can name a delegation: a general one, after its delivery, closes the order.
    """
    spread(desk, "12:10")
    assert ("PARTIAL", 0) == ((found := closure(desk))["verdict"], found["receivers"][0]["delivered"])
    accept(desk, "12:20", 1)
    assert ("PARTIAL", 1) == ((found := closure(desk))["verdict"], found["receivers"][0]["delivered"])
    desk.take(acknowledged(GATEWAY, "r1", day("12:30")))

    assert ("CLOSED", []) == ((found := closure(desk))["verdict"], found["open"])
    [listed] = desk.ask("revocations", "--at", day("20:00"))[0]["items"]
    assert "CLOSED" == listed["verdict"]


def test_an_acknowledgement_before_the_delivery_closes_nothing(desk: Desk):
    """
    The order is open, and the answer says to what the acknowledgement did not apply.
    """
    desk.take(acknowledged(GATEWAY, "r1", day("12:15")))
    spread(desk, "12:10")
    accept(desk, "12:20", 1)
    found = closure(desk)

    assert "PARTIAL" == found["verdict"]
    assert ["acknowledgement-of-nothing"] == [finding["kind"] for finding in found["findings"]]


def test_late_uses_are_confirmed_by_deliveries(desk: Desk):
    """
    `uses` reads the same ledger: no receiver is unconfirmed once it acknowledged after the delivery.
    """
    desk.take(done("act", delegation="d1"))
    [found] = desk.ask("uses", "delegation:d1")
    assert [GATEWAY] == [one["receiver"] for one in found["unconfirmed"]]
    spread(desk, "12:10")
    accept(desk, "12:20", 1)
    desk.take(acknowledged(GATEWAY, "r1", day("12:30")))

    [found] = desk.ask("uses", "delegation:d1")
    assert [] == found["unconfirmed"]


def test_an_order_after_a_lift_must_be_delivered_itself(tmp_path: Path):
    """
    A suspension was delivered and lifted. An acknowledgement of the second order, before its delivery, closes nothing.
    """
    desk = Desk(tmp_path)
    desk.take(granted("d1", "human:alice", "agent:a"), receiver(GATEWAY))
    desk.take(ordered("r0", "delegation", "d1", "10:00", mode="suspend"))
    spread(desk, "10:10")
    accept(desk, "10:20", 1)
    desk.take(lifted("r0", "11:00"))
    spread(desk, "11:10")
    desk.take(ordered("r1", "delegation", "d1", "12:00"))
    spread(desk, "12:10")
    desk.take(acknowledged(GATEWAY, "r1", day("12:15")))
    accept(desk, "12:20", 2, 3)
    assert "PARTIAL" == closure(desk)["verdict"]
    desk.take(acknowledged(GATEWAY, "r1", day("12:30"), note="again"))

    assert "CLOSED" == closure(desk)["verdict"]


def test_a_rebuild_keeps_deliveries(desk: Desk):
    """
    Deliveries remain whatever is projected again, and fsck reports no difference.
    """
    spread(desk, "12:10")
    accept(desk, "12:20", 1)
    desk.run("rebuild")
    desk.run("fsck")

    assert 1 == closure(desk)["receivers"][0]["delivered"]
