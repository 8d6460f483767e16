"""Facts of a store, the intake of a test and the options that rules run with."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

from ingest.codec import api as codec
from lineage.core.findings.options import Options, RuleOptions
from lineage.core.findings.scene.scene import IngestionFacts
from lineage.core.model.events import Fact
from lineage.core.model.times import parse_instant
from tests.support.finding_cases import Case, moment


def facts_of(events: list[dict[str, Any]], recorded: dict[str, float]) -> list[Fact]:
    """Return events as recorded by the log, immediately unless stated otherwise."""
    facts = []
    for stated in events:
        event = codec.decode_line(json.dumps(stated).encode())
        late = recorded.get(event.event_id)
        facts.append(Fact(event, event.occurred_at if late is None else parse_instant(moment(late))))
    return facts


def intake_of(facts: list[Fact]) -> IngestionFacts:
    """Return the observations of ingestion: one event id with several contents, and gaps in numbers."""
    by_id: dict[tuple[str, str], list[Fact]] = {}
    numbered: dict[str, dict[int, Fact]] = {}
    for fact in dict.fromkeys(facts):
        by_id.setdefault((fact.event.source, fact.event.event_id), []).append(fact)
        if fact.event.sequence is not None:
            numbered.setdefault(fact.event.source, {})[fact.event.sequence] = fact
    holes = []
    for numbers in numbered.values():
        ordered = sorted(numbers.items())
        holes += [(one, other) for (n, one), (m, other) in pairwise(ordered) if m > n + 1]
    conflicts = tuple(tuple(group) for group in by_id.values() if len({fact.event for fact in group}) > 1)
    return IngestionFacts(conflicts=conflicts, holes=tuple(holes), numbered=bool(numbered))


def options_of(case: Case, kind: str) -> Options:
    """Return the settings of a case, with its rule enabled."""
    return replace(case.options, rules={**case.options.rules, kind: RuleOptions(enabled=True)})
