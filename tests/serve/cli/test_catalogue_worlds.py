"""Labelled worlds for the rules about posture and pipelines, and for the others that ``labelled_traces`` leaves out."""

import random
import tomllib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from lineage.core.findings.evaluation import evaluate
from lineage.core.findings.rules.catalogue import RULES, severity_of
from lineage.core.model.events import Fact
from lineage.core.model.times import parse_instant
from lineage.serve.config.finding_settings import options_of
from lineage.serve.config.wiring import now
from tests.support.catalogue_worlds import WORLDS, Labelled, dated
from tests.support.desk import Desk
from tests.support.finding_cases import START, Event
from tests.support.findings_views import facts_of, intake_of
from tests.support.hiding import OF_EVENTS
from tests.support.labelled_traces import TRACES

ARRIVED = START + timedelta(minutes=120)
Found = tuple[str, str, frozenset[str]]  # of what, how severe, the events that it cites
# A registration of the party, or of its names, resolves these.
REGISTERED = {"agent-unregistered"}
BY_RULE = sorted({world.rule for world in WORLDS})


def events_of(world: Labelled, start: datetime, arrived: datetime) -> list[list[Event]]:
    """Return the parts of a world, each of which arrives as a whole."""
    return [[dated(one, start, arrived) for one in part] for part in world.parts]


def evaluated(
    world: Labelled, rng: random.Random | None = None, *, renamed: bool = False
) -> tuple[list[Found], str | None]:
    """Return what a rule finds in an import of a world, and why it is not evaluated; ``rng`` shuffles the facts."""
    facts: list[Fact] = []
    arrived = parse_instant(ARRIVED.isoformat())
    for number, part in enumerate(events_of(world, START, ARRIVED)):
        told = OF_EVENTS["renamed"](part, rng) if renamed and rng is not None else part
        facts += [fact._replace(recorded_at=arrived + number) for fact in facts_of(told, {})]
    if rng is not None:
        rng.shuffle(facts)
    options = options_of(tomllib.loads(world.settings), file=Path("settings.toml"))
    at = arrived + 100 if world.at is None else parse_instant((START + timedelta(minutes=world.at)).isoformat())
    report = evaluate(facts, options, at, intake=intake_of(facts))
    mine = [
        (
            one.of,
            severity_of(one.kind, one.severity, options).word,
            frozenset(fact.event.event_id for fact in one.facts),
        )
        for one in report.findings.values()
        if one.kind == world.rule
    ]
    return mine, report.not_evaluated.get(world.rule)


def asked(desk: Desk, world: Labelled) -> tuple[list[Found], str | None]:
    """Return the findings that the command line reports for a world, ingested part by part."""
    start = datetime.fromisoformat(START.isoformat()) + (_clock() - ARRIVED)
    for part in world.parts:
        assert 0 == desk.take(*(dated(one, start, _clock()) for one in part))["quarantined"]
    at = () if world.at is None else ("--at", (start + timedelta(minutes=world.at)).isoformat())
    document = desk.one("findings", *at)
    mine = [
        (one["of"], one["severity"], frozenset(fact["event_id"] for fact in one["facts"]))
        for one in document["items"]
        if one["kind"] == world.rule
    ]
    return mine, {one["kind"]: one["why"] for one in document["not_evaluated"]}.get(world.rule)


def _clock() -> datetime:
    return datetime.fromtimestamp(now() / 1_000_000, tz=START.tzinfo)


def check(world: Labelled, found: list[Found], why_not: str | None) -> None:
    """Compare what a rule says with the label of a world."""
    if world.kind != "attack":
        assert [] == found, world
        assert world.kind == "honest" or why_not, world
        return
    about = [one for one in found if world.of in (None, one[0])]
    assert about, (world, found)
    assert world.sev is None or world.sev in {severity for _, severity, _ in about}, (world, found)
    assert world.cites <= {event for _, _, cited in about for event in cited}, (world, found)
    assert world.n in (None, len(found)), (world, found)


@pytest.mark.parametrize("rule", BY_RULE)
def test_a_rule_reports_what_the_label_says(rule: str):
    """
    Attacks are found with their severity and evidence, honest twins are not, and a rule without its input has not
    passed. The order in which the facts arrive makes no difference.
    """
    for world in (one for one in WORLDS if one.rule == rule):
        check(world, *evaluated(world))
        check(world, *evaluated(world, random.Random(world.label)))


@pytest.mark.parametrize("rule", sorted({one.rule for one in WORLDS if one.kind == "attack"} - REGISTERED))
def test_aliases_do_not_hide_an_attack(rule: str):
    """
    The same is found if parties have other names, which are registered with each part.
    """
    for world in (one for one in WORLDS if one.rule == rule and one.kind == "attack"):
        for seed in range(3):
            hidden, _ = evaluated(world, random.Random(f"{world.label} {seed}"), renamed=True)

            assert len(evaluated(world)[0]) <= len(hidden), (world, hidden)


@pytest.mark.slow
@pytest.mark.parametrize("rule", BY_RULE)
def test_the_command_line_reports_the_same(tmp_path: Path, rule: str):
    """
    ``ingest`` and ``findings`` give the same result; everything is recorded when it is ingested.
    """
    for number, world in enumerate(one for one in WORLDS if one.rule == rule):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "settings.toml").write_text(world.settings, encoding="utf-8")

        check(world, *asked(Desk(folder, env={"DELEGRAPH_CONFIG": str(folder / "settings.toml")}), world))


def test_every_rule_has_labelled_worlds():
    """
    They are here or among the labelled traces, except for findings about ingestion itself.
    """
    labelled = {one.rule for one in WORLDS} | {one.rule for one in TRACES}

    assert {"excessive-reach", "raw-credential-sent", "unauthorised"} == RULES.keys() - labelled
