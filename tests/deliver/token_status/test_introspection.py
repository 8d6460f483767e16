"""Introspection: a token is active exactly if the rule says so, and the token itself is stored nowhere."""

import json
import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from ingest.codec import credentials
from lineage.core.authority.rule import verdict_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.errors import DelegraphError
from lineage.core.model.events import Derivation, Event, Fact, ReceiverRegistered, TokenIssued
from lineage.core.model.times import Instant, parse_instant
from lineage.deliver.http.callers import Authentication
from lineage.deliver.http.problems import problem_of
from lineage.deliver.token_status.introspection import introspection, route
from lineage.serve.config.wiring import now
from lineage.store.authority_replica import AuthorityReplica
from tests.support import compare, stores, worlds
from tests.support.asgi import Asking
from tests.support.desk import Desk, day, derived, granted, lifted, ordered, token
from tests.support.introspection import ISSUER, caller, raw
from tests.support.kafka_worlds import opened
from tests.support.store_histories import a_store, in_batches, records_of

INACTIVE = {"active": False}


@contextmanager
def asking(url: str, at: str | None = "10:00") -> Iterator[Asking]:
    """Create a client of the endpoint over a store, as a receiver."""
    moment = None if at is None else parse_instant(day(at))
    with opened(url) as store:
        asked = route(
            AuthorityReplica(store, None),
            lambda: now() if moment is None else moment,
            Authentication(caller, caller),
        )
        app = Starlette(routes=[asked])
        app.add_exception_handler(DelegraphError, lambda _, fault: problem_of(fault))  # type: ignore[arg-type]
        yield Asking(app, {"x-caller": "urn:gw"})


def ask(client: Asking, of: str, **more: str) -> dict[str, Any]:
    answer = client.post("/introspect", data={"token": of, **more})
    assert (200, "no-store") == (answer.status_code, answer.headers["cache-control"])
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_an_active_token_has_its_claims(desk: Desk):
    """
    Subject, actors from the current one inwards, client, scopes, audience and times, as the issuer states them.
    """
    desk.take(
        granted("d1", "human:alice", "agent:planner"),
        granted("d2", "agent:planner", "agent:mailer", parents=["d1"]),
        token(
            f"{ISSUER}#t1",
            subject="human:alice",
            actor="agent:mailer",
            delegation="d2",
            client=f"{ISSUER}#app",
            scopes=["mail.send", "mail.read"],
            audience=["https://mail.example"],
            token_type="Bearer",
            issued_at=day("09:00"),
            not_before=day("09:01"),
            expires_at=day("11:00"),
        ),
    )
    nine = parse_instant(day("09:00")) // 1_000_000
    with asking(desk.url) as client:
        found = ask(client, raw("t1"), token_type_hint="access_token")

    assert found == {
        "active": True,
        "scope": "mail.send mail.read",
        "client_id": "app",
        "token_type": "Bearer",
        "exp": nine + 7_200,
        "iat": nine,
        "nbf": nine + 60,
        "sub": "human:alice",
        "act": {"sub": "agent:mailer", "act": {"sub": "agent:planner"}},
        "aud": "https://mail.example",
        "iss": ISSUER,
        "jti": "t1",
    }


def test_an_inactive_token_has_no_claims(desk: Desk):
    """Unknown, not yet valid, expired, suspended, revoked and cascaded look the same."""
    ids = {name: f"{ISSUER}#{name}" for name in ("early", "expired", "suspended", "revoked", "cascaded")}
    desk.take(
        token(ids["early"], not_before=day("10:01")),
        token(ids["expired"], expires_at=day("10:00")),
        token(ids["suspended"]),
        token(ids["revoked"]),
        derived(ids["cascaded"], ids["revoked"]),
        ordered("r1", "token", ids["revoked"], "09:30"),
        ordered("r2", "token", ids["suspended"], "09:30", mode="suspend"),
    )
    with asking(desk.url) as client:
        found = {name: ask(client, raw(name)) for name in (*ids, "unknown")}

    assert dict.fromkeys((*ids, "unknown"), INACTIVE) == found


def test_an_order_and_a_lift_are_seen_by_the_next_query(desk: Desk):
    """No cached answer outlives a projection by any process, or a rebuild."""
    desk.take(token(f"{ISSUER}#t1"))
    with asking(desk.url, "13:30") as client:
        before = ask(client, raw("t1"))["active"]
        desk.take(ordered("r1", "token", f"{ISSUER}#t1", mode="suspend"))
        during = ask(client, raw("t1"))["active"]
        desk.take(lifted("r1"))
        after = ask(client, raw("t1"))["active"]
        desk.run("rebuild")

        assert (True, False, True, True) == (before, during, after, ask(client, raw("t1"))["active"])


def test_an_opaque_token_is_known_by_its_digest(desk: Desk):
    """Whatever its characters."""
    opaque = "opaque +/=&é"
    desk.take(token(credentials.handle(opaque)))
    with asking(desk.url) as client:
        found = ask(client, opaque)

    assert (True, "human:alice", None) == (found["active"], found["sub"], found.get("jti"))


def test_a_token_with_two_ids_is_dead_if_one_of_them_is(desk: Desk):
    """Some know it by its claims and some by its digest: an order on either counts."""
    desk.take(token(f"{ISSUER}#t1"), token(f"{ISSUER}#t2"))
    desk.take(ordered("r1", "token", credentials.handle(raw("t1")), "09:30"))
    with asking(desk.url) as client:
        assert (INACTIVE, True) == (ask(client, raw("t1")), ask(client, raw("t2"))["active"])


def test_the_claims_of_an_unsigned_token_are_ignored(desk: Desk):
    """They identify a token only if it is signed."""
    desk.take(token(f"{ISSUER}#t1"))
    unsigned = jwt.encode({"iss": ISSUER, "jti": "t1"}, "", algorithm="none")
    with asking(desk.url) as client:
        assert INACTIVE == ask(client, unsigned)


_ISSUERS = ("https://a", "https://b")
_AUDIENCES = ("https://api-one", "https://api-two")


def registered(n: int, receiver: str, **lists: list[str]) -> Fact:
    body = ReceiverRegistered(receiver, **{name: tuple(values) for name, values in lists.items()})
    return Fact(Event(f"r{n}", "urn:s", n, body), n)


@settings(max_examples=200)
@given(
    issuer=st.sampled_from([*_ISSUERS, None]),
    audience=st.lists(st.sampled_from(_AUDIENCES), unique=True),
    issuers=st.lists(st.sampled_from(_ISSUERS), unique=True),
    audiences=st.lists(st.sampled_from(_AUDIENCES), unique=True),
    kinds=st.lists(st.sampled_from(["token", "delegation"]), unique=True),
    other=st.booleans(),
)
def test_a_receiver_gets_answers_only_about_tokens_that_it_covers(
    issuer: str | None,
    audience: list[str],
    issuers: list[str],
    audiences: list[str],
    kinds: list[str],
    *,
    other: bool,
):
    """
    By issuer, audience and kind; a token that states no audience is covered. Tokens that only another receiver covers,
    or that this one covered before its latest registration, are not; an unregistered receiver gets all answers.
    """
    id_ = "opaque" if issuer is None else f"{issuer}#t"
    issued = Event("t", "urn:s", 1, TokenIssued(id_, "human:secret", audience=tuple(audience)))
    facts = [
        Fact(issued, 1),
        registered(2, "urn:gw"),  # covered everything
        registered(3, "urn:gw", issuers=issuers, audiences=audiences, kinds=kinds),
        *([registered(4, "urn:other")] if other else []),
    ]
    world = World(facts)
    covered = (
        (not issuers or issuer in issuers)
        and (not audiences or not audience or bool(set(audiences) & set(audience)))
        and (not kinds or "token" in kinds)
    )
    found = introspection(world, (id_,), 9, "urn:gw")

    assert covered == found["active"]
    assert covered or found == INACTIVE
    assert introspection(world, (id_,), 9, "urn:never-registered")["active"]


def test_a_token_that_a_receiver_does_not_cover_looks_unknown_over_http(desk: Desk, caplog: pytest.LogCaptureFixture):
    """Each answer is a line of the access log: caller, token id, reason. The token itself is in none."""
    registration = {"type": "receiver.registered", "receiver": "urn:two", "audiences": ["https://api-two"]}
    desk.take(
        token(f"{ISSUER}#one", audience=["https://api-one"]),
        token(f"{ISSUER}#two", audience=["https://api-two"]),
        token(f"{ISSUER}#dead", audience=["https://api-one"]),
        {"event_id": "reg", "source": "urn:s", "occurred_at": day("09:00"), **registration},
        ordered("r1", "token", f"{ISSUER}#dead", "09:30"),
    )
    names = ("one", "two", "dead", "unknown")
    with asking(desk.url) as client, caplog.at_level(logging.INFO, "lineage.deliver.http.access_log.access"):
        client.headers["x-caller"] = "urn:two"
        active = [ask(client, raw(name))["active"] for name in names]
        lines = [vars(record) for record in caplog.records if record.name.endswith("access")]

    assert [False, True, False, False] == active
    assert [
        ("urn:two", f"token:{ISSUER}#one", False, "not covered"),
        ("urn:two", f"token:{ISSUER}#two", True, "active"),
        ("urn:two", f"token:{ISSUER}#dead", False, "revoked"),
        ("urn:two", f"token:{credentials.handle(raw('unknown'))}", False, "unknown"),
    ] == [(line["caller"], line["of"], line["active"], line["why"]) for line in lines]
    assert not [name for name in names if raw(name) in str(lines)]


@pytest.mark.parametrize(("deep", "named", "truncated"), [(33, 33, None), (256, 256, None), (257, 256, True)])
def test_actors_are_never_silently_left_out(deep: int, named: int, truncated: bool | None):
    """Up to 256 all are named; beyond that only the nearest to the token, and `act_truncated` says so."""
    parents = [(), *((Derivation(f"t{k}", "subject"),) for k in range(deep - 1))]
    issued = [TokenIssued(f"t{k}", "human:root", actor=f"agent:a{k}", derived_from=parents[k]) for k in range(deep)]
    facts = [Fact(Event(f"e{k}", "urn:s", 1, body), 1) for k, body in enumerate(issued)]
    found = introspection(World(facts), (f"t{deep - 1}",), 9)
    parties, act = [], found.get("act")
    while act:
        parties.append(act["sub"])
        act = act.get("act")

    assert [f"agent:a{k}" for k in reversed(range(deep))][:named] == parties
    assert truncated == found.get("act_truncated")


def test_only_receivers_may_ask(desk: Desk):
    """An unauthenticated caller gets 401, one with another role 403."""
    desk.take(token("t1"))
    with asking(desk.url) as client:
        other = client.post("/introspect", data={"token": "x"}, headers={"x-role": "investigator"})
        del client.headers["x-caller"]
        nobody = client.post("/introspect", data={"token": "x"})

    assert (403, 401, "Bearer") == (other.status_code, nobody.status_code, nobody.headers["www-authenticate"])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"data": {}}, 415),
        ({"data": {"token": ""}}, 400),
        ({"content": b"token=%s&token=%s", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"json": {"token": "%s"}}, 415),
        ({"content": b"token=\xff%s", "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"content": b"&".join([b"%s=1"] * 40), "headers": {"content-type": "application/x-www-form-urlencoded"}}, 400),
        ({"data": {"token": "%s" * 10_000}}, 413),
    ],
    ids=["none", "blank", "two", "json", "bytes", "many", "large"],
)
def test_a_token_is_never_repeated(desk: Desk, request_: dict[str, Any], status: int, caplog: pytest.LogCaptureFixture):
    """Any malformed request is refused, and none of it is in the response or in a log."""
    caplog.set_level(logging.DEBUG)
    secret = raw("t1")
    if "content" in request_:
        request_ = {**request_, "content": request_["content"].replace(b"%s", secret.encode())}
    elif "json" in request_ or "token" in request_.get("data", {}):
        request_ = json.loads(json.dumps(request_).replace("%s", secret))
    desk.take(token("t1"))
    with asking(desk.url) as client:
        answer = client.post("/introspect", **request_)

    assert (status, False, False) == (answer.status_code, secret in answer.text, secret in caplog.text)


def test_a_known_token_is_not_stored_either(desk: Desk, caplog: pytest.LogCaptureFixture):
    """Nothing of a query is in the store."""
    caplog.set_level(logging.DEBUG)
    desk.take(token(f"{ISSUER}#t1"))
    with asking(desk.url) as client:
        assert ask(client, raw("t1"))["active"]
    written = b"".join(file.read_bytes() for file in desk.folder.iterdir())

    assert (False, False) == (raw("t1") in caplog.text, raw("t1").encode() in written)


@pytest.fixture(scope="module", params=stores.KINDS)
def fresh(request: pytest.FixtureRequest) -> Iterator[stores.Fresh]:
    yield from stores.fresh_places(request)


@pytest.mark.slow
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32))
def test_active_equals_the_rule(fresh: stores.Fresh, seed: int):
    """For every token in any world, however the batches arrive while the replica follows."""
    rng = random.Random(seed)
    items = worlds.world(rng)
    rng.shuffle(items)
    records = records_of(items, rng)
    whole = World(compare.facts_of(items))
    at: Instant = rng.choice(worlds.grid)
    with a_store(fresh) as (store, url):
        current = AuthorityReplica(store, None)
        with current.world() as world:
            assert not world.graph
        written = in_batches(store, url, records, rng)
        current._store = written
        with current.world() as world:
            for key in {key for key in whole.graph if key.startswith("token:")}:
                expected = verdict_of(whole, key, at).state is State.ACTIVE
                assert expected == introspection(world, (key.removeprefix("token:"),), at)["active"]
        written.close()
