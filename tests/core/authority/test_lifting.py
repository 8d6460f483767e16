"""Who may lift what: a lift counts only for orders whose target its source may speak about."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineage.core.authority.rule import verdict_of
from lineage.core.authority.world import World
from lineage.core.findings.rules.orders import order_findings
from lineage.core.model.events import RevocationLifted, RevocationOrdered
from tests.support import compare, worlds
from tests.support.desk import Desk, lifted, ordered, token

TRUST = """
[sources."urn:idp"]
types = ["token.issued"]
prefixes = [""]

[sources."urn:soc"]
types = ["revocation.ordered", "revocation.lifted"]
prefixes = [""]

[sources."urn:tenant-a"]
types = ["revocation.ordered", "revocation.lifted"]
prefixes = ["https://a.example#", "human:a"]
"""
OURS, THEIRS = "https://a.example#t", "https://b.example#t"


def suspended(revocation: str, kind: str, id_: str) -> dict[str, object]:
    return {**ordered(revocation, kind, id_, mode="suspend"), "source": "urn:soc"}


@pytest.fixture
def desk(tmp_path) -> Desk:
    """Create two tenants' suspended tokens, and a trust file in which tenant A may speak only about its own."""
    found = Desk(tmp_path)
    found.take(
        token(OURS, subject="human:a"),
        token(THEIRS, subject="human:b"),
        suspended("ours", "token", OURS),
        suspended("theirs", "token", THEIRS),
        suspended("both", "token", OURS),
        {**suspended("both", "principal", "human:b"), "event_id": "the same id"},
    )
    trust = found.folder / "trust.toml"
    trust.write_text(TRUST, encoding="utf-8")
    found.options = ("--trust", str(trust))
    return found


def test_a_lift_does_not_count_for_a_target_outside_its_prefixes(desk: Desk):
    """
    Facts of tenant A lift its own orders and nobody else's; each lift that does not count is a finding. Clause 2.13.
    """
    desk.take(
        *(
            {**lifted(revocation), "source": "urn:tenant-a", "event_id": revocation}
            for revocation in ("ours", "theirs")
        ),
        {**lifted("both"), "source": "urn:tenant-a"},
    )
    states = [desk.state(of) for of in (f"token:{OURS}", f"token:{THEIRS}", "principal:human:b")]
    found = [item for item in desk.one("findings")["items"] if item["kind"] == "lift-without-effect"]

    assert ["active", "suspended", "suspended"] == states
    assert ["revocation:both", "revocation:theirs"] == [item["of"] for item in found]
    assert all("urn:tenant-a" in item["why"] and len(item["facts"]) == 2 for item in found)
    assert [None, None, True, True] == [
        item["lifted_at"] and True
        for item in sorted(desk.one("revocations")["items"], key=lambda item: item["lifted_at"] or "")
    ]


def test_a_lift_that_cannot_count_is_refused_before_it_is_appended(desk: Desk):
    """
    The command says which source may not speak about what; if a lift counts for some orders only, it names the others.
    """
    ours = ("--by", "human:a", "--source", "urn:tenant-a")
    before = desk.one("revocations")
    refused = desk.run("lift", "theirs", *ours, exit=2)
    after = desk.one("revocations")
    given = desk.one("lift", "ours", *ours)
    shared = desk.one("lift", "both", *ours)

    assert all(word in refused.stderr for word in ("urn:tenant-a", THEIRS, "theirs", "--source"))
    assert before["items"] == after["items"]
    assert ([], ["principal:human:b"]) == (given["without_effect"], shared["without_effect"])
    assert [OURS] == shared["comes_back"]["tokens"]
    assert "active" == desk.state(f"token:{OURS}")
    assert "suspended" == desk.state("principal:human:b")


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_an_unauthorised_lift_never_revives_an_element(seed: int):
    """
    For any trust table, the state of an element is that without the lifts that do not count. Clause 2.13.
    """
    rng = random.Random(seed)
    trust = worlds.trust(rng)
    facts = compare.facts_of(worlds.world(rng))
    targets: dict[str, list[str]] = {}
    for fact in facts:
        if isinstance(fact.event.body, RevocationOrdered):
            targets.setdefault(fact.event.body.revocation, []).append(fact.event.body.target.id)

    def may_count(fact: object) -> bool:
        body, source = fact.event.body, fact.event.source
        if not isinstance(body, RevocationLifted):
            return True
        prefixes = tuple(trust.get(source, {"ids": []})["ids"])
        return any(id_.startswith(prefixes) for id_ in targets.get(body.revocation, ()))

    table = compare.table_of(trust)
    world, without = World(facts, trust=table), World(filter(may_count, facts), trust=table)
    for key in world.graph:
        at = rng.choice(worlds.grid)
        assert verdict_of(without, key, at) == verdict_of(world, key, at), (key, at)
    for revocation in world.orders.lifts:
        if not any(may_count(lift) for lift in world.orders.lifts.get(revocation)):
            kinds = [finding.kind for finding in order_findings(world, revocation)]
            assert "lift-without-effect" in kinds
