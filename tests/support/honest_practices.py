"""Practices of honest systems that look slightly like misuse: each adds events to an honest world.

Tokens are rotated and exchanged, clocks differ within the leeway, two gateways report one action, a person uses an
agent's token in an emergency with another person's approval, keys change, a suspension is lifted, and many sub-agents
work in parallel.
"""

from collections.abc import Callable
from typing import Any

from tests.support.finding_cases import (
    acknowledged,
    bound,
    decided,
    done,
    granted,
    issued,
    lifted,
    moment,
    ordered,
    registered,
    res,
)
from tests.support.honest_worlds import GATEWAY, ISSUER, Honest, workload_of

SECOND = 1 / 60
Practice = Callable[[Honest, float], None]


def _token(world: Honest, word: str) -> str:
    return f"{ISSUER}#{world.next(word)}"


def _acts(world: Honest, token: str, agent: str, at: float, **fields: Any) -> None:
    """Build a permitted action with a token."""
    decision, resource = world.next("decision"), res(f"r{world.rng.randrange(3)}")
    same = {"token": token, "resource": resource, "required_scopes": ["crm:read"]}
    world.events += [
        decided(decision, True, "crm.read", at, actor=agent, **same),
        done(
            world.next("action"), "crm.read", at + SECOND, actor=agent, decision=decision, tool="crm", **same, **fields
        ),
    ]


def _agent_token(world: Honest, name: str, person: str, agent: str, at: float, end: float, **fields: Any) -> None:
    fields = {"scopes": ["crm:read"], "workload": workload_of(agent), "key_thumbprint": f"key of {agent}", **fields}
    fields |= {"audience": [GATEWAY], "expires_at": moment(end)}
    world.events.append(issued(name, person, at, actor=agent, **fields))


def rotates_refresh_tokens(world: Honest, at: float) -> None:
    """Each refresh issues a new refresh token; a lost response is requested again at once."""
    person, agent = world.rng.choice(world.people), world.rng.choice(world.agents)
    refresh = _token(world, "refresh")
    _agent_token(world, refresh, person, agent, at, at + 20 * 24 * 60, token_type="refresh_token")
    for turn in range(3):
        begins, following, access = at + 10 * turn, _token(world, "refresh"), _token(world, "access")
        _agent_token(world, access, person, agent, begins + 0.01, begins + 10, of=[("refresh", refresh)])
        _agent_token(
            world, following, person, agent, begins + 0.01, at + 20 * 24 * 60,
            of=[("replaced", refresh)], token_type="refresh_token",
        )  # fmt: skip
        _acts(world, access, agent, begins + 1)
        if world.rng.random() < 0.5:
            again = _token(world, "access")
            _agent_token(
                world, again, person, agent, begins + 0.01 + 5 * SECOND, begins + 10, of=[("refresh", refresh)]
            )
        refresh = following


def exchanges_tokens(world: Honest, at: float) -> None:
    """The subject stays, each agent is the actor in turn and presents its own token; the earlier ones are named."""
    person, prior = world.rng.choice(world.people), list[str]()
    subject = _token(world, "login")
    world.events.append(issued(subject, person, at, scopes=["openid", "crm:read"], expires_at=moment(at + 60)))
    for depth, agent in enumerate(world.agents[:3]):
        own, exchanged = _token(world, "own"), _token(world, "exchanged")
        key = {"workload": workload_of(agent), "key_thumbprint": f"key of {agent}"}
        begins = at + 1 + depth
        world.events.append(issued(own, agent, begins, no_scopes=True, expires_at=moment(at + 60), **key))
        _agent_token(
            world, exchanged, person, agent, begins + 0.1, at + 60,
            of=[("subject", subject), ("actor", own)], prior_actors=list(prior), exchange="delegation",
        )  # fmt: skip
        _acts(world, exchanged, agent, begins + 0.5, prior_actors=list(prior), on_behalf_of=person)
        prior.append(agent)
        subject = exchanged


def has_clocks_that_differ(world: Honest, at: float) -> None:
    """The tool is slightly behind the issuer at the beginning and slightly ahead at the end."""
    person, agent = world.rng.choice(world.people), world.rng.choice(world.agents)
    token = _token(world, "token")
    _agent_token(world, token, person, agent, at, at + 30)
    _acts(world, token, agent, at - world.rng.uniform(2, 25) * SECOND)
    _acts(world, token, agent, at + 30 + world.rng.uniform(2, 25) * SECOND)
    decision = world.next("decision")
    world.events += [
        done(world.next("action"), "crm.read", at + 5, actor=agent, token=token, decision=decision),
        decided(decision, True, "crm.read", at + 5 + 10 * SECOND, actor=agent, token=token),
    ]


def has_two_gateways(world: Honest, at: float) -> None:
    """Two gateways report one action, the second slightly later and with less."""
    person, agent = world.rng.choice(world.people), world.rng.choice(world.agents)
    token, action, decision = _token(world, "token"), world.next("action"), world.next("decision")
    _agent_token(world, token, person, agent, at, at + 30)
    world.events += [
        decided(decision, True, "crm.read", at + 1, actor=agent, token=token),
        done(action, "crm.read", at + 1.01, actor=agent, token=token, decision=decision, tool="crm"),
        done(action, "crm.read", at + 1.05, event_id=f"{action} too", source="https://edge.example", token=token),
    ]


def breaks_the_glass(world: Honest, at: float) -> None:
    """A person uses an agent's token in an emergency; another person approved exactly that."""
    person, agent, other = world.people[0], world.rng.choice(world.agents), "human:duty"
    token, decision = _token(world, "emergency"), world.next("decision")
    world.events.append(registered(other))
    _agent_token(world, token, person, agent, at, at + 30)
    world.events += [
        decided(decision, True, "crm.read", at + 1, actor=person, token=token, approved_by=other),
        done(world.next("action"), "crm.read", at + 1.1, actor=person, token=token, decision=decision),
    ]


def has_service_accounts(world: Honest, at: float) -> None:
    """An owned service gets a token for the day, and delegates part of it to an agent for the month."""
    agent, name, key = world.rng.choice(world.agents), "service:batch", {"key_thumbprint": "key of batch"}
    token, grant = _token(world, "day"), world.next("grant")
    world.events += [
        registered(name, owner=world.people[0], purpose="batches", event_id=f"register {name} {at}"),
        issued(token, name, at, scopes=["crm:read"], audience=[GATEWAY], expires_at=moment(at + 12 * 60), **key),
        granted(grant, name, agent, at + 1, scopes=["crm:read"], expires_at=moment(at + 28 * 24 * 60)),
    ]
    delegated = _token(world, "delegated")
    _agent_token(world, delegated, name, agent, at + 2, at + 60, delegation=grant)
    _acts(world, delegated, agent, at + 3)


def changes_keys(world: Honest, at: float) -> None:
    """An agent's key is replaced: its next token is bound to the new one."""
    person, agent = world.rng.choice(world.people), world.agents[0]
    for turn in range(2):
        token, key = _token(world, "token"), f"key {turn} of {agent}"
        ends = {"expires_at": moment(at + 10)} if turn == 0 else {}
        binding = bound(agent, workload_of(agent), at + 10 * turn, key_thumbprint=key, **ends)
        world.events.append(binding | {"event_id": f"{binding['event_id']} {turn} {at}"})
        _agent_token(world, token, person, agent, at + 10 * turn, at + 10 * turn + 10, key_thumbprint=key)
        _acts(world, token, agent, at + 10 * turn + 1, key_thumbprint=key, workload=workload_of(agent))


def suspends_and_reinstates(world: Honest, at: float) -> None:
    """Nothing is done during the suspension, and actions resume afterwards."""
    person, agent = world.rng.choice(world.people), world.rng.choice(world.agents)
    token, id_ = _token(world, "token"), world.next("suspension")
    _agent_token(world, token, person, agent, at, at + 60)
    _acts(world, token, agent, at + 1)
    world.events += [
        ordered(id_, f"token:{token}", at + 5, mode="suspend", reason="risk_elevated", approved_by=person),
        acknowledged(id_, GATEWAY, at + 5.1, token=token),
        lifted(id_, at + 20),
    ]
    _acts(world, token, agent, at + 21)


def works_side_by_side(world: Honest, at: float) -> None:
    """A planner delegates the same to many agents at once, and each of them acts at once."""
    person, planner, grant = world.rng.choice(world.people), world.agents[0], world.next("grant")
    same = {"scopes": ["crm:read"], "audience": [GATEWAY], "expires_at": moment(at + 60), "task": f"side {at}"}
    world.events.append(granted(grant, person, planner, at, max_depth=1, **same))
    for number in range(12):
        helper, own, token = f"agent:helper{number}", world.next("grant"), _token(world, "token")
        world.events += [
            registered(helper, owner=person, purpose="helps", event_id=f"register {helper} {at}"),
            bound(helper, workload_of(helper), key_thumbprint=f"key of {helper}"),
            granted(own, planner, helper, at + 1, parents=[grant], **same),
        ]
        _agent_token(world, token, person, helper, at + 1.1, at + 60, delegation=own)
        _acts(world, token, helper, at + 2, task=f"side {at}")


def tries_again(world: Honest, at: float) -> None:
    """A failed action is repeated under the same permit; a denied one is requested again with a person's approval."""
    person, agent = world.rng.choice(world.people), world.rng.choice(world.agents)
    token, decision, refused = _token(world, "token"), world.next("decision"), world.next("decision")
    _agent_token(world, token, person, agent, at, at + 30)
    same = {"token": token, "resource": res("page"), "actor": agent}
    world.events += [
        decided(refused, False, "crm.read", at + 1, **same),
        decided(decision, True, "crm.read", at + 1.5, approved_by=person, **same),
        *(
            done(world.next("action"), "crm.read", at + 1.6 + turn / 10, outcome=outcome, decision=decision, **same)
            for turn, outcome in enumerate(("failed", "failed", "succeeded"))
        ),
    ]


PRACTICES: tuple[Practice, ...] = (
    rotates_refresh_tokens,
    exchanges_tokens,
    has_clocks_that_differ,
    has_two_gateways,
    breaks_the_glass,
    has_service_accounts,
    changes_keys,
    suspends_and_reinstates,
    works_side_by_side,
    tries_again,
)
