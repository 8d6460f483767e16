"""Receipts, verdicts, the extended plan and safe orders, from the command line and from the store."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.codec import api as codec
from ingest.trust_file import Trust
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import canonical_json
from lineage.core.model.records import DECISIONS, ORDERS
from lineage.core.model.times import format_instant, parse_instant
from lineage.core.revocation.closure import closure_of
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.serve.config.wiring import now
from lineage.serve.queries.lists.external_sort import in_order
from lineage.serve.queries.revocations import closure, receipt, revocation_snapshot, revocations
from lineage.serve.queries.revocations.closure import closure_document
from lineage.serve.queries.revocations.receipt import line_document
from lineage.serve.queries.service import Service
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Standing
from lineage.store.store import Store, open_store
from tests.support import compare, model, stores, worlds
from tests.support.desk import LATER, WORLD, Desk, day, derived, done, granted, ordered, registered, token
from tests.support.enforcement import enforcement
from tests.support.receivers import acknowledged, receiver
from tests.support.secrets import JWT
from tests.support.store_histories import a_store, in_batches, records_of

SEEDS = st.integers(0, 2**32)
RECEIPT_KEYS = {
    *("kind", "id", "state", "revocation", "effective_at", "path", "principals"),
    *("expires_at", "born_dead", "recorded_at"),
}
CLOSURE_KEYS = [
    *("revocation", "verdict", "ordered_at", "in_force_at", "closed_at", "seconds", "elements", "receivers"),
    *("open", "reopened_by", "findings", "as_of"),
]
REVOKE = ("revoke", "token:t1", "--reason", "credential_leak", "--by", "human:ruth")
SUSPEND = ("--mode", "suspend", "--reason", "test", "--by", "human:ruth", "--execute", "--id")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """WORLD, ingested."""
    desk = Desk(tmp_path)
    desk.take(*WORLD)
    return desk


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    """URLs for stores, on each kind of database."""
    yield from stores.fresh_places(request)


def lines(desk: Desk, revocation: str, *words: str) -> list[dict[str, Any]]:
    return desk.ask("receipt", revocation, *words)


# From the store


def service_of(store: Store, at: int) -> Service:
    return Service(store, None, Trust(), lambda: at, source="urn:test")


def documented(line: dict[str, Any]) -> dict[str, Any]:
    """Convert a line of the model to a document."""
    times = {"effective_at", "expires_at", "recorded_at"}
    shown = {key: model.rfc3339(value) for key, value in line.items() if key in times and value is not None}
    return line | shown


@pytest.mark.slow
@settings(max_examples=40)
@given(seed=SEEDS)
def test_a_receipt_from_sql_is_that_of_the_model(fresh: stores.Fresh, seed: int):
    """
    Read in parts of two elements, each loaded separately, in any batches, it has the lines of the model, in order.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])

    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        for revocation in worlds.REVOCATIONS:
            at = rng.choice(worlds.grid)
            expected = model.receipt(items, revocation, at, known_at)
            with receipt.receipt(service_of(store, at), revocation, at=at, known_at=known_at) as found:
                read = None if found is None else [json.loads(line) for line in found.lines]
            assert read == (None if expected is None else [documented(line) for line in expected])
            with store.reader(trust=None, known_at=known_at) as reader:
                parts = revocation_snapshot.parts_of(
                    reader, revocation_snapshot.around(reader, revocation), revocation, at, size=2
                )
                again = sorted((line for _, part in parts for line in part), key=lambda line: line.place)
            assert [line_document(line) for line in again] == (read or [])
        store.close()


def test_a_line_of_a_receipt_is_canonical_json(desk: Desk):
    """Its bytes are hashed, so characters that JSON may write in several ways have their only form (RFC 8785)."""
    odd = 'x"\\/<&\u00fc\u00df\u00e9\U0001f600'
    desk.take(derived(odd, "t1", actor=f"agent:{odd}"), ordered("odd", "token", "t1"))
    store, at = open_store(desk.url, codec.read), parse_instant(LATER)

    with receipt.receipt(service_of(store, at), "odd", at=at) as found:
        rows = [] if found is None else list(found.lines)
    store.close()

    assert [odd] == [json.loads(row)["id"] for row in rows if odd in json.loads(row)["id"]]
    assert [canonical_json(json.loads(row)) for row in rows] == rows


@pytest.mark.slow
@settings(max_examples=40)
@given(seed=SEEDS)
def test_a_verdict_from_sql_is_that_of_the_core_on_the_whole_graph(fresh: stores.Fresh, seed: int):
    """
    All receivers, acknowledgements and late uses are found, however small the loaded parts of the graph are.
    """
    rng = random.Random(seed)
    items = worlds.world(rng)
    items += enforcement(rng, items)
    whole = World(compare.facts_of(items))

    with a_store(fresh) as (empty, url):
        store = in_batches(empty, url, records_of(items, rng), rng)
        at = rng.choice(worlds.grid[3:])
        delivered = {}
        for place, key in enumerate(sorted(whole.graph)):
            change = Change(key, PublishedState(1, ElementState(State.REVOKED, "r1", 0, None)))
            outbox.write(store, [change], after=place, at=worlds.grid[0], standing=Standing(b"", {}))
            if rng.random() < 0.5:
                delivered["urn:gw", key] = rng.choice([moment for moment in worlds.grid if moment <= at])
                outbox.note_delivered(store, "urn:gw", [place + 1], delivered["urn:gw", key])
        listed = revocations.revocations(service_of(store, at), at=at)["items"]
        for revocation in worlds.REVOCATIONS:
            found = closure.closure(service_of(store, at), revocation, at=at)
            if found is None:
                assert not whole.orders.by_id.get(revocation)
                continue
            judged = closure_of(whole, revocation, at, delivered)
            change = {name: found[name] for name in ("findings", "as_of")}
            assert {**closure_document(judged), **change} == found
            assert {one.id for one in judged.findings} <= {one["id"] for one in found["findings"]}
            assert {str(judged.verdict)} == {item["verdict"] for item in listed if item["revocation"] == revocation}
        store.close()


NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=3)  # what an id may hold, and more


@given(st.lists(st.tuples(NAMES, NAMES)), st.integers(1, 4))
def test_lines_are_sorted_however_many_fit_into_memory(places: list[tuple[str, str]], run: int):
    """
    Lines in files are merged in order, also with characters beyond the BMP, or if one is a prefix of another.
    """
    given_lines = [(place, canonical_json(list(place))) for place in places]

    assert [line for _, line in sorted(given_lines)] == list(in_order(given_lines, run=run))


# The receipt


def test_a_receipt_has_one_line_per_element(desk: Desk):
    """
    A line has these keys (clauses 10.3 and 10.4), sorted by id, with the path from the target and the principals.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    found = lines(desk, "r1")

    assert [RECEIPT_KEYS] * 2 == [set(line) for line in found]
    assert [("token", "t1", "revoked"), ("token", "t2", "cascaded")] == [
        (line["kind"], line["id"], line["state"]) for line in found
    ]
    assert [["token:t1"], ["token:t1", "token:t2"]] == [line["path"] for line in found]
    assert ["agent:mailer", "human:alice", "spiffe://x/mailer"] == found[1]["principals"]
    assert [False, False] == [line["born_dead"] for line in found]


def test_a_later_child_is_never_valid_and_in_the_receipt(desk: Desk):
    """
    A child of a dead token that is issued after the order is in the receipt, with the time when it was recorded.
    """
    order = desk.one(*REVOKE, "--execute", "--id", "r1")
    known = desk.one("status", "token:t1")["as_of"]["recorded_at"]
    desk.take({**derived("t9", "t2"), "occurred_at": LATER})
    found = {line["id"]: line for line in lines(desk, "r1")}

    assert ["t1", "t2", "t9"] == list(found)
    assert (True, ["token:t1", "token:t2", "token:t9"]) == (found["t9"]["born_dead"], found["t9"]["path"])
    assert found["t1"]["recorded_at"] == known < found["t9"]["recorded_at"]
    assert ["t1", "t2"] == [line["id"] for line in lines(desk, "r1", "--known-at", known)]
    assert [] == lines(desk, "r1", "--at", day("11:00"))
    assert order["effective_at"] == found["t9"]["effective_at"]


def test_the_digest_is_that_of_the_lines(desk: Desk):
    """
    It is the SHA-256 of what `--json` prints; every line is canonical JSON.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    printed = desk.run("receipt", "r1", "--json").stdout_bytes
    summary = desk.run("receipt", "r1").stdout

    assert f"sha256:{hashlib.sha256(printed).hexdigest()}" in summary
    assert printed.splitlines() == [canonical_json(json.loads(line)) for line in printed.splitlines()]
    assert "It ends 2 elements: 1 cascaded, 1 revoked." in summary


def test_a_receipt_of_no_order_is_not_found(desk: Desk):
    """
    The exit code is 3, with a document; an order that ends nothing has an empty receipt.
    """
    assert {"error": "not_found", "id": "r9"} == desk.one("receipt", "r9", exit=3)
    assert {"error": "not_found", "id": "r9"} == desk.one("closure", "r9", exit=3)
    desk.one(
        "revoke",
        "principal:human:nobody",
        "--reason",
        "test",
        "--by",
        "human:ruth",
        "--unseen",
        "--execute",
        "--id",
        "r2",
    )
    assert [] == lines(desk, "r2")
    assert "It ends 0 elements." in desk.run("receipt", "r2").stdout


# The verdict


def moment() -> str:
    """Return the current time, which is also that of the log."""
    return format_instant(now())


def test_a_revocation_goes_from_unknown_to_partial_to_closed_and_back(desk: Desk):
    """
    First no receiver covers it; then one element of two is enforced, then both; then a late use, a new confirmation.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")

    def look(*events: dict[str, Any]) -> dict[str, Any]:
        if events:
            desk.take(*events)
        found = desk.one("closure", "r1")
        assert CLOSURE_KEYS == list(found)
        return found

    unknown = look()
    assert ("UNKNOWN", 2) == (unknown["verdict"], unknown["elements"])
    assert [{"kind": "token", "id": id_, "reason": "uncovered"} for id_ in ("t1", "t2")] == unknown["open"]

    partial = look(receiver("urn:gw"), acknowledged("urn:gw", "r1", moment(), token="t1"))
    assert "PARTIAL" == partial["verdict"]
    assert [{"kind": "token", "id": "t2", "receiver": "urn:gw", "reason": "pending"}] == partial["open"]
    counts = {"covers": 2, "delivered": 0, "enforced": 1, "rejected": 0, "pending": 1}
    assert [{"receiver": "urn:gw", **counts}] == partial["receivers"]

    enforced = moment()
    closed = look(acknowledged("urn:gw", "r1", enforced, token="t2"))
    assert ("CLOSED", enforced, []) == (closed["verdict"], closed["closed_at"], closed["open"])
    assert closed["seconds"] > 0
    before_the_use = moment()

    reopened = look({**done("late", token="t2", tool="smtp"), "occurred_at": moment()})
    assert ("PARTIAL", ["late"], None) == (reopened["verdict"], reopened["reopened_by"], reopened["closed_at"])
    assert ["used-after-revocation"] == [finding["kind"] for finding in reopened["findings"]]

    enforced = moment()
    again = look(acknowledged("urn:gw", "r1", enforced, token="t2", note="again"))
    assert ("CLOSED", enforced, []) == (again["verdict"], again["closed_at"], again["reopened_by"])
    assert "CLOSED" == desk.one("closure", "r1", "--at", before_the_use)["verdict"]


def ordered_by_hand(desk: Desk, of: str, id_: str, *more: str) -> None:
    """Return an order that is given now."""
    desk.one("revoke", of, "--reason", "test", "--by", "human:ruth", "--execute", "--id", id_, *more)


def test_what_a_receiver_has_enforced_closes_the_next_order_as_well(desk: Desk):
    """
    If a token is revoked and enforced, and then its workload, the receiver need not confirm the token again.
    """
    desk.take(receiver("urn:gw"))
    ordered_by_hand(desk, "token:t2", "r1")
    desk.take(acknowledged("urn:gw", "r1", moment(), token="t2"))
    ordered_by_hand(desk, "workload:spiffe://x/mailer", "r2")
    ordered_by_hand(desk, "token:t1", "r3")
    found = desk.one("closure", "r2")
    wider = desk.one("closure", "r3")

    assert ("CLOSED", 1, found["in_force_at"]) == (found["verdict"], found["elements"], found["closed_at"])
    assert [{"receiver": "urn:gw", "covers": 1, "delivered": 0, "enforced": 1, "rejected": 0, "pending": 0}] == found[
        "receivers"
    ]
    assert ("PARTIAL", ["t1"]) == (wider["verdict"], [one["id"] for one in wider["open"]])
    assert ["PARTIAL", "CLOSED", "CLOSED"] == [one["verdict"] for one in desk.one("revocations")["items"]][:3]
    assert [] == desk.one("uses", "token:t2")["unconfirmed"]
    desk.take({**done("late", token="t2", tool="smtp"), "occurred_at": moment()})
    assert ["PARTIAL"] * 3 == [desk.one("closure", id_)["verdict"] for id_ in ("r1", "r2", "r3")]


def test_an_element_that_was_alive_in_between_has_to_be_enforced_again(desk: Desk):
    """
    This holds for suspended, enforced, lifted, and then revoked; a late link to a dead element does not fill the gap.
    """
    desk.take(receiver("urn:gw"), token("long dead"))
    ordered_by_hand(desk, "token:long dead", "r8")
    ordered_by_hand(desk, "token:t2", "r1", "--mode", "suspend")
    desk.take(acknowledged("urn:gw", "r1", moment(), token="t2"))
    desk.one("lift", "r1", "--by", "human:ruth")
    ordered_by_hand(desk, "token:t2", "r2")
    before = desk.one("closure", "r2")
    desk.take(derived("t2", "long dead", event_id="a link that comes late"))
    found = desk.one("closure", "r2")

    assert ("PARTIAL", "PARTIAL") == (before["verdict"], found["verdict"])
    assert [("t2", "urn:gw", "pending")] == [(one["id"], one["receiver"], one["reason"]) for one in found["open"]]


def test_acknowledgements_without_an_order_or_receiver_are_findings(desk: Desk):
    """
    One for a missing order, and one by an unregistered receiver, are found and close nothing.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    desk.take(receiver("urn:gw"), acknowledged("urn:gw", "r9"), acknowledged("urn:ghost", "r1", token="t1"))
    kinds = [(item["kind"], item["of"]) for item in desk.one("findings")["items"]]

    assert ("acknowledgement-without-order", "revocation:r9") in kinds
    assert ("unregistered-receiver", "revocation:r1") in kinds
    assert ("unregistered-receiver", "revocation:r9") not in kinds
    assert "PARTIAL" == desk.one("closure", "r1")["verdict"]


def test_all_orders_are_listed_with_their_verdicts(desk: Desk):
    """
    They are listed latest first, page by page, each once; a page that is not the last says where to continue.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    desk.one(
        "revoke", "token:t2", "--mode", "suspend", "--reason", "test", "--by", "human:ruth", "--execute", "--id", "r2"
    )
    desk.one("lift", "r2", "--by", "human:ruth")
    whole = desk.one("revocations")
    first = desk.one("revocations", "--limit", "2")
    rest = desk.one("revocations", "--limit", "2", "--after", first["next"])

    assert ["items", "total", "complete", "next", "as_of"] == list(whole)
    assert ["r2", "r1", "r0"] == [item["revocation"] for item in whole["items"]]
    assert (3, True, None) == (whole["total"], whole["complete"], whole["next"])
    assert [("suspend", 0, "CLOSED"), ("revoke", 2, "UNKNOWN"), ("revoke", 1, "UNKNOWN")] == [
        (item["mode"], item["elements"], item["verdict"]) for item in whole["items"]
    ]
    assert [True, False, False] == [item["lifted_at"] is not None for item in whole["items"]]
    assert whole["items"] == first["items"] + rest["items"]
    assert (False, True) == (first["complete"], rest["complete"])
    desk.run("revocations", "--after", "elsewhere", exit=2)


# The plan


def test_a_plan_has_details(desk: Desk):
    """
    It has depths, receivers and uncovered elements, the last hour by tool, and what is shared with whom.
    """
    desk.take(
        receiver("https://idp", issuers=["https://idp"]),
        receiver("urn:tokens", kinds=["token"]),
        token("t7", subject="human:bob", client="idp#c1", session="idp#s7"),
        registered("human:bob", "human"),
    )
    plan = desk.one("reach", "principal:human:alice", "--at", day("10:30"))

    assert [{"depth": 1, "tokens": 2, "delegations": 1}, {"depth": 2, "tokens": 0, "delegations": 1}] == plan["depths"]
    assert [{"receiver": "urn:tokens", "covers": 2}] == plan["receivers"]
    assert {"count": 2, "first": ["delegation:d1", "delegation:d2"]} == plan["uncovered"]
    tools = [{"tool": None, "count": 1}, {"tool": "smtp", "count": 1}]
    assert {"count": 2, "by_tool": tools} == plan["recent_hour"]
    shared = {"kind": "client", "id": "idp#c1", "elements": 1, "people": ["human:bob"], "complete": True}
    assert [shared] == plan["shared"]
    assert (0, None, []) == (plan["spared"], plan["backdated"], plan["warnings"])


def test_dead_elements_share_nothing(desk: Desk):
    """
    A client that is otherwise only used by a revoked token counts as unused.
    """
    desk.take(token("t7", subject="human:bob", client="idp#c1"), ordered("r7", "token", "t7", "09:30"))

    assert [] == desk.one("reach", "token:t1", "--at", day("10:30"))["shared"]


def test_a_plan_counts_what_it_spares(desk: Desk):
    """
    `spared` is how many survivors were issued too late for --issued-before.
    """
    desk.take(token("t6", "11:00"), token("t7", "11:01"))
    words = ("reach", "principal:human:alice", "--at", day("14:00"))

    assert 1 == desk.one(*words, "--issued-before", day("11:01"))["spared"]
    assert 0 == desk.one(*words)["spared"]


def test_a_plan_says_what_cannot_be_judged(desk: Desk):
    """
    It names a dependency that was never granted, and a record in quarantine that contains the target's id.
    """
    desk.take(derived("t8", "t-ghost"), {**token("t9"), "surprise": "t8"}, {**token("t9"), "surprise": "t-other"})
    plan = desk.one("reach", "token:t8")

    assert {"count": 1, "first": ["token:t-ghost"], "quarantined": 1} == plan["unjudged"]


@pytest.mark.parametrize(
    ("of", "narrower"),
    [
        ("principal:agent:planner", {"kind": "delegation", "id": "d1"}),
        ("session:idp#s1", {"kind": "token", "id": "t1"}),
        ("principal:agent:mailer", None),
        ("token:t1", None),
        ("principal:human:bob", {"kind": "token", "id": "t5"}),
        ("principal:human:eve", {"kind": "session", "id": "idp#s5"}),
        ("principal:human:mallory", {"kind": "client", "id": "idp#c5"}),
    ],
)
def test_a_narrower_target_that_ends_the_same_is_named(tmp_path: Path, of: str, narrower: dict[str, str] | None):
    """
    It is the element that everything depends on, else a session, else a client that nothing else uses, else none.
    """
    desk = Desk(tmp_path)
    desk.take(
        granted("d1", "human:alice", "agent:planner"),
        granted("d2", "agent:planner", "agent:mailer", parents=["d1"]),
        token("t1", actor="agent:planner", delegation="d1", session="idp#s1"),
        derived("t2", "t1", actor="agent:mailer", delegation="d2"),
        token("t3", subject="human:carol", actor="agent:mailer"),
        token("t5", subject="human:bob", client="idp#c1"),
        *(token(f"e{n}", subject="human:eve", session="idp#s5", client="idp#c1") for n in range(2)),
        *(token(f"m{n}", subject="human:mallory", session=f"idp#m{n}", client="idp#c5") for n in range(2)),
    )
    plan = desk.one("reach", of)

    assert narrower == plan["narrower"]
    if narrower is not None:
        assert plan["kills"] == desk.one("reach", f"{narrower['kind']}:{narrower['id']}")["kills"]


def test_a_back_dated_plan_counts_what_it_would_taint(desk: Desk):
    """
    It counts successes since `--effective-at`, and warns if that is far in the past or future.
    """
    desk.take(done("a5", "10:45", token="t2", outcome="denied"))
    plan = desk.one(*REVOKE, "--effective-at", day("10:15"))

    assert {"effective_at": "2024-05-01T10:15:00.000000Z", "actions": 1} == plan["backdated"]
    assert ["it takes effect at 2024-05-01T10:15:00.000000Z, more than a year before it is given"] == plan["warnings"]
    assert None is desk.one(*REVOKE)["backdated"]
    assert 1 == len(desk.one(*REVOKE, "--effective-at", "2098-01-01T00:00:00Z", "--execute")["warnings"])
    assert "far-effective-at" in [item["kind"] for item in desk.one("findings")["items"]]


def test_no_detail_of_a_plan_is_in_its_digest(desk: Desk):
    """
    Registrations and actions in the meantime change the details but not the digest, so executing the plan is not drift.
    """
    plan = desk.one(*REVOKE)
    desk.take(receiver("urn:gw"), done("a6", token="t2"), token("t7", subject="human:bob", client="idp#c1"))
    again = desk.one(*REVOKE)

    assert plan["receivers"] != again["receivers"]
    assert plan["plan_digest"] == again["plan_digest"]
    desk.one(*REVOKE, "--execute", "--plan-digest", plan["plan_digest"])


# Safe orders


def orders(desk: Desk) -> list[str]:
    return [item["revocation"] for item in desk.one("revocations")["items"]]


def test_the_same_order_again_is_given_once(desk: Desk):
    """
    Repeated with its id it appends nothing and says what is dead by now, what came since included.
    """
    first = desk.one(*REVOKE, "--execute", "--id", "r1")
    desk.take({**derived("t9", "t2"), "occurred_at": LATER})
    again = desk.one(*REVOKE, "--execute", "--id", "r1")

    assert (False, True) == (first["repeated"], again["repeated"])
    assert ["r1", "r0"] == orders(desk)
    assert ["t1", "t2", "t9"] == again["kills"]["tokens"]
    assert first["effective_at"] == again["effective_at"]
    assert "ALREADY IN FORCE, not repeated: r1" in desk.run(*REVOKE, "--execute", "--id", "r1").stdout


def test_a_repeated_order_completes_an_interrupted_one(desk: Desk):
    """
    If the process died between log and projection, and children arrived since, the repetition gives no second order,
    projects what is there, and reports everything as dead.
    """
    since = format_instant(now())
    fields = {"revocation": "r1", "target": {"kind": "token", "id": "t1"}, "reason": "credential_leak"}
    order = {"type": "revocation.ordered", "event_id": "cut short", "source": "urn:ir", "occurred_at": since, **fields}
    late = {**derived("t9", "t2"), "occurred_at": since}
    order["ordered_by"] = "human:ruth"
    desk.append(ORDERS, codec.encode(codec.event_from_document(order)))
    desk.append(DECISIONS, codec.encode(codec.event_from_document(late)))
    before = desk.state("token:t2")
    again = desk.one(*REVOKE, "--execute", "--id", "r1")

    assert ("active", "cascaded") == (before, desk.state("token:t2"))
    assert (True, ["t1", "t2", "t9"]) == (again["repeated"], again["kills"]["tokens"])
    assert ["r1", "r0"] == orders(desk)


def test_a_repeated_order_does_not_count_what_another_had_ended(desk: Desk):
    """
    An order that is repeated lists what it ended, and not what was dead before it.
    """
    desk.take(ordered("r7", "token", "t2", "09:30"))
    desk.one(*REVOKE, "--execute", "--id", "r1")
    again = desk.one(*REVOKE, "--execute", "--id", "r1")

    assert (["t1"], {"tokens": 1, "delegations": 0}) == (again["kills"]["tokens"], again["already_dead"])
    assert ["t1", "t2"] == [line["id"] for line in lines(desk, "r1")]


def test_a_lifted_order_repeated_says_what_is_still_dead(desk: Desk):
    """
    What was issued since the lift is active, and is not listed.
    """
    words = ("revoke", "principal:human:alice", "--reason", "test", "--by", "human:ruth", "--execute", "--id", "r1")
    desk.one(*words)
    desk.one("lift", "r1", "--by", "human:ruth")
    desk.take({**token("t9"), "occurred_at": format_instant(now())})
    again = desk.one(*words)

    assert "active" == desk.state("token:t9")
    assert {"tokens": ["t1", "t2"], "delegations": ["d1", "d2"]} == again["kills"]


def test_an_approval_with_an_invalid_id_is_refused(desk: Desk):
    """
    A raw credential in place of a person is refused before it is stored.
    """
    desk.run(*REVOKE, "--approved-by", JWT, exit=2)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("token:t2", "--reason", "credential_leak", "--by", "human:ruth"), "target"),
        (("token:t1", "--reason", "test", "--by", "human:ruth"), "reason"),
        (("token:t1", "--reason", "credential_leak", "--by", "human:bob"), "ordered_by"),
        ((*REVOKE[1:], "--mode", "suspend"), "mode"),
        ((*REVOKE[1:], "--no-cascade"), "cascade"),
        ((*REVOKE[1:], "--note", "twice"), "note"),
    ],
)
def test_another_order_under_the_same_id_is_refused(desk: Desk, words: tuple[str, ...], named: str):
    """
    The exit code is 2, the difference is named, and nothing was ordered.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    refused = desk.run("revoke", *words, "--execute", "--id", "r1", exit=2)

    assert f"with another {named}" in refused.stderr
    assert ["r1", "r0"] == orders(desk)


def test_above_the_limit_a_second_person_is_needed(desk: Desk):
    """
    The same person, an alias of theirs and an agent are not a second person; at exactly the number none is required.
    """
    desk.take(registered("human:ruth", "human", aliases=["okta|ruth"]))
    careful = (*REVOKE, "--execute", "--four-eyes", "1")

    assert "needs a second person" in desk.run(*careful, exit=2).stderr
    for nobody in ("human:ruth", "okta|ruth", "agent:planner"):
        assert f"{nobody} is" in desk.run(*careful, "--approved-by", nobody, exit=2).stderr
    assert ["r0"] == orders(desk)
    assert "human:bob" == desk.one(*careful, "--approved-by", "human:bob", "--id", "r1")["approved_by"]
    assert ["r1", "r0"] == orders(desk)
    desk.one("revoke", "token:t3", "--reason", "test", "--by", "human:ruth", "--execute", "--four-eyes", "1")


def test_a_lift_says_what_it_reinstates_and_what_it_does_not(desk: Desk):
    """
    What it suspended is active again, unless another order suspends it; what it revoked stays dead.
    """
    desk.one("revoke", "token:t1", *SUSPEND, "pause")
    desk.one("revoke", "token:t2", *SUSPEND, "other")
    lift = desk.one("lift", "pause", "--by", "human:ruth")

    assert {"tokens": ["t1"], "delegations": []} == lift["comes_back"]
    assert {"tokens": ["t2"], "delegations": []} == lift["stays_suspended"]
    assert {"tokens": 0, "delegations": 0} == lift["stays_dead"]
    assert ["active", "suspended"] == [desk.state("token:t1"), desk.state("token:t2")]

    desk.one("revoke", "principal:human:alice", "--reason", "test", "--by", "human:ruth", "--execute", "--id", "r1")
    lift = desk.one("lift", "r1", "--by", "human:ruth")
    assert ({"tokens": [], "delegations": []}, {"tokens": 2, "delegations": 2}) == (
        lift["comes_back"],
        lift["stays_dead"],
    )


def test_a_lift_without_effect_is_not_shown_as_one(desk: Desk):
    """
    A permanent revocation is listed as not lifted, whatever lift was sent; a suspension says since when it is lifted.
    """
    desk.one(*REVOKE, "--execute", "--id", "r1")
    desk.one("revoke", "token:t2", *SUSPEND, "r2")
    lifts = [desk.one("lift", id_, "--by", "human:ruth") for id_ in ("r1", "r2")]
    listed = {item["revocation"]: item["lifted_at"] for item in desk.one("revocations")["items"]}

    assert (["token:t1"], []) == (lifts[0]["without_effect"], lifts[1]["without_effect"])
    assert (None, lifts[1]["lifted_at"]) == (listed["r1"], listed["r2"])
    assert "lifted" not in desk.run("receipt", "r1").stdout


def test_a_lift_is_described_by_what_it_changes(desk: Desk):
    """
    Nothing is called active again that another order suspends, and no lift reinstated that has no effect.
    """
    for pause in ("p1", "p2"):
        desk.one("revoke", "token:t2", *SUSPEND, pause)
    desk.one("revoke", "token:t3", "--reason", "test", "--by", "human:ruth", "--execute", "--id", "r1", "--unseen")
    blocked, nothing, back = (flat(desk, "lift", id_, "--by", "human:ruth") for id_ in ("p1", "r1", "p2"))

    assert "No token and no delegation is active again: other revocations still suspend them;" in blocked
    assert ["REINSTATED: p1", "NOT REINSTATED: r1"] == [text.split(" (")[0] for text in (blocked, nothing)]
    assert "active again" not in nothing
    assert "What was suspended is active again;" in back


def test_a_lift_is_not_repeated(desk: Desk):
    """
    The same lift again, by whomever, adds no fact: the answer names the lift that counts, and what is so since.
    """
    for pause in ("p1", "p2"):
        desk.one("revoke", "principal:agent:planner", *SUSPEND, pause)
    first = desk.one("lift", "p1", "--by", "human:ruth")
    again = desk.one("lift", "p1", "--by", "human:bob")
    desk.one("lift", "p2", "--by", "human:ruth")
    later = desk.one("lift", "p1", "--by", "human:bob", "--four-eyes", "0")

    assert [False, True, True] == [one["repeated"] for one in (first, again, later)]
    assert first["stays_suspended"] != {"tokens": [], "delegations": []}
    assert {**first, "repeated": True} == again
    assert (first["stays_suspended"], first["comes_back"]) == (later["comes_back"], later["stays_suspended"])
    assert "ALREADY REINSTATED, not repeated: p1" in desk.run("lift", "p1", "--by", "human:bob").stdout
    assert "human:bob" not in desk.run("timeline", "revocation:p1", "--json").stdout


@pytest.mark.parametrize(
    ("mode", "will"), [("revoke", "it will end 2 tokens"), ("suspend", "it will suspend 2 tokens")]
)
def test_an_order_that_is_not_in_force_yet_is_not_called_revoked(desk: Desk, mode: str, will: str):
    """
    What is scheduled has ended nothing: the order, its repetition and its verdict say so, and how to cancel it.
    """
    later = (*REVOKE, "--mode", mode, "--effective-at", "2098-01-01T00:00:00Z", "--execute", "--id", "r1")
    given, again, verdict = flat(desk, *later), flat(desk, *later), flat(desk, "closure", "r1")

    assert f"SCHEDULED: r1 ({mode} token:t1, credential_leak, by human:ruth) is not in force before 2098" in given
    assert all(f"then {will}." in text for text in (given, again))
    assert again.startswith("ALREADY SCHEDULED, not repeated: r1 ")
    assert "before it is in force delegraph lift r1 --by human:ruth" in given
    assert verdict.startswith("UNKNOWN: r1 is not in force yet, and has ended nothing.")
    assert "active" == desk.state("token:t1")


def test_the_verdict_on_a_lifted_suspension_says_so_and_not_that_it_is_enforced(desk: Desk):
    """
    Nothing is left to enforce, which no enforcement point has to confirm.
    """
    desk.one("revoke", "token:t1", *SUSPEND, "pause")
    before = desk.one("closure", "pause")
    lift = desk.one("lift", "pause", "--by", "human:ruth")
    after, text = desk.one("closure", "pause"), flat(desk, "closure", "pause")

    assert ("lifted_at" in before, lift["lifted_at"]) == (False, after["lifted_at"])
    assert text.startswith("CLOSED: pause has had nothing to enforce since ")
    assert f"Reinstated at {lift['lifted_at'].rstrip('Z').rstrip('0')}Z." in text
    assert "can be confirmed" not in text


def test_a_lift_above_the_limit_needs_a_second_person(desk: Desk):
    """
    The number is that of the elements that would be reinstated.
    """
    desk.one(
        "revoke",
        "token:t1",
        "--mode",
        "suspend",
        "--reason",
        "test",
        "--by",
        "human:ruth",
        "--execute",
        "--id",
        "pause",
    )
    words = ("lift", "pause", "--by", "human:ruth", "--four-eyes", "1")

    assert "needs a second person" in desk.run(*words, exit=2).stderr
    assert "suspended" == desk.state("token:t1")
    desk.one(*words, "--approved-by", "human:bob")
    assert "active" == desk.state("token:t1")


@pytest.mark.parametrize(
    "words",
    [
        ("token:", "--by", "human:ruth"),
        ("token: t1", "--by", "human:ruth"),
        ("token:t1 ", "--by", "human:ruth"),
        ("action:a1", "--by", "human:ruth"),
        ("t1", "--by", "human:ruth"),
        ("token:t1", "--by", ""),
        ("token:t1", "--by", " "),
        ("token:t1", "--by", "human:ruth "),
        ("token:t1", "--by", "human:ruth", "--approved-by", ""),
    ],
)
def test_an_order_with_an_invalid_target_or_person_is_refused(desk: Desk, words: tuple[str, ...]):
    """
    If it is blank, padded or of the wrong kind, plan and order exit with 2, and nothing is ordered.
    """
    desk.run("revoke", *words, "--reason", "test", exit=2)
    desk.run("revoke", *words, "--reason", "test", "--execute", exit=2)

    assert ["r0"] == orders(desk)


# Uses of a revoked token


def test_uses_say_who_has_not_confirmed(desk: Desk):
    """
    They are grouped by tool, holder, workload and key, with the receivers that have not enforced, and later uses.
    """
    desk.take(done("a7", "10:40", token="t2", actor="agent:mailer", tool="crm", workload="spiffe://x/mailer"))
    before = desk.one("uses", "token:t2")
    desk.one(*REVOKE, "--execute", "--id", "r1")
    desk.take(
        receiver("urn:gw"),
        receiver("urn:mail"),
        acknowledged("urn:gw", "r1", format_instant(now()), token="t2"),
        {**done("late", token="t2", actor="agent:rogue"), "occurred_at": format_instant(now())},
    )
    after = desk.one("uses", "token:t2")

    assert ([], [], []) == (before["revoked_by"], before["unconfirmed"], before["used_after"])
    assert ("2024-05-01T10:00:00.000000Z", "2024-05-01T10:40:00.000000Z") == (before["first"], before["last"])
    assert [("smtp", "agent:mailer", 1), (None, "agent:rogue", 1), ("crm", "agent:mailer", 1)] == [
        (place["tool"], place["actor"], place["count"]) for place in before["places"]
    ]
    assert (["r1"], ["late"]) == (after["revoked_by"], after["used_after"])
    assert [("urn:gw", "used-after-revocation"), ("urn:mail", "pending")] == [
        (one["receiver"], one["reason"]) for one in after["unconfirmed"]
    ]
    assert [0, 1, 0] == [place["used_after"] for place in after["places"]]


# Text pages


def flat(desk: Desk, *words: str) -> str:
    return " ".join(desk.run(*words).stdout.split())


def test_a_plan_shows_every_detail(desk: Desk):
    """
    Every detail has a text; a long list is shortened and counted.
    """
    desk.take(
        receiver("urn:tokens", kinds=["token"]),
        *(granted(f"g{n:02}", "human:alice", "agent:helper") for n in range(25)),
        derived("t8", "t-ghost", at="10:31"),
        token("t7", subject="human:bob", client="idp#c1"),
        {**token("t9"), "surprise": "human:alice"},
    )
    at = ("--at", day("10:30"))
    read = flat(desk, "reach", "principal:human:alice", "--issued-before", day("10:31"), *at)

    assert "Steps below the target 1 2 tokens and 26 delegations 2 1 delegation" in read
    assert "Enforcement points that have to confirm 2 urn:tokens" in read
    assert "Covered by no enforcement point: 27 elements" in read
    assert "... and 7 more" in read
    assert "In the hour before: 2 actions, 1 with an unknown tool, 1 with smtp." in read
    assert "client idp#c1: 1 other element, of human:bob" in read
    assert "1 survivor spared, issued too late for --issued-before." in read
    assert "1 record in quarantine that cannot be read and holds the target's id" in read
    assert "Cannot be judged: 1 dependency never granted - token:t-ghost" in flat(desk, "reach", "token:t8", *at)
    assert "would end the same and affect less later delegraph reach token:t1" in flat(
        desk, "reach", "session:idp#s1", *at
    )
    back_dated = flat(desk, *REVOKE, "--effective-at", day("10:15"))
    assert "Back-dated to 2024-05-01T10:15:00Z: 1 past success under it would be tainted." in back_dated
    assert "WARNING: it takes effect at" in back_dated


def test_a_lift_and_the_uses_of_a_token_are_shown(desk: Desk):
    """
    It shows what is active again and what is not, where a token was used, and who has not confirmed its revocation.
    """
    desk.take(receiver("urn:gw"))
    desk.one("revoke", "token:t1", *SUSPEND, "pause")
    desk.one("revoke", "token:t2", *SUSPEND, "other")
    lift = flat(desk, "lift", "pause", "--by", "human:ruth")
    desk.take({**done("late", token="t2"), "occurred_at": format_instant(now())})
    used = flat(desk, "uses", "token:t2")
    desk.one("revoke", "principal:human:alice", "--reason", "test", "--by", "human:ruth", "--execute", "--id", "r1")

    assert "Active again: 1 token token t1" in lift
    assert "Still suspended by other revocations: 1 token token t2" in lift
    assert "Stays revoked: 2 tokens and 2 delegations." in flat(desk, "lift", "r1", "--by", "human:ruth")
    assert "Places (3), from 2024-05-01T10:00:00Z to" in used
    assert "Revoked by other - urn:gw: pending (other) used after revocation: late" in used


# On PostgreSQL


@pytest.mark.postgres
def test_plan_receipt_and_verdict_are_the_same_on_postgresql(postgres_url: str, tmp_path: Path):
    """
    The same facts give the same documents on PostgreSQL as on SQLite, except for recording times.
    """

    desk = Desk(tmp_path)
    desk.take(
        *WORLD,
        receiver("urn:gw"),
        derived("t8", "t-ghost", client="idp#c1"),
        ordered("r1", "principal", "agent:planner"),
        acknowledged("urn:gw", "r1", day("12:30"), token="t1"),
    )
    desk.append(DECISIONS, b"\xc3\x01 no event, and t8 in it")

    def answers(url: str) -> list[Any]:
        other = Desk(tmp_path, ("--log", desk.url, "--store", url))
        other.run("init")
        other.run("consume", "--drain")
        at = ("--at", day("14:00"))
        found = [
            *other.ask("reach", "principal:human:alice", "token:t8", *at),
            *other.ask("receipt", "r1", *at),
            *other.ask("closure", "r1", *at),
            *other.ask("revocations", *at),
            *other.ask("uses", "token:t2"),
        ]
        return [timeless(document) for document in found]

    expected, found = answers(desk.url), answers(postgres_url)
    assert 1 == found[1]["unjudged"]["quarantined"]
    assert 4 == sum(document.get("state") in ("revoked", "cascaded") for document in found)
    assert expected == found


def timeless(document: Any) -> Any:
    """Remove recording times from a document, and what depends on them."""
    moments = {"recorded_at", "in_force_at", "seconds", "as_of", "next"}
    if isinstance(document, dict):
        return {key: timeless(value) for key, value in document.items() if key not in moments}
    return [timeless(item) for item in document] if isinstance(document, list) else document


def test_a_receipt_is_not_kept_in_memory(desk: Desk):
    """
    A receipt caches few database pages, and writes the visited elements to a file; afterwards settings are restored.
    """
    store = open_store(desk.url, codec.read)

    def room() -> list[int]:
        with store.connection() as connection:
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("cache_size", "temp_store")]

    before = room()
    with store.snapshot(frugal=True) as still, still.connection() as connection:
        kept = -connection.exec_driver_sql("PRAGMA cache_size").scalar_one()
        assert 1 == connection.exec_driver_sql("PRAGMA temp_store").scalar_one()  # 1: files, 2: memory
    assert kept <= 8_192 < -before[0]
    assert before == room()
    store.close()
