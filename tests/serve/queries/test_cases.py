"""Cases on the command line, and read from either database."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.log.port import entry_of
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.cases.case import MOST_ITEMS
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import CaseChanged, CaseItem, Event
from lineage.serve.commands.cases import MOST_AT_ONCE, change_case, open_case
from lineage.serve.config.wiring import now
from lineage.serve.queries.cases.cases import CaseFilter, case, cases, changes_of_case
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support import case_checker, stores
from tests.support.desk import WORLD, Desk, invoke
from tests.support.secrets import JWT

BY = ("--by", "human:ruth")
LEAK = ("case", "open", "Leaked token of the mailer", "token:t2", *BY, "--id", "INC-1")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Create WORLD, and an open case that contains a token."""
    desk = Desk(tmp_path)
    desk.take(*WORLD)
    desk.run(*LEAK)
    return desk


@pytest.fixture(params=stores.KINDS)
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """Create WORLD in a store of either kind."""
    for fresh in stores.fresh_places(request):
        log = open_log(f"sqlite:///{tmp_path}/log.db", create=True, clock=now)
        with fresh() as url:
            store = open_store(url, codec.read, create=True)
            log.append([entry_of(codec.event_from_document(one)) for one in WORLD])
            service = Service(store, log, Trust(), now, source="urn:delegraph")
            service.catch_up()
            yield service
            store.close()
        log.close()


def contained(document: dict[str, Any]) -> list[str]:
    return [f"{item['kind']}:{item['id']}" for item in document["items"]]


def test_a_case_has_items_assignee_and_history(desk: Desk):
    """
    Every change is a fact with its author; each item has its present state.
    """
    desk.run("case", "add", "INC-1", "action:a1", "principal:agent:mailer", *BY, "--note", "used it")
    desk.run("case", "add", "INC-1", "--actions", "to=2024-05-01T12:00:00Z&agent=agent:mailer", *BY)
    desk.run("case", "remove", "INC-1", "principal:agent:mailer", "--by", "human:sam")
    desk.run("case", "note", "INC-1", "The bank called.", "--by", "human:sam")
    desk.run("case", "assign", "INC-1", "human:sam", *BY)
    desk.run("revoke", "token:t2", "--reason", "compromise", *BY, "--execute", "--id", "R1")
    document = desk.one("case", "show", "INC-1")

    assert "actions:agent=agent%3Amailer&to=2024-05-01T12%3A00%3A00.000000Z" == contained(document)[2]
    assert ["token:t2", "action:a1"] == contained(document)[:2]
    assert ["revoked", "succeeded", "counted"] == [item["state"] for item in document["items"]]
    assert ["human:ruth", "human:ruth", "human:ruth"] == [item["added_by"] for item in document["items"]]
    assert ("open", "human:sam", 3, 2) == tuple(document[name] for name in ("status", "assignee", "contains", "notes"))
    assert [("assigned", "human:ruth"), ("noted", "human:sam"), ("removed", "human:sam")] == [
        (one["change"], one["by"]) for one in document["changes"]["items"][:3]
    ]
    assert "The bank called." in desk.run("case", "show", "INC-1").output


def test_a_case_is_closed_and_reopened_with_a_reason(desk: Desk):
    """
    A closed case cannot be closed again; the reason is a note.
    """
    desk.run("case", "close", "INC-1", *BY, exit=2)
    closed = desk.one("case", "close", "INC-1", "--reason", "over", *BY)
    desk.run("case", "close", "INC-1", "--reason", "over", *BY, exit=2)
    assert ["INC-1"] == [one["case"] for one in desk.one("case", "list", "--status", "closed")["items"]]
    again = desk.one("case", "reopen", "INC-1", "--reason", "it goes on", *BY)

    assert ("closed", "open", 2) == (closed["status"], again["status"], again["notes"])
    assert [] == desk.one("case", "list", "--status", "closed")["items"]


def test_a_change_for_an_outdated_version_is_refused(desk: Desk):
    """
    If two people assign at the same time, the second states an outdated version, is refused, and learns what changed.
    """
    seen = desk.one("case", "show", "INC-1")["version"]
    desk.run("case", "assign", "INC-1", "human:sam", *BY, "--if-version", seen)
    late = desk.run("case", "assign", "INC-1", "human:tom", *BY, "--if-version", seen, exit=2)
    now_said = desk.one("case", "show", "INC-1")

    assert "assigned by human:ruth" in late.stderr
    assert ("human:sam", 2) == (now_said["assignee"], now_said["changes"]["total"])
    assert "human:tom" == desk.one("case", "assign", "INC-1", "human:tom", *BY)["assignee"]
    assert desk.one("case", "assign", "INC-1", *BY)["assignee"] is None


def test_opening_a_case_again_with_the_same_content_gives_the_same_case(desk: Desk):
    """
    With other content it is refused, because the id is that of another case.
    """
    assert desk.one(*LEAK)["repeated"]
    assert 1 == desk.one("case", "show", "INC-1")["changes"]["total"]
    other = desk.run("case", "open", "Something else", *BY, "--id", "INC-1", exit=2)
    assert "there is a case INC-1 already" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "exit", "why"),
    [
        (("add", "INC-1", "token:nowhere", "action:a1"), 3, "No fact names token:nowhere"),
        (("add", "INC-1", "finding:F-00000000000000000000"), 3, "No fact names finding:F-"),
        (("add", "INC-1", "token:t2"), 2, "contains that already"),
        (("add", "INC-1"), 2, "contains that already"),
        (("add", "INC-1", "receiver:r1"), 2, "cannot be in a case"),
        (("add", "INC-1", "--actions", "who=alice"), 2, "'who' is not a filter of actions"),
        (("add", "INC-1", "--actions", ""), 2, "a range of actions needs a filter"),
        (("add", "INC-1", "--actions", "from=2024-05-02T00:00:00Z&to=2024-05-01T00:00:00Z"), 2, "to is before from"),
        (("add", "INC-1", "--actions", "text=" + "x" * 600), 2, "an id at most 512"),
        (("remove", "INC-1", "token:t2", "token:t1"), 2, "does not contain token:t1"),
        (("note", "INC-1", "  "), 2, "a note needs words"),
        (("note", "INC-1", "x" * 5_000), 2, "at most 4096"),
        (("note", "INC-1", f"the token was {JWT}"), 2, "raw credential"),
        (("add", "INC-1", "action:a1", "--note", JWT), 2, "raw credential"),
        (("reopen", "INC-1", "--reason", "x"), 2, "is open"),
        (("note", "INC-2", "x"), 3, "There is no case INC-2"),
        (("show", "INC-2"), 3, "There is no case INC-2"),
        (("open", " ", "token:t2"), 2, "needs a title"),
        (("open", "two\nlines"), 2, "needs a title"),
        (("open", "ok", "--id", " INC"), 2, "white space"),
        (("open", "ok", "token:t2", "token:nowhere"), 3, "No fact names token:nowhere"),
    ],
)
def test_an_invalid_change_changes_nothing(desk: Desk, words: tuple[str, ...], exit: int, why: str):
    """
    An invalid change is refused with the remedy, nothing is half-done, and no credential is repeated.
    """
    before = desk.one("case", "list")["items"]
    by = () if words[0] == "show" else BY
    refused = desk.run("case", *words, *by, exit=exit)

    assert why in refused.stderr
    assert JWT not in refused.output
    assert before == desk.one("case", "list")["items"]


def test_a_change_on_the_wrong_topic_changes_no_case(desk: Desk):
    """
    Anyone who may only send decisions cannot close a case: such a fact is unauthorised.
    """
    forged = {"type": "case.changed", "event_id": "forged", "source": "urn:evil", "occurred_at": "2026-11-01T09:00:00Z"}
    forged |= {"case": "INC-1", "change": "closed", "by": "human:ruth"}
    desk.append("decisions", codec.encode(codec.event_from_document(forged)))
    desk.run("consume", "--drain")

    assert "open" == desk.one("case", "show", "INC-1")["status"]
    assert "unauthorised" in {one["kind"] for one in desk.one("findings")["items"]}


def test_a_source_that_the_trust_file_does_not_name_opens_no_case(desk: Desk):
    """
    The trust file decides about cases like about any other event.
    """
    trust = desk.folder / "trust.toml"
    trust.write_text('[sources."urn:ir"]\ntypes = ["revocation.ordered"]\nprefixes = [""]\n', encoding="utf-8")
    refused = desk.run("case", "note", "INC-1", "seen", *BY, "--source", "urn:ir", "--trust", str(trust), exit=3)
    trust.write_text('[sources."urn:ir"]\ntypes = ["case.changed"]\nprefixes = [""]\n', encoding="utf-8")
    opened = desk.one("case", "open", "Mine", *BY, "--source", "urn:ir", "--trust", str(trust))

    assert "There is no case INC-1" in refused.stderr  # its source is not trusted either
    assert "open" == opened["status"]


def test_an_unavailable_log_changes_nothing(tmp_path: Path):
    """
    The command says so, and exits with 5.
    """
    result = invoke("case", "list", "--store", f"sqlite:///{tmp_path}/none/store.db")
    assert 5 == result.exit_code


def test_a_case_is_read_page_by_page(service: Service):
    """
    Items and changes have cursors; a cursor of another list is refused.
    """
    open_case(service, by="human:ruth", title="Leak", case="INC-1", items=[CaseItem("token", "t1")])
    for id_ in ("t2", "t3"):
        change_case(service, "INC-1", "added", by="human:ruth", items=[CaseItem("token", id_)])
    at = now()
    first = case(service, "INC-1", at=at, limit=2)
    assert first is not None
    rest = case(service, "INC-1", at=at, limit=2, after=first["next"])
    assert rest is not None
    history = changes_of_case(service, "INC-1", limit=1)
    assert history is not None

    assert (["token:t1", "token:t2"], ["token:t3"]) == (contained(first), contained(rest))
    assert (3, False, True) == (first["total"], first["complete"], rest["complete"])
    assert ("opened", 3, False) == (history["items"][0]["change"], history["total"], history["complete"])
    assert "added" == changes_of_case(service, "INC-1", limit=1, after=history["next"])["items"][0]["change"]  # type: ignore[index]


def test_cases_are_listed_by_descending_id(service: Service):
    """
    Pages of any size add up; filters are status, assignee and content.
    """
    for number in range(7):
        items = [CaseItem("token", "t2")] if number % 2 else []
        open_case(
            service,
            by="human:ruth",
            title=f"Case {number}",
            case=f"case-{number}",
            items=items,
            assignee="human:sam" if number > 4 else None,
        )
    change_case(service, "case-3", "closed", by="human:ruth", note="over")
    every = [f"case-{number}" for number in reversed(range(7))]
    paged, after = [], None
    while True:
        page = cases(service, after=after, limit=3)
        paged += [one["case"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break

    def listed(**fields: str) -> list[str]:
        return [one["case"] for one in cases(service, CaseFilter(**fields))["items"]]

    assert every == listed() == paged
    assert ["case-3"] == listed(status="closed")
    assert ["case-6", "case-5"] == listed(assignee="human:sam")
    assert ["case-5", "case-3", "case-1"] == listed(of="token:t2")
    assert [] == listed(of="token:t1")


@pytest.mark.slow
def test_a_case_is_bounded(service: Service):
    """
    The items of a change and of a case are limited, and the refusal says what to do.
    """
    items = [CaseItem("token", f"x{number}") for number in range(MOST_ITEMS)]
    log = service.require_log()
    for start in range(0, MOST_ITEMS, MOST_AT_ONCE):
        some = tuple(items[start : start + MOST_AT_ONCE])
        body = CaseChanged("INC-1", "added", "human:ruth", some)
        log.append([entry_of(Event(f"add {start}", "urn:delegraph", start, body))])
    with pytest.raises(RefusedError, match=r"301 items are more than the 256 .* Add them in parts"):
        change_case(service, "INC-1", "added", by="human:ruth", items=items[:301])
    with pytest.raises(RefusedError, match=r"more than 10,000 items, .* Add a range of actions as one item"):
        change_case(service, "INC-1", "added", by="human:ruth", items=[CaseItem("token", "t2")])
    page = case(service, "INC-1", at=now(), limit=50)

    assert page is not None
    assert (50, MOST_ITEMS, False) == (len(page["items"]), page["total"], page["complete"])
    assert change_case(service, "INC-1", "removed", by="human:ruth", items=items[:1]) is not None
    assert change_case(service, "INC-1", "added", by="human:ruth", items=[CaseItem("token", "t2")]) is not None


def test_the_changes_of_a_case_are_in_the_timeline_of_what_it_contains(desk: Desk):
    """
    The timeline of a token shows that somebody added it to a case.
    """
    facts = desk.one("timeline", "token:t2")["items"]

    assert "case:INC-1" in {fact["of"] for fact in facts}
    assert json.dumps(desk.one("search", "INC-1")["items"]).count("INC-1") == 1


@pytest.mark.kafka
def test_a_case_is_kept_by_a_real_broker(tmp_path: Path, kafka_url: str):
    """
    Changes are on the topic of orders, and another store that reads the log has the same case.
    """
    first, second = Desk(tmp_path / "a", ("--log", kafka_url)), Desk(tmp_path / "b", ("--log", kafka_url))
    for desk in (first, second):
        desk.folder.mkdir()
        desk.run("init")
    events = first.folder / "events.jsonl"
    events.write_text("".join(f"{json.dumps(one)}\n" for one in WORLD), encoding="utf-8")
    first.run("emit", str(events))
    first.run("consume", "--drain")
    first.run(*LEAK)
    first.run("case", "add", "INC-1", "action:a1", *BY)
    second.run("consume", "--drain")
    theirs, ours = second.one("case", "export", "INC-1"), first.one("case", "export", "INC-1")

    assert ["token:t2", "action:a1"] == contained(second.one("case", "show", "INC-1"))
    assert [] == list(case_checker.faults(theirs))
    changes = [one for one in theirs["export"]["events"] if one["event"]["type"] == "case.changed"]
    assert ["orders", "orders"] == [one["position"]["topic"] for one in changes]
    assert ours["export"]["version"] == theirs["export"]["version"]
