"""The rule on hand-drawn graphs: the shapes that break cascades."""

import sys

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.core.authority.chain import chain_of
from lineage.core.authority.rule import gaps, verdict_of
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.findings.rules.chains import cycles
from lineage.core.model.events import (
    DelegationGranted,
    PrincipalRegistered,
    Target,
)
from lineage.core.revocation.reach import Cause, Proposal, reach_of
from tests.support.graphs import NOW, fact, lift, order, states, token

# name: (who depends on whom, what is revoked, who is dead)
GRAPHS = {
    "a line": ("b<a c<b", "a", "abc"),
    "a line cut in the middle": ("b<a c<b", "b", "bc"),
    "a sibling lives": ("b<a c<a", "b", "b"),
    "a diamond": ("b<a c<a d<b d<c", "b", "bd"),
    "two parents, one revoked": ("c<a c<b", "a", "ac"),
    "a cycle below the target": ("b<a c<b b<c", "a", "abc"),
    "a cycle with the target in it": ("b<a a<b", "a", "ab"),
    "a cycle beside it": ("b<a c<d d<c", "a", "ab"),
    "its own parent": ("a<a b<a", "a", "ab"),
    "a parent that nobody granted": ("b<x c<b", "x", "xbc"),
    "a leaf": ("b<a c<b", "c", "c"),
    "two roots": ("b<a d<c e<b e<d", "c", "cde"),
}


@pytest.mark.parametrize(("edges", "revoked", "dead"), GRAPHS.values(), ids=GRAPHS)
def test_a_cascade_kills_everything_below_the_target_and_nothing_else(edges: str, revoked: str, dead: str):
    """Nothing below the target survives; no sibling dies. Clause 1.1."""
    parents: dict[str, list[str]] = {}
    for edge in edges.split():
        child, parent = edge.split("<")
        parents.setdefault(child, []).append(parent)
        parents.setdefault(parent, [])
    granted = {name: above for name, above in parents.items() if name != "x"}
    facts = [token(name, *above) for name, above in granted.items()]

    found = states([*facts, order(f"token:{revoked}")])

    assert set(dead) == {name for name, state in found.items() if state in {"revoked", "cascaded"}}


@pytest.mark.parametrize("role", ["subject", "actor", "refresh", "replaced"])
def test_a_cascade_flows_through_every_role(role: str):
    """A token depends on every token it was derived from, whatever its role. Clause 4.1."""
    assert "cascaded" == states([token("a"), token("b", "a", role=role), order("token:a")])["b"]


def test_a_cascade_flows_from_a_delegation_to_the_tokens_under_its_children():
    """Delegation to delegation, delegation to token, token to token: one graph. Clause 4.1."""
    facts = [
        fact(DelegationGranted(delegation="d1", delegator="human:alice", delegatee="agent:p")),
        fact(DelegationGranted(delegation="d2", delegator="agent:p", delegatee="agent:w", parents=("d1",))),
        token("t1", delegation="d2"),
        token("t2", "t1"),
        order("delegation:d1"),
    ]

    assert {"d1": "revoked", "d2": "cascaded", "t1": "cascaded", "t2": "cascaded"} == states(facts)


def test_a_late_child_is_never_valid():
    """A child that arrives after the order, or claims to be issued after it, is dead anyway. Clause 1.2."""
    facts = [token("a"), order("token:a", 10), token("b", "a", at=20)]

    assert "cascaded" == states(facts)["b"]


def test_a_late_parent_makes_its_children_die_with_it():
    """The child came first; once the parent and the order on the parent's parent are known, it is dead. Clause 1.2."""
    child, parent, ordered = token("c", "b"), token("b", "a"), order("token:a")

    assert "active" == states([child])["c"]
    assert "cascaded" == states([child, ordered, parent])["c"]


def test_a_suspension_ends_exactly_when_it_is_lifted():
    """At the instant of the lift it has ended; at the instant before it has not. Clause 5.5."""
    facts = [token("a"), token("b", "a"), order("token:a", 10, mode="suspend"), lift(20)]

    assert "active" == states(facts, 9)["b"]
    assert "suspended" == states(facts, 10)["b"]
    assert "suspended" == states(facts, 19)["b"]
    assert "active" == states(facts, 20)["b"]


def test_lifting_the_revocation_of_a_token_brings_nothing_back():
    """A revocation of an element is permanent. Clause 5.3."""
    assert {"a": "revoked", "b": "cascaded"} == states([token("a"), token("b", "a"), order("token:a"), lift(20)])


def test_revoked_precedes_expired_only_if_the_order_came_before_the_end():
    """An order at or after its end no longer changes an element. Clause 6.8."""
    for ordered, expected in ((9, "revoked"), (10, "expired"), (11, "expired")):
        assert expected == states([token("a", expires_at=10), order("token:a", ordered)])["a"]


def test_expiry_does_not_propagate():
    """A child outlives an expired parent, and dies with it once the parent is revoked. Clause 6.11."""
    facts = [token("a", expires_at=5), token("b", "a")]

    assert {"a": "expired", "b": "active"} == states(facts)
    assert "cascaded" == states([*facts, order("token:a", 100)])["b"]


def test_the_path_is_the_shortest_and_the_smallest():
    """Of two equally short paths the smaller list is shown. Clause 6.10."""
    facts = [token("a"), token("c", "a"), token("b", "a"), token("d", "c", "b"), order("token:a")]

    because = verdict_of(World(facts), "token:d", NOW).because

    assert because
    assert ("token:a", "token:b", "token:d") == because.path


def test_the_path_begins_at_the_ordered_name():
    """The path of an order on a principal starts with it as the order states it, also for an alias. Clause 6.10."""
    facts = [
        fact(PrincipalRegistered(principal="human:alice", kind="human", aliases=("okta|1",))),
        token("a", subject="okta|1"),
        token("b", "a", subject="human:bob"),
        order("principal:human:alice"),
    ]

    because = verdict_of(World(facts), "token:b", NOW).because

    assert because
    assert ("principal:human:alice", "token:a", "token:b") == because.path


def test_an_order_lifted_before_it_takes_effect_never_does():
    """This includes the very instant at which it would take effect. Clause 5.8."""
    for lifted in (15, 20):
        facts = [token("a"), order("token:a", 10, effective_at=20), lift(lifted)]
        assert "active" == states(facts)["a"]
    assert "revoked" == states([token("a"), order("token:a", 10, effective_at=20), lift(21)])["a"]


def test_gaps_are_found_at_any_depth():
    """A dependency of a dependency that nobody granted is named."""
    world = World([token("c", "b"), token("b", "a")])

    assert [("token", "a")] == [(gap.kind, gap.id) for gap in gaps(world, ["token:c"])]


def test_a_cycle_is_reported_with_its_members():
    """
    Every cycle among the transitive dependencies of an element is one finding; an element that is merely below it is in
    none. Clause 4.7.
    """
    world = World([token("a", "c"), token("b", "a"), token("c", "b"), token("d", "c"), token("e", "e", "d")])

    found = cycles(world, "token:e")

    assert ["token:a", "token:e"] == [finding.of for finding in found]
    assert ["these depend on one another: token:a, token:b, token:c", "token:e depends on itself"] == [
        str(finding.why) for finding in found
    ]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), max_size=3)), max_size=8))
def test_the_networkx_view_equals_the_graph(grants: list[tuple[str, list[str]]]):
    """
    The view has every node and edge, including those added later; nothing can be changed through it.
    """
    world = World()
    view = world.graph.view()
    for place, (name, parents) in enumerate(grants):
        world.add(token(name, *parents, at=place))
    edges = {(f"token:{parent}", f"token:{name}") for name, parents in grants for parent in parents}
    nodes = {f"token:{name}" for name, _ in grants} | {node for edge in edges for node in edge}

    assert (nodes, edges) == (set(view.nodes), set(view.edges))
    assert (nodes, len(nodes), len(edges)) == (set(world.graph), len(world.graph), world.graph.count_edges())
    for node in nodes:
        assert nx.descendants(view, node) == world.graph.below([node]) - {node}
        assert nx.ancestors(view, node) == world.graph.above(node) - {node}
        assert sorted(view.predecessors(node)) == sorted(world.graph.parents(node))
    with pytest.raises(nx.NetworkXError):
        view.add_edge("token:a", "token:b")


DEEP = 100_000
WIDE = 100_000


@pytest.mark.slow
def test_a_chain_of_a_hundred_thousand_hops_is_answered():
    """Depth is not limited, because nothing recurses."""
    assert DEEP > sys.getrecursionlimit()
    facts = [token("t0"), *(token(f"t{n}", f"t{n - 1}", subject="human:alice") for n in range(1, DEEP))]
    world = World([*facts, order("token:t0")])
    leaf = f"token:t{DEEP - 1}"

    verdict = verdict_of(world, leaf, NOW)

    assert verdict.state is State.CASCADED
    assert verdict.because
    assert len(verdict.because.path) == DEEP
    assert len(chain_of(world, leaf).tokens) == DEEP
    assert [] == cycles(world, leaf)
    assert len(reach_of(world, Proposal(target=Target("token", "t0"), at=5)).tokens) == DEEP
    assert (DEEP, 0) == reach_of(world, Proposal(target=Target("token", "t0"), at=NOW)).already_dead


@pytest.mark.slow
def test_a_wide_fan_out_is_answered():
    """Width is not limited either, and the plan's digest does not depend on the order of the facts."""
    facts = [token("root"), *(token(f"t{n}", "root") for n in range(WIDE))]
    proposal = Proposal(target=Target("token", "root"), at=5)

    found = reach_of(World(facts), proposal)

    assert len(found.tokens) == WIDE + 1
    assert found.plan_digest == reach_of(World(facts[::-1]), proposal).plan_digest


def test_a_walk_down_never_enters_ended_subtrees():
    """Ten of a thousand tokens of a principal are alive: only these, and ancestors of living elements, are entered."""
    at, later = 1 << 40, 1 << 41
    ended = [token(f"old{n}", expires_at=5) for n in range(1000)]
    alive = [token(f"new{n}", expires_at=later) for n in range(10)]
    below = [token("child", "old7", subject="human:bob", expires_at=later)]
    world = World([*below, *ended, *alive])

    assert 11 == len(list(world.graph.naming("principal:human:alice", after=at)))
    found = reach_of(world, Proposal(target=Target("principal", "human:alice"), at=at))
    assert {"child", *(f"new{n}" for n in range(10))} == set(found.tokens)


def test_a_survivor_states_its_cause_for_people_and_for_code():
    """
    A survivor states whether the order does not cascade, or it was issued too late. Clause 9.5.
    """
    world = World([token("a", at=1), token("b", "a", at=2), token("c", at=8), token("d", "a", at=9)])
    alone = Proposal(target=Target("token", "a"), at=10, cascade=False)
    early = Proposal(target=Target("principal", "human:alice"), at=10, issued_before=5)

    assert [("b", Cause.NO_CASCADE), ("d", Cause.NO_CASCADE)] == [
        (each.id, each.cause) for each in reach_of(world, alone).survivors
    ]
    assert [("c", Cause.ISSUED_LATER)] == [(each.id, each.cause) for each in reach_of(world, early).survivors]
    assert (0, 1) == (reach_of(world, alone).spared, reach_of(world, early).spared)
