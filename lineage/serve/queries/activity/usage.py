"""The use of a tool, a resource or an operation: by whom, for whom, when, with which decisions, and what is wrong.

Only the latest actions are examined; the answer says whether these are all.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.authority.elements import first_stated
from lineage.core.authority.world import World
from lineage.core.findings.judging import SUPPRESSED
from lineage.core.findings.nearby import near
from lineage.core.model.finding import SEVERITIES
from lineage.core.model.times import Instant, format_instant
from lineage.serve.documents.core_documents import Document, decision_document, finding_documents, instant
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.lists.list_pages import OVER_HTTP
from lineage.serve.queries.service import Service
from lineage.store.reading.reader import Reader

USED: Final = ("operation", "resource", "tool")
LATEST: Final = 200  # actions that are looked at
EXAMINED: Final = 50  # of these, the ones around which findings are looked for
UNKNOWN: Final = "unknown"


class UsageSubject(NamedTuple):
    """The thing that was used: an operation, a resource or a tool."""

    kind: str
    id: str


def usage(service: Service, used: UsageSubject, *, at: Instant, known_at: Instant | None = None) -> Document | None:
    """Summarise the latest actions with something; None if no known action used it.

    Args:
        service: The service to query.
        used: What was used.
        at: The time for which states and findings are evaluated. It hides no action.
        known_at: Only facts recorded by then; None for all.
    """
    conditions: dict[str, Any] = {used.kind: used.id}
    filters = ActionFilter(**conditions)
    found = actions(service, filters, at=at, known_at=known_at, limit=LATEST, budget=OVER_HTTP)
    assert found is not None  # noqa: S101 (only None for a thing that the actions must mention)
    items = found["items"]
    if not items and found["complete"]:
        return None
    with service.reader(known_at=known_at) as reader:
        world = reader.world()
        reader.load_actions(world, [item["action"] for item in items])
        findings = _findings(service, reader, world, [item["action"] for item in items[:EXAMINED]], at)
    return {
        "kind": used.kind,
        "id": used.id,
        "at": format_instant(at),
        "known_at": instant(known_at),
        "looked_at": len(items),
        "complete": found["complete"],
        "outcomes": _counted(item["outcome"] for item in items),
        "decisions": _decisions(world, [item["action"] for item in items]),
        "actors": _parties((_actor(item), item) for item in items),
        "humans": _parties(((item["human_known_as"], item["human_name"]), item) for item in items),
        **{f"{name}s": _counted(_value(item[name]) for item in items) for name in USED if name != used.kind},
        "items": items,
        "findings": findings,
        "findings_complete": found["complete"] and len(items) <= EXAMINED,
        "as_of": found["as_of"],
    }


def findings_of_actions(
    service: Service, done: Collection[str], *, at: Instant, known_at: Instant | None = None
) -> list[Document]:
    """Find what is wrong with some actions and their decisions, the worst first; without what is suppressed."""
    if not done:
        return []
    with service.reader(known_at=known_at) as reader:
        world = reader.world()
        reader.load_actions(world, done)
        return _findings(service, reader, world, done, at)


def _findings(service: Service, reader: Reader, world: World, done: Collection[str], at: Instant) -> list[Document]:
    """Find what is wrong with some actions that are loaded, and with their decisions."""
    keys = [f"action:{action}" for action in done]
    keys += [
        f"decision:{named.value}" for action in done if (named := first_stated(world.actions.get(action), "decision"))
    ]
    findings = near(world, keys, at, service.options)
    judged = reader.world()
    reader.load_about(judged, [f"finding:{one.id}" for one in findings])
    documents = finding_documents(findings, service.options, judgements=judged.judgements, at=at)
    unsuppressed = [one for one in documents if one["status"] != SUPPRESSED]
    return sorted(unsuppressed, key=lambda one: (-SEVERITIES[one["severity"]], one["kind"], one["id"]))


def _decisions(world: World, done: list[str]) -> list[Document]:
    """Count the outcomes of the decisions about some actions, the most frequent first, with the actions of each."""
    outcomes = {action: _decided(world, action) for action in done}
    return [
        {**counted, "actions": [action for action in done if outcomes[action] == counted["name"]]}
        for counted in _counted(iter(outcomes.values()))
    ]


def _decided(world: World, action: str) -> str:
    """Return the outcome of the decision about an action."""
    named = first_stated(world.actions.get(action), "decision")
    document = decision_document(world.decisions.get(named.value)) if named else None
    return UNKNOWN if document is None else "permitted" if document["permitted"] else "denied"


def _actor(item: Document) -> tuple[str | None, str | None]:
    """Return who acted: the stated actor, or else the last agent of the chain."""
    return (item["actor"], item["actor_name"]) if item["actor"] else (next(reversed(item["agents"]), None), None)


def _value(party: Document | str | None) -> str | None:
    """Return a stated value; for a resource, its id."""
    return str(party["id"]) if isinstance(party, dict) else party


def _counted(values: Iterator[str | None]) -> list[Document]:
    """Count values, the most frequent first."""
    counts = Counter(UNKNOWN if value is None else value for value in values)
    return [{"name": name, "count": counts[name]} for name in sorted(counts, key=lambda one: (-counts[one], one))]


def _parties(parties: Iterator[tuple[tuple[str | None, str | None], Document]]) -> list[Document]:
    """Count parties, given with their names and actions, the most frequent first; None for unknown ones."""
    found: dict[str | None, Document] = {}
    for (id_, name), item in parties:  # the latest first
        one = found.setdefault(
            id_, {"principal": id_, "display_name": name, "count": 0, "last_at": item["occurred_at"]}
        )
        one["count"] += 1
    return sorted(found.values(), key=lambda one: (-one["count"], one["principal"] or ""))
