"""Short forms of facts for tests of the authority graph, and the states that the rule gives them."""

from lineage.core.authority.rule import verdicts_of
from lineage.core.authority.world import World
from lineage.core.model.events import (
    Derivation,
    Event,
    Fact,
    RevocationLifted,
    RevocationOrdered,
    Target,
    TokenIssued,
)

NOW = 1_000_000


def fact(body, at: int = 0, *, id_: str | None = None, recorded_at: int | None = None) -> Fact:
    name = id_ or f"{type(body).__name__}-{body[0]}-{at}"
    event = Event(event_id=name, source="urn:test", occurred_at=at, body=body)
    return Fact(event, at if recorded_at is None else recorded_at)


def token(name: str, *parents: str, role: str = "subject", at: int = 0, **more) -> Fact:
    derived = tuple(Derivation(parent, role) for parent in parents)
    return fact(TokenIssued(token=name, subject=more.pop("subject", "human:alice"), derived_from=derived, **more), at)


def order(target: str, at: int = 10, *, id_: str = "r", mode: str = "revoke", **more) -> Fact:
    kind, _, name = target.partition(":")
    body = RevocationOrdered(
        revocation=id_, target=Target(kind, name), reason="test", ordered_by="human:ir", mode=mode, **more
    )
    return fact(body, at)


def lift(at: int, *, id_: str = "r", **more) -> Fact:
    return fact(RevocationLifted(revocation=id_, lifted_by="human:ir", **more), at)


def states(facts: list[Fact], at: int = NOW) -> dict[str, str]:
    world = World(facts)
    return {
        key.partition(":")[2]: str(verdict.state) for key, verdict in verdicts_of(world, list(world.graph), at).items()
    }
