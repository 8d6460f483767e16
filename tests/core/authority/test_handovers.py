"""The graph of handovers: hand-drawn worlds, and any world compared with the slow model."""

import random
from collections import Counter, defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.handovers import HandoverCounts, PrincipalGraph, principal_graph
from lineage.core.authority.verdict import State
from lineage.core.authority.world import World
from lineage.core.model.events import DelegationGranted, Derivation, Fact, PrincipalRegistered, TokenIssued
from tests.support import compare, model, worlds
from tests.support.graphs import NOW, fact, order

SEEDS = st.integers(0, 2**32)
ALICE, PLANNER, MAILER = "human:alice", "agent:planner", "agent:mailer"


def grant(name: str, giver: str, holder: str, *parents: str, **more: Any) -> Fact:
    return fact(DelegationGranted(name, giver, holder, parents=parents, **more))


def drawn(facts: list[Fact], at: int = NOW, **how: Any) -> PrincipalGraph:
    world = World(facts)
    return principal_graph(world, list(world.graph), at, **how)


def test_each_grant_leads_from_its_giver_to_its_holder():
    """
    Two grants, one below the other, are two arrows; their scopes are those of living elements.
    """
    found = drawn([
        grant("g1", ALICE, PLANNER, scopes=("mail", "crm")),
        grant("g2", PLANNER, MAILER, "g1", scopes=("mail",)),
    ])  # fmt: skip

    assert {(ALICE, PLANNER): ("crm", "mail"), (PLANNER, MAILER): ("mail",)} == {
        pair: tie.scopes for pair, tie in found.ties.items()
    }


def test_an_exchanged_token_was_handed_over_by_the_holder_of_its_parent():
    """
    A token for Alice that the mailer got for the planner's: from the planner to the mailer, not from Alice.
    """
    first = fact(TokenIssued(token="p", subject=ALICE, actor=PLANNER))
    second = fact(TokenIssued(token="m", subject=ALICE, actor=MAILER, derived_from=(Derivation("p", "subject"),)))

    assert [(ALICE, PLANNER), (PLANNER, MAILER)] == sorted(
        drawn([first, second]).ties, key=lambda pair: pair[1] == MAILER
    )


def test_a_login_is_held_and_handed_over_by_nobody():
    """
    A token whose subject uses it itself counts at the node, and on no arrow.
    """
    found = drawn([fact(TokenIssued(token="t", subject=ALICE))])

    assert ({}, HandoverCounts(alive=1)) == (found.ties, found.parties[ALICE].tokens)


def test_aliases_are_one_node_under_the_name_people_know():
    """
    An issuer's id of Alice and her own id are one party; without a declared kind the smallest id represents it. Clause
    2.6.
    """
    joined = fact(PrincipalRegistered("okta|7", "human", "Alice Ng", aliases=(ALICE,)))
    others = fact(PrincipalRegistered("zz", "service", aliases=("yy",)))
    found = drawn(
        [joined, others, grant("g1", "okta|7", PLANNER), grant("g2", ALICE, PLANNER), grant("g3", "zz", "yy")]
    )

    assert ({ALICE: "Alice Ng", PLANNER: None, "yy": None}, HandoverCounts(alive=2)) == (
        {id_: party.display_name for id_, party in found.parties.items()},
        found.ties[ALICE, PLANNER].delegations,
    )


def test_ended_elements_are_counted_separately():
    """
    Expired, revoked and alive are three numbers, and the scopes of ended elements are no longer listed.
    """
    found = drawn([
        grant("old", ALICE, PLANNER, scopes=("files",), expires_at=NOW - 1),
        grant("gone", ALICE, PLANNER, scopes=("admin",)),
        grant("good", ALICE, PLANNER, scopes=("mail",)),
        order("delegation:gone"),
    ])  # fmt: skip
    tie = found.ties[ALICE, PLANNER]

    assert (HandoverCounts(alive=1, expired=1, revoked=1), ("mail",)) == (tie.delegations, tie.scopes)


def test_elements_issued_later_are_left_out():
    """
    When a day is replayed, a grant appears when it was given.
    """
    facts = [grant("g1", ALICE, PLANNER), fact(DelegationGranted("g2", PLANNER, MAILER), NOW + 1)]

    assert ([(ALICE, PLANNER)], ("delegation:g2",)) == (list(drawn(facts).ties), drawn(facts).later)


def test_an_asserted_giver_is_counted_as_unverified():
    """
    A prior actor is only asserted by the issuer.
    """
    found = drawn([fact(TokenIssued(token="t", subject=ALICE, actor=MAILER, prior_actors=(PLANNER,)))])

    assert 1 == found.ties[PLANNER, MAILER].unverified


def test_only_elements_in_a_requested_state_are_included():
    """
    With a state all other elements are left out; requested parties are always included.
    """
    facts = [grant("g1", ALICE, PLANNER), grant("g2", PLANNER, MAILER), order("delegation:g2")]

    assert ([ALICE, PLANNER, "human:bob"], [(ALICE, PLANNER)]) == (
        sorted(
            drawn(facts, states=[State.ACTIVE], parties=["human:bob"]).parties, key=[ALICE, PLANNER, "human:bob"].index
        ),
        list(drawn(facts, states=[State.ACTIVE]).ties),
    )


# Against the slow model


def name_of(view: model.View, id_: str) -> str:
    """Return the id of a party: the smallest that declares a kind, else the smallest."""
    party = sorted(model.party_of(view, id_))
    return next((one for one in party if one.startswith(tuple(model.KIND_PREFIXES))), party[0])


def expected(view: model.View, at: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Compute what each party holds, and what one handed to another, by state: element by element, without an index."""
    held: defaultdict[str, Counter[Any]] = defaultdict(Counter)
    tied: defaultdict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    for element, grant in view["elements"].items():
        hops = model.chain_of(view, element)[0]
        if grant["issued"] > at:
            continue
        what = element[0], model.state_of_element(view, element, at)[0]
        held[name_of(view, hops[-1]["principal"])][what] += 1
        if len(hops) > 1:
            tied[name_of(view, hops[-2]["principal"]), name_of(view, hops[-1]["principal"])][what] += 1
    return dict(held), dict(tied)


def counts(found: Counter[Any], kind: str) -> HandoverCounts:
    """Convert the states of the model to counts."""
    alive = sum(found[kind, state] for state in model.STATES_WITH_LIFE)
    revoked = found[kind, "revoked"] + found[kind, "cascaded"]
    return HandoverCounts(alive, found[kind, "suspended"], found[kind, "expired"], revoked)


@settings(max_examples=150)
@given(SEEDS)
def test_any_world_in_any_order_has_the_graph_of_the_model(seed: int):
    """
    The nodes, the arrows and all counts equal those of a naive evaluation, for every permutation of the facts.
    """
    rng = random.Random(seed)
    records = worlds.world(rng)
    known_at = rng.choice([None, None, rng.choice(worlds.grid)])
    at = rng.choice(worlds.grid)
    view = model.view_of(model.visible(records, known_at, None))
    held, tied = expected(view, at)
    facts = compare.facts_of(records)
    rng.shuffle(facts)
    world = World(facts, known_at=known_at)
    found = principal_graph(world, rng.sample(list(world.graph), len(world.graph)), at)

    assert {pair: (counts(count, "token"), counts(count, "delegation")) for pair, count in sorted(tied.items())} == {
        pair: (tie.tokens, tie.delegations) for pair, tie in found.ties.items()
    }
    assert {*held, *(giver for giver, _ in tied)} == set(found.parties)
    assert {id_: (counts(count, "token"), counts(count, "delegation")) for id_, count in held.items()} == {
        id_: (found.parties[id_].tokens, found.parties[id_].delegations) for id_ in held
    }


@settings(max_examples=60)
@given(SEEDS)
def test_order_and_repetition_change_nothing(seed: int):
    """
    Any permutation and any duplication of the facts gives an equal graph, in every field.
    """
    rng = random.Random(seed)
    facts = compare.facts_of(worlds.world(rng))
    again = [*facts, *rng.choices(facts, k=5)]
    rng.shuffle(again)
    at = rng.choice(worlds.grid)

    assert drawn(facts, at) == drawn(again, at)
