"""The actions of the party itself: documents, sentences and pages never say that someone who acted did nothing."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.codec import api as codec
from lineage.core.model.events import ActionPerformed, DecisionMade, Event, Fact
from lineage.core.model.records import DECISIONS, Batch, DecodedRecord, Position
from lineage.core.model.references import RefRole
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.store.reading.acted import count_acted
from lineage.store.store import open_store
from tests.support import stores
from tests.support.desk import Desk, day, derived, done, raw_event, token
from tests.support.http_worlds import World, api_over
from tests.support.web_pages import Pages, text_of

AT = ("--at", day("10:30"))
ANN = "principal:human:ann"


@pytest.fixture
def desk(tmp_path) -> Desk:
    found = Desk(tmp_path)
    found.take(token("t0", subject="human:bob"))
    return found


def decision(id_: str, **fields: Any) -> dict[str, Any]:
    return raw_event("decision.made", f"decide {id_}", decision=id_, permitted=True, operation="op", **fields)


# Each: what was done, how many actions rest on what would be killed, and how many are her own.
DONE: dict[str, tuple[list[dict[str, Any]], int, int]] = {
    "nothing": ([done("a1", token="t0")], 0, 0),
    "with a key that nobody issued": ([done("a1", token="aws#AKIA", actor="human:ann")], 0, 1),
    "with nothing at all": ([done("a1", actor="human:ann")], 0, 1),
    "with somebody else's token": ([done("a1", token="t0", actor="human:ann")], 0, 1),
    "with her own token": ([token("t1", subject="human:ann"), done("a1", token="t1", actor="human:ann")], 1, 0),
    "by an agent with her token": (
        [token("t1", subject="human:ann", actor="agent:a"), done("a1", token="t1", actor="agent:a")], 1, 0,
    ),
    "with a token of hers that has ended": (
        [token("t1", subject="human:ann", expires_at=day("10:00")), done("a1", token="t1", actor="human:ann")], 0, 1,
    ),
    "on her behalf, by nobody else": ([done("a1", on_behalf_of="human:ann")], 0, 1),
    "on her behalf, by somebody else": ([done("a1", on_behalf_of="human:ann", actor="agent:a")], 0, 0),
    "as a workload": ([done("a1", actor="agent:a", workload="human:ann")], 0, 1),
    "under an alias": (
        [
            raw_event("principal.registered", "r", principal="human:ann", kind="human", aliases=["okta|1"]),
            done("a1", actor="okta|1"),
        ], 0, 1,
    ),
    "as her decision says": ([decision("q1", actor="human:ann"), done("a1", decision="q1")], 0, 1),
    "as a decision says on her behalf": ([decision("q1", on_behalf_of="human:ann"), done("a1", decision="q1")], 0, 1),
    "as her decision says, and not the action": (
        [decision("q1", actor="human:ann"), done("a1", decision="q1", actor="agent:a")], 0, 0,
    ),
    "told of twice": (
        [done("a1", actor="human:ann"), {**done("a1", actor="human:ann", tool="x"), "event_id": "again"}], 0, 1,
    ),
    "decided and never done": ([decision("q1", actor="human:ann")], 0, 0),
    "as a prior actor": ([done("a1", actor="agent:a", prior_actors=["human:ann"])], 0, 0),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("facts", "under", "own"), DONE.values(), ids=DONE)
def test_what_a_principal_did_is_counted_once_where_it_belongs(
    desk: Desk, facts: list[dict[str, Any]], under: int, own: int
):
    """
    Each action counts either under the elements that would be killed or as the party's own, never both; the sentence of
    the command line claims no more than that.
    """
    desk.take(*facts, {**raw_event("principal.registered", "ann"), "principal": "human:ann", "kind": "human"})
    found = desk.one("reach", ANN, *AT)
    text = " ".join(desk.run("reach", ANN, *AT).stdout.split())

    assert (under, {"count": own}) == (found["actions"]["count"], found["own_actions"])
    assert (f"human:ann took {own} action" in text) == (own > 0)
    assert ("taken under it" in text) == (under > 0)


@pytest.mark.slow
@pytest.mark.parametrize(("facts", "under", "own"), DONE.values(), ids=DONE)
def test_a_store_of_an_older_version_counts_the_same(desk: Desk, facts: list[dict[str, Any]], under: int, own: int):
    """
    If the index lacks the actors of older records, the facts are counted; doctor names the remedy.
    """
    desk.take(*facts, {**raw_event("principal.registered", "ann"), "principal": "human:ann", "kind": "human"})
    with sqlite3.connect(desk.file) as connection:
        indexed = f"role IN ({RefRole.ACTS:d}, {RefRole.ASKS:d})"
        connection.execute(f"UPDATE OR IGNORE sorted_ref SET role = {RefRole.MENTIONS:d} WHERE {indexed}")
        connection.execute(f"DELETE FROM ref WHERE {indexed}")
        connection.execute("INSERT INTO meta VALUES ('actors', x'01')")
    connection.close()
    remedy = "did not index who acted"
    before = desk.one("reach", ANN, *AT)
    report = " ".join(desk.run("doctor").stdout.split())
    desk.run("rebuild")
    after = " ".join(desk.run("doctor").stdout.split())

    assert (under, {"count": own}) == (before["actions"]["count"], before["own_actions"])
    assert {"count": own} == desk.one("reach", ANN, *AT)["own_actions"]
    assert (True, False) == (remedy in report, remedy in after)


def test_only_a_principal_has_own_actions(desk: Desk):
    """
    The document of every target has the same keys; the actions of a token, session or client are under it.
    """
    desk.take(token("t1", session="idp#s"), derived("t2", "t1"), done("a1", token="t2", session="idp#s"))

    assert [{"count": 0}] * 2 == [desk.one("reach", of, *AT)["own_actions"] for of in ("token:t1", "session:idp#s")]


@pytest.mark.slow
@pytest.mark.parametrize("known_at", [None, 1])
@pytest.mark.parametrize("trusted", [None, True, False])
def test_very_many_are_counted_by_the_index(
    fresh: stores.Fresh,
    known_at: int | None,
    trusted: bool | None,
):
    """
    However many there are, actions that state their actor are not read; trust and knowledge are applied anyway.
    """
    many = 5_000
    bodies = [ActionPerformed(f"a{n}", "op", "succeeded", token="aws#AKIA", actor="agent:busy") for n in range(many)]
    bodies += [DecisionMade("q", permitted=True, operation="op", actor="agent:busy")]
    bodies += [ActionPerformed(f"b{n}", "op", "succeeded", decision="q") for n in range(3)]
    records = []
    for number, body in enumerate(bodies):
        event = Event(f"e{number}", "urn:late" if number % 2 else "urn:s", 1, body)
        fact = (event, 1 if number < many // 2 or number >= many else 2, False)
        records.append(readable(number, fact))
    types = {None: frozenset({"*"}), True: frozenset({"action.performed"}), False: frozenset({"token.issued"})}
    trust = TrustTable({"urn:s": SourceGrant(types[trusted], ()), "urn:late": SourceGrant(types[False], ())})
    read: list[bytes] = []
    with fresh() as url:
        store = open_store(url, lambda value: read.append(value) or codec.read(value), create=True)
        store.write(Batch(readable=records, advance={(DECISIONS, 0): (0, len(records))}))
        with store.reader(trust=None if trusted is None else trust, known_at=known_at) as reader:
            count = count_acted(reader, "principal:agent:busy")
        store.close()

    visible = many if known_at is None else many // 2
    if trusted is None:
        assert visible + 3 == count
    elif trusted:
        assert visible // 2 == count
    else:
        assert 0 == count
    assert len(read) < 20


def readable(number: int, fact: tuple[Event, int, bool]) -> DecodedRecord:
    return DecodedRecord(Position(DECISIONS, 0, number).number, Fact(*fact), codec.encode(fact[0]), authorised=True)


@pytest.fixture
def api(tmp_path) -> Iterator[World]:
    with stores.in_a_file() as url, api_over(url, tmp_path) as found:
        yield found


def test_the_page_says_what_the_document_does(api: World):
    """
    The scraper used the mailer's token: its page says that it acted, under nothing that its revocation would end.
    """
    of = "principal:agent:scraper"
    document = api.get("/v1/reach", params={"of": of}).json()
    page = text_of(Pages(api).get(f"/reach?of={of}"))

    assert document["own_actions"]["count"] > 0
    assert f"agent:scraper took {document['own_actions']['count']} action" in " ".join(page.split())
