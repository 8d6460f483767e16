"""The pages of findings: the list with its filters, a finding with its evidence, and the form to judge it."""

import csv
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from lineage.core.findings.options import Options, RuleOptions
from lineage.core.model.events import Target
from lineage.core.model.finding import Severity
from lineage.core.model.times import parse_instant
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.queries.findings.findings import findings
from lineage.serve.web.links import Links
from lineage.serve.web.templating import breakable
from tests.support.http_worlds import LEAKED, World, api_over
from tests.support.web_pages import Pages, text_of

ID = LEAKED.partition(":")[2]
THEFT = "F-7ad89a5c2ebaf0cbebb4"
SHARED = "F-87b51fb4f1f596195bb8"
ORDER = OrderRequest(target=Target("token", ID), reason="credential_leak", ordered_by="human:dana", revocation="rev-1")
FORM = f"/findings/{THEFT}/judgements"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    """Return the incident; tests do not add to it."""
    folder = tmp_path_factory.mktemp("findings")
    with api_over(f"sqlite:///{folder}/store.db", folder) as world:
        yield Pages(world)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """Return the incident, for a test that adds to it."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        yield world


def shown(response_text: str) -> list[str]:
    """Return the findings that a page links to, in order."""
    return re.findall(r'href="/findings/(F-[0-9a-f]{20})', response_text)


# One finding


def test_a_finding_has_its_reason_evidence_and_remedy(pages: Pages):
    """
    The page has the sentence, then what to do, then the facts, the earliest first, each with its source.
    """
    page = text_of(pages.get(f"/findings/{THEFT}"))

    parts = (
        "Possible token theft: agent:scraper used a token issued to agent:mailer",
        "What to do",
        "Revoke the token now",
        "Evidence (2 facts), the earliest first",
        "2026-11-02T09:10:02Z token.issued",
        "2026-11-02T09:47:29.6Z action.performed",
    )
    places = [page.find(part) for part in parts]
    assert -1 not in places
    assert sorted(places) == places


def test_a_finding_links_what_is_related(pages: Pages):
    """
    Links lead to the action, the token in its evidence, other findings that cite the same facts, and its frameworks.
    """
    response = pages.get(f"/findings/{THEFT}")

    assert 'href="/who?action=mail-7"' in response.text
    assert "/chain?of=token%3Ahttps%3A%2F%2Fidp.example%23mailer-1" in response.text
    assert SHARED in shown(response.text)
    assert THEFT not in shown(response.text.partition("Related findings")[2].partition("Maps to")[0])
    assert "ASI03 Identity and Privilege Abuse" in text_of(response)


def test_the_sentence_of_a_finding_links_everything_named(pages: Pages):
    """
    Each id of a thing with a page is a link in the sentence, on the page of the finding and in the list, whatever its
    characters.
    """
    found = {one["id"]: one["why"] for one in survey_of(pages)}
    listed = pages.get("/findings?limit=100").text

    assert len(found) > 5
    assert all(any(names for _, names in why.pieces()) for why in found.values())
    for id_, why in found.items():
        page = pages.get(f"/findings/{id_}").text.partition("<h1")[2].partition("</h1>")[0]
        for text, names in why.pieces():
            if href := Links().key(names or None):
                link = f'href="{html.escape(href)}">{breakable(text)}</a>'
                assert link in page, (why, names)
                assert link in listed, (why, names)


def survey_of(pages: Pages) -> list[dict[str, Any]]:
    """Return the findings as the pages have them."""
    service = pages.service
    return findings(service, at=service.clock(), limit=100)["items"]


def test_a_finding_that_does_not_exist_is_not_found(pages: Pages):
    """
    For an unknown id, and for a time before the finding, the page says so without an error.
    """
    missing = pages.get("/findings/F-00000000000000000000")
    before = pages.get(f"/findings/{THEFT}?at=2026-11-02T09:00:00Z&known_at=2026-11-02T09:00:00Z")

    assert (404, 404) == (missing.status_code, before.status_code)
    assert "a later fact may have resolved it" in text_of(missing)


# The list


def test_the_list_is_worst_first_and_counts_by_severity(pages: Pages):
    """
    The most severe findings come first, and each count links to the findings of that severity.
    """
    response = pages.get("/findings")

    assert re.search(r"\d+ findings \(4 high\)", text_of(response))
    severities = re.findall(r'<p><span class="severity (\w+)">', response.text)
    order = ("critical", "high", "medium", "low", "informational")
    assert sorted(severities, key=order.index) == severities
    assert 'href="/findings?severity=medium"' in response.text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("severity=high", 4),
        ("kind=wielder-mismatch", 2),
        ("of=action:mail-7&severity=high", 2),
        ("status=acknowledged", 0),
        ("severity=high&since=2026-11-02+09:47:29", 3),
        ("severity=high&since=2026-11-03", 0),
        ("severity=&kind=wielder-mismatch&status=&of=&since=", 2),
    ],
)
def test_the_list_is_filtered_by_the_form(pages: Pages, query: str, count: int):
    """
    Each field of the form is a filter; an empty field is ignored.
    """
    assert count == len(shown(pages.get(f"/findings?{query}").text))


def test_an_invalid_filter_is_refused_by_name(pages: Pages):
    """
    An unknown rule, an invalid time or a thing without its kind gives a page with status 400 that names what is wrong.
    """
    rule, moment = pages.get("/findings?kind=theft"), pages.get("/findings?since=yesterdayish")
    things = [
        pages.get(f"/findings?of={of}") for of in ("mailer", "-1", "thing:x", quote("\u202eא"), "token:" + "x" * 600)
    ]

    assert [400] * 7 == [page.status_code for page in (rule, moment, *things)]
    assert all("A parameter is wrong of: " in text_of(page) for page in things)
    assert "there is no kind 'theft'" in text_of(rule)
    assert "since" in text_of(moment)


def test_the_list_is_downloaded_as_csv_with_its_filters(pages: Pages):
    """
    The link below the list downloads a table with the same findings.
    """
    page = pages.get("/findings?severity=high")
    link = re.search(r'href="(/findings\.csv[^"]*)"', page.text)
    assert link
    response = pages.get(link[1].replace("&amp;", "&"))
    rows = list(csv.DictReader(response.text.splitlines()))

    assert "text/csv; charset=utf-8" == response.headers["content-type"]
    assert shown(page.text) == [row["id"] for row in rows]


def test_nobody_downloads_findings_without_a_role(pages: Pages):
    """
    The table needs the same role as the page.
    """
    assert 401 == pages.nobody.get("/findings.csv").status_code


# Where people look

OF = quote(LEAKED, safe="")
ALARM = "High: Possible token theft: agent:scraper used a token issued to agent:mailer"


@pytest.mark.parametrize(
    "path",
    [
        f"/chain?of={OF}",
        f"/uses?of={OF}",
        "/status?of=principal:agent:mailer",
        "/status?of=principal:agent:scraper",
        "/who?action=mail-7",
        "/dossier?of=action:mail-7",
        f"/dossier?of={OF}",
        "/dossier?of=principal:agent:mailer",
        "/",
    ],
)
def test_the_theft_is_the_first_thing_on_every_page_about_it(pages: Pages, path: str):
    """
    It comes before the sentence that answers the question, in plain words, and with what to do.
    """
    page = text_of(pages.get(path))

    assert ALARM in page
    assert path == "/" or "What to do: Revoke the token now" in page.partition(ALARM)[2][:300]
    main = pages.get(path).text.partition("<main")[2]
    assert path == "/" or main.index("Possible token theft") < main.index("<h1")


def test_the_start_page_counts_findings_by_severity(pages: Pages):
    """
    Each count links to the findings of that severity, and equals the length of the list.
    """
    start = pages.get("/")
    links = dict(re.findall(r'href="(/findings\?severity=\w+)">(\d+) finding', start.text))

    assert {"/findings?severity=high", "/findings?severity=medium"} <= set(links)
    assert {link: int(count) for link, count in links.items()} == {
        link: len(shown(pages.get(link).text)) for link in links
    }


def test_a_badge_names_what_has_the_state(pages: Pages):
    """
    A green badge next to a stolen token says that the token is active, not that everything is fine.
    """
    assert "token active" in text_of(pages.get(f"/chain?of={OF}"))
    assert "At the timetoken active" in text_of(pages.get("/who?action=mail-7"))
    assert "principal active" in text_of(pages.get("/status?of=principal:agent:mailer"))


def test_the_page_of_a_revocation_shows_judged_findings(here: World):
    """
    A use after the revocation is at the top of its page until it is suppressed; a setting changes its severity.
    """
    give_order(here.service, ORDER)
    late = {"type": "action.performed", "source": "urn:test:a", "event_id": "late", "outcome": "succeeded"}
    late |= {"action": "late-1", "operation": "mail.send", "token": ID, "occurred_at": "2026-11-02T10:45:00Z"}
    here.clock.now = parse_instant("2026-11-02T10:50:00Z")
    here.post("/v1/events", "producer", json=[late])
    before = text_of(Pages(here).get("/revocations/rev-1"))
    [found] = [one for one in here.get("/v1/revocations/rev-1").json()["findings"] if one["of"] == "action:late-1"]
    sent = Pages(here).send(
        f"/findings/{found['id']}/judgements", judgement="suppressed", reason="a drill", until="2027-01-01"
    )
    here.clock.now += 1
    after = here.get("/v1/revocations/rev-1").json()["findings"]

    assert ("used-after-revocation", 303) == (found["kind"], sent.status_code)
    assert "Critical: action:late-1 succeeded under" in before
    assert ["suppressed"] == [one["status"] for one in after if one["id"] == found["id"]]
    assert "Critical: action:late-1" not in text_of(Pages(here).get("/revocations/rev-1"))
    here.service.options = Options(rules={"used-after-revocation": RuleOptions(severity=Severity.LOW)})
    assert ["low"] == [
        one["severity"] for one in here.get("/v1/revocations/rev-1").json()["findings"] if one["id"] == found["id"]
    ]


def test_the_posture_has_every_check_by_outcome_and_framework(here: World):
    """
    Failed checks come first with links to their findings, then who suppressed what and why, and what was not evaluated;
    a framework shows fewer checks, and the report for an auditor has the same in one file.
    """
    pages = Pages(here)
    pages.send(f"/findings/{SHARED}/judgements", judgement="suppressed", reason="a <drill>", until="2027-01-01")
    here.clock.now += 1
    whole, narrow = pages.get("/posture"), pages.get("/posture?framework=NHI")
    report = pages.get("/posture.html?framework=NHI")
    page = text_of(whole)
    places = [page.find(value) for value in ("Fail (", "Suppressed (", "Not evaluated (", "Pass (")]

    assert -1 not in places
    assert sorted(places) == places
    assert THEFT in shown(whole.text)
    failed = whole.text.partition('id="fail">')[2].partition("</section>")[0]
    worst = re.findall(r'<p><span class="severity (\w+)">', failed)
    assert sorted(worst, key=("critical", "high", "medium", "low", "informational").index) == worst
    assert "by human:dana@example.com, until 2027-01-01T00:00:00Z: a <drill>" in page
    assert "Not evaluated: the table [audiences] of the settings is empty." in page
    assert len(narrow.text) < len(whole.text)
    assert 'attachment; filename="posture.html"' == report.headers["content-disposition"]
    assert "a &lt;drill&gt;" in report.text
    assert "checks that map to NHI" in text_of(report)
    assert 400 == pages.get("/posture?framework=ISO").status_code
    assert 401 == pages.nobody.get("/posture.html").status_code


# Judging


def test_a_responder_suppresses_a_finding_for_a_time_and_reopens_it(here: World):
    """
    It leaves the list but is counted, its page says who decided what until when, and a reopened one is new again.
    """
    pages = Pages(here)
    sent = pages.send(FORM, judgement="suppressed", reason="two replicas of one agent", until="2026-12-01 12:00")
    page = text_of(pages.get(f"/findings/{THEFT}"))

    assert (303, f"/findings/{THEFT}") == (sent.status_code, sent.headers["location"])
    assert "Suppressed by human:dana@example.com" in page
    assert "until 2026-12-01T12:00:00Z: two replicas of one agent" in page
    assert THEFT not in shown(pages.get("/findings").text)
    assert "1 more finding suppressed" in text_of(pages.get("/findings"))
    assert [THEFT] == shown(pages.get("/findings?status=suppressed").text)

    here.clock.now = parse_instant("2026-11-02T10:50:00Z")
    pages = Pages(here)  # sign in again
    assert 303 == pages.send(FORM, judgement="reopened", reason="they are two agents").status_code
    assert THEFT in shown(pages.get("/findings").text)


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"judgement": "acknowledged"}, "needs a reason"),
        ({"judgement": "suppressed", "reason": "a test"}, "needs an end"),
        ({"judgement": "suppressed", "reason": "a test", "until": "2020-01-01"}, "has passed"),
        ({"judgement": "suppressed", "reason": "a test", "until": "soon"}, "until"),
        ({"judgement": "forgotten", "reason": "a test"}, "judgement"),
        ({"reason": "a test"}, "judgement"),
    ],
)
def test_an_invalid_judgement_changes_nothing_and_keeps_the_input(here: World, form: dict[str, str], why: str):
    """
    The page of the finding shows the error first and the fields filled in; the finding stays new.
    """
    pages = Pages(here)
    response = pages.send(FORM, **form)

    assert 400 == response.status_code
    assert "Nothing was judged" in text_of(response)
    assert why in text_of(response)
    assert f'value="{form.get("reason", "")}"' in response.text
    assert "new" == here.get(f"/v1/findings/{THEFT}").json()["status"]


def test_only_a_responder_judges_and_only_from_our_own_page(here: World):
    """
    An investigator sees no form and is refused; so is a form from another site or without an origin.
    """
    form = {"judgement": "acknowledged", "reason": "seen"}
    investigator = Pages(here, "investigator")
    answers = [
        investigator.send(FORM, **form),
        Pages(here).send(FORM, origin="https://evil.example", **form),
        Pages(here).send(FORM, origin=None, **form),
    ]

    assert [403, 403, 403] == [one.status_code for one in answers]
    assert "Deciding needs the role responder" in text_of(investigator.get(f"/findings/{THEFT}"))
    assert "new" == here.get(f"/v1/findings/{THEFT}").json()["status"]


def test_a_judgement_of_an_unknown_finding_is_not_found(here: World):
    """
    Nothing is written for an unknown id.
    """
    response = Pages(here).send("/findings/F-00000000000000000000/judgements", judgement="acknowledged", reason="seen")

    assert 404 == response.status_code
