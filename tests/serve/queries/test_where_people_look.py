"""Findings are shown in every answer about a thing, on its pages, in the graph and in the case."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.desk import Desk
from tests.support.finding_cases import AL, BO, D1, T1, A, B, C, done, granted, issued, moment
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.places import CASES, INCIDENT
from tests.support.web_pages import Pages, text_of

FAULTS = CASES / "twenty_faults.jsonl"
THEFT = "Possible token theft: agent:scraper used a token issued to agent:mailer"
TO_DO = "Revoke the token now"
SESSION = "session:https://idp.example#session-alice-0830"
OF = quote(LEAKED, safe="")


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Create a store with twenty planted faults; nothing here adds to it."""
    desk = Desk(tmp_path_factory.mktemp("faults"))
    desk.run("ingest", str(FAULTS))
    return desk


@pytest.fixture(scope="module")
def incident(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Create the incident of the demo; nothing here adds to it."""
    desk = Desk(tmp_path_factory.mktemp("incident"))
    desk.run("ingest", str(INCIDENT))
    return desk


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Create the incident of the demo behind the API; nothing here adds to it."""
    folder = tmp_path_factory.mktemp("pages")
    with api_over(f"sqlite:///{folder}/store.db", folder) as made:
        yield made


def kinds(document: dict[str, Any]) -> list[str]:
    return [one["kind"] for one in document["findings"]]


FOUND = {
    ("who", "deny-then-done"): {"action-after-deny", "action-outside-scope", "scope-exceeds-parent"},
    ("who", "other-op"): {"decision-mismatch", "action-outside-scope", "delegation-depth-exceeded"},
    ("who", "ghost-token"): {"unattributed-action"},
    ("who", "no-authority"): {"unattributed-action"},
    ("who", "after-expiry"): {"used-after-expiry", "credential-shared"},
    ("chain", "token:i#t1"): {"credential-shared", "used-after-expiry"},
    ("chain", "token:i#t3"): {"granted-after-revocation", "outlives-parent"},
    ("chain", "delegation:d3"): {"delegation-depth-exceeded", "self-approval"},
    ("status", "token:i#t2"): {"action-after-deny", "scope-exceeds-parent"},
    ("status", "delegation:d2"): {"scope-exceeds-parent", "audience-exceeds-parent", "outlives-parent"},
    ("status", "principal:agent:b"): {"action-after-deny", "decision-mismatch", "unattributed-action"},
    ("status", "principal:agent:c"): {"delegation-depth-exceeded", "self-approval"},
    ("uses", "token:i#t1"): {"credential-shared", "used-after-expiry"},
    ("reach", "token:i#t2"): {"action-after-deny", "scope-exceeds-parent"},
}


@pytest.mark.parametrize(("question", "of"), FOUND, ids=" ".join)
def test_an_answer_has_the_findings_of_everything_in_it(faults: Desk, question: str, of: str):
    """
    Each of the planted faults is in the answers about its subject, worst first, with the remedy.
    """
    document = faults.one(question, of)
    ranks = ["critical", "high", "medium", "low", "informational"]
    severities = [ranks.index(one["severity"]) for one in document["findings"]]

    assert set() == FOUND[question, of] - set(kinds(document))
    assert sorted(severities) == severities
    assert all(one["why"] and one["fix"] and one["facts"] for one in document["findings"])


def test_all_of_them_are_listed_and_cite_facts_that_exist(faults: Desk):
    """
    At least fourteen kinds of the planted faults are in the list, and each cited fact is one of the file.
    """
    stated = {json.loads(line)["event_id"] for line in FAULTS.read_text().splitlines()}
    found = faults.one("findings")["items"]
    filters = set().union(*FOUND.values()) | {"tainted-use", "delegation-from-untrusted-instruction", "agent-ownerless"}

    assert set() == filters - {one["kind"] for one in found}
    assert 14 <= len(filters)
    assert all(one["facts"] for one in found)
    assert set() == {fact["event_id"] for one in found for fact in one["facts"]} - stated


def test_a_long_lived_element_is_a_finding_until_it_is_revoked(faults: Desk):
    """
    A revocation resolves the findings that say that a grant and a token last too long, and no others.
    """
    long_lived = {("standing-access", "delegation:d2"), ("long-lived-credential", "token:i#t2")}
    before, after = (
        {(one["kind"], one["of"]) for one in faults.one("findings", "--at", f"2026-11-02T08:{minute}:00Z")["items"]}
        for minute in ("09", "11")
    )

    assert long_lived == long_lived & before
    assert set() == long_lived & after
    assert ("scope-exceeds-parent", "delegation:d2") in after


def test_a_grant_that_is_not_the_first_of_its_pair_is_told_as_in_the_list(tmp_path: Path):
    """
    What came before is in no chain, and makes the difference between a high finding and an informational one.
    """
    desk = Desk(tmp_path)
    by_document = {"instruction_source": "document", "expires_at": moment(60)}
    first, second = (granted(f"d{number}", B, C, number, scopes=["crm:read"], **by_document) for number in (1, 2))
    desk.take(granted("d0", A, B, 0, scopes=["crm:read"], expires_at=moment(60)), first, second)
    kind = "delegation-from-untrusted-instruction"
    listed = {one["of"]: one for one in desk.one("findings", "--kind", kind)["items"]}

    assert ["high", "informational"] == [listed[f"delegation:d{number}"]["severity"] for number in (1, 2)]
    for of, one in listed.items():
        for question in ("chain", "status"):
            assert [one] == [found for found in desk.one(question, of)["findings"] if found["kind"] == kind]


@pytest.mark.parametrize(
    "words",
    [
        ("who", "mail-7"),
        ("chain", LEAKED),
        ("status", LEAKED),
        ("status", "principal:agent:mailer"),
        ("status", "principal:agent:scraper"),
        ("status", SESSION),
        ("uses", LEAKED),
        ("reach", LEAKED),
        ("revoke", LEAKED, "--reason", "compromise", "--by", "human:ir@example.com"),
        ("graph", "--of", LEAKED),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_command_line_names_the_theft(incident: Desk, words: tuple[str, ...]):
    """
    Every answer about the token, its session, both agents and the action has a plain sentence about it.
    """
    text = " ".join(incident.run(*words).output.split())

    assert THEFT in text
    assert TO_DO in text or words[0] == "graph"


PAGES = (
    "/who?action=mail-7",
    f"/chain?of={OF}",
    f"/status?of={OF}",
    "/status?of=principal:agent:mailer",
    "/status?of=principal:agent:scraper",
    f"/status?of={quote(SESSION, safe='')}",
    f"/uses?of={OF}",
    f"/timeline?of={OF}",
    "/timeline?of=action:mail-7",
    f"/reach?of={OF}",
    f"/revoke?of={OF}&of=delegation:grant-calendar",
    f"/graph?of={OF}",
    "/dossier?of=action:mail-7",
    f"/dossier?of={OF}",
)


def test_the_plan_over_several_targets_has_the_findings_of_each(incident: Desk):
    """
    The worst first, each once, in text and document; if there are too many targets to look at, it says so.
    """
    targets = incident.folder / "targets.txt"
    targets.write_text(f"{LEAKED}\nprincipal:agent:mailer\n", encoding="utf-8")
    words = ("revoke", "--targets", str(targets), "--reason", "compromise", "--by", "human:ir@example.com")
    plan, result = incident.one(*words), " ".join(incident.run(*words).output.split())
    alone = [one["id"] for of in (LEAKED, "principal:agent:mailer") for one in incident.one("status", of)["findings"]]
    targets.write_text("".join(f"principal:agent:{n}\n" for n in range(51)), encoding="utf-8")
    many = incident.one(*words, "--unseen")

    assert set(alone) == {one["id"] for one in plan["findings"]}
    assert len(plan["findings"]) == len({one["id"] for one in plan["findings"]}) < len(alone)
    assert "HIGH: Possible token theft" in result
    assert ("findings_complete" in plan, many["findings_complete"]) == (False, False)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_begins_with_the_theft_and_what_to_do(world: World, address: str):
    """
    An alarm is before the first heading of every page about the token, its session, both agents and the action.
    """
    page = Pages(world).get(address)
    alarm, heading = page.text.find('class="note bad alarm"'), page.text.find("<h1")

    assert -1 < alarm < page.text.find("<main") + 3_000
    assert alarm < heading or "/graph" in address or "/timeline" in address
    assert f"High: {THEFT}" in text_of(page)
    assert TO_DO in text_of(page)


def test_nodes_of_the_graph_have_the_findings_of_what_they_are(world: World):
    """
    The stolen token has the theft, an honest sibling has none; findings are only evaluated on request.
    """
    drawn = world.get(f"/v1/graph?of={OF}").json()
    without_findings = world.get(f"/v1/graph?of={OF}&findings=false").json()
    by_key = {node["key"]: node["findings"] for node in drawn["nodes"]}
    page = text_of(Pages(world).get(f"/graph?of={OF}"))

    assert ("high", THEFT) == (by_key[LEAKED]["worst"], by_key[LEAKED]["why"].partition(" (")[0])
    assert {"count": 0, "worst": None, "why": None} in by_key.values()
    assert drawn["findings_complete"]
    assert not without_findings["findings_complete"]
    assert all("findings" not in node for node in without_findings["nodes"])
    assert "high finding" in page


def test_the_graph_of_the_command_line_is_drawn_with_findings(incident: Desk):
    """
    The picture says so on the box, and in its title.
    """
    drawn = incident.run("graph", "--of", LEAKED, "--format", "svg").output

    assert "high finding" in drawn
    assert THEFT in drawn


@pytest.mark.parametrize("name", ["session", "client"])
def test_a_session_has_the_findings_of_tokens_that_were_exchanged_from_its_own(tmp_path: Path, name: str):
    """
    If a stolen token without a session was derived from one with a session, the session shows the finding.
    """
    desk = Desk(tmp_path)
    desk.take(
        D1,
        issued("t0", expires_at=moment(60), **{name: f"https://idp.example#{name}-1"}),
        issued("t1", actor=A, delegation="d1", of=[("subject", "t0")], expires_at=moment(60)),
        issued("t2", actor=A, of=[("subject", "t1")], expires_at=moment(60)),
        done("a1", token="t2", actor=B),
    )

    assert "wielder-mismatch" in kinds(desk.one("status", f"{name}:https://idp.example#{name}-1"))


def test_a_principal_has_the_findings_of_its_tokens_ancestors(tmp_path: Path):
    """
    If a token was exchanged for another subject, its holder and both subjects show the finding.
    """
    desk = Desk(tmp_path)
    desk.take(D1, T1, issued("t2", subject=BO, actor=B, of=[("subject", "t1")], expires_at=moment(60)))

    for of in (f"principal:{BO}", f"principal:{B}"):
        assert "subject-change" in kinds(desk.one("status", of))


def test_a_suppressed_finding_marks_no_node(tmp_path: Path):
    """
    A suppressed finding does not mark a node; it is listed on the page of the token.
    """
    desk = Desk(tmp_path)
    wide = granted("d2", A, B, 5, parents=["d1"], scopes=["crm:read", "crm:write"], expires_at=moment(60))
    desk.take(granted("d1", AL, A, scopes=["crm:read"], expires_at=moment(60)), wide)

    def marked() -> int:
        return sum(node["findings"]["count"] for node in desk.one("graph", "--of", "delegation:d2")["nodes"])

    before = marked()
    [found] = [one for one in desk.one("findings")["items"] if one["kind"] == "scope-exceeds-parent"]
    by = ("--by", "human:ir@example.com", "--reason", "a pilot", "--until", "2099-01-01T00:00:00Z")
    desk.run("findings", "suppress", found["id"], *by)

    assert (1, 0) == (before, marked())
