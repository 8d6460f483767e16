"""Exceptions in the settings: findings accepted until an instant, and exceptions that have expired."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from lineage.core.findings.options import Exempted, Options
from lineage.core.findings.rules.rule import RULE, Rule
from lineage.core.findings.scene import inputs
from lineage.core.findings.scene.scene import Scene
from lineage.core.model.finding import Finding, Severity, finding
from lineage.core.model.references import about, mentions
from lineage.core.model.sentences import moment, sentence
from lineage.core.model.times import Instant

_KIND: Final = "exception-expired"


def exempted(one: Finding, options: Options, at: Instant) -> Exempted | None:
    """Return the first exception that covers a finding at an instant."""
    return next((each for each in options.exempted if at < each.until and _covers(each, one)), None)


def _covers(each: Exempted, one: Finding) -> bool:
    if each.rule != one.kind or one.kind == _KIND:
        return False
    if each.of is not None and not fnmatchcase(one.of, each.of):
        return False
    if each.source is not None and not any(fnmatchcase(fact.event.source, each.source) for fact in one.facts):
        return False
    return each.principal is None or any(fnmatchcase(id_, each.principal) for id_ in _principals(one))


def _principals(one: Finding) -> Iterator[str]:
    """Yield the principals that a finding is about, or that its facts are about or name."""
    for key in (one.of, *(about(fact.event) for fact in one.facts)):
        if key.startswith("principal:"):
            yield key.removeprefix("principal:")
    for fact in one.facts:
        yield from (id_ for _, kind, id_ in mentions(fact.event) if kind == "principal")


def exception_expired(scene: Scene, key: str) -> Iterator[Finding]:
    """Find expired exceptions, whose findings are reported again."""
    for each in scene.options.exempted:
        if f"{RULE}:{each.rule}" == key and each.until <= scene.at:
            covers = ", ".join(filter(None, (each.of, each.principal, each.source))) or "everything"
            why = sentence(
                "the exception of {} for {} by {} ran out at {}", each.rule, covers, each.by, moment(each.until)
            )
            yield finding(_KIND, key, why + f": {each.reason}", (), at=each.until, about=covers)


RULES: Final = (
    Rule(
        kind=_KIND,
        severity=Severity.LOW,
        title="An exception that has run out",
        of=(RULE,),
        check=exception_expired,
        needs="exceptions in the settings",
        looks_at=(inputs.EXCEPTION,),
        settings=("exceptions",),
        maps_to=("MANAGE 4.1",),
        fix="Remove it from the settings, or extend it with a current reason.",
        posture=True,
        wide=True,
    ),
)
