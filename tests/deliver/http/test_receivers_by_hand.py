"""Enforcement points managed by people: registered if none covers, confirmed by a person, delivered again."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ingest.trust_file import Trust
from lineage.core.authority.receivers import BY_HAND
from lineage.core.model.errors import RefusedError
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.deliver.outbox.outbox_writer import OutboxWriter
from lineage.serve.commands.receivers import deliver_again, mark_by_hand
from lineage.serve.config.wiring import Settings, now, opened_service
from lineage.serve.queries.service import Service
from lineage.store.delivery import outbox
from tests.support.desk import LATER, Desk, day, derived, done, granted, ordered, registered, token
from tests.support.receivers import acknowledged

GATEWAY = "urn:gw"
WORD = ("--by", "human:ruth", "--reason", "its log shows the refusal")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create an order on a grant that ends it and the token below it; no receiver is registered."""
    desk = Desk(tmp_path)
    grant = granted("d1", "human:alice", "agent:mailer", expires_at=LATER)
    desk.take(grant, token("t1", delegation="d1", expires_at=LATER), ordered("r1", "delegation", "d1"))
    return desk


@contextmanager
def service_of(desk: Desk) -> Iterator[Service]:
    with opened_service(Settings(store=desk.url)) as service:
        yield service


def test_open_elements_of_one_point_are_delivered_again_and_its_contact_is_listed(desk: Desk):
    """If nothing is open, the request is refused; the contact is in the settings file, and an invalid one is named."""
    file = desk.folder / "delegraph.toml"
    file.write_text(f'[contacts]\n"{GATEWAY}" = "gateway team, +44 20 7946 0000"\n', encoding="utf-8")
    named = Desk(desk.folder, env={"DELEGRAPH_CONFIG": str(file)})
    for receiver in (GATEWAY, "urn:other"):
        desk.one("receiver", "register", receiver)
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    refused = desk.run("receiver", "resend", "r1", GATEWAY, "--by", "human:ruth", exit=2).output
    again = desk.one("receiver", "resend", "r1", "urn:other", "--by", "human:ruth")
    listed = named.one("receiver", "list")["items"]
    text = named.run("receiver", "list").output
    file.write_text(f'[contacts]\n"{GATEWAY}" = ""\n', encoding="utf-8")

    assert "nothing is open at urn:gw for r1" in " ".join(refused.split())
    assert ("urn:other", 2) == (again["receiver"], again["elements"])
    assert ["gateway team, +44 20 7946 0000", None] == [one["contact"] for one in listed]
    assert "Contact: gateway team" in text
    assert "'urn:gw' of [contacts]" in named.run("receiver", "list", exit=2).output


def test_from_unknown_to_closed_by_a_persons_statement(desk: Desk):
    """Nobody covers it: unknown. One is registered: partial. A person states enforced: closed, with their name."""
    unknown = desk.one("closure", "r1")["verdict"]
    desk.one("receiver", "register", GATEWAY)
    partial = desk.one("closure", "r1")
    result = desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    closed = desk.one("closure", "r1")

    assert ("UNKNOWN", "PARTIAL", "CLOSED") == (unknown, partial["verdict"], closed["verdict"])
    assert (2, "CLOSED") == (result["elements"], result["verdict"])
    assert "by_hand" not in partial
    word = {"receiver": GATEWAY, "by": "human:ruth", "reason": "its log shows the refusal", "elements": 2}
    assert [{**word, "said_at": result["said_at"]}] == closed["by_hand"]


def test_a_statement_applies_to_the_elements_open_at_that_time(desk: Desk):
    """A child that comes afterwards is open again, and so is an element used afterwards."""
    desk.one("receiver", "register", GATEWAY)
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    desk.take(derived("t2", "t1", expires_at=LATER))
    child = desk.one("closure", "r1")
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    closed = desk.one("closure", "r1")
    desk.take({**done("late", token="t1"), "occurred_at": "2098-01-01T00:00:00Z"})
    used = desk.one("closure", "r1", "--at", "2098-06-01T00:00:00Z")

    assert [("t2", "pending")] == [(one["id"], one["reason"]) for one in child["open"]]
    assert "CLOSED" == closed["verdict"]
    assert [("t1", "used-after-revocation")] == [(one["id"], one["reason"]) for one in used["open"]]


def test_a_later_acknowledgement_of_the_receiver_replaces_the_statement(desk: Desk):
    """It rejects afterwards: open, and the statement no longer counts for that token."""
    desk.one("receiver", "register", GATEWAY)
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    desk.take(acknowledged(GATEWAY, "r1", LATER, outcome="rejected", token="t1"))
    found = desk.one("closure", "r1")

    assert [("token", "t1", "rejected")] == [(one["kind"], one["id"], one["reason"]) for one in found["open"]]
    assert [1] == [one["elements"] for one in found["by_hand"]]


def test_a_rebuild_keeps_a_persons_statement(desk: Desk):
    """The statement is a fact of the log, and deliveries survive a rebuild."""
    desk.one("receiver", "register", GATEWAY)
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)
    desk.run("rebuild")

    assert "CLOSED" == desk.one("closure", "r1")["verdict"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("r1", "urn:ghost", *WORD), "urn:ghost is not registered for r1"),
        (("r1", GATEWAY, "--by", "human:ruth", "--reason", "  "), "needs a reason"),
        (("r1", GATEWAY, "--by", "agent:helper", "--reason", "done"), "agent:helper is of kind agent"),
        (("r1", GATEWAY, "--by", " ruth", "--reason", "done"), "starts or ends with white space"),
        (("r1", GATEWAY, "--by", "human:ruth", "--reason", "x" * 4_096), "at most 4096"),
        (("r1", GATEWAY, "--by", "human:ruth", "--reason", "ghp_" + "a1B2" * 9), "credential"),
    ],
)
def test_a_statement_that_cannot_count_is_refused(desk: Desk, words: tuple[str, ...], why: str):
    """The message says why and what to do, and nothing is appended."""
    desk.take(registered("agent:helper", "agent"))
    desk.one("receiver", "register", GATEWAY)
    before = desk.one("closure", "r1")
    text = " ".join(desk.run("receiver", "mark", *words, exit=2).output.split())

    assert why in text
    assert before == desk.one("closure", "r1")


def test_an_unknown_order_can_be_neither_marked_nor_resent(desk: Desk):
    """Exit code 3, as for any unknown id."""
    desk.run("receiver", "mark", "none", GATEWAY, *WORD, exit=3)
    desk.run("receiver", "resend", "none", "--by", "human:ruth", exit=3)


def test_once_everything_is_enforced_there_is_nothing_to_mark(desk: Desk):
    """A second statement would have no effect."""
    desk.one("receiver", "register", GATEWAY)
    desk.one("receiver", "mark", "r1", GATEWAY, *WORD)

    assert "nothing is open at urn:gw" in desk.run("receiver", "mark", "r1", GATEWAY, *WORD, exit=2).output


def test_the_trust_file_decides_whether_statements_of_people_count(desk: Desk):
    """Without the source of such statements they are refused, and existing ones close nothing."""
    desk.one("receiver", "register", GATEWAY)
    sources = ("urn:ir", "urn:idp", "urn:delegraph:cli")
    table = TrustTable({source: SourceGrant(frozenset({"*"}), ("",)) for source in sources})
    with service_of(desk) as service:
        service.trust = Trust(table=table, file="trust.toml")
        with pytest.raises(RefusedError, match=f"does not let the source '{BY_HAND}'"):
            mark_by_hand(service, "r1", receiver=GATEWAY, by="human:ruth", reason="seen")


def test_open_elements_are_delivered_again(desk: Desk):
    """A new row of the outbox for each open element, with the same end; enforced ones are not repeated."""
    desk.one("receiver", "register", GATEWAY)
    with service_of(desk) as service:
        OutboxWriter(service.store, service.trust).round(now)
        first = outbox.rows(service.store, after=0, limit=100)
        desk.take(acknowledged(GATEWAY, "r1", day("12:30"), token="t1"))
        result = deliver_again(service, "r1", by="human:ruth")
        rows = outbox.rows(service.store, after=first[-1].seq, limit=100)

    assert result is not None
    assert {"token:t1", "delegation:d1"} == {row.change.key for row in first}
    assert ["delegation:d1"] == [row.change.key for row in rows]
    before = next(row.change for row in first if row.change.key == "delegation:d1")
    assert (before.version.outcome, before.version.number + 1) == rows[0].change.version[::-1]
    assert (1, 1) == (result["elements"], result["written"])


def test_a_narrowing_registration_is_refused_unless_confirmed(desk: Desk):
    """So no receiver is silenced by accident; for orders already given the old coverage counts."""
    desk.one("receiver", "register", GATEWAY, "--kind", "token", "--kind", "delegation")
    result = desk.run("receiver", "register", GATEWAY, "--kind", "token", exit=2).output
    desk.one("receiver", "register", GATEWAY, "--kind", "token", "--narrow")
    desk.one("receiver", "register", GATEWAY, "--kind", "token", "--issuer", "https://idp", "--narrow")
    [listed] = desk.one("receiver", "list")["items"]

    assert "would cover less" in " ".join(result.split())
    assert (["token"], ["https://idp"]) == (listed["kinds"], listed["issuers"])
    assert 2 == len(desk.one("closure", "r1")["open"])


def test_an_enforcement_point_with_an_unusable_id_is_refused(desk: Desk):
    """Nothing is registered."""
    desk.run("receiver", "register", " urn:gw", exit=2)
    desk.run("receiver", "register", "ghp_" + "a1B2" * 9, exit=2)

    assert 0 == desk.one("receiver", "list")["total"]
