"""The cache of what revocations end: verdicts and receipts equal those of a fresh read of the store."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import TooManyError
from lineage.core.revocation.closure import closure_of
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.serve.cache import revocation_cache as ends
from lineage.serve.cache.revocation_cache import NOTHING, Invalidation, Phase, RelevantChanges, RevocationEffects
from lineage.serve.queries import preparation
from lineage.serve.queries.revocations import closure, other_orders, receipt, revocation_snapshot, revocations
from lineage.serve.queries.service import Service
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Standing
from lineage.store.reading.reader import Reader
from lineage.store.reading.revocation_facts import deliveries
from lineage.store.store import Store, open_store
from tests.support import compare, stores, worlds
from tests.support.desk import Desk, day, derived, done, lifted, ordered, raw_event, token
from tests.support.enforcement import ENDED, HALF_HOUR, IDS, LAST, RECEIVERS, START, enforcement, several_ids
from tests.support.kept_questions import AT, counted, in_order, keeping_at, service_of
from tests.support.store_histories import SEEDS, a_store, records_of, write
from tests.support.worlds import moment_of


def answers(service: Service, revocation: str, at: int, **how: Any) -> dict[str, Any]:
    """Return every answer about a revocation."""
    with receipt.receipt(service, revocation, at=at, **how) as found:
        lines = None if found is None else len(list(found.lines))
    return {
        "one": revocations.revocation(service, revocation, at=at, **how),
        "closure": closure.closure(service, revocation, at=at, **how),
        "page": receipt.receipt_page(service, revocation, 1, 3, at=at, **how),
        "lines": lines,
        "board": revocations.revocations(service, at=at, **how),
    }


class RandomOutbox:
    """An outbox with random changes of elements."""

    def __init__(self, rng: random.Random, keys: list[str]) -> None:
        self._rng = rng
        self._keys = keys
        self._last = 0

    def go_on(self, store: Store) -> None:
        """Write changes of an element, some of which are accepted."""
        state = self._rng.choice([State.REVOKED, State.SUSPENDED, State.ACTIVE])
        changes = [
            Change(self._rng.choice(self._keys), PublishedState(self._last + 1, ElementState(state, "r1", 0, None)))
        ]
        outbox.write(store, changes, after=self._last, at=worlds.grid[0], standing=Standing(store.edition(), {}))
        self._last += 1
        chosen = {self._rng.randint(1, self._last) for _ in range(3)}
        outbox.note_delivered(store, self._rng.choice(RECEIVERS), chosen, self._rng.choice(worlds.grid))


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=SEEDS)
def test_cached_answers_equal_those_of_a_fresh_read(fresh: stores.Fresh, seed: int):
    """
    This holds after each event and each delivery, at any instant: entries that may have changed are dropped.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    items += enforcement(rng, items)
    trust = Trust(table=compare.table_of(worlds.trust(rng))) if rng.random() < 0.2 else None
    elements = [f"{kind}:{id_}" for kind, id_ in worlds.questions(items) if kind in ("token", "delegation")]
    history = RandomOutbox(rng, elements)
    with a_store(fresh) as (store, url):
        kept = service_of(store, keeps=True, trust=trust)
        other = open_store(url, codec.read)  # as another process would
        cold = service_of(other, keeps=False, trust=trust)
        rest = records_of(items, rng)
        at = rng.choice(worlds.grid)
        while rest:
            size = rng.choice([1, 1, 2, 5, 20])
            batch, rest = rest[:size], rest[size:]
            write(rng.choice([store, other]), batch)
            if elements and rng.random() < 0.5:
                history.go_on(other)
            at = rng.choice([at, at, at + 1, rng.choice(worlds.grid)])
            for moment in sorted({at, rng.choice(worlds.grid)}):
                for revocation in worlds.REVOCATIONS:
                    assert answers(cold, revocation, moment) == answers(kept, revocation, moment), (
                        revocation,
                        moment,
                    )
        known_at = rng.choice(worlds.grid)
        for revocation in worlds.REVOCATIONS:
            assert answers(cold, revocation, at, known_at=known_at) == answers(kept, revocation, at, known_at=known_at)
        other.close()


@pytest.mark.slow
@settings(max_examples=12)
@given(seed=SEEDS)
def test_effects_updated_step_by_step_are_complete(fresh: stores.Fresh, seed: int):
    """
    Asked at one instant, after all others, cached effects are repeatedly updated with what arrived.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    items += enforcement(rng, items)
    at = worlds.grid[-1]
    with a_store(fresh) as (store, _):
        kept, cold = service_of(store, keeps=True), service_of(store, keeps=False)
        rest = records_of(items, rng)
        while rest:
            size = rng.choice([1, 1, 2, 3])
            batch, rest = rest[:size], rest[size:]
            write(store, batch)
            for revocation in worlds.REVOCATIONS:
                if rng.random() < 0.7:  # else more comes before someone asks
                    assert answers(cold, revocation, at) == answers(kept, revocation, at), revocation


@pytest.mark.slow
@pytest.mark.parametrize("few", [200, 0])
@settings(max_examples=15)
@given(seed=SEEDS)
def test_what_is_enforced_under_other_ids_is_that_of_the_core(fresh: stores.Fresh, few: int, seed: int):
    """
    With several ids over the same tokens, the cached verdict equals that of a fresh read and of a world with everything
    after each event, whether the orders are read as a whole or looked up.
    """
    rng = random.Random(seed)
    records = several_ids(rng)
    with pytest.MonkeyPatch.context() as patched, a_store(fresh) as (store, _):
        patched.setattr(other_orders, "_FEW", few)
        kept, cold = service_of(store, keeps=True), service_of(store, keeps=False)
        rest = records_of(records, rng)
        at = rng.choice([LAST, START + rng.randint(1, 14) * HALF_HOUR])
        history = RandomOutbox(rng, [f"token:{token}" for token in ENDED])
        while rest:
            size = rng.choice([1, 1, 2, 5])
            batch, rest = rest[:size], rest[size:]
            write(store, batch)
            if rng.random() < 0.3:
                history.go_on(store)
            world = World(stored.fact for stored in store.facts(after=-1, limit=100))
            for revocation in IDS:
                found = closure.closure(kept, revocation, at=at)
                assert closure.closure(cold, revocation, at=at) == found, revocation
                if found is not None:
                    with store.reader(trust=None) as reader:
                        delivered = deliveries(reader, [f"token:{token}" for token in ENDED], at)
                    judged = closure_of(world, revocation, at, delivered)
                    context = {name: found[name] for name in ("findings", "as_of")}
                    assert {**closure.closure_document(judged), **context} == found
                    assert {one.id for one in judged.findings} <= {one["id"] for one in found["findings"]}


# One story at a time


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A root with two children, revoked."""
    desk = Desk(tmp_path)
    desk.take(token("t1"), derived("t2", "t1"), derived("t3", "t1"), ordered("rev", "token", "t1", "09:30"))
    desk.take(raw_event("receiver.registered", "gw", "08:00", "urn:directory", receiver="urn:gw"))
    return desk


def verdict(service: Service, at: int = AT) -> tuple[Any, ...]:
    found = revocations.revocation(service, "rev", at=at)
    assert found is not None
    return found["verdict"], found["elements"], sorted(one["of"] for one in found["findings"])


def test_ended_elements_are_read_once(desk: Desk):
    """
    The second question looks up no element, whatever receivers have acknowledged meanwhile; the answer is current.
    """
    with keeping_at(desk) as (store, service):
        before = verdict(service)
        acknowledged = {"revocation": "rev", "receiver": "urn:gw", "outcome": "enforced"}
        for one in ("t1", "t2", "t3"):
            ack = raw_event("revocation.acknowledged", f"ack {one}", "09:50", "urn:gw", token=one, **acknowledged)
            desk.take(ack)
        with counted(store) as ran:
            after = verdict(service)

        assert (("PARTIAL", 3, []), ("CLOSED", 3, [])) == (before, after)
        assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (derived("t4", "t2"), ("PARTIAL", 4, [])),
        (done("a1", "09:45", token="t3"), ("PARTIAL", 3, ["action:a1"])),
        (ordered("rev", "token", "t9", "09:40"), ("PARTIAL", 4, ["revocation:rev"])),  # shared-order-id
        (token("t9"), ("PARTIAL", 3, [])),
    ],
)
def test_relevant_facts_count_immediately(desk: Desk, came: dict[str, Any], expected: tuple[Any, ...]):
    """
    A late child, a use, and another order of the same id count for the next question; unrelated facts do not.
    """
    with keeping_at(desk) as (_, service):
        before = verdict(service)
        desk.take(came)

        assert (("PARTIAL", 3, []), expected) == (before, verdict(service))


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([derived("t4", "t2")], ("PARTIAL", 4, [])),
        ([derived("t5", "t4"), derived("t4", "t2")], ("PARTIAL", 5, [])),
        ([derived("t4", "t2"), done("a1", "09:45", token="t4")], ("PARTIAL", 4, ["action:a1"])),
        (
            [done("a1", "09:45", token="t3"), done("a2", "09:46", token="t2")],
            ("PARTIAL", 3, ["action:a1", "action:a2"]),
        ),
        ([derived("t2", "t1", expires_at=day("12:00"), event_id="renewed")], ("PARTIAL", 3, [])),
    ],
)
def test_only_affected_elements_are_recomputed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, came: list[dict[str, Any]], expected: tuple[Any, ...]
):
    """
    Late children, uses and renewals are ingested one after the other, without reading all ended elements again.
    """
    with keeping_at(desk) as (_, service):
        verdict(service)
        monkeypatch.setattr(revocation_snapshot, "parts_of", None)
        for event in came:
            desk.take(event)
            found = verdict(service)

        assert expected == found


def test_everything_is_read_if_much_was_affected(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    That is faster then; the answer is the same.
    """
    read: list[str] = []

    def parts_of(reader: Reader, world: World, revocation: str, *rest: Any, **more: Any) -> Any:
        read.append(revocation)
        return all_parts_of(reader, world, revocation, *rest, **more)

    all_parts_of = revocation_snapshot.parts_of
    monkeypatch.setattr(ends, "_TOUCHED", 1)
    with keeping_at(desk) as (_, service):
        verdict(service)
        monkeypatch.setattr(revocation_snapshot, "parts_of", parts_of)
        desk.take(derived("t4", "t2"))
        one = verdict(service), list(read)
        desk.take(derived("t5", "t2"), derived("t6", "t2"))
        two = verdict(service), list(read)

    assert ((("PARTIAL", 4, []), []), (("PARTIAL", 6, []), ["rev"])) == (one, two)


def test_an_element_with_very_many_paths_is_found_once():
    """
    Each layer depends on all of the one before: 2^100 paths down, and 202 elements.
    """
    names = [(f"token:a{n}", f"token:b{n}") for n in range(101)]
    above = {one: set(names[n]) for n in range(100) for one in names[n + 1]}
    touched = RelevantChanges(grants={one for layer in names for one in layer}, above=above)
    kept = RevocationEffects(
        ended={},
        uses={},
        since=0,
        until=1,
        phase=Phase(0, 1),
        suspends=False,
        acted=frozenset(),
        keys=frozenset(),
        targets=frozenset(names[0]),
    )

    assert Invalidation(grants=touched.grants) == touched.stale("rev", kept)


def test_a_new_alias_counts_immediately(desk: Desk):
    """
    An order on a person reaches what names an alias of theirs, once the alias is registered.
    """
    desk.take(
        token("t8", subject="human:ann"),
        token("t9", subject="okta|1"),
        ordered("rev", "principal", "human:ann", "09:30"),
    )
    with keeping_at(desk) as (_, service):
        before = verdict(service)
        alias = {"principal": "human:ann", "kind": "human", "aliases": ["okta|1"]}
        desk.take(raw_event("principal.registered", "ann", "08:00", "urn:directory", **alias))

        assert (4, 5) == (before[1], verdict(service)[1])


def test_the_authority_of_an_action_counts_immediately(desk: Desk):
    """
    The authority of an action is the first granted element that it or its decision names. Once one is granted, a use no
    longer counts under an element that was never granted.
    """
    desk.take(ordered("ghosts", "token", "ghost", "09:30"))
    desk.take(raw_event("decision.made", "q1", "09:40", decision="q1", permitted=True, operation="send", token="other"))
    desk.take(done("a1", "09:45", token="ghost", decision="q1"))
    with keeping_at(desk) as (_, service):
        before = revocations.revocation(service, "ghosts", at=AT)
        desk.take(token("other"))
        after = revocations.revocation(service, "ghosts", at=AT)

    assert before is not None
    assert after is not None
    assert (["action:a1"], []) == tuple([one["of"] for one in found["findings"]] for found in (before, after))


def enforced(service: Service) -> int:
    """Return how many ended elements the receiver has enforced."""
    found = closure.closure(service, "rev", at=AT)
    assert found is not None
    [receiver] = found["receivers"]
    return int(receiver["enforced"])


SUSPENDED = ordered("other", "token", "t2", "09:20", mode="suspend")
ENFORCED = {"revocation": "other", "receiver": "urn:gw", "outcome": "enforced", "token": "t2"}
ANSWERED = raw_event("revocation.acknowledged", "first", "09:25", "urn:gw", **ENFORCED)
ALIAS = raw_event("principal.registered", "al", "08:00", principal="human:alice", kind="human", aliases=["okta|1"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "came", "expected"),
    [
        ([], [ordered("other", "token", "t2", "09:40")], (0, 1)),
        ([], [ordered("other", "principal", "human:alice", "09:40")], (0, 1)),
        ([], [ordered("other", "session", "s1", "09:40")], (0, 1)),
        ([], [ordered("other", "token", "top", "09:40")], (0, 1)),
        ([], [ordered("other", "token", "t3", "09:40")], (0, 0)),
        ([], [ordered("other", "principal", "human:root", "09:40")], (0, 1)),  # who is named above all that is ended
        ([], [ordered("other", "principal", "okta|1", "09:40"), ALIAS], (0, 1)),
        ([ALIAS], [ordered("other", "principal", "okta|1", "09:40")], (0, 1)),
        ([SUSPENDED, ANSWERED], [lifted("other", "09:28")], (1, 0)),
        ([SUSPENDED, ANSWERED], [lifted("other", "09:31")], (1, 1)),
    ],
)
def test_an_order_of_another_id_counts_immediately(desk: Desk, before: Any, came: Any, expected: tuple[int, int]):
    """
    When another order starts or stops ending a cached element, its acknowledgements start or stop counting.
    """
    desk.take(derived("t1", "top", event_id="again"), token("top", subject="human:root"))
    desk.take(derived("t2", "t1", event_id="again 2", session="s1"), *before)
    with keeping_at(desk) as (_, service):
        first = enforced(service)
        desk.take(*came)
        if ANSWERED not in before:
            desk.take(raw_event("revocation.acknowledged", "ack", "09:50", "urn:gw", **ENFORCED))

        assert expected == (first, enforced(service))


@pytest.mark.parametrize("few", [200, 0])
def test_an_order_of_another_id_on_an_ungranted_element_counts_immediately(desk: Desk, monkeypatch: Any, few: int):
    """
    A token that leaked before any event named it is revoked twice.
    """
    monkeypatch.setattr(other_orders, "_FEW", few)
    desk.take(ordered("ghost", "token", "t9", "09:30"))
    with keeping_at(desk) as (store, service):
        closure.closure(service, "ghost", at=AT)
        desk.take(ordered("other", "token", "t9", "09:40"))
        desk.take(raw_event("revocation.acknowledged", "ack", "09:50", "urn:gw", **ENFORCED | {"token": "t9"}))
        found = [closure.closure(one, "ghost", at=AT) for one in (service, service_of(store, keeps=False))]

    assert ["CLOSED", "CLOSED"] == [one and one["verdict"] for one in found]


def test_a_link_above_ended_elements_counts_immediately(desk: Desk):
    """
    If something above the target becomes dependent on what another order has ended, that order ends all of it.
    """
    desk.take(derived("t1", "top", event_id="again"), token("top"), token("gone"), ordered("other", "token", "gone"))
    with keeping_at(desk) as (store, service):
        first = enforced(service)
        desk.take(derived("top", "gone", event_id="linked"))
        desk.take(raw_event("revocation.acknowledged", "ack", "13:00", "urn:gw", **ENFORCED))
        late = moment_of(day("14:00"))
        found = closure.closure(service, "rev", at=late)

        assert (0, closure.closure(service_of(store, keeps=False), "rev", at=late)) == (first, found)


def test_cached_effects_are_valid_from_the_last_time_in_them(desk: Desk):
    """
    Asking about now, and then about slightly earlier, looks nothing up again.
    """
    desk.take(done("a1", "09:40", token="t3"))
    with keeping_at(desk) as (store, service):
        last = moment_of(day("09:40"))
        now = verdict(service)
        with counted(store) as ran:
            then = verdict(service, last)
        before = verdict(service, last - 1)

    assert ((3, ["action:a1"]), (3, ["action:a1"]), (3, [])) == tuple(found[1:] for found in (now, then, before))
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_an_earlier_time_reads_only_what_was_used(desk: Desk):
    """
    Before a use, but under the same order, only the used element is evaluated again; the effects of now stay cached.
    """
    desk.take(done("a1", "09:40", token="t3"), done("a2", "09:50", token="t3"))
    with keeping_at(desk) as (store, service):
        now = verdict(service)
        with counted(store) as ran:
            found = [verdict(service, moment_of(day(at))) for at in ("09:39", "09:40", "09:50", "10:00")]
        before = verdict(service, moment_of(day("09:29")))

    assert [[], ["action:a1"], ["action:a1", "action:a2"], now[2]] == [each[2] for each in found]
    assert ({3}, 0) == ({each[1] for each in found}, before[1])
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


@pytest.mark.parametrize(
    ("came", "asked", "elements"),
    [
        # a second order of the id
        ([token("t9"), ordered("rev", "token", "t9", "09:40")], ["10:00", "09:39", "09:31", "09:40"], [4, 3, 3, 4]),
        # a lift, which ends no revocation of a token
        ([lifted("rev", "09:40")], ["10:00", "09:39", "09:30", "09:41"], [3, 3, 3, 3]),
    ],
)
def test_other_times_under_the_same_orders_look_nothing_up(
    desk: Desk, came: list[dict[str, Any]], asked: list[str], elements: list[int]
):
    """
    Each time is answered from the effects of its orders, which stay cached side by side.
    """
    desk.take(*came)
    with keeping_at(desk) as (store, service):
        first, second, *more = (moment_of(day(at)) for at in asked)
        found = [verdict(service, first), verdict(service, second)]
        with counted(store) as ran:
            found += [verdict(service, at) for at in (first, *more)]

    assert [*elements[:2], elements[0], *elements[2:]] == [each[1] for each in found]
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_a_suspension_is_cached_until_it_is_lifted(desk: Desk):
    """
    Whichever of its elements have expired at a time before the lift, nothing is looked up again, also after asking
    about a time after it.
    """
    held = [token("h1", expires_at=day("13:00")), derived("h2", "h1", expires_at=day("11:00"))]
    desk.take(*held, ordered("held", "token", "h1", "09:30", mode="suspend"), lifted("held", "12:00"))
    with keeping_at(desk) as (store, service):
        asked = [moment_of(day(at)) for at in ("11:30", "12:01", "10:00", "11:00", "11:59", "12:00")]

        def ended(at: int) -> tuple[Any, ...]:
            found, page = (
                revocations.revocation(service, "held", at=at),
                receipt.receipt_page(service, "held", 0, 9, at=at),
            )
            assert found is not None
            assert page is not None
            return found["elements"], [line["id"] for line in page]

        first = [ended(at) for at in asked[:2]]
        with counted(store) as ran:
            then = [ended(at) for at in asked[2:]]

    assert [(1, ["h1"]), (0, [])] == first
    assert [(2, ["h1", "h2"]), (1, ["h1"]), (1, ["h1"]), (0, [])] == then
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_a_use_counts_from_when_it_happened(desk: Desk):
    """
    A use dated in the future by a clock that is ahead is known already, but counts later.
    """
    desk.take(done("a1", "10:05", token="t3"))
    with keeping_at(desk) as (_, service):
        found = [verdict(service, moment_of(day(at)))[2] for at in ("10:00", "10:04", "10:05")]

    assert [[], [], ["action:a1"]] == found


def test_a_duplicate_of_an_order_that_was_recorded_first_counts(fresh: stores.Fresh):
    """
    With several partitions a duplicate may have been recorded first: then the order was in force earlier.
    """
    order = ordered("rev", "token", "t1", "09:30")
    said_then = [(token("t1"), "09:00"), (order, "10:30"), (done("a1", "10:20", token="t1"), "10:20"), (order, "10:10")]
    records = in_order(
        [
            {"event": event, "via": "orders" if event is order else "decisions", "recorded_at": moment_of(day(at))}
            for event, at in said_then
        ]
    )
    found = []
    with a_store(fresh) as (store, _):
        service = service_of(store, keeps=True)
        for batch in (records[:3], records[3:]):
            write(store, batch)
            document = revocations.revocation(service, "rev", at=moment_of(day("11:00")))
            assert document is not None
            found += [one["kind"] for one in document["findings"]]

    assert ["tainted-use", "used-after-revocation"] == found


def test_a_suspension_is_over_when_its_element_has_expired(desk: Desk):
    """
    Cached effects are valid until the next time in them, such as the expiry of a suspended token.
    """
    desk.take(token("t8", expires_at=day("11:00")), ordered("held", "token", "t8", "09:30", mode="suspend"))
    with keeping_at(desk) as (_, service):
        ends_at = moment_of(day("11:00"))
        found = [revocations.revocation(service, "held", at=at) for at in (AT, ends_at - 1, ends_at, AT)]

    assert [1, 1, 0, 1] == [one and one["elements"] for one in found]


def test_a_revocation_too_large_to_cache_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    It is refused with the command to use instead; the others on the board have their verdicts, and the command line
    answers all.
    """
    monkeypatch.setattr(revocation_snapshot, "KEPT", 2)
    desk.take(token("t7"), ordered("r7", "token", "t7", "09:40"))
    with keeping_at(desk) as (store, service):
        list(preparation.ends_of(service))
        for ask in (verdict, lambda it: receipt.receipt_page(it, "rev", 0, 9, at=AT)):
            with pytest.raises(TooManyError, match="delegraph closure 'rev'"):
                ask(service)
        board = revocations.revocations(service, at=AT)["items"]
        without = verdict(service_of(store, keeps=False))

    assert {("rev", None, None, None), ("r7", "PARTIAL", 1, 1)} == {
        (one["revocation"], one["verdict"], one["elements"], one["open"]) for one in board
    }
    assert ("PARTIAL", 3, []) == without


def test_the_latest_revocations_are_computed_before_the_first_question(desk: Desk):
    """
    A warmed process looks up no element for them.
    """
    with keeping_at(desk) as (store, service):
        list(preparation.ends_of(service))
        with counted(store) as ran:
            found = verdict(service)

    assert ("PARTIAL", 3, []) == found
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_what_a_lifted_suspension_ended_is_computed_before_the_first_question(desk: Desk):
    """
    A warmed process looks up no element for a time at which it was in force.
    """
    desk.take(ordered("held", "token", "t1", "09:30", mode="suspend"), lifted("held", "09:50"))
    with keeping_at(desk) as (store, service):
        list(preparation.ends_of(service))
        with counted(store) as ran:
            found = [
                revocations.revocation(service, "held", at=moment_of(day(at))) for at in ("09:40", "09:49", "09:50")
            ]

    assert [3, 3, 0] == [one and one["elements"] for one in found]
    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_warming_keeps_the_latest_revocation(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    Warming goes from the earliest to the latest, because the oldest entry is dropped first.
    """
    desk.take(token("t7"), ordered("r7", "token", "t7", "09:40"))
    monkeypatch.setattr(ends, "KEPT", 3)
    with keeping_at(desk) as (store, service):
        list(preparation.ends_of(service))
        with counted(store) as ran:
            revocations.revocation(service, "r7", at=AT)

    assert not [statement for statement in ran if "WITH RECURSIVE below" in statement]


def test_facts_that_arrive_during_the_computation_are_not_missed(desk: Desk):
    """
    A result is cached although the store has advanced, unless a new fact affects it.
    """
    with keeping_at(desk) as (_, service):
        kept = service.ends
        assert kept is not None
        verdict(service)
        with service.reader() as reader:
            orders = revocation_snapshot.around(reader, "rev").orders.with_id("rev")
        watch = kept.watch()
        found = kept.of("rev", orders, AT, watch)
        assert found is not None
        worked_out, _ = found
        desk.take(token("other"))
        kept.watch()
        kept.keep("rev", worked_out, watch)
        concurrent = kept.of("rev", orders, AT, kept.watch())
        desk.take(derived("t4", "t2"))
        kept.watch()
        kept.keep("rev", worked_out, watch)
        after = kept.of("rev", orders, AT, kept.watch())

        assert ((worked_out, NOTHING), (worked_out, Invalidation(grants={"token:t4"}))) == (concurrent, after)


def test_the_size_of_the_cache_is_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """
    A too large result is computed each time, and the oldest entry is dropped first; answers are the same.
    """
    desk.take(token("t7"), ordered("r7", "token", "t7", "09:30"))
    monkeypatch.setattr(ends, "KEPT", 3)
    with keeping_at(desk) as (store, service):
        answers_before = [answers(service, one, AT) for one in ("rev", "r7")]
        with counted(store) as ran:
            again = [answers(service, one, AT) for one in ("r7", "rev")]

    assert answers_before == again[::-1]
    assert [statement for statement in ran if "WITH RECURSIVE below" in statement]
