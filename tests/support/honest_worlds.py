"""Worlds in which everybody behaves correctly: no finding in them is right.

People log in and delegate, agents delegate parts of it, exchange tokens, request decisions and act; tokens are
short-lived, bound and intended for one audience; some are renewed, some revoked, and then nobody uses them. Several
sources report the same things, some under other names, some late, some twice.
"""

import random
from collections.abc import Iterator
from typing import Any

from tests.support.finding_cases import (
    Event,
    acknowledged,
    bound,
    decided,
    done,
    event,
    granted,
    issued,
    moment,
    ordered,
    receiver,
    registered,
    res,
)

SCOPES = ("crm:read", "crm:write", "mail:send", "files:read", "web:read")
GATEWAY = "https://gateway"
ISSUER = "https://idp.example"


class Honest:
    """One world, generated from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.events: list[Event] = []
        self.people = [f"human:p{number}" for number in range(self.rng.randint(1, 3))]
        self.agents = [f"agent:a{number}" for number in range(self.rng.randint(2, 5))]
        self.number = 0
        self._handed: set[tuple[str, str]] = set()  # who has delegated to whom

    def make(self) -> list[Event]:
        """Return all its events."""
        for person in self.people:
            self.events.append(registered(person, aliases=[f"okta|{person}"]))
        for agent in self.agents:
            owner = self.rng.choice(self.people)
            self.events.append(registered(agent, owner=owner, purpose="helps", environment="production"))
            self.events.append(bound(agent, workload_of(agent), key_thumbprint=f"key of {agent}"))
        self.events.append(receiver(GATEWAY))
        for number in range(self.rng.randint(1, 4)):
            self._task(number, 10 + 70 * number)
        return [*self.events, *self._said_again()]

    def _task(self, number: int, at: float) -> None:
        person = self.rng.choice(self.people)
        login = self.next("login")
        self.events.append(
            issued(f"{ISSUER}#{login}", person, at, scopes=["openid", "offline_access"], expires_at=moment(at + 480))
        )
        scopes = sorted(self.rng.sample(SCOPES, self.rng.randint(2, 5)))
        end = at + 60
        above: dict[str, Any] = {
            "scopes": scopes,
            "by": person,
            "grant": None,
            "token": f"{ISSUER}#{login}",
            "task": f"T-{number}",
        }
        line = self.rng.sample(self.agents, self.rng.randint(1, len(self.agents)))
        for depth, agent in enumerate(line):
            above = self._hand_on(above, agent, at + 2 * depth, end, max_depth=len(line) - depth)
            for turn in range(self.rng.randint(0, 3)):
                self._act(above, agent, at + 2 * depth + 1 + turn / 10)
        if self.rng.random() < 0.4:
            self._revoke(above, at + 30)

    def _hand_on(self, above: dict[str, Any], agent: str, at: float, end: float, *, max_depth: int) -> dict[str, Any]:
        scopes = sorted(self.rng.sample(above["scopes"], self.rng.randint(1, len(above["scopes"]))))
        grant, name = self.next("grant"), f"{ISSUER}#{self.next('token')}"
        parents = [above["grant"]] if above["grant"] else []
        delegator = self._alias(above["by"])
        extra = {"instruction_source": self._instruction(above["by"], agent)} if parents else {"purpose": "a task"}
        self.events.append(
            granted(
                grant,
                delegator,
                agent,
                at,
                parents=parents,
                scopes=scopes,
                audience=[GATEWAY],
                task=above["task"],
                max_depth=max_depth,
                expires_at=moment(end),
                **extra,
            )
        )
        self.events.append(
            issued(
                name,
                above.get("subject", above["by"]),
                at + 0.01,
                actor=agent,
                delegation=grant,
                of=[("subject", above["token"])],
                scopes=scopes,
                audience=[GATEWAY],
                workload=workload_of(agent),
                key_thumbprint=f"key of {agent}",
                exchange="delegation",
                expires_at=moment(end),
            )
        )
        subject = above.get("subject", above["by"])
        return {**above, "scopes": scopes, "by": agent, "grant": grant, "token": name, "subject": subject}

    def _instruction(self, delegator: str, delegatee: str) -> str:
        """Return whose word a delegation follows: a document's only if it is not the first of its pair."""
        known = (delegator, delegatee) in self._handed
        self._handed.add((delegator, delegatee))
        return self.rng.choice(["user", "document"] if known else ["user"])

    def _act(self, above: dict[str, Any], agent: str, at: float) -> None:
        scope = self.rng.choice(above["scopes"])
        operation = scope if self.rng.random() < 0.5 else scope.replace(":", ".")
        decision, action = self.next("decision"), self.next("action")
        token = above["token"]
        resource = res(f"r{self.rng.randrange(3)}")
        same = {"token": token, "resource": resource, "required_scopes": [scope]}
        if self.rng.random() < 0.2:  # refused at first, and then approved by a person
            refused = self.next("decision")
            self.events.append(decided(refused, False, operation, at, actor=agent, **same))
            self.events.append(
                done(
                    self.next("action"), operation, at + 0.001, actor=agent, decision=refused, outcome="denied", **same
                )
            )
            at += 0.01
        self.events.append(decided(decision, True, operation, at, actor=agent, **same))
        self.events.append(
            done(
                action,
                operation,
                at + 0.005,
                actor=self.rng.choice([agent, workload_of(agent)]) if self.rng.random() < 0.2 else agent,
                workload=workload_of(agent),
                key_thumbprint=f"key of {agent}",
                on_behalf_of=self._alias(above["subject"]),
                decision=decision,
                tool="crm",
                task=above["task"],
                **same,
            )
        )

    def _revoke(self, above: dict[str, Any], at: float) -> None:
        id_ = self.next("revocation")
        self.events.append(ordered(id_, f"delegation:{above['grant']}", at, reason="task_completed"))
        self.events.append(acknowledged(id_, GATEWAY, at + 0.5, token=above["token"]))

    def _alias(self, id_: str) -> str:
        return f"okta|{id_}" if id_.startswith("human:") and self.rng.random() < 0.2 else id_

    def next(self, word: str) -> str:
        """Return an unused name."""
        self.number += 1
        return f"{word}-{self.number}"

    def _said_again(self) -> Iterator[Event]:
        """Generate duplicates, and sightings of a token by another source."""
        for one in self.rng.sample(self.events, len(self.events) // 5):
            yield dict(one)
        for one in self.events:
            if one["type"] == "token.issued" and self.rng.random() < 0.1:
                seen = {"token": one["token"], "subject": one["subject"]}
                yield event("token.issued", f"seen {one['token']}", GATEWAY, 0, **seen) | {
                    "occurred_at": one["occurred_at"]
                }


def workload_of(agent: str) -> str:
    """Return the workload that an agent is bound to."""
    return f"spiffe://example/{agent.removeprefix('agent:')}"
