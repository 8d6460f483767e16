"""The part of the world that is loaded for a question: leaving the rest out changes no answer."""

import random
from pathlib import Path
from typing import Any

import pytest

from ingest.codec import api as codec
from lineage.core.findings.options import Options
from lineage.core.findings.scene import entering
from lineage.core.model.events import ActionPerformed, Fact
from lineage.core.model.times import Instant, parse_instant
from lineage.serve.cache import loader
from lineage.serve.cache.loader import WorldLoader
from lineage.serve.documents.core_documents import who_answer, with_findings, with_prepared
from lineage.store.reading import reader
from lineage.store.store import Store, open_store
from tests.support import worlds
from tests.support.compare import facts_of as facts_of_records
from tests.support.desk import day, derived, done, granted, ordered, registered, token
from tests.support.finding_cases import CASES, moment
from tests.support.findings_views import facts_of
from tests.support.honest_worlds import Honest
from tests.support.kept_questions import counted
from tests.support.mutated_worlds import MUTATIONS
from tests.support.store_histories import write_facts

A, B, WORKLOAD = "agent:a", "agent:b", "spiffe://x/w"


def answers(store: Store, actions: set[str], at: Instant, options: Options) -> dict[str, Any]:
    """Return the answers about some actions, with their findings."""
    found = {}
    for action in actions:
        part = WorldLoader(store, None, None).load(f"action:{action}", None)
        assert part is not None
        answer = with_prepared(who_answer(part.world, action, at=at, options=options), options)
        found[action] = with_findings(answer, options, at=at, is_whole=part.is_whole)
    return found


def with_less_and_with_more(
    tmp_path: Path, facts: list[Fact], options: Options, at: Instant
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the answers about all actions, and those with everything loaded that evaluating the surroundings would
    need.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts)
    actions = {fact.event.body.action for fact in facts if isinstance(fact.event.body, ActionPerformed)}
    less = answers(store, actions, at, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "_state_actors", lambda *_: False)
        patch.setattr(entering, "_reads_any_action", lambda *_: True)
        more = answers(store, actions, at, options)
    store.close()
    return less, more


def test_the_scopes_of_an_agents_other_tokens_count(tmp_path: Path):
    """
    An operation that is spelled like a scope of another token of the same agent is outside the scopes of this token.
    """
    events = [
        token("t1", subject=A, scopes=["crm.read"]),
        token("t2", subject=A, scopes=["crm.delete"]),
        done("x1", operation="crm.delete", token="t2", actor=A),
        done("a1", operation="crm.delete", token="t1", actor=A),
    ]
    less, more = with_less_and_with_more(tmp_path, facts_of(events, {}), Options(), parse_instant(day("12:00")))
    assert "action-outside-scope" in {one["kind"] for one in less["a1"]["findings"]}
    assert less == more


def test_the_aliases_of_others_at_a_workload_count(tmp_path: Path):
    """
    A token that was used under two ids of one agent does not count as shared.
    """
    events = [
        registered(B, "agent", aliases=["okta|b"]),
        token("p1", subject="human:x"),
        derived("t1", "p1", actor=A),
        done("x1", token="p1", actor=B, workload=WORKLOAD),
        done("x2", token="p1", actor="okta|b", workload=WORKLOAD),
        done("a1", token="t1", actor=A, workload=WORKLOAD),
    ]
    less, more = with_less_and_with_more(tmp_path, facts_of(events, {}), Options(), parse_instant(day("12:00")))
    assert "credential-shared" not in {one["kind"] for one in less["a1"]["findings"]}
    assert less == more


# What a rule reads of the grants behind other actions of an agent, and whether it finds anything then.
READ = {
    "how often something on the chain was used": (
        "credential-replay",
        False,
        [
            granted("d1", "human:x", A, single_use=True),
            token("t1", subject=A, delegation="d1"),
            token("t2", subject=A),
            done("x1", token="t2", delegation="d1", actor=A),
        ],
    ),
    "what was derived from something on the chain": (
        "refresh-token-reuse",
        True,
        [
            token("p1", subject=A),
            derived("t1", "p1", role="replaced"),
            derived("t2", "p1", role="refresh", at="09:30"),
            done("x1", token="t2", actor=A),
        ],
    ),
    "to whom a party had delegated before": (
        "delegation-from-untrusted-instruction",
        True,
        [
            granted("d0", "human:x", B, at="08:00"),
            granted("d1", "human:x", A, instruction_source="document"),
            token("t1", subject=A, delegation="d1"),
            token("t2", subject=B, delegation="d0"),
            done("x1", token="t2", actor=A),
        ],
    ),
}


@pytest.mark.parametrize(("kind", "is_found", "events"), READ.values(), ids=READ)
def test_grants_of_others_that_a_rule_reads(kind: str, is_found: bool, events: list[dict[str, Any]], tmp_path: Path):
    """
    The grants behind other actions of the agent are left out, but not these.
    """
    facts = facts_of([*events, done("a1", token="t1", actor=A)], {})
    less, more = with_less_and_with_more(tmp_path, facts, Options(history=1), parse_instant(day("12:00")))
    assert is_found == (kind in {one["kind"] for one in less["a1"]["findings"]})
    assert less == more


def test_what_others_used_is_left_out(tmp_path: Path):
    """
    Nothing of it is in the part, but a later fact about it affects the answer.
    """
    events = [
        token("t1", subject=A),
        derived("t2", "p2"),
        done("x1", token="t2", actor=A),
        done("a1", token="t1", actor=A),
    ]
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts_of(events, {}))
    part = WorldLoader(store, None, None).load("action:a1", None)
    store.close()
    assert part is not None
    assert (["token:t1"], {"token:t2", "token:p2"}) == (list(part.world.graph), part.left_out)


@pytest.mark.parametrize(("stated", "orders"), [({"actor": A}, set()), ({}, {"rev"})])
def test_orders_are_left_out_only_where_actors_are_stated(tmp_path: Path, stated: dict[str, str], orders: set[str]):
    """
    If the actor has to be inferred from a token, everything about the token is loaded.
    """
    events = [
        token("t1", subject=A),
        token("t2", subject=A),
        ordered("rev", "token", "t2"),
        done("x1", token="t2", workload=WORKLOAD, **stated),
        done("a1", token="t1", actor=A, workload=WORKLOAD),
    ]
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts_of(events, {}))
    part = WorldLoader(store, None, None).load("action:a1", None)
    store.close()
    assert part is not None
    assert orders == set(part.world.orders.by_id)


@pytest.mark.parametrize("more", [[], [done("a1", token="t1", actor=A)], [derived("t2", "t1")], [token("t1")]])
def test_an_order_is_found_whatever_else_names_its_target(tmp_path: Path, more: list[dict[str, Any]]):
    """
    Also if no event granted the token, so that it is not in the graph.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts_of([ordered("rev", "token", "t1"), *more], {}))
    part = WorldLoader(store, None, None).load("token:t1", None)
    store.close()
    assert part is not None
    assert ["rev"] == list(part.world.orders.by_id)


@pytest.mark.parametrize(("key", "loaded"), [("token:t1", (22, 20, 2)), ("action:x1", (22, 40, 4))])
def test_a_question_takes_few_statements(key: str, loaded: tuple[int, int, int], tmp_path: Path):
    """
    However much was done and derived near a token or an action: on a server each statement is a round trip.
    """
    events = [
        *(registered(id_, "agent") for id_ in (A, B)),
        token("p1", subject=A),
        derived("t1", "p1", actor=B),
        *(derived(f"c{number}", "t1") for number in range(20)),
        *(done(f"x{number}", token="t1", actor=B, workload=WORKLOAD) for number in range(20)),
        *(token(f"t2{number}", subject=B) for number in range(20)),
        *(done(f"x2{number}", token=f"t2{number}", actor=B, workload=WORKLOAD) for number in range(20)),
    ]
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts_of(events, {}))
    with counted(store) as statements:
        part = WorldLoader(store, None, None).load(key, None)
    unheard = WorldLoader(store, None, None).load(key, None)  # the driver runs the statements
    store.close()
    assert part is not None
    assert unheard is not None
    assert set(part.world.facts()) == set(unheard.world.facts())
    asked = [statement for statement in statements if statement != "BEGIN"]
    assert loaded == (len(part.world.graph), len(part.world.actions), len(asked)), asked


@pytest.mark.parametrize("seed", range(16))
def test_orders_on_what_others_used_change_no_answer_about_an_action(seed: int, tmp_path: Path):
    """
    In these worlds few ids stand for many things.
    """
    facts = facts_of_records(worlds.world(random.Random(seed)))
    less, more = with_less_and_with_more(tmp_path, facts, Options(history=1, burst=1), worlds.grid[-1])
    assert less == more


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_answers_are_the_same_on_days_with_faults(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """
    An honest day has some faults.
    """
    monkeypatch.setattr(loader, "SURROUNDINGS", 40)
    rng = random.Random(seed)
    events = [dict(one) for one in Honest(seed).make()]
    for mutation in rng.sample(MUTATIONS, 12):
        mutation(events, rng)
    facts = facts_of(events, {})
    at = max(fact.recorded_at for fact in facts)
    less, more = with_less_and_with_more(tmp_path, facts, Options(history=1), at)
    assert less == more


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(CASES))
def test_answers_are_the_same_in_the_case_of_each_rule(kind: str, tmp_path: Path):
    """
    The world is that of a rule's finding, with everything else that its case states.
    """
    case = CASES[kind]
    events = [*case.fires, *(event for more, _ in case.more for event in more), *(case.resolved or ())]
    facts = facts_of(events, case.recorded)
    less, more = with_less_and_with_more(tmp_path, facts, case.options, parse_instant(moment(case.at)))
    assert less == more


# Several rows of the index for each thing around another.
SEVERAL_ROWS = {
    "children that two sources report": (
        "token:t1",
        [derived(f"c{n}", "t1", event_id=f"c{n} {by}", source=by) for by in ("urn:a", "urn:b") for n in range(5)],
    ),
    "children whose end was extended": (
        "token:t1",
        [
            derived(f"c{n}", "t1", event_id=f"c{n} {end}", expires_at=day(end))
            for end in ("10:00", "11:00", "12:00")
            for n in range(5)
        ],
    ),
    "actions that name two elements": (
        "action:x0",
        [
            done(f"x{n}", actor=f"agent:{n}", **named)
            for n, named in enumerate(
                [*[{"token": "t1", "delegation": "d1"}] * 3, *[{"token": "t1"}] * 3, *[{"delegation": "d1"}] * 3]
            )
        ],
    ),
}


@pytest.mark.parametrize(("key", "events"), SEVERAL_ROWS.values(), ids=SEVERAL_ROWS)
def test_a_part_is_whole_only_if_nothing_was_cut_off(
    key: str, events: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """
    With any limit, a part that is said to be whole contains the same facts as without a limit.
    """
    store = open_store(f"sqlite:///{tmp_path}/store.db", codec.read, create=True)
    write_facts(store, facts_of([granted("d1", "human:x", A), token("t1", actor=A, delegation="d1"), *events], {}))
    everything = WorldLoader(store, None, None).load(key, None)
    assert everything is not None
    whole, lacking = [], []
    for most in range(1, 40):
        monkeypatch.setattr(loader, "SURROUNDINGS", most)
        part = WorldLoader(store, None, None).load(key, None)
        assert part is not None
        if part.is_whole:
            whole.append(most)
            lacking += [] if set(part.world.facts()) == set(everything.world.facts()) else [most]
    store.close()
    assert ([], True) == (lacking, bool(whole))
