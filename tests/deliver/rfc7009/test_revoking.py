"""Calls of a revocation endpoint (RFC 7009), with an authorization server in a separate process."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from compose.native.processes import free_port
from lineage.core.authority.verdict import State
from lineage.core.model.errors import RefusedError
from lineage.core.model.events import Event, RevocationAcknowledged
from lineage.core.model.trust import SourceGrant, TrustTable
from lineage.core.revocation.state_changes import Change, ElementState, PublishedState
from lineage.deliver.rfc7009.endpoint_settings import Endpoint as Settings
from lineage.deliver.rfc7009.endpoint_settings import endpoints_of
from lineage.deliver.rfc7009.revocation_client import NotAnsweredError, RevocationEndpointClient
from lineage.store.delivery import outbox
from lineage.store.delivery.outbox import Standing
from lineage.store.store import Store
from tests.support import stores
from tests.support.desk import Desk, derived, lifted, ordered, token
from tests.support.kafka_worlds import started, wait_until
from tests.support.receivers import receiver
from tests.support.revocation_endpoint import Endpoint, running
from tests.support.signing_keys import P256, file_of, pem
from tests.support.store_histories import a_store

ISSUER = "https://idp.example"
AS = "https://idp.example"  # as a receiver


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    with running(tmp_path) as endpoint:
        yield endpoint


def endpoint_settings(folder: Path, url: str, **more: Any) -> Settings:
    fields = {"url": url, "issuers": [ISSUER], "auth": "basic", "client_id": "del:egraph", "secret_file": "word"}
    file_of(folder, "pass word\n", name="word")
    [found] = endpoints_of({AS: {**fields, **more}}, file=folder / "delegraph.toml")
    return found


def tell(store: Store, *arguments: tuple[str, State], expires_at: int | None = None) -> None:
    """Append rows to the outbox: each an element and its state, because of ``r1``."""
    after = outbox.cursor_of(store, outbox.SPREAD).seq
    found = [
        Change(key, PublishedState(n, ElementState(state, "r1", 1, expires_at)))
        for n, (key, state) in enumerate(arguments, after + 1)
    ]
    outbox.write(store, found, after=after, at=1, standing=Standing(b"", {}))


class Log:
    """The destination of acknowledgements; each content once, as in a projected log."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, events: list[Event]) -> None:
        self.events += events

    @property
    def acknowledged(self) -> list[tuple[str | None, str, str | None]]:
        bodies = [event.body for event in dict.fromkeys(self.events)]
        return [(body.token, body.outcome, body.note) for body in bodies if isinstance(body, RevocationAcknowledged)]


def revoking(store: Store, settings: Settings, log: Log, trust: TrustTable | None = None) -> RevocationEndpointClient:
    return RevocationEndpointClient(store, trust, settings, log.append, lambda: 1_000_000)


def test_accepted_calls_are_recorded_and_acknowledged(fresh: stores.Fresh, tmp_path: Path, endpoint: Endpoint):
    """
    Every permanently ended token of the issuer is sent once, in order, with the handle that the server accepts.
    """
    log = Log()
    with a_store(fresh) as (store, _):
        tell(
            store,
            (f"token:{ISSUER}#t1", State.REVOKED),
            ("token:https://other.example#t2", State.REVOKED),
            (f"token:{ISSUER}#t3", State.CASCADED),
            ("delegation:d1", State.REVOKED),
            (f"token:{ISSUER}#t4", State.SUSPENDED),
            ("token:sha256:00", State.REVOKED),
        )
        one = revoking(store, endpoint_settings(tmp_path, endpoint.url, token_type_hint="access_token"), log)
        assert (2, 0) == (one.turn(), one.turn())
        accepted = outbox.accepted_at(store, AS, range(10))
        one.close()

    assert ["t1", "t3"] == endpoint.tokens
    assert {1: 1_000_000, 3: 1_000_000} == accepted
    assert [(f"{ISSUER}#t1", "enforced", None), (f"{ISSUER}#t3", "enforced", None)] == log.acknowledged
    [first, _] = endpoint.asked
    assert ("access_token", "application/x-www-form-urlencoded") == (first["token_type_hint"], first["type"])
    assert b"del%3Aegraph:pass%20word" == base64.b64decode(first["authorization"].removeprefix("Basic "))


def test_a_reinstated_token_is_not_revoked_there(fresh: stores.Fresh, tmp_path: Path, endpoint: Endpoint):
    """A token that is active again by the time of the call must not be ended permanently."""
    log = Log()
    with a_store(fresh) as (store, _):
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED), (f"token:{ISSUER}#t1", State.ACTIVE))
        one = revoking(store, endpoint_settings(tmp_path, endpoint.url), log)
        assert (0, [], []) == (one.turn(), endpoint.asked, log.acknowledged)
        one.close()


def test_a_token_that_the_server_cannot_revoke_is_rejected(fresh: stores.Fresh, tmp_path: Path, endpoint: Endpoint):
    """400 with an error code about the request is its answer; the next token is sent anyway."""
    endpoint.behave(status=400, error="unsupported_token_type", times=1)
    log = Log()
    with a_store(fresh) as (store, _):
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED), (f"token:{ISSUER}#t2", State.REVOKED))
        one = revoking(store, endpoint_settings(tmp_path, endpoint.url), log)
        assert (2, 1, 1) == (one.turn(), one.counts.enforced, one.counts.rejected)
        accepted = outbox.accepted_at(store, AS, [1, 2])
        one.close()

    note = "the revocation endpoint answers 400 unsupported_token_type"
    assert [(f"{ISSUER}#t1", "rejected", note), (f"{ISSUER}#t2", "enforced", None)] == log.acknowledged
    assert [2] == list(accepted)


@pytest.mark.parametrize("process", ["the same", "another", "a new one"])
def test_what_is_alive_is_revoked_there_also_after_a_clock_was_ahead(
    fresh: stores.Fresh, tmp_path: Path, endpoint: Endpoint, process: str
):
    """
    With a clock that is hours ahead no call is made for a token that seems to have expired. Once a clock is right it is
    revoked there; what was accepted before, and what has really expired, is not sent again.
    """
    log, at, ahead = Log(), 100 * 3_600_000_000, 102 * 3_600_000_000
    clock = [at]
    with a_store(fresh) as (store, _):
        settings = endpoint_settings(tmp_path, endpoint.url)

        def client() -> RevocationEndpointClient:
            return RevocationEndpointClient(store, None, settings, log.append, lambda: clock[0])

        clients = {"the same": client(), "another": client()}
        tell(store, (f"token:{ISSUER}#expired", State.REVOKED), expires_at=at - 3_600_000_000)
        tell(store, (f"token:{ISSUER}#first", State.REVOKED), expires_at=at + 3_600_000_000)
        assert 1 == clients["another"].turn()
        clock[0] = ahead
        tell(store, (f"token:{ISSUER}#second", State.REVOKED), expires_at=at + 3_600_000_000)
        tell(store, (f"token:{ISSUER}#third", State.REVOKED), expires_at=ahead + 3_600_000_000)
        assert 1 == clients["the same"].turn()
        clock[0] = at + 1
        right = clients.get(process) or clients.setdefault(process, client())
        assert (1, 0) == (right.turn(), right.turn())
        for one in clients.values():
            one.close()

    assert ["first", "third", "second"] == endpoint.tokens
    assert sorted(endpoint.tokens) == sorted(str(token).partition("#")[2] for token, _, _ in log.acknowledged)


FAILURES: list[dict[str, Any]] = [
    {"status": 503, "headers": {"Retry-After": "1"}},
    {"status": 500},
    {"status": 401, "error": "invalid_client"},
    {"status": 400, "error": "invalid_client"},
    {"status": 404},
    {"status": 302, "headers": {"Location": "http://127.0.0.1:9/elsewhere"}},
    {"hang_seconds": 3},
]


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES, ids=[str(one.get("status", "late")) for one in FAILURES])
def test_a_call_without_an_answer_is_repeated(
    tmp_path: Path, endpoint: Endpoint, failure: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    """Whatever the error: earlier answers are kept, nothing is skipped, and the order is preserved."""
    monkeypatch.setattr("lineage.deliver.rfc7009.revocation_client._SHORTEST_WAIT_SECONDS", 0.01)
    log = Log()
    with a_store(stores.in_a_file) as (store, _):
        one = revoking(store, endpoint_settings(tmp_path, endpoint.url, timeout_seconds=0.5), log)
        tell(store, (f"token:{ISSUER}#t0", State.REVOKED))
        assert 1 == one.turn()
        endpoint.behave(**{"times": 2, **failure})
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED), (f"token:{ISSUER}#t2", State.REVOKED))
        with pytest.raises(NotAnsweredError, match=r"https://idp\.example (does not answer|answers)"):
            one.turn()
        endpoint.behave(times=0)
        wait_until(lambda: settled(one, 3))
        one.close()

    assert sorted(endpoint.tokens) == endpoint.tokens
    assert [(f"{ISSUER}#t{n}", "enforced", None) for n in range(3)] == log.acknowledged
    assert one.counts.failed >= 1


def settled(one: RevocationEndpointClient, count: int) -> bool:
    try:
        one.turn()
    except NotAnsweredError:
        return False
    return one.counts.enforced == count


def test_an_unavailable_server_is_called_again_after_a_wait(tmp_path: Path):
    """Nothing is attempted before the wait is over."""
    with a_store(stores.in_a_file) as (store, _):
        one = revoking(store, endpoint_settings(tmp_path, "http://127.0.0.1:9/revoke"), Log())
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED))
        with pytest.raises(NotAnsweredError, match="ConnectError"):
            one.turn()
        one._not_before += 60
        assert (0, 1) == (one.turn(), one.counts.failed)
        one.close()


def test_a_crash_before_the_answer_is_recorded_changes_nothing(fresh: stores.Fresh, tmp_path: Path, endpoint: Endpoint):
    """The call is repeated, and the acknowledgement is exactly the same: a duplicate."""
    log = Log()
    with a_store(fresh) as (store, _):
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED))
        settings = endpoint_settings(tmp_path, endpoint.url)
        crashing = RevocationEndpointClient(
            store, None, settings, lambda events: log.append(events) or 1 / 0, lambda: 1_000_000
        )
        with pytest.raises(ZeroDivisionError):
            crashing.turn()
        again = RevocationEndpointClient(store, None, settings, log.append, lambda: 2_000_000)
        assert 1 == again.turn()
        for one in (crashing, again):
            one.close()

    assert (["t1", "t1"], 2, 1) == (endpoint.tokens, len(log.events), len(log.acknowledged))


def test_each_answer_is_acknowledged_at_once(tmp_path: Path, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    """With a slow server each answer is acknowledged as it comes; rows that need no call are skipped at once."""
    monkeypatch.setattr("lineage.deliver.rfc7009.revocation_client._SETTLE_SECONDS", -1.0)
    batches: list[list[Event]] = []
    with a_store(stores.in_a_file) as (store, _):
        tell(store, *[(f"token:{ISSUER}#t{n}" if n % 2 else "delegation:d", State.REVOKED) for n in range(6)])
        one = RevocationEndpointClient(
            store, None, endpoint_settings(tmp_path, endpoint.url), batches.append, lambda: 1
        )
        assert 3 == one.turn()
        one.close()

    assert [1, 1, 1] == [len(batch) for batch in batches]
    assert ["t1", "t3", "t5"] == endpoint.tokens


def test_an_assertion_is_signed_for_the_endpoint(tmp_path: Path, endpoint: Endpoint):
    """private_key_jwt (RFC 7523): by the key of the file, for the URL, for a minute."""
    file_of(tmp_path, pem(P256))
    more = {"auth": "private_key_jwt", "secret_file": None, "key_file": "keys.pem", "token": "h:{iss}/{jti}"}
    settings = endpoint_settings(tmp_path, endpoint.url, **more)
    with a_store(stores.in_a_file) as (store, _):
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED))
        one = revoking(store, settings, Log())
        one.turn()
        one.close()

    [asked] = endpoint.asked
    claims = jwt.decode(
        asked["client_assertion"],
        P256.public_key(),
        algorithms=["ES256"],
        audience=endpoint.url,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert ("del:egraph", "del:egraph", 60) == (claims["iss"], claims["sub"], claims["exp"] - claims["iat"])
    assert ("urn:ietf:params:oauth:client-assertion-type:jwt-bearer", None, f"h:{ISSUER}/t1") == (
        asked["client_assertion_type"],
        asked["authorization"],
        asked["token"],
    )


def test_a_bearer_token_is_sent(tmp_path: Path, endpoint: Endpoint):
    """It comes from the file, and no client id is sent with it."""
    settings = endpoint_settings(tmp_path, endpoint.url, auth="bearer", client_id=None)
    with a_store(stores.in_a_file) as (store, _):
        tell(store, (f"token:{ISSUER}#t1", State.REVOKED))
        one = revoking(store, settings, Log())
        one.turn()
        one.close()

    assert "Bearer pass word" == endpoint.asked[0]["authorization"]


def test_a_trust_file_that_does_not_list_us_is_reported_before_any_call(tmp_path: Path):
    """Otherwise a token would be revoked there, and the acknowledgement would not count."""
    table = TrustTable(
        {"urn:delegraph:deliver": SourceGrant(frozenset({"revocation.acknowledged"}), ("https://other",))}
    )
    with a_store(stores.in_a_file) as (store, _), pytest.raises(RefusedError, match="'urn:delegraph:deliver'"):
        revoking(store, endpoint_settings(tmp_path, "http://127.0.0.1:9"), Log(), table)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"url": "http://idp.example/revoke"}, "https://"),
        ({"url": "https://me:word@idp.example/revoke"}, "without user"),
        ({"url": None}, "must be the URL"),
        ({"issuers": []}, "must list the issuers"),
        ({"issuers": "https://idp.example"}, "must list the issuers"),
        ({"token": "always"}, "must contain {id} or {jti}"),
        ({"auth": "none"}, "give one of basic"),
        ({"secret_file": None}, "needs 'secret_file'"),
        ({"key_file": "keys.pem"}, "must not have 'key_file'"),
        ({"tokn": "{jti}"}, "unknown setting 'tokn'"),
        ({"timeout_seconds": 0}, "up to 300"),
        ({"client_id": 5}, "must be a string"),
    ],
)
def test_invalid_settings_are_reported(tmp_path: Path, more: dict[str, Any], message: str):
    """Each in a sentence that names the table."""
    with pytest.raises(RefusedError) as refused:
        endpoint_settings(tmp_path, **{"url": "https://idp.example/revoke", **more})

    assert (True, True) == (message in str(refused.value), 'receivers."https://idp.example"' in str(refused.value))


# The command


@pytest.fixture
def desk(tmp_path: Path, endpoint: Endpoint) -> Desk:
    """Create a token and one derived from it, with a called server that covers both."""
    desk = Desk(tmp_path)
    file_of(tmp_path, "word", name="word")
    (tmp_path / "delegraph.toml").write_text(
        f'[receivers."{AS}"]\nurl = "{endpoint.url}"\nissuers = ["{ISSUER}"]\nauth = "bearer"\nsecret_file = "word"\n'
    )
    desk.take(token(f"{ISSUER}#t1"), derived(f"{ISSUER}#t2", f"{ISSUER}#t1"), receiver(AS))
    return desk


def delivering(desk: Desk, *words: str) -> "subprocess.Popen[bytes]":
    """Run ``deliver`` as a process."""
    return started("deliver", *words, config=str(desk.folder / "delegraph.toml"), store=desk.url)


def closure(desk: Desk) -> dict[str, Any]:
    desk.run("consume", "--drain")
    [found] = desk.ask("closure", "r1")
    return found


def test_a_successful_call_closes_the_order(desk: Desk, endpoint: Endpoint):
    """From the order to CLOSED by the command alone; a second order that ends the same is acknowledged as well."""
    desk.take(ordered("r1", "token", f"{ISSUER}#t1"), ordered("r2", "token", f"{ISSUER}#t2"))
    with delivering(desk, "--once") as process:
        output, _ = process.communicate(timeout=100)
    found = closure(desk)

    assert (0, True) == (process.returncode, f"{AS}: 2 enforced, 0 rejected." in output.decode())
    assert ("CLOSED", 2) == (found["verdict"], found["receivers"][0]["delivered"])
    assert "CLOSED" == desk.ask("closure", "r2")[0]["verdict"]
    assert ["t1", "t2"] == sorted(endpoint.tokens)


def test_a_suspension_makes_no_call(desk: Desk, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch):
    """RFC 7009 has no request for it, nor for its end."""
    monkeypatch.setenv("DELEGRAPH_CONFIG", str(desk.folder / "delegraph.toml"))
    desk.take(ordered("r1", "token", f"{ISSUER}#t1", mode="suspend"))
    suspended = desk.one("deliver", "--once")
    desk.take(lifted("r1"))
    back = desk.one("deliver", "--once")

    assert ([2, 2], []) == ([suspended["spread"], back["spread"]], endpoint.asked)


@pytest.mark.slow
def test_another_process_takes_over_after_a_kill_during_a_call(desk: Desk, endpoint: Endpoint):
    """
    Killed while the server does not answer: the next one repeats the call; nothing is acknowledged twice.
    """
    endpoint.behave(hang_seconds=600)
    desk.take(ordered("r1", "token", f"{ISSUER}#t1"))
    with delivering(desk) as process:
        wait_until(lambda: endpoint.asked, 100)
        process.kill()
    endpoint.behave()
    with delivering(desk) as process:
        wait_until(lambda: closure(desk)["verdict"] == "CLOSED", 100)
        process.terminate()
        process.communicate(timeout=100)
    facts = [one for one in desk.ask("timeline", "receiver:" + AS)[0]["items"] if "acknowledged" in one["type"]]

    assert (2, {"t1", "t2"}, 0) == (len(facts), set(endpoint.tokens), process.returncode)
    assert [] == desk.ask("conflicts")[0]["items"]


@pytest.mark.slow
def test_a_process_reports_its_health_and_metrics(desk: Desk, endpoint: Endpoint):
    """
    It is ready after a successful turn; rows, calls and answers are counted.
    """
    desk.take(ordered("r1", "token", f"{ISSUER}#t1"))
    port = free_port()
    with delivering(desk, "--listen", f"127.0.0.1:{port}") as process:
        wait_until(lambda: answer_of(port, "/readyz")[0] == 200, 100)
        wait_until(lambda: len(endpoint.tokens) == 2, 100)
        counted = f'delegraph_revocation_calls_total{{outcome="enforced",receiver="{AS}"}} 2.0'
        wait_until(lambda: counted in answer_of(port, "/metrics")[1], 100)
        shown = answer_of(port, "/metrics")[1]
        process.terminate()
        process.communicate(timeout=100)

    assert "delegraph_spread_changes_total 2.0" in shown
    assert "delegraph_delivery_turn_seconds_count" in shown


def answer_of(port: int, path: str) -> tuple[int, str]:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    except httpx.HTTPError:
        return 0, ""
    return answer.status_code, answer.text
