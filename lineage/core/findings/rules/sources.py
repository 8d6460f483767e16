"""Rules about sources: silent, late, with a wrong clock, with gaps, with contradictory contents."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from lineage.core.findings.options import this_minute
from lineage.core.findings.rules.rule import SOURCE, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.findings.scene.tally import SourceTally
from lineage.core.model.events import Fact
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.references import about
from lineage.core.model.sentences import keyed, moment, sentence, thing
from lineage.core.model.times import HOUR, MINUTE

RAW_CREDENTIAL: Final = "raw-credential-sent"


def _tally_of(scene: Scene, key: str) -> SourceTally | None:
    return scene.tally.sources.get(key.removeprefix("source:"))


def source_silent(scene: Scene, key: str) -> Iterator[Finding]:
    """Find steady sources that have sent nothing for many times their usual gap."""
    tally = _tally_of(scene, key)
    if tally is None or tally.last_fact is None or not _is_steady(scene, tally):
        return
    if scene.at - tally.last <= scene.options.silence * MINUTE:  # the usual gap is a minute at least
        return
    minutes = sorted(tally.minutes)
    gaps = sorted(after - before for before, after in pairwise(minutes))
    usual = gaps[len(gaps) * 9 // 10] * MINUTE
    if scene.at - tally.last > scene.options.silence * usual:
        why = sentence("{} has sent nothing since {}", thing("source", key.removeprefix("source:")), moment(tally.last))
        yield finding("source-silent", key, why, (tally.last_fact,), at=tally.last, last=this_minute(scene.at))


def _is_steady(scene: Scene, tally: SourceTally) -> bool:
    """Whether a source has sent enough, spread over time, to have a usual gap."""
    enough = tally.facts >= scene.options.silence_facts and len(tally.minutes) >= scene.options.silence_facts // 2
    return enough and tally.last - tally.first >= HOUR


def late_fact(scene: Scene, key: str) -> Iterator[Finding]:
    """Find facts that arrived long after they happened: one finding per source, with a count."""
    tally = _tally_of(scene, key)
    if tally is not None and tally.late:
        sample = tally.samples["late"]
        hours = scene.options.late // HOUR
        why = sentence(
            "{} of {} recorded more than {} h after {} happened",
            "a fact" if tally.late == 1 else f"{tally.late} facts",
            sentence("{} {}", thing("source", key.removeprefix("source:")), "was" if tally.late == 1 else "were"),
            hours,
            "it" if tally.late == 1 else "they",
        )
        yield finding("late-fact", key, why, (sample.fact,), at=sample.first, last=sample.last, count=tally.late)


def future_fact(scene: Scene, key: str) -> Iterator[Finding]:
    """Find facts from the future: the clock of the source is fast."""
    tally = _tally_of(scene, key)
    if tally is not None and tally.early:
        sample = tally.samples["early"]
        why = sentence(
            "{} of {}: recorded before the time at which it says to have happened"
            if tally.early == 1
            else "{} of {}: recorded before the times at which they say to have happened",
            "a fact" if tally.early == 1 else f"{tally.early} facts",
            thing("source", key.removeprefix("source:")),
        )
        at = sample.fact.given_at
        yield finding("future-fact", key, why, (sample.fact,), at=at, count=tally.early)


def holes(scene: Scene, key: str) -> Iterator[Finding]:
    """Find gaps in the sequence numbers of a source."""
    for before, after in scene.intake.holes:
        if f"source:{before.event.source}" == key:
            yield sequence_hole(before, after)


def without_trust(scene: Scene, key: str) -> Iterator[Finding]:
    """Find facts that their source may not state."""
    for fact in scene.intake.unauthorised:
        if f"source:{fact.event.source}" == key:
            yield unauthorised(fact, about(fact.event))


def conflict(scene: Scene, key: str) -> Iterator[Finding]:
    """Find event ids with several contents: each counts as a separate fact."""
    for group in scene.intake.conflicts:
        event = group[0].event
        if f"source:{event.source}" == key:
            why = sentence(
                "{} sent {} different contents as {}; all of them count",
                thing("source", event.source),
                len(group),
                thing("event", event.event_id),
            )
            at = max(fact.given_at for fact in group)
            yield finding("conflict", key, why, group, at=at, about=f"event:{event.event_id}", count=len(group) - 1)


def raw_credential_sent(scene: Scene, key: str) -> Iterator[Finding]:
    """Find the records of a source that contained a raw credential. None was kept, but somebody had the credential."""
    for sent in scene.intake.credentials:
        if f"source:{sent.source}" == key:
            records = "a record" if sent.count == 1 else f"{sent.count} records"
            why = sentence(
                "{} sent {} with a raw credential in the place of an id; none of it was kept",
                thing("source", sent.source),
                records,
            )
            yield finding(RAW_CREDENTIAL, key, why, (), at=sent.first, last=sent.last, count=sent.count)


def sequence_hole(before: Fact, after: Fact) -> Finding:
    """Build the finding of a gap in the sequence numbers of a source: events that were sent but never arrived."""
    source, first, last = after.event.source, (before.event.sequence or 0) + 1, (after.event.sequence or 0) - 1
    missing = str(first) if first == last else f"{first} to {last}"
    why = sentence(
        "{} numbers its events without gaps, and sequence {} never arrived", thing("source", source), missing
    )
    return Finding("sequence-hole", f"source:{source}", why, (before, after), about=f"sequence {missing}")


def unauthorised(fact: Fact, of: str) -> Finding:
    """Build the finding of a fact that is kept without effect on the state, because of its source or its topic."""
    event = fact.event
    why = (
        f"{event.type} came by the topic of decisions, where nobody may order"
        if fact.misrouted
        else sentence(
            "the trust table does not let {} say {} of {}", thing("source", event.source), event.type, keyed(of)
        )
    )
    return Finding("unauthorised", of, why, (fact,), about=event.source)


def nothing_steady(scene: Scene) -> str | None:
    """Explain why silence cannot be recognised."""
    if any(_is_steady(scene, tally) for tally in scene.tally.sources.values()):
        return None
    return "no source has sent enough over time to have a usual gap"


def no_sequence(scene: Scene) -> str | None:
    """Explain why gaps cannot be recognised."""
    return None if scene.intake.numbered else "no source numbers its events"


def no_trust(scene: Scene) -> str | None:
    """Explain why unauthorised facts cannot be recognised."""
    return None if scene.world.trust is not None or scene.intake.unauthorised else "there is no trust file"


RULES: Final = (
    Rule(
        kind="source-silent",
        severity=Severity.MEDIUM,
        title="A source that fell silent",
        of=(SOURCE,),
        check=source_silent,
        needs="a steady source",
        settings=("silence", "silence_facts"),
        maps_to=("M Evasion of Detection", "M0024", "MEASURE 2.4"),
        fix="Check the producer: its current activity is not recorded.",
        missing=nothing_steady,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="late-fact",
        severity=Severity.INFORMATIONAL,
        title="Facts that came late",
        of=(SOURCE,),
        check=late_fact,
        needs="facts",
        looks_at=(inputs.FACT,),
        settings=("late_hours",),
        maps_to=("M Poisoning Observability Data", "M0024"),
        fix="Unless this was a back-fill, ask the source what delayed them.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="future-fact",
        severity=Severity.LOW,
        title="Facts from the future",
        of=(SOURCE,),
        check=future_fact,
        needs="facts",
        looks_at=(inputs.FACT,),
        settings=("leeway_seconds",),
        maps_to=("M Poisoning Observability Data", "M0024"),
        fix="Set the clock of the source.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="sequence-hole",
        severity=Severity.MEDIUM,
        title="Events that never arrived",
        of=(SOURCE,),
        check=holes,
        needs="numbered events",
        maps_to=("M Poisoning Observability Data", "M Repudiation", "M0024", "MEASURE 2.8"),
        fix="Let the source send them again: it knows which numbers are missing.",
        missing=no_sequence,
        posture=True,
        wide=True,
    ),
    Rule(
        kind="unauthorised",
        severity=Severity.HIGH,
        title="Said by somebody who may not say it",
        of=(SOURCE,),
        check=without_trust,
        needs="a trust file",
        maps_to=("M Poisoning Observability Data", "M Repudiation", "M0024", "MEASURE 2.8"),
        fix="Find out who used this source, or correct the trust file.",
        missing=no_trust,
        posture=True,
        wide=True,
    ),
    Rule(
        kind=RAW_CREDENTIAL,
        severity=Severity.MEDIUM,
        title="Raw credentials were sent",
        of=(SOURCE,),
        check=raw_credential_sent,
        needs="records in quarantine",
        looks_at=(inputs.FACT,),
        maps_to=("NHI2", "M0024"),
        fix="Treat the credential as leaked, and let the producer send its id instead.",
        posture=True,
        wide=True,
    ),
    Rule(
        kind="conflict",
        severity=Severity.MEDIUM,
        title="One event id, several contents",
        of=(SOURCE,),
        check=conflict,
        needs="facts",
        looks_at=(inputs.FACT,),
        maps_to=("M Poisoning Observability Data", "M Repudiation", "M0024", "MEASURE 2.8"),
        fix="Ask the source which content is right; each of them counts.",
        posture=True,
        wide=True,
    ),
)
