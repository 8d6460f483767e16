"""The digest of a plan executes that plan only: another target, mode, cascade or issued_before is refused."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from ingest.codec import api as codec
from ingest.opening import open_log
from ingest.trust_file import Trust
from lineage.core.model.errors import DriftError
from lineage.core.model.events import Target
from lineage.core.model.times import parse_instant
from lineage.core.revocation.reach import Proposal
from lineage.serve.commands.order_request import OrderRequest
from lineage.serve.commands.revoke import give_order
from lineage.serve.config.wiring import now
from lineage.serve.queries.service import Service
from lineage.store.store import open_store
from tests.support import stores
from tests.support.desk import LATER, REVOKE_T1, Desk, derived, orders_in, token
from tests.support.http_worlds import LEAKED, World, api_over, problem_type
from tests.support.http_writes import ORDER

BEFORE = parse_instant(LATER)
# Each changes one term of an order on t1. None changes what it kills, so that only the terms tell them apart.
TERMS: dict[str, tuple[Any, Any]] = {
    "target": (Target("token", "t1"), Target("principal", "human:alice")),
    "mode": ("revoke", "suspend"),
    "cascade": (True, False),
    "issued_before": (None, BEFORE),
}


@pytest.fixture
def desk(tmp_path) -> Desk:
    found = Desk(tmp_path)
    found.take(token("t1"))
    return found


@pytest.fixture
def service(desk: Desk) -> Iterator[Service]:
    store, log = open_store(desk.url, codec.read), open_log(desk.url, create=False, clock=now)
    yield Service(store, log, Trust(), now, source="urn:test")
    log.close()
    store.close()


def test_only_the_order_of_the_plan_is_given(service: Service):
    """
    Each order under the plan of any other one is refused with the differing terms, though it kills nothing more.
    """
    variants = [dict(zip(TERMS, terms, strict=True)) for terms in product(*TERMS.values())]
    digests = []
    for terms in variants:
        plan = service.reach(Proposal(at=now(), **terms))
        assert plan is not None
        assert ["t1"] == plan["kills"]["tokens"]
        digests.append(plan["plan_digest"])
    assert len(variants) == len(set(digests))
    for (planned, digest), ordered in product(zip(variants, digests, strict=True), variants):
        if planned == ordered:
            continue
        request = OrderRequest(**ordered, reason="test", ordered_by="human:ruth", plan_digest=digest)
        with pytest.raises(DriftError) as refused:
            give_order(service, request)
        assert {name for name in TERMS if planned[name] != ordered[name]} == set(refused.value.differs)
        assert () == refused.value.unlisted
        assert all(name in str(refused.value) for name in refused.value.differs)
    assert give_order(service, replace(request, plan_digest=digests[-1], **variants[-1]))


def test_an_order_of_another_mode_is_refused_with_the_difference(desk: Desk):
    """
    Exit code 4; document and message state the terms of the plan and of the order; nothing is ordered.
    """
    digest = desk.one(*REVOKE_T1)["plan_digest"]
    refused = desk.run(
        *REVOKE_T1, "--mode", "suspend", "--no-cascade", "--execute", "--plan-digest", digest, "--json", exit=4
    )

    assert {
        "error": "drifted",
        "unlisted": [],
        "differs": {"mode": {"plan": "revoke", "order": "suspend"}, "cascade": {"plan": True, "order": False}},
    } == json.loads(refused.stdout)
    assert 'mode: "revoke" in the plan, "suspend" in the order' in refused.stderr
    assert "with another mode and cascade" in refused.stderr
    assert 0 == orders_in(desk)


def test_an_order_on_another_target_shows_what_it_would_kill_as_well(desk: Desk):
    """
    The elements that the plan does not list are named next to the terms.
    """
    desk.take(token("t2"), derived("t3", "t2"))
    digest = desk.one(*REVOKE_T1)["plan_digest"]
    words = ("revoke", "token:t2", "--reason", "test", "--by", "human:ruth")
    refused = desk.one(*words, "--execute", "--plan-digest", digest, exit=4)

    assert ["token:t2", "token:t3"] == refused["unlisted"]
    assert {"kind": "token", "id": "t1"} == refused["differs"]["target"]["plan"]


def test_an_unknown_digest_is_refused_even_if_nothing_would_be_killed(desk: Desk):
    """
    A plan that is not stored here has unknown terms; the digest of this very order is recognised by its content.
    """
    nothing = ("revoke", "token:none", "--unseen", "--reason", "test", "--by", "human:ruth")
    desk.one(*nothing, "--execute", "--plan-digest", "0" * 64, exit=4)
    assert 0 == orders_in(desk)

    digest = desk.one(*nothing)["plan_digest"]
    desk.sql("DELETE FROM plan")
    desk.one(*nothing, "--execute", "--plan-digest", digest)
    assert 1 == orders_in(desk)


@pytest.fixture
def api(tmp_path) -> Iterator[World]:
    with stores.in_a_file() as url, api_over(url, tmp_path) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", {"kind": "principal", "id": "agent:mailer"}),
        ("mode", "suspend"),
        ("cascade", False),
        ("issued_before", "2026-11-02T10:00:00.000000Z"),
    ],
)
def test_another_order_is_a_conflict_over_http(api: World, name: str, value: Any):
    """
    409 states the term in the plan and in the order; the plan's own order is given.
    """
    digest = api.get("/v1/reach", params={"of": LEAKED}).json()["plan_digest"]
    refused = api.post("/v1/revocations", json={**ORDER, name: value, "plan_digest": digest})

    assert (409, "drifted") == (refused.status_code, problem_type(refused))
    assert {name} == refused.json()["differs"].keys()
    assert value == refused.json()["differs"][name]["order"]
    assert [] == api.get("/v1/revocations").json()["items"]
    assert 201 == api.post("/v1/revocations", json={**ORDER, "plan_digest": digest}).status_code


NO_DIGESTS = ["", " ", "abc", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n", "\u0660" * 64]


@pytest.mark.slow
@pytest.mark.parametrize("digest", [*NO_DIGESTS, "--execute"])
def test_an_invalid_digest_is_refused_on_the_command_line(desk: Desk, digest: str):
    """
    An empty shell variable, quoted or not, neither gives the order nor prints a plan.
    """
    refused = desk.run(*REVOKE_T1, "--plan-digest", digest, *([] if digest == "--execute" else ["--execute"]), exit=2)

    assert "--plan-digest" in refused.stderr
    assert "which has 64 hexadecimal digits" in " ".join(refused.stderr.split())
    assert "" == refused.stdout
    assert 0 == orders_in(desk)


@pytest.mark.slow
@pytest.mark.parametrize("digest", NO_DIGESTS)
def test_an_invalid_digest_is_refused_over_http(api: World, digest: str):
    refused = api.post("/v1/revocations", json={**ORDER, "plan_digest": digest})

    assert 400 == refused.status_code
    assert "plan_digest" in refused.text
    assert [] == api.get("/v1/revocations").json()["items"]
