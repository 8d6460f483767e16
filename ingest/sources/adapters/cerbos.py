"""Cerbos: the decisions in its audit log, from the file and from Kafka. docs/foreign-logs.md has the table.

One ``decision.made`` for each resource and action. Both backends write the same entries, except for the marker of
decision and access entries, so the entry itself is examined. Pure; the memory only stores the kinds of parties.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.kit import (
    BadRecordError,
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    member,
    moment,
    required,
    resource,
    skipped,
    stated,
    text,
    texts,
)
from ingest.sources.adapters.parties import bearer_of, behalf_of, party_of, qualified

_EFFECTS: Final = {"EFFECT_ALLOW": True, "EFFECT_DENY": False}
_LOGGER: Final = "cerbos.audit"


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    value = record.value
    checked = value.get("checkResources") or stated(inputs=value.get("inputs"), outputs=value.get("outputs"))
    if not isinstance(checked, Mapping) or not checked:
        if value.get("planResources") is not None:
            return skipped("query-plan")
        return skipped("access-entry" if value.get("method") is not None else "no-decision")
    events = tuple(_decision(value, check, action, source) for check in _checks(checked) for action in check.actions())
    if events:
        return Translation(events=events)
    return skipped("check-failed" if text(checked, "error") or text(value, "error") else "no-effect")


class _Check(NamedTuple):
    """A checked resource: its index, the request and the result."""

    position: int
    asked: Any
    answer: Any

    def actions(self) -> list[str]:
        """Return the actions that were allowed or denied."""
        answered = member(self.answer, "actions")
        named = sorted(answered) if isinstance(answered, Mapping) else []
        return [action for action in named if text(answered, action, "effect") in _EFFECTS]


def _checks(checked: Mapping[str, Any]) -> Iterator[_Check]:
    """Yield each resource with its result; both lists are in the same order.

    Raises:
        BadRecordError: ``mismatch``: a result is about another resource than the request at its index.
    """
    inputs, outputs = member(checked, "inputs"), member(checked, "outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        return
    for position, (asked, answer) in enumerate(zip(inputs, outputs, strict=False)):
        if text(answer, "resourceId") != text(asked, "resource", "id"):
            raise BadRecordError("mismatch", "an output has another resourceId than the input in its place")
        yield _Check(position, asked, answer)


def _decision(value: Mapping[str, Any], check: _Check, action: str, source: Source) -> Document:
    id_ = f"{required(value, 'callId')}/{check.position}/{action}"
    asked, bearer = check.asked, bearer_of(member(check.asked, "auxData", "jwt"), source)
    principal, attributes = required(asked, "principal", "id"), member(asked, "principal", "attr")
    actor = bearer.named(principal) or party_of(source, "principal", principal)
    policy = text(check.answer, "actions", action, "policy")
    return source.event(
        "decision.made",
        id_,
        moment(value, "timestamp"),
        traceparent=_header(value, "traceparent"),
        decision=source.id(id_),
        permitted=_EFFECTS[required(check.answer, "actions", action, "effect")],
        operation=action,
        resource=resource(text(asked, "resource", "id"), text(asked, "resource", "kind")),
        token=bearer.token,
        actor=actor,
        on_behalf_of=behalf_of(text(attributes, "on_behalf_of"), actor, bearer, source, "principal"),
        prior_actors=bearer.before(actor),
        session=qualified(source, text(attributes, "session")),
        delegation=qualified(source, text(attributes, "delegation")),
        policy=stated(id=policy) if policy else None,
        reasons=_reasons(check.answer),
        context={"roles": " ".join(roles)} if (roles := texts(asked, "principal", "roles")) else None,
    )


def _reasons(answer: Any) -> list[str]:
    errors = member(answer, "evaluationErrors")
    found = [text(error, "celError", "message") for error in errors] if isinstance(errors, list) else []
    return [f"evaluation error: {message}" for message in found if message]


def _header(value: Mapping[str, Any], name: str) -> str | None:
    return next(iter(texts(value, "metadata", name, "values")), None)


def _is_entry(value: Mapping[str, Any]) -> bool:
    if text(value, "log.logger") == _LOGGER:
        return True
    asked = value.get("method") or value.get("checkResources") or value.get("planResources")
    return text(value, "callId") is not None and asked is not None and text(value, "timestamp") is not None


FORMAT: Final = Format(
    name="cerbos",
    known_by="callId with checkResources, planResources or method",
    marks=_is_entry,
    signs=re.compile(rb'"cerbos\.audit|"callId"\s*:'),
    translate=_translate,
)
