"""Worlds in which many actions are equal."""

import random

from lineage.core.model.events import ActionPerformed, Fact
from lineage.core.model.times import DAY, HOUR, MINUTE

_DIFFERING = 0.2  # the share of the repeated actions that differ in something
_OTHER = {"actor": "agent:another", "required_scopes": ("another",), "prior_actors": (), "workload": "spiffe://another"}


def with_alike_actions(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """Repeat each action some times under other ids and at other times, so that most state the same."""
    found = list(facts)
    others = [fact for fact in facts if isinstance(fact.event.body, ActionPerformed)]
    for fact in others:
        body = fact.event.body
        if not isinstance(body, ActionPerformed):
            continue
        for number in range(rng.choice([0, 1, 3, 25])):
            later = rng.choice([0, 0, 1, 1, MINUTE, HOUR, -HOUR, 8 * DAY])
            cause = rng.choice([None, None, body.parent_action, body.action])
            again = body._replace(
                action=f"{body.action}-{rng.choice([number, 1])}",
                parent_action=cause,
                params_digest=rng.choice([None, "p"]),
            )
            if rng.random() < _DIFFERING:
                field = rng.choice([name for name in body._fields if name != "action"])
                again = again._replace(**{field: getattr(rng.choice(others).event.body, field) or _OTHER.get(field)})
            event = fact.event._replace(
                event_id=f"{fact.event.event_id}-{number}", occurred_at=fact.event.occurred_at + later, body=again
            )
            found.append(fact._replace(event=event, recorded_at=max(fact.recorded_at, event.occurred_at)))
            if rng.random() < _DIFFERING:
                found.append(found.pop()._replace(event=event._replace(source="urn:test:another")))
    return found
