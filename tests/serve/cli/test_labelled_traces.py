"""Labelled attacks and honest twins through the command line: plain, and hidden in every way an adversary can."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lineage.core.model.times import format_instant
from lineage.serve.config.wiring import now
from tests.support.desk import Desk
from tests.support.finding_cases import Event
from tests.support.hiding import OF_EVENTS
from tests.support.labelled_traces import NOW, TRACES, Trace


def told_by_clocks_that_differ(events: list[Event], rng: random.Random) -> list[Event]:
    """Shift each source's clock by a few seconds."""
    off = {one["source"]: timedelta(seconds=rng.uniform(-8, 8)) for one in events}

    def moved(one: Event) -> Event:
        stated = one["occurred_at"]
        if stated == NOW:
            return one
        at = datetime.fromisoformat(stated) + off[one["source"]]
        return {**one, "occurred_at": at.isoformat().replace("+00:00", "Z")}

    return [moved(one) for one in events]


HOW: dict[str, Callable[[list[Event], random.Random], list[Event]]] = {
    "plain": lambda events, _: events,
    "reordered": lambda events, rng: rng.sample(events, len(events)),
    "clocks differ": told_by_clocks_that_differ,
    **{name: OF_EVENTS[name] for name in ("split", "by another source", "doubled", "renamed")},
}


def found_in(desk: Desk, trace: Trace, hide: Callable[[list[Event], random.Random], list[Event]]) -> list[Any]:
    """Ingest a trace, file by file, and return its findings."""
    rng = random.Random(trace.label)
    for part in trace.parts:
        moment = format_instant(now())
        events = [{**one, "occurred_at": moment} if one["occurred_at"] == NOW else one for one in hide(part, rng)]
        assert 0 == desk.take(*events)["quarantined"]
    items: list[Any] = desk.one("findings")["items"]
    return items


@pytest.mark.slow
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("rule", sorted({trace.rule for trace in TRACES}))
def test_a_rule_distinguishes_attacks_from_honest_twins(tmp_path: Path, rule: str, how: str):
    """
    Each attack gives the finding about its subject, which cites facts of the trace and lets the gate exit with 7; no
    honest twin gives a finding above informational.
    """
    for number, trace in enumerate(one for one in TRACES if one.rule == rule):
        folder = tmp_path / str(number)
        folder.mkdir()
        desk = Desk(folder)
        items = [one for one in found_in(desk, trace, HOW[how]) if one["kind"] == rule]
        if trace.of is None:
            assert [] == [one for one in items if one["severity"] != "informational"], trace.label
            continue
        assert trace.of in {one["of"] for one in items}, trace.label
        assert all(one["facts"] for one in items)
        desk.run("findings", "--kind", rule, "--fail-on", "informational", exit=7)


def test_there_are_attacks_and_twins_of_each_of_the_first_rules():
    """
    Each rule has both attacks and twins, except for the one that a twin of another rule covers.
    """
    attacked, spared = ({one.rule for one in TRACES if (one.of is None) is kind} for kind in (False, True))

    assert {"used-while-suspended"} == attacked ^ spared
    assert 160 <= len(TRACES)
