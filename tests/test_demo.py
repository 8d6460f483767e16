"""The demo: its story, its size on the screen, and that its proof can fail."""

import json
from collections import Counter
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from ingest.codec import api as codec
from lineage.core.model.events import Target
from lineage.core.model.times import format_instant, parse_instant
from lineage.core.revocation.reach import Proposal
from lineage.serve.cli import demo
from lineage.serve.cli.demo_proof import CheckedElement, DemoProof, prove
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.documents.core_documents import Document
from lineage.serve.queries.service import Service

SCREEN_LINES = 55
SCREEN_COLUMNS = 80


def demo_output(width: int = SCREEN_COLUMNS, **options) -> tuple[int, str]:
    """Return the exit code of the demo, and its output without a terminal."""
    console = Console(file=StringIO(), width=width)
    code = demo.run(console, **options)
    return code, console.file.getvalue()


def incident() -> list[Document]:
    return [json.loads(line) for line in demo.incident_path().read_text(encoding="utf-8").splitlines()]


# What it tells


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_demo_fits_on_one_screen(width: int):
    """
    At 80 columns and more the whole story has at most 55 lines, none wider than the screen.
    """
    code, text = demo_output(width)

    assert 0 == code
    assert SCREEN_LINES >= len(text.splitlines())
    assert width >= max(map(cell_len, text.splitlines()))


def test_the_demo_prints_the_same_every_time():
    """
    It uses the clock of the story: its output and its document are the same in every run.
    """
    assert demo_output() == demo_output()
    assert demo_output(as_json=True) == demo_output(as_json=True)


def test_the_demo_shows_who_acted_what_is_revoked_and_the_proof():
    """
    The suspicious action with its real actor, human and token; the order; the one never valid; and the verdict.
    """
    _, text = demo_output(width=200)

    assert "mail.send was done by agent:scraper with token https://idp.example#mailer-1" in text
    assert "for human:alice@example.com" in text
    assert "wielder-mismatch" in text
    assert "REVOKED: rev-mailer-leak" in text
    assert "6 of 6 descendants are revoked" in text
    assert "token:https://idp.example#relay-4, never valid" in text
    assert "15 of 15 siblings are active" in text
    assert "PROVED: " in text


def test_the_demo_gives_one_document():
    """
    `--json` prints one line: the documents of each step, and what was proved.
    """
    code, text = demo_output(as_json=True)
    document = json.loads(text)

    assert 0 == code
    assert 1 == text.count("\n")
    assert ["counts", "again", "who", "gap", "reach", "order", "late", "proof"] == list(document)
    assert document["proof"]["holds"]
    assert ["token:https://idp.example#relay-4"] == document["proof"]["born_dead"]
    assert 15 == len(document["proof"]["alive"])
    assert [] == document["proof"]["failures"]


def test_the_same_facts_twice_change_nothing():
    """
    The file ingested again is all duplicates, and every record is accounted for.
    """
    with demo.throw_away() as (service, clock, folder):
        results, _ = demo.tell(service, clock, folder)

    for counts, accepted, duplicates in (
        (results["counts"], 43, 1),
        (results["again"], 0, 44),
        (results["late"], 2, 0),
    ):
        others = counts["conflicts"] + counts["unauthorised"] + counts["quarantined"]
        assert (accepted, duplicates, 0) == (counts["accepted"], counts["duplicates"], others)
        assert counts["read"] == accepted + duplicates


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    The store is temporary: its folder is deleted, and the current folder is unchanged.
    """
    monkeypatch.chdir(tmp_path)
    with demo.throw_away() as (_, _, folder):
        assert folder.exists()
    demo_output()

    assert not folder.exists()
    assert [] == list(tmp_path.iterdir())


# The proof


def without_order(service: Service, request: OrderRequest) -> Document | None:
    """Make a service report an order that it does not give."""
    with demo.throw_away() as (other, clock, _):
        clock.now = demo.ORDERED
        demo.ingest(other, demo.incident_path())
        return give_order(other, replace(request, plan_digest=None))


def without_cascade(service: Service, request: OrderRequest) -> Document | None:
    """Give an order that leaves the children alive."""
    give_order(service, replace(request, cascade=False, plan_digest=None))
    return without_order(service, request)


def on_too_much(service: Service, request: OrderRequest) -> Document | None:
    """Give an order that kills siblings as well."""
    give_order(service, replace(request, target=Target("delegation", "grant-renewals"), plan_digest=None))
    return without_order(service, request)


@pytest.mark.parametrize(
    ("give", "wrong"),
    [
        (without_order, "token:https://idp.example#mailer-1: active before the revocation, active after it"),
        (without_cascade, "token:https://idp.example#archive-1: active before the revocation, active after it"),
        (on_too_much, "token:https://idp.example#scraper-1: active before the revocation, cascaded after it"),
    ],
)
def test_the_proof_fails_if_the_revocation_is_wrong(give: demo.Give, wrong: str):
    """
    Without an order, with one that spares the children, or one that ends a sibling, the demo says so and exits with 6.
    """
    code, text = demo_output(width=200, give=give)

    assert 6 == code
    assert f"WRONG {wrong}" in text
    assert "NOT PROVED" in text
    assert "PROVED: everything" not in text


def test_the_proof_detects_a_lost_late_event():
    """
    The proof reads the files, not the store: an element that the service did not ingest is not found revoked.
    """
    with demo.throw_away() as (service, clock, folder):
        _, proof = demo.tell(service, clock, folder)
        lost = {**demo.LATE_EVENTS[1], "token": "https://idp.example#relay-5"}
        again = prove(
            service,
            [*incident(), *demo.LATE_EVENTS, lost],
            ended=f"token:{demo.LEAKED}",
            ordered_at=demo.ORDERED,
            at=demo.PROVED_AT,
        )

    assert proof
    assert not again
    assert ["token:https://idp.example#relay-5"] == [one.of for one in again.failures]


def test_an_empty_proof_fails():
    """
    Without a descendant that was never valid, or without an active sibling, nothing is proved.
    """
    born_dead = CheckedElement("token:b", "unknown", "cascaded", "cascaded")
    sibling = CheckedElement("token:s", "active", "active", None)

    assert not DemoProof((), ())
    assert not DemoProof((born_dead,), ())
    assert not DemoProof((CheckedElement("token:d", "active", "revoked", None),), (sibling,))
    assert DemoProof((born_dead,), (sibling,))


@pytest.mark.parametrize(
    "odd",
    [
        CheckedElement("token:d", "active", "active", None),
        CheckedElement("token:d", "active", "expired", None),
        CheckedElement("token:d", "revoked", "revoked", None),
        CheckedElement("token:d", "active", "not found", None),
        CheckedElement("token:d", "unknown", "cascaded", "active"),
    ],
    ids=["alive", "expired", "dead before", "not found", "alive at birth"],
)
def test_a_descendant_must_have_ended_by_the_order(odd: CheckedElement):
    """
    Only active before and revoked after, or never valid, proves a cascade.
    """
    born_dead, sibling = (
        CheckedElement("token:b", "unknown", "cascaded", "cascaded"),
        CheckedElement("token:s", "active", "active", None),
    )
    proof = DemoProof((born_dead, odd), (sibling,))

    assert not proof
    assert [odd] == proof.failures


# The incident


def test_the_incident_has_a_real_shape():
    """
    Principals, workloads, grants, exchanges, decisions of both kinds and actions of one morning, and one redelivery.
    """
    events = incident()
    types = Counter(event["type"] for event in events)
    first = {(event["source"], event["event_id"]): event for event in events}

    assert 30 <= len(events) <= 45
    assert {
        "principal.registered",
        "workload.bound",
        "delegation.granted",
        "token.issued",
        "decision.made",
        "action.performed",
    } == set(types)
    assert len(events) - 1 == len(first)
    assert {True, False} == {event["permitted"] for event in events if event["type"] == "decision.made"}
    assert {"delegation", "impersonation"} == {event["exchange"] for event in events if "exchange" in event}
    assert all(event["occurred_at"].startswith("2026-11-02T") for event in events)
    assert max(parse_instant(event["occurred_at"]) for event in events) < demo.INGESTED


def test_every_line_of_the_incident_is_an_event():
    """
    The codec reads each line, and writes it back as the same fact.
    """
    for line in demo.incident_path().read_bytes().splitlines():
        event = codec.decode_line(line)
        assert event == codec.decode(codec.encode(event))


def test_the_missing_event_is_a_gap_and_a_hole():
    """
    A token was derived from one without an issuing event, whose sequence number is missing from the token service.
    """
    events = incident()
    numbers = sorted(event["sequence"] for event in events if event["source"] == "https://idp.example")
    issued = {event["token"] for event in events if event["type"] == "token.issued"}
    named = {parent["token"] for event in events for parent in event.get("derived_from", ())}

    assert {"https://idp.example#mailer-2"} == named - issued
    assert [18] == sorted(set(range(1, 21)) - set(numbers))


@pytest.mark.parametrize("target", [f"token:{demo.LEAKED}", "delegation:grant-mail", "principal:agent:planner"])
@pytest.mark.parametrize("at", ["2026-11-02T10:25:00Z", "2030-01-01T00:00:00Z"])
def test_the_incident_has_something_to_revoke_on_any_day(target: str, at: str):
    """
    The target in the README has active tokens on that morning, and years later.
    """
    kind, _, id_ = target.partition(":")
    with demo.throw_away() as (service, _, _):
        demo.ingest(service, demo.incident_path())
        reach = service.reach(Proposal(target=Target(kind, id_), at=parse_instant(at)))

    assert reach is not None
    assert reach["kills"]["tokens"]


def test_the_file_is_found_in_the_wheel_and_in_a_checkout():
    """
    In a checkout it is the example of the README.
    """
    assert demo.incident_path().is_file()
    assert "incident.jsonl" == demo.incident_path().name


def test_the_suggested_commands_use_existing_ids():
    """
    Every id in them is in the incident, and the time is that of the story.
    """
    _, text = demo_output(width=200)
    commands = text.split("Now you", 1)[1]
    ids = {
        event[field]
        for event in incident()
        for field in ("action", "token", "delegation", "principal")
        if field in event
    }

    for id_ in ("mail-7", "mail-8", "agent:planner", demo.LEAKED, "grant-mail"):
        assert id_ in ids
        assert id_ in commands
    assert format_instant(demo.ASKED).replace(".000000", "") in commands
