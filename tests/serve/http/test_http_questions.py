"""The HTTP API's questions: the documents of the command line, pages, ETags, problems, and the OpenAPI document."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator
from starlette.requests import Request

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.events import CaseItem, Target
from lineage.core.revocation.reach import Proposal
from lineage.serve.commands.cases import open_case
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.retention import survey
from lineage.serve.commands.revoke import give_order
from lineage.serve.config.limits import Limits
from lineage.serve.http.api.questions import QUESTIONS
from lineage.serve.http.core.question import Question
from lineage.serve.queries.activity import governance
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.activity.usage import UsageSubject, usage
from lineage.serve.queries.activity.uses import findings_about, uses
from lineage.serve.queries.cases.case_export import export_case
from lineage.serve.queries.cases.cases import case, cases, changes_of_case
from lineage.serve.queries.evidence.evidence_status import evidence_state
from lineage.serve.queries.evidence.record_proofs import latest_checkpoints, prove_consistency
from lineage.serve.queries.findings.findings import findings as findings_of
from lineage.serve.queries.findings.one_finding import finding as finding_of
from lineage.serve.queries.findings.posture import posture as posture_of
from lineage.serve.queries.graphs.dossier import dossier
from lineage.serve.queries.graphs.graph_view import graph
from lineage.serve.queries.history.diff import diff as diff_of
from lineage.serve.queries.history.timeline import timeline
from lineage.serve.queries.inventory import inventory
from lineage.serve.queries.inventory.identity import identity
from lineage.serve.queries.inventory.search import search as search_of
from lineage.serve.queries.overviews.attention import attention
from lineage.serve.queries.records import quarantine_and_conflicts
from lineage.serve.queries.records.projection_status import projection_status
from lineage.serve.queries.retention.deletions import deleted
from lineage.serve.queries.retention.holds import holds
from lineage.serve.queries.retention.retention_status import RetentionPolicy, retention_state
from lineage.serve.queries.revocations import revocations
from lineage.serve.queries.revocations.receivers import receivers
from tests.support.http_worlds import ASKED, LEAKED, World, api_over, problem_type
from tests.support.stores import KINDS, fresh_places

ID = LEAKED.removeprefix("token:")
OF = quote(LEAKED, safe="")
THEFT = "F-7ad89a5c2ebaf0cbebb4"
ORDER = OrderRequest(
    target=Target("token", ID), reason="credential_leak", ordered_by="human:dana@example.com", revocation="rev/1"
)
CONTAINED = [CaseItem("token", ID), CaseItem("action", "mail-7")]
EVENTS = [
    {"type": "action.performed", "event_id": "e1", "source": "urn:test:a", "action": "x1", "operation": "mail.send"},
    {"type": "action.performed", "event_id": "e1", "source": "urn:test:a", "action": "x2", "operation": "mail.send"},
]
EVENTS = [event | {"occurred_at": "2026-11-02T10:00:00Z", "outcome": "succeeded"} for event in EVENTS]


@pytest.fixture(scope="module", params=KINDS)
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Return the incident, an order, a conflict and a quarantined record; tests do not add to it."""
    for place in fresh_places(request):
        with place() as url, api_over(url, tmp_path_factory.mktemp("http")) as world:
            give_order(world.service, ORDER)
            open_case(world.service, by="human:dana@example.com", title="Leak", items=CONTAINED, case="INC/1")
            body = [*EVENTS, {"type": "none"}]
            assert 200 == world.post("/v1/events", "producer", json=body).status_code
            yield world


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    """The incident and a case in a file, for what need not be tried on both databases."""
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path) as world:
        open_case(world.service, by="human:dana@example.com", title="Leak", items=CONTAINED, case="INC/1")
        yield world


ASKED_FOR: dict[str, tuple[str, Any]] = {
    "/who": ("?action=mail-7", lambda s: s.who("mail-7", at=ASKED)),
    "/chain": (f"?of={OF}", lambda s: s.chain("token", ID, at=ASKED)),
    "/status": (f"?of={OF}", lambda s: s.status("token", ID, at=ASKED)),
    "/reach": (
        f"?of={quote('principal:agent:planner')}&mode=suspend&cascade=false",
        lambda s: {
            **s.reach(Proposal(target=Target("principal", "agent:planner"), at=ASKED, mode="suspend", cascade=False)),
            **findings_about(s, "principal", "agent:planner", ASKED, None),
        },
    ),
    "/search": ("?q=MAILER", lambda s: search_of(s, "mailer")),
    "/actions": (f"?of={OF}&tool=mail", lambda s: actions(s, ActionFilter(of=LEAKED, tool="mail"), at=ASKED)),
    "/overview": ("", lambda s: attention(s, at=ASKED)),
    "/usage": ("?tool=mail", lambda s: usage(s, UsageSubject("tool", "mail"), at=ASKED)),
    "/receivers": ("", lambda s: receivers(s, {})),
    "/principals": (
        "?kind=agent",
        lambda s: inventory.principals(s, inventory.PrincipalFilter(kind="agent"), at=ASKED),
    ),
    "/tokens": ("", lambda s: inventory.held(s, "token", inventory.ElementFilter(), at=ASKED)),
    "/delegations": ("", lambda s: inventory.held(s, "delegation", inventory.ElementFilter(), at=ASKED)),
    "/timeline": (f"?of={OF}", lambda s: timeline(s, "token", ID)),
    "/diff": (
        f"?of={OF}&from=2026-11-02T08:00:00Z&to=now",
        lambda s: diff_of(s, "token", ID, start=ASKED - 8_700_000_000, end=ASKED),
    ),
    "/uses": (f"?of={OF}", lambda s: uses(s, "token", ID)),
    "/findings": ("", lambda s: findings_of(s, at=ASKED)),
    "/findings/{id}": (THEFT, lambda s: finding_of(s, THEFT, at=ASKED)),
    "/quarantine": ("", quarantine_and_conflicts.quarantine),
    "/conflicts": ("", quarantine_and_conflicts.conflicts),
    "/revocations": ("", lambda s: revocations.revocations(s, at=ASKED)),
    "/graph": (f"?of={OF}", lambda s: graph(s, "token", ID, at=ASKED)),
    "/identity": ("?of=principal:agent:mailer", lambda s: identity(s, "agent:mailer", at=ASKED)),
    "/health": ("", projection_status),
    "/holds": ("", holds),
    "/deletions": ("", deleted),
    "/retention": ("", lambda s: retention_state(s, RetentionPolicy(), at=ASKED)),
    "/retention/plan": (
        "?before=now",
        lambda s: {name: value for name, value in survey(s, ASKED).items() if name != "deletions"},
    ),
    "/evidence": ("", lambda s: evidence_state(s, None, at=ASKED)),
    "/evidence/checkpoints": ("", lambda s: latest_checkpoints(s, origin=None)),
    "/evidence/consistency": (
        "?tree=decisions/0&old=1",
        lambda s: prove_consistency(s, ("decisions", 0), 1, None),
    ),
    "/dossier": ("?of=action:mail-7", lambda s: dossier(s, "action", "mail-7", at=ASKED)),
    "/posture": ("?framework=ASI", lambda s: posture_of(s, at=ASKED, framework="ASI")),
    "/governance/active": ("", lambda s: governance.active(s, start=0, end=ASKED)),
    "/governance/allowed": ("?agent=agent:mailer", lambda s: governance.allowed(s, "agent:mailer", at=ASKED)),
    "/governance/held": ("?agent=agent:mailer", lambda s: governance.held(s, "agent:mailer", start=0, end=ASKED)),
    "/governance/done": (
        "?agent=principal:agent:mailer",
        lambda s: governance.done(s, "agent:mailer", start=0, end=ASKED),
    ),
    "/cases": ("", cases),
    "/cases/{id:path}/changes": ("INC%2F1", lambda s: changes_of_case(s, "INC/1")),
    "/cases/{id:path}/export": ("INC%2F1", lambda s: export_case(s, "INC/1", at=ASKED, keys=None)),
    "/cases/{id:path}": ("INC%2F1", lambda s: case(s, "INC/1", at=ASKED)),
    "/revocations/{id:path}": ("rev%2F1", lambda s: revocations.revocation(s, "rev/1", at=ASKED)),
}
NEED_A_CHECKPOINT = {"/evidence/record": "?fact=decisions/0/7", "/evidence/absence": "?source=urn:s&sequence=7"}
ANSWERED = [question for question in QUESTIONS if question.path not in NEED_A_CHECKPOINT]
LISTS = [question.path for question in QUESTIONS if any(p.name == "limit" for p in question.parameters)]


def url_of(path: str) -> str:
    parameters = NEED_A_CHECKPOINT[path] if path in NEED_A_CHECKPOINT else ASKED_FOR[path][0]
    before, in_path, after = path.replace(":path", "").partition("{id}")
    return f"/v1{before}{parameters}{after}" if in_path else f"/v1{path}{parameters}"


@pytest.mark.slow
@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: question.path)
def test_a_document_is_that_of_the_command_line(api: World, question: Question):
    """
    Every question answers with exactly the document of the service, on both databases.
    """
    response = api.get(url_of(question.path))

    assert (200, ASKED_FOR[question.path][1](api.service)) == (response.status_code, response.json())


@pytest.mark.slow
@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: question.path)
def test_a_document_has_the_published_schema(api: World, question: Question):
    """
    Every answer is valid by its schema in the OpenAPI document.
    """
    published = api.get("/openapi.json").json()
    path = f"/v1{question.path}".replace(":path", "")
    schema = published["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**schema, "components": published["components"]})

    assert [] == [error.message for error in validator.iter_errors(api.get(url_of(question.path)).json())]


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTS)
def test_pages_make_up_the_whole_list(api: World, path: str):
    """
    All pages together are the whole list, and each except the last says that another follows.
    """
    url = url_of(path)
    url += "&" if "?" in url else "?"
    whole = api.get(f"{url}limit=100").json()
    pages = [api.get(f"{url}limit=1").json()]
    while pages[-1]["next"] is not None:
        pages.append(api.get(f"{url}limit=1&after={pages[-1]['next']}").json())

    assert {0, 1} >= {len(page["items"]) for page in pages}
    items = [item for page in pages for item in page["items"]]
    found = {json.dumps(item, sort_keys=True) for item in items}
    assert {json.dumps(item, sort_keys=True) for item in whole["items"]} == found
    assert [False] * (len(pages) - 1) + [True] == [page["complete"] for page in pages]


@pytest.mark.slow
@pytest.mark.parametrize("path", LISTS)
def test_a_page_has_at_most_what_is_published(here: World, path: str):
    """
    The maximum of `limit` in the OpenAPI document is accepted, and one more is refused with that number: a page is
    never silently shorter than requested.
    """
    parameters = here.get("/openapi.json").json()["paths"][f"/v1{path.replace(':path', '')}"]["get"]["parameters"]
    most = next(one["schema"]["maximum"] for one in parameters if one["name"] == "limit")
    url = url_of(path)
    url += "&" if "?" in url else "?"
    more = here.get(f"{url}limit={most + 1}")

    assert 200 == here.get(f"{url}limit={most}").status_code
    assert (400, "limit") == (more.status_code, more.json()["parameter"])
    assert f"from 1 to {most:,}" in more.json()["detail"]


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_is_valid_for_its_own_list_only(api: World, path: str):
    """
    The problem for a cursor of another list, or an invalid one, names the parameter.
    """
    url = url_of(path)
    url += "&" if "?" in url else "?"
    other = api.get("/v1/search?q=a&limit=1").json()["next"]
    if path == "/search":
        other = api.get(f"/v1/timeline?of={OF}&limit=1").json()["next"]

    for cursor in (other, "x", "%00", "a" * 2_000):
        response = api.get(f"{url}after={cursor}")
        assert ("parameter", "after") == (problem_type(response), response.json()["parameter"])


def test_several_ids_are_answered_in_the_order_asked(here: World):
    """
    With several ids the answer is a list of documents; that of an unknown id says so, in its place.
    """
    of = ["token:none", LEAKED, "principal:agent:planner"]
    items = here.get("/v1/status", params={"of": of}).json()["items"]

    alone = [here.get("/v1/status", params={"of": one}).json() for one in of[1:]]
    assert [{"error": "not_found", "id": "token:none"}, *alone] == items


def test_an_answer_that_the_client_has_is_not_sent_again(here: World):
    """
    The ETag depends on the bytes: the same question answers 304, and after a new fact 200.
    """
    url = f"/v1/timeline?of={OF}"
    first = here.get(url)
    tag = first.headers["etag"]
    second = here.get(url, headers={"If-None-Match": f'"other", W/{tag}'})
    here.post("/v1/events", "producer", json=[EVENTS[0] | {"token": ID}])
    third = here.get(url, headers={"If-None-Match": tag})

    assert [(200, True), (304, False), (200, True)] == [
        (response.status_code, bool(response.content)) for response in (first, second, third)
    ]
    assert tag == second.headers["etag"]


@pytest.mark.slow
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.path)
def test_an_unknown_parameter_is_refused_by_name(here: World, question: Question):
    """
    An unknown parameter is most likely a mistake, and is never ignored.
    """
    url = url_of(question.path)
    response = here.get(f"{url}{'&' if '?' in url else '?'}know_at=now")

    assert (400, "parameter", "know_at") == (
        response.status_code, problem_type(response), response.json()["parameter"],
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "parameter"),
    [
        ("/v1/who", "action"),
        ("/v1/who?action=", "action"),
        ("/v1/who?action=%20a", "action"),
        ("/v1/who?action=a%00b", "action"),
        ("/v1/who?action=" + "a" * 513, "action"),
        ("/v1/who?action=" + "a&action=" * 100 + "a", "action"),
        ("/v1/status?of=nothing", "of"),
        ("/v1/status?of=token:", "of"),
        ("/v1/timeline?of=thing:x", "of"),
        ("/v1/status?of=thing:x", "of"),
        ("/v1/status?of=action:mail-7", "of"),
        ("/v1/status?of=:x", "of"),
        ("/v1/chain?of=session:x", "of"),
        ("/v1/reach?of=action:mail-7", "of"),
        ("/v1/uses?of=principal:x", "of"),
        ("/v1/diff?of=action:x&from=now&to=now", "of"),
        ("/v1/identity?of=token:x", "of"),
        ("/v1/identity?of=workload:x", "of"),
        ("/v1/identity?of=principal:a&of=principal:b", "of"),
        ("/v1/identity", "of"),
        ("/v1/timeline?of=token:a&of=token:b", "of"),
        ("/v1/status?of=token:a&at=yesterday", "at"),
        ("/v1/status?of=token:a&at=2026-11-02T10:00:00+01:00", "at"),
        ("/v1/status?of=token:a&at=now&at=now", "at"),
        ("/v1/status?of=token:a&known_at=1", "known_at"),
        ("/v1/reach?of=token:a&mode=kill", "mode"),
        ("/v1/reach?of=token:a&cascade=maybe", "cascade"),
        ("/v1/reach?of=token:a&unseen=maybe", "unseen"),
        ("/v1/reach?of=token:a&issued_before=x", "issued_before"),
        ("/v1/search?q=" + "a" * 513, "q"),
        ("/v1/search?q=a&limit=0", "limit"),
        ("/v1/search?q=a&limit=1001", "limit"),
        ("/v1/revocations?limit=101", "limit"),
        ("/v1/search?q=a&limit=%D9%A1", "limit"),
        ("/v1/diff?of=token:a&from=now", "to"),
        ("/v1/revocations/%20x", "id"),
    ],
)
def test_an_invalid_parameter_is_named(here: World, url: str, parameter: str):
    """
    Whatever is wrong with a parameter, the answer is a problem document that names it.
    """
    response = here.get(url)

    assert (400, "parameter", parameter) == (
        response.status_code, problem_type(response), response.json()["parameter"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/v1/none", 404, "no-such-path"),
        ("DELETE", "/v1/who", 405, "method-not-allowed"),
        ("GET", "/v1/status?of=token:none", 404, "not-found"),
        ("GET", "/v1/who/?action=mail-7", 404, "no-such-path"),
        ("GET", "/v1/status%2F?of=token:none", 404, "no-such-path"),
        ("GET", "/v1/who?action=" + "a" * 50_000, 414, "too-large"),
        ("GET", "/v1/revocations/none", 404, "not-found"),
        ("GET", "/v1/revocations/none/receipt", 404, "not-found"),
    ],
)
def test_every_error_is_a_problem_document(here: World, method: str, path: str, status: int, word: str):
    """
    Refusals by us and by the framework have the same format, with a stable type.
    """
    response = here.as_("investigator").request(method, path)

    assert (status, word) == (response.status_code, problem_type(response))


HOSTILE = [
    "<script>alert(1)</script>",
    "x' OR '1'='1",
    '"; DROP TABLE fact; --',
    "a\r\nX-Injected: 1",
    'a\n{"level":"error"}',
    "{{7*7}}",
    "%s%n",
    "../../etc/passwd",
    "\u202egnp.exe",
    "\ud83d\ude00" + "é" * 100,
]


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_parameters_are_only_ids(here: World, text: str, caplog: pytest.LogCaptureFixture):
    """
    Markup, SQL, line ends and templates in a parameter are an unknown id, or an invalid parameter.
    """
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    before = here.service.store.sizes()
    for question in QUESTIONS:
        for parameter in question.parameters:
            path = f"/v1{question.path}"
            if parameter.where == "path":
                path = path.replace("{id:path}", quote(text, safe=""))
                response = here.get(path)
            else:
                parameters = {"of": LEAKED, "action": "mail-7", "q": "a", "from": "now", "to": "now"}
                params = {p.name: parameters[p.name] for p in question.parameters if p.name in parameters}
                response = here.get(path.replace("{id:path}", "rev"), params=params | {parameter.name: text})
            assert response.status_code in {200, 400, 404}, response.text
            assert response.headers["content-type"].startswith("application/")
            assert "x-injected" not in response.headers

    plans = here.service.store.sizes()["plan"]
    assert before | {"plan": plans} == here.service.store.sizes()


def test_who_asked_for_what_is_in_the_access_log(here: World, caplog: pytest.LogCaptureFixture):
    """
    Every read of a chain is one structured line: who, where, which ids, as of when.
    """
    with caplog.at_level("INFO", logger="lineage.deliver.http.access_log"):
        here.get(f"/v1/chain?of={OF}&at=2026-11-02T10:00:00Z")

    [record] = [record for record in caplog.records if record.name.endswith("access")]
    assert ("GET /v1/chain", "human:ida@example.com", [LEAKED], "2026-11-02T10:00:00.000000Z") == (
        record.getMessage(), record.caller, record.of, record.at,
    )  # fmt: skip


def test_an_answer_has_the_security_headers(here: World):
    """
    A strict Content-Security-Policy and related headers are on every answer, refusals included; nothing is cached.
    """
    for path in ("/v1/who?action=mail-7", "/v1/who", "/none", "/healthz", "/docs"):
        headers = here.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert ("nosniff", "DENY", "no-referrer", "same-origin") == tuple(
            headers[name]
            for name in (
                *("x-content-type-options", "x-frame-options", "referrer-policy"),
                "cross-origin-opener-policy",
            )
        )
        assert "unsafe-inline" not in headers["content-security-policy"]


@pytest.mark.parametrize("host", ["evil.example", "", "us.example.evil.example", "127.0.0.2"])
def test_another_host_name_is_not_answered(here: World, host: str):
    """
    Requests for another host name are refused: the name of another site may resolve to our address.
    """
    response = here.get("/v1/who?action=mail-7", headers={"Host": host})

    assert (421, "misdirected") == (response.status_code, problem_type(response))


@pytest.mark.parametrize("host", ["[::1", "evil@us.example", "us.example/", "us.example,evil", "us.example evil", "\t"])
def test_an_invalid_host_is_refused(here: World, host: str):
    """
    A host that a proxy may read differently is refused, also if the server passes it on.
    """
    response = here.get("/v1/who?action=mail-7", headers={"Host": host})

    assert (400, "malformed") == (response.status_code, problem_type(response))


def test_the_page_of_the_api_uses_our_own_files_only(here: World):
    """
    /docs names every path, has no script, and loads nothing from other hosts.
    """
    page = here.as_(None).get("/docs").text
    paths = here.as_(None).get("/openapi.json").json()["paths"]

    assert all(f"{path}</code>" in page for path in paths)
    assert [] == re.findall(r'<script|style=|(?:src|href)="(?!/|#)', page)
    assert "text/css; charset=utf-8" == here.as_(None).get("/docs.css").headers["content-type"]


def test_the_openapi_document_is_complete(here: World):
    """
    Each operation has a unique id, a summary, roles and an answer with a schema; problems are documents.
    """
    document = here.as_(None).get("/openapi.json").json()
    operations = [(path, operation) for path, methods in document["paths"].items() for operation in methods.values()]
    ids = [operation["operationId"] for _, operation in operations]

    assert "3.1.0" == document["openapi"]
    assert sorted(set(ids)) == sorted(ids)
    assert {f"/v1{question.path}".replace(":path", "") for question in QUESTIONS} <= document["paths"].keys()
    for path, operation in operations:
        assert operation["summary"], path
        assert "security" in operation, path
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert ["application/problem+json"] == list(response["content"]), path


def test_nothing_answers_500(here: World, monkeypatch: pytest.MonkeyPatch):
    """
    An unexpected exception is logged; the client gets 503 and our headers, without details.
    """
    monkeypatch.setattr(here.service, "who", lambda *_, **__: 1 / 0)
    response = here.get("/v1/who?action=mail-7")

    assert (503, "fault", "5") == (response.status_code, problem_type(response), response.headers["retry-after"])
    assert "content-security-policy" in response.headers
    assert "division" not in response.text


def test_a_question_that_takes_too_long_is_cancelled(tmp_path: Path):
    """
    After the timeout a question is answered with 503, and says so.
    """
    import threading

    go_on = threading.Event()
    with api_over(f"sqlite:///{tmp_path}/store.db", tmp_path, limits=Limits(seconds=0.2)) as world:
        world.service.who = lambda *_, **__: go_on.wait(60)
        response = world.get("/v1/who?action=mail-7")
        go_on.set()

    assert (503, "slow") == (response.status_code, problem_type(response))


def test_many_threads_get_the_answers_of_one(api: World):
    """
    Concurrent questions and writes answer as if they ran one after the other.
    """
    import asyncio

    import httpx

    urls = [url_of(path) for path in ("/who", "/chain", "/status", "/reach", "/uses", "/revocations")] * 4
    token = api.token()
    expected = [api.get(url).json() for url in urls]

    async def all_at_once() -> list[Any]:
        transport = httpx.ASGITransport(api.app)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="https://us.example", headers=headers) as client:
            return [response.json() for response in await asyncio.gather(*(client.get(url) for url in urls))]

    assert expected == asyncio.run(all_at_once())


def test_a_page_renders_the_document_of_the_api(here: World):
    """
    The pages and the API get the document from the same function.
    """
    from starlette.responses import HTMLResponse

    from lineage.deliver.http.route import Route
    from lineage.serve.http.asgi.app import create_app
    from lineage.serve.http.core.question import answered
    from tests.support.asgi import Asking

    who = QUESTIONS[0]

    async def page(request: Request) -> HTMLResponse:
        answer = await answered(here.site, who, request)
        return HTMLResponse(json.dumps(answer.document, separators=(",", ":"), ensure_ascii=False))

    app = create_app(here.site, parts=[Route("GET", who.path, page)])
    asking = Asking(app, {"Authorization": f"Bearer {here.token()}"})

    assert asking.get("/v1/who?action=mail-7").text == asking.get("/who?action=mail-7").text
