"""Acknowledgements in the name of an authenticated receiver."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingest.trust_file import Trust
from lineage.core.model.errors import BadRecordError, CredentialError, RefusedError
from lineage.core.model.events import RevocationAcknowledged
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.serve.commands.acknowledgements import acknowledge
from lineage.serve.config.wiring import Settings, opened_service
from lineage.serve.queries.service import Service
from tests.support.desk import Desk, day, lifted, ordered, token
from tests.support.receivers import acknowledged, receiver
from tests.support.secrets import JWT

GATEWAY = "urn:gw"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create a token that an order has ended, and a receiver that covers it."""
    desk = Desk(tmp_path)
    desk.take(token("t1"), receiver(GATEWAY), ordered("r1", "token", "t1"))
    return desk


@contextmanager
def service_of(desk: Desk) -> Iterator[Service]:
    with opened_service(Settings(store=desk.url)) as service:
        yield service


def verdict(desk: Desk, at: str = day("20:00")) -> str:
    [found] = desk.ask("closure", "r1", "--at", at)
    return str(found["verdict"])


def test_an_enforced_acknowledgement_closes_the_order(desk: Desk):
    """It is one of our events in the receiver's name, at the time at which it came."""
    with service_of(desk) as service:
        result = acknowledge(service, "r1", receiver=GATEWAY, outcome="enforced", token="t1", note="by hand")
        assert result is not None
        [event] = [
            one.fact.event
            for one in service.store.facts(after=-1, limit=10)
            if isinstance(one.fact.event.body, RevocationAcknowledged)
        ]

    said_so = RevocationAcknowledged("r1", GATEWAY, "enforced", "t1", "by hand")
    assert (service.source, said_so) == (event.source, event.body)
    assert ("enforced", 0) == (result["outcome"], result["as_of"]["behind"])
    assert "CLOSED" == verdict(desk, "2126-01-01T00:00:00Z")


def test_an_acknowledgement_of_an_earlier_order_does_not_close_a_later_one_of_its_id(tmp_path: Path):
    """Suspended, enforced, lifted, then revoked under the same id: open until the receiver acknowledges again."""
    desk = Desk(tmp_path)
    suspended = ordered("r1", "token", "t1", mode="suspend")
    revoked = ordered("r1", "token", "t1", "14:00", event_id="order again")
    desk.take(token("t1"), receiver(GATEWAY), suspended, acknowledged(GATEWAY, "r1", day("12:30"), token="t1"))
    desk.take(lifted("r1"), revoked)

    [found] = desk.ask("closure", "r1", "--at", day("15:00"))
    assert "PARTIAL" == found["verdict"]
    assert [{"kind": "token", "id": "t1", "receiver": GATEWAY, "reason": "pending"}] == found["open"]
    desk.take(acknowledged(GATEWAY, "r1", day("14:30"), token="t1"))
    assert "CLOSED" == verdict(desk)


def test_an_order_that_was_just_given_can_be_acknowledged(desk: Desk):
    """An order that is in the log but not projected yet counts."""
    file = desk.folder / "order.jsonl"
    file.write_text(json.dumps(ordered("r2", "token", "t1")))
    desk.run("emit", str(file))
    with service_of(desk) as service:
        assert acknowledge(service, "r2", receiver=GATEWAY, outcome="rejected") is not None


@pytest.mark.parametrize("events", [[], [lifted("nothing")]], ids=["unheard of", "only lifted"])
def test_an_order_that_does_not_exist_is_not_found(desk: Desk, events: list[dict[str, Any]]):
    """Nothing is appended, even if only a lift names the id."""
    desk.take(*events)
    with service_of(desk) as service:
        before = service.as_of()
        assert acknowledge(service, "nothing", receiver=GATEWAY, outcome="enforced") is None
        assert before == service.as_of()


def test_an_unregistered_receiver_is_refused(desk: Desk):
    """Its acknowledgement would close nothing; the error says so, and nothing is appended."""
    with service_of(desk) as service:
        before = service.as_of()
        with pytest.raises(RefusedError, match="the receiver urn:ghost is not registered"):
            acknowledge(service, "r1", receiver="urn:ghost", outcome="enforced")
        assert before == service.as_of()


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"outcome": "perhaps"}, BadRecordError),
        ({"token": " padded "}, BadRecordError),
        ({"token": JWT}, CredentialError),
        ({"note": "x" * 5_000}, BadRecordError),
    ],
    ids=["outcome", "padded", "credential", "long"],
)
def test_an_invalid_acknowledgement_is_refused(desk: Desk, fields: dict[str, str], fault: type[Exception]):
    """The limits of every event apply, and nothing is appended."""
    with service_of(desk) as service:
        before = service.as_of()
        with pytest.raises(fault):
            acknowledge(service, "r1", receiver=GATEWAY, **{"outcome": "enforced", **fields})
        assert before == service.as_of()


def test_a_trust_file_that_does_not_permit_acknowledgements_is_named(desk: Desk):
    """Otherwise the acknowledgement would be appended and count in no answer."""
    table = TrustTable(
        {source: SourceGrant(frozenset({"*"}), ("",)) for source in ("urn:ir", "urn:directory", "urn:idp")}
    )
    with service_of(desk) as service:
        service.trust = Trust(table=table, file="trust.toml")
        with pytest.raises(RefusedError, match=r"trust\.toml"):
            acknowledge(service, "r1", receiver=GATEWAY, outcome="enforced")
