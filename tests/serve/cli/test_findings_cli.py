"""Findings through the command line and HTTP: the list, its pages, gates, judgements and the posture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from lineage.core.model.times import SECOND
from lineage.serve.cache.loader import SURROUNDINGS
from tests.support.desk import Desk
from tests.support.finding_cases import (
    AL,
    D1,
    DOWN,
    A,
    B,
    C,
    acknowledged,
    done,
    granted,
    issued,
    moment,
    ordered,
    receiver,
    reissued,
)
from tests.support.http_worlds import World, api_over
from tests.support.places import EXAMPLES

KEYS = ["items", "total", "complete", "next", "as_of", "not_evaluated", "by_severity", "suppressed"]
FINDING = [
    *("id", "kind", "severity", "status", "of", "about", "why", "facts", "first_seen", "last_seen", "count"),
    *("caused_by", "maps_to", "fix"),
]
WIDE = reissued(scopes=["crm:read", "crm:write"])
UNTIL = "2099-01-01T00:00:00Z"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def of_kind(document: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in document["items"] if item["kind"] == kind]


def test_a_finding_says_what_is_wrong_and_what_to_do(desk: Desk):
    """
    The document of a finding has these keys: the facts that show it, the frameworks it maps to, and a remedy.
    """
    desk.take(*WIDE)
    document = desk.one("findings")
    [found] = of_kind(document, "scope-exceeds-parent")

    assert (KEYS, FINDING) == (list(document), list(found))
    assert ("high", "new", "delegation:d2", "delegation:d1") == tuple(
        found[name] for name in ("severity", "status", "of", "about")
    )
    assert {"grant d1", "grant d2"} == {fact["event_id"] for fact in found["facts"]}
    assert {"ASI03", "NHI5:2025"} <= {one["id"] for one in found["maps_to"]}
    assert found["fix"].endswith(".")


def test_a_chain_says_what_each_hop_effectively_allows(desk: Desk):
    """
    Own scopes are limited by everything above; a hop without scopes has those above it, and null if none are stated
    anywhere.
    """
    desk.take(
        *reissued(scopes=["crm:read", "crm:write"]),
        granted("d3", B, C, 6, parents=["d2"]),
        granted("d4", C, AL, 7, parents=["d3"], no_scopes=True),
        issued("t5", actor=B, at=6),
    )
    shown = {
        of: [(hop["scopes"], hop["effective_scopes"]) for hop in desk.one("chain", of)["chain"]]
        for of in ("delegation:d4", "token:t5")
    }

    first = (["crm:read"], ["crm:read"])
    wider = (["crm:read", "crm:write"], ["crm:read"])
    assert [first, first, wider, ([], ["crm:read"]), ([], [])] == shown["delegation:d4"]
    assert [([], None), ([], None)] == shown["token:t5"]
    assert "effectively crm:read" in desk.run("chain", "delegation:d2").output


def test_every_answer_has_the_findings_about_its_contents(desk: Desk):
    """
    A theft comes first in who, chain, status and uses of the action, the token and both agents; once judged, it says
    so.
    """
    desk.run("ingest", str(EXAMPLES / "incident.jsonl"))
    leaked = "token:https://idp.example#mailer-1"
    questions = [("who", "mail-7"), ("chain", leaked), ("status", leaked), ("uses", leaked)]
    questions += [("status", f"principal:agent:{name}") for name in ("scraper", "mailer")]
    theft = "Possible token theft: agent:scraper used a token issued to agent:mailer"
    listed = {one["id"]: one for one in desk.one("findings")["items"]}
    shown = {question: desk.one(*question)["findings"] for question in questions}

    for question, found in shown.items():
        assert found[0]["why"].startswith(theft), question
        assert {one["id"]: one for one in found} == {one["id"]: listed[one["id"]] for one in found}
        assert f"HIGH: {theft}" in " ".join(desk.run(*question).output.split())
    desk.run("findings", "ack", found[0]["id"], "--by", "human:ir", "--reason", "seen")
    assert {"acknowledged"} == {desk.one(*question)["findings"][0]["status"] for question in questions}


def test_an_incomplete_examination_is_reported(desk: Desk):
    """
    Not every use of a very frequently used token is examined, and the answer says so.
    """
    few = [D1, issued("t1", actor=A, delegation="d1"), *(done(f"a{n}", token="t1", actor=A) for n in range(5))]
    desk.take(*few)
    assert "findings_complete" not in desk.one("status", "token:t1")
    desk.take(*(done(f"b{n}", token="t1", actor=A) for n in range(SURROUNDINGS)))

    for words in (("status", "token:t1"), ("reach", "token:t1"), ("uses", "token:t1")):
        assert desk.one(*words)["findings_complete"] is False
    assert "Only part of its surroundings was" in " ".join(desk.run("status", "token:t1").output.split())


def test_findings_are_filtered(desk: Desk):
    """
    Filters are the thing or subject, rule, severity, status and time; an unknown value is refused.
    """
    desk.take(*WIDE, issued("t1", actor=A))
    every = {item["kind"] for item in desk.one("findings")["items"]}

    assert {"scope-exceeds-parent", "long-lived-credential"} <= every
    assert {"delegation:d2"} == {one["of"] for one in desk.one("findings", "--of", "delegation:d2")["items"]}
    assert {"scope-exceeds-parent"} == {
        one["kind"] for one in desk.one("findings", "--kind", "scope-exceeds-parent")["items"]
    }
    assert {"high"} == {one["severity"] for one in desk.one("findings", "--severity", "high")["items"]}
    assert [] == desk.one("findings", "--status", "acknowledged")["items"]
    assert "scope-exceeds-parent" not in {one["kind"] for one in desk.one("findings", "--since", moment(60))["items"]}
    for asked, value in (
        (("--kind", "scope-exceeds"), "there is no kind 'scope-exceeds'; did you mean scope-exceeds-parent"),
        (("--kind", "xyzzy"), "'delegraph posture' lists all"),
        (("--status", "closed"), "there are new, acknowledged, suppressed, resolved"),
        (("--of", "d2"), "is not KIND:ID"),
        (("--of", "delegatoin:d2"), "did you mean delegation"),
    ):
        assert value in " ".join(desk.run("findings", *asked, "--fail-on", "high", exit=2).output.split())


def test_no_finding_is_on_two_pages(desk: Desk):
    """
    Pages are sorted by severity, then by the time last seen, then by id; late facts do not disturb them.
    """
    desk.take(*WIDE, *(issued(f"t{number}", actor=A, at=number) for number in range(5)))
    whole = desk.one("findings")
    pages = [desk.one("findings", "--limit", "2")]
    desk.take(granted("d9", A, C, 5, parents=["d1"], scopes=["pay"]))
    while pages[-1]["next"] is not None:
        pages.append(desk.one("findings", "--limit", "2", "--after", pages[-1]["next"]))
    ids = [item["id"] for page in pages for item in page["items"]]
    severities = [item["severity"] for item in whole["items"]]

    assert [item["id"] for item in whole["items"]] == ids
    assert len(ids) == len(set(ids)) == whole["total"]
    order = ["critical", "high", "medium", "low", "informational"]
    assert severities == sorted(severities, key=order.index)
    assert "begin again" in desk.run("findings", "--after", "nonsense", exit=2).output


def test_a_gate_fails_on_new_findings(desk: Desk):
    """
    Exit code 7 for a new finding at or above the severity, otherwise 0; findings in the baseline do not count.
    """
    desk.take(*WIDE)
    file = desk.folder / "known.json"

    desk.run("findings", "--fail-on", "high", exit=7)
    desk.run("findings", "--fail-on", "critical")
    desk.run("findings", "--write-baseline", str(file))
    desk.run("findings", "--fail-on", "high", "--baseline", str(file))
    desk.take(granted("d9", A, C, 5, parents=["d1"], scopes=["pay"]))
    failed = desk.run("findings", "--fail-on", "high", "--baseline", str(file), exit=7).output
    assert f"1 open at severity high or above, not in {file}." in failed.replace("\n", "")
    file.write_text("{}")
    assert "--write-baseline" in desk.run("findings", "--fail-on", "high", "--baseline", str(file), exit=2).output


def test_findings_are_judged_by_facts(desk: Desk):
    """
    Acknowledging, suppressing and reopening are facts of the log, with author, reason and end.
    """
    desk.take(*WIDE)
    [found] = of_kind(desk.one("findings"), "scope-exceeds-parent")
    by = ("--by", "human:ir@example.com", "--reason", "a pilot")

    assert "acknowledged" == desk.one("findings", "ack", found["id"], *by)["status"]
    assert "suppressed" == desk.one("findings", "suppress", found["id"], *by, "--until", UNTIL)["status"]
    hidden = desk.one("findings")
    [shown] = of_kind(desk.one("findings", "--all"), "scope-exceeds-parent")
    desk.run("findings", "--fail-on", "high", "--kind", "scope-exceeds-parent")
    reopened = desk.one("findings", "reopen", found["id"], *by)["status"]

    assert [] == of_kind(hidden, "scope-exceeds-parent")
    assert ("suppressed", "new") == (shown["status"], reopened)
    assert "new" == of_kind(desk.one("findings"), "scope-exceeds-parent")[0]["status"]
    desk.run("findings", "--fail-on", "high", exit=7)


@pytest.mark.parametrize(
    ("words", "exit"),
    [
        (("suppress", "F-0", "--by", "human:x", "--reason", "y", "--until", UNTIL), 3),
        (("suppress", "ID", "--by", "human:x", "--reason", "y"), 2),
        (("suppress", "ID", "--by", "human:x", "--reason", " ", "--until", UNTIL), 2),
        (("suppress", "ID", "--by", "human:x", "--reason", "y", "--until", "2020-01-01T00:00:00Z"), 2),
        (("ack", "ID", "--by", "human:x"), 2),
    ],
)
def test_an_invalid_judgement_is_refused(desk: Desk, words: tuple[str, ...], exit: int):
    """
    A judgement of nothing, without an end or a reason, or with a past end is refused, and nothing is suppressed.
    """
    desk.take(*WIDE)
    before = desk.one("findings", "--at", UNTIL)
    [found] = of_kind(before, "scope-exceeds-parent")
    desk.run("findings", *(found["id"] if word == "ID" else word for word in words), exit=exit)

    assert before["items"] == desk.one("findings", "--at", UNTIL)["items"]


def test_a_judgement_on_the_wrong_topic_hides_nothing(desk: Desk):
    """
    Anyone who may only send decisions cannot suppress a finding: such a fact is unauthorised.
    """
    desk.take(*WIDE)
    [found] = of_kind(desk.one("findings"), "scope-exceeds-parent")
    forged = {"type": "finding.judged", "event_id": "forged", "source": "urn:evil", "occurred_at": moment(9)}
    forged |= {"finding": found["id"], "judgement": "suppressed", "by": "agent:a", "reason": "nothing to see"}
    desk.append("decisions", codec.encode(codec.event_from_document(forged)))
    desk.run("consume", "--drain")
    document = desk.one("findings")

    assert "new" == of_kind(document, "scope-exceeds-parent")[0]["status"]
    assert ["unauthorised"] == [one["kind"] for one in document["items"] if one["of"] == f"finding:{found['id']}"]


@pytest.mark.parametrize("lacking", ["until", "reason"])
def test_a_suppression_in_a_file_needs_an_end_and_a_reason_as_well(desk: Desk, lacking: str):
    """
    An incomplete judgement from another source than the command is accepted, shown, and suppresses nothing; a complete
    one counts, and stays in force although an incomplete one follows.
    """
    desk.take(*WIDE)
    [found] = of_kind(desk.one("findings"), "scope-exceeds-parent")
    whole = {"type": "finding.judged", "event_id": "whole", "source": "urn:ir", "occurred_at": moment(9)}
    whole |= {"finding": found["id"], "judgement": "suppressed", "by": "human:ir", "reason": "a pilot", "until": UNTIL}
    without_end = {**whole, "event_id": "bare", "occurred_at": moment(10)}
    if lacking == "until":
        del without_end["until"]
    else:
        without_end["reason"] = " "

    assert 1 == desk.take(without_end)["accepted"]
    assert "new" == of_kind(desk.one("findings"), "scope-exceeds-parent")[0]["status"]
    shown = desk.one("findings", "show", found["id"])
    assert None is shown["judgement"]
    assert [False] == [one["counts"] for one in shown["judgements"]]
    assert "does not count" in desk.run("findings", "show", found["id"]).output

    desk.take(whole)
    assert [] == of_kind(desk.one("findings"), "scope-exceeds-parent")
    assert "a pilot" == desk.one("findings", "show", found["id"])["judgement"]["reason"]


def test_the_posture_says_pass_fail_and_not_evaluated(desk: Desk):
    """
    Each check has one outcome, and a check that cannot be evaluated has not passed.
    """
    desk.take(*WIDE, done("a1", token="ghost", actor=B))
    document = desk.one("posture")
    outcomes = {item["kind"]: item["outcome"] for item in document["items"]}
    of_nhi = desk.one("posture", "--framework", "NHI")

    assert ("fail", "pass", "not_evaluated") == tuple(
        outcomes[kind] for kind in ("scope-exceeds-parent", "cycle", "identity-shared")
    )
    assert document["counts"] == {
        name: list(outcomes.values()).count(name) for name in ("pass", "fail", "suppressed", "not_evaluated")
    }
    assert {"OWASP Non-Human Identities Top 10"} == {
        one["framework"] for item in of_nhi["items"] for one in item["maps_to"]
    }


def test_no_check_passes_for_an_empty_store(desk: Desk):
    """
    For an empty store no check has passed, in any framework: each names the missing input.
    """
    desk.run("init")
    documents = [desk.one("posture"), *(desk.one("posture", "--framework", name) for name in ("ASI", "NHI", "RMF"))]

    for document in documents:
        assert (0, 0, 0) == tuple(document["counts"][name] for name in ("pass", "fail", "suppressed"))
        assert len(document["items"]) == document["counts"]["not_evaluated"]
        assert all(item["why"] for item in document["items"])


def test_the_posture_names_who_suppressed_what_until_when_and_why(desk: Desk):
    """
    On the command line and in the report for an auditor, next to the check.
    """
    desk.take(*WIDE)
    [found] = of_kind(desk.one("findings"), "scope-exceeds-parent")
    desk.run("findings", "suppress", found["id"], "--by", "human:ir", "--reason", "a pilot", "--until", UNTIL)

    [check] = of_kind(desk.one("posture"), "scope-exceeds-parent")
    assert ("suppressed", 0, 1) == (check["outcome"], check["failed"], check["suppressed"])
    for format_ in ("table", "html"):
        text = " ".join(desk.run("posture", "--format", format_).output.split())
        assert all(word in text for word in ("human:ir", "a pilot", UNTIL[:10], found["of"]))


def test_the_verdict_has_the_findings_about_its_revocation(desk: Desk):
    """
    The findings in the answer about the revocation have the ids that they have in the list.
    """
    settings = desk.folder / "delegraph.toml"
    settings.write_text("[findings]\nrevocation_kills = 1\n", encoding="utf-8")
    asking = Desk(desk.folder, env={"DELEGRAPH_CONFIG": str(settings)})
    asking.take(
        *(receiver("gw", deadline_seconds=60), receiver("edge"), D1, issued("t1", actor=A, delegation="d1")),
        *(ordered("r1", "delegation:d1"), acknowledged("r1", "edge", token="t1", outcome="rejected")),
    )
    listed = {one["id"]: one["kind"] for one in asking.one("findings", "--of", "revocation:r1", "--at", UNTIL)["items"]}
    kinds = {one["id"]: one["kind"] for one in asking.one("closure", "r1", "--at", UNTIL)["findings"]}

    assert ["mass-revocation", "revocation-overdue", "revocation-overdue"] == sorted(
        kind for kind in kinds.values() if kind in ("mass-revocation", "revocation-overdue")
    )
    assert kinds.items() <= listed.items()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[World]:
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def test_http_says_the_same_with_filters_and_pages(api: World):
    """
    `/v1/findings` returns the document of the command line; its pages together are the whole list.
    """
    whole = api.get("/v1/findings").json()
    pages = [api.get("/v1/findings", params={"limit": 3}).json()]
    while pages[-1]["next"] is not None:
        pages.append(api.get("/v1/findings", params={"limit": 3, "after": pages[-1]["next"]}).json())
    stolen = api.get("/v1/findings", params={"kind": "wielder-mismatch"}).json()["items"]

    assert KEYS == list(whole)
    assert whole["items"] == [item for page in pages for item in page["items"]]
    assert {("action:mail-7", "high")} == {(item["of"], item["severity"]) for item in stolen}
    assert 400 <= api.get("/v1/findings", params={"kind": "no-such-rule"}).status_code < 500


def test_a_late_grant_resolves_a_finding_and_known_at_still_shows_it(desk: Desk):
    """
    With everything known now it is resolved; as known before the grant, it was a finding.
    """
    desk.take(done("a1", token="ghost", actor=B))
    before = desk.one("findings")
    desk.take(D1, DOWN, issued("ghost", actor=B, delegation="d2"))
    known = before["as_of"]["recorded_at"]

    assert 1 == len(of_kind(before, "unattributed-action"))
    assert [] == of_kind(desk.one("findings"), "unattributed-action")
    assert 1 == len(of_kind(desk.one("findings", "--known-at", known), "unattributed-action"))


def test_a_judgement_over_http_is_in_the_name_of_the_caller(api: World):
    """
    The author is the caller, whatever the body says; every answer then shows the judgement until it is reopened.
    """
    theft = {"kind": "wielder-mismatch", "of": "action:mail-7"}
    [id_, *_] = [one["id"] for one in api.get("/v1/findings", params=theft).json()["items"]]
    path = f"/v1/findings/{id_}/judgements"

    def judged(**fields: str) -> Any:
        api.clock.now += SECOND
        return api.as_("responder", sub="human:dana@example.com").post(path, json={"reason": "seen", **fields})

    def status() -> str:
        [one] = [one for one in api.get("/v1/who?action=mail-7").json()["findings"] if one["id"] == id_]
        return str(one["status"])

    assert "new" == status()
    answer = judged(judgement="acknowledged")
    assert (201, "human:dana@example.com", "acknowledged") == (
        answer.status_code,
        *(answer.json()[name] for name in ("by", "status")),
    )
    assert "acknowledged" == status()
    assert 201 == judged(judgement="suppressed", until=UNTIL).status_code
    assert "suppressed" == status()
    assert id_ not in {one["id"] for one in api.get("/v1/findings", params=theft).json()["items"]}
    for wrong in ({"judgement": "suppressed"}, {"judgement": "ignored"}, {"judgement": "reopened", "by": "human:x"}):
        assert 400 == judged(**wrong).status_code
    assert 400 == judged(judgement="acknowledged", reason=" ").status_code
    assert 201 == judged(judgement="reopened").status_code
    assert "new" == status()


def test_a_finding_is_shown_with_its_evidence_and_related_findings(desk: Desk):
    """
    Its causes and effects name each other; the facts are in time order; judgements are listed.
    """
    desk.take(*WIDE)
    [found] = of_kind(desk.one("findings"), "scope-exceeds-parent")
    id_ = found["id"]
    desk.run("findings", "suppress", id_, "--by", "human:ir", "--reason", "a test", "--until", UNTIL)
    document = desk.one("findings", "show", id_)

    assert {**found, "status": "suppressed"} == {name: document[name] for name in FINDING}
    assert ["grant d1", "grant d2"] == [fact["event"]["event_id"] for fact in document["evidence"]]
    assert document["evidence_complete"]
    assert ("suppressed", "human:ir", "a test") == tuple(
        document["judgement"][name] for name in ("judgement", "by", "reason")
    )
    assert [document["judgement"]] == document["judgements"]
    result = desk.run("findings", "show", id_).output
    assert "suppressed by human:ir" in result
    assert "Evidence (2), the earliest first" in result


def test_an_unknown_finding_is_not_found(desk: Desk):
    """
    An unknown id exits with 3 and names the remedy, for showing and for judging, and nothing is written.
    """
    desk.take(*WIDE)
    before = desk.one("findings")["as_of"]
    asked = [
        ("show", "F-0"),
        *((word, "F-0", "--by", "human:ir", "--reason", "x", "--until", UNTIL) for word in ("ack", "suppress")),
    ]

    assert all("There is no finding F-0: see" in desk.run("findings", *one, exit=3).output for one in asked)
    assert before == desk.one("findings")["as_of"]


def test_an_answer_about_a_long_chain_says_that_it_was_cut(desk: Desk):
    """
    The fifty elements nearest to the end of a chain are examined; the answer about a longer one says that it was cut.
    """
    chain = [issued("t0", actor=A)]
    chain += [issued(f"t{n}", actor=A, at=n, of=[("subject", f"t{n - 1}")]) for n in range(1, 60)]
    desk.take(*chain, done("long", at=70, token="t59"), done("short", at=70, token="t9"))

    cut = [
        desk.one(*words).get("findings_complete")
        for words in (("who", "long"), ("chain", "token:t59"), ("status", "token:t59"), ("who", "short"))
    ]
    assert [False, False, False, None] == cut


@pytest.mark.slow
def test_raw_credentials_that_were_sent_are_found(desk: Desk):
    """
    Records refused because of a raw credential are counted by their origin, and no part of the credential is shown.
    """
    raw = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.abcdefghijklmnopqrstuvwxyz012345"
    desk.take(issued(raw), issued(raw, event_id="again"), issued("t1"))

    [found] = desk.one("findings", "--kind", "raw-credential-sent")["items"]
    assert ("medium", 2, []) == (found["severity"], found["count"], found["facts"])
    assert found["of"].startswith("source:")
    assert "NHI2" in {one["id"].partition(":")[0] for one in found["maps_to"]}
    assert raw not in str(found)
    desk.run("findings", "keep", "--once")
    assert desk.one("fsck")["ok"]
