"""AWS CloudTrail: what an event states about keys and actions. docs/foreign-logs.md has the table. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.cloudtrail_gateway import GATEWAY_CALL, gateway_call
from ingest.sources.adapters.cloudtrail_keys import key_id, keys
from ingest.sources.adapters.cloudtrail_parties import UNNAMED, event, principal, registered
from ingest.sources.adapters.kit import (
    HELD,
    Document,
    Format,
    Memory,
    Source,
    Translation,
    UnwrappedRecord,
    required,
    resource,
    skipped,
    text,
)

# Services spell a refusal in many ways: Client.UnauthorizedOperation, AccessDenied, VpceAccessDenied.
_DENIED: Final = re.compile(r"access_?denied|unauthori[sz]ed|not_?authori[sz]ed|forbidden", re.IGNORECASE)
_SHARED: Final = "shared"  # id shared by the copies of an event -> the id of the copy in the caller's account
_BEST: Final = "shared-best"  # the same -> the id of a copy that names the caller


def _translate(record: UnwrappedRecord, source: Source, memory: Memory) -> Translation:
    value = record.value
    if "digestStartTime" in value:
        return skipped("digest-file")
    if text(value, "eventCategory") == "Insight" or text(value, "eventType") == "AwsCloudTrailInsight":
        return skipped("insight")
    action = _action(value, source)
    registration = registered(value, source, memory)
    done = list(keys(value, source, memory)) if action["outcome"] == "succeeded" else []
    events = [*_of_action(value, [action, *done], memory), *registration]
    return Translation(events=tuple(events)) if events else HELD


def _settle(source: Source, memory: Memory, *, end: bool) -> Iterator[Translation]:
    """Emit copies of events whose original was not seen.

    The copy with the best information about the caller is used.
    """
    for shared, copied in memory.waiting(_SHARED):
        events, best = copied["events"], memory.get(_BEST, shared)
        if memory.is_new("told", events[0]["event_id"]):
            known_better = best is not None and not copied["named"]
            yield Translation(events=(_copy(events[0], best),) if known_better else tuple(events))


def _of_action(value: Mapping[str, Any], events: list[Document], memory: Memory) -> Iterator[Document]:
    """Yield the action and its outcome; for a copy in another account, only its link to the original."""
    shared = text(value, "sharedEventID") if "sharedEventID" in value else None
    if shared is None:  # the usual case
        yield from events
        return
    own = required(value, "eventID")
    caller, recipient = text(value, "userIdentity", "accountId"), text(value, "recipientAccountId")
    named = text(value, "userIdentity", "type") != "AWSAccount"  # logged in other accounts instead of an ARN
    if named and (caller is None or recipient is None or caller == recipient):
        yield from events
        for copied in memory.learn(_SHARED, shared, own):
            yield _copy(copied["events"][0], own)
    else:
        if named:
            memory.put(_BEST, shared, min(own, memory.get(_BEST, shared, own)))
        first = memory.ask(_SHARED, shared, {"named": named, "events": events})
        if first is not None:
            yield _copy(events[0], first)


def _copy(action: Document, of: str) -> Document:
    """Link the copies of an event in two accounts to one action. The copy knows the caller by an id, not by name."""
    id_ = action["event_id"].removesuffix("/action")
    known = {name: value for name, value in action.items() if name not in {"actor", "session"}}
    return known | {"event_id": f"{id_}/copy", "action": f"aws#{of}"}


def _action(value: Mapping[str, Any], source: Source) -> Document:
    identity, name, service = value.get("userIdentity"), required(value, "eventName"), text(value, "eventSource")
    arn = text(identity, "arn")
    usual = {
        "action": f"aws#{required(value, 'eventID')}",
        "operation": name,
        "outcome": _outcome(value),
        "tool": service,
        "resource": _resource(value),
        "token": key_id(text(identity, "accessKeyId")),
        "actor": principal(identity),
        "session": arn if text(identity, "type") == "AssumedRole" else None,
    }
    if (name, service) == GATEWAY_CALL:
        usual |= gateway_call(value, source)
    return event(value, source, "action.performed", "action", **usual)


def _outcome(value: Mapping[str, Any]) -> str:
    if "errorCode" in value and (code := text(value, "errorCode")):
        return "denied" if _DENIED.search(code) else "failed"
    if "errorMessage" in value and text(value, "errorMessage"):
        return "failed"
    return "failed" if text(value, "responseElements", "ConsoleLogin") == "Failure" else "succeeded"


def _resource(value: Mapping[str, Any]) -> Document | None:
    """Return the first of the resources, which are ordered from specific to general; else the requested role."""
    resources = value.get("resources")
    first = resources[0] if isinstance(resources, list) and resources else None
    name = text(first, "ARN") or text(first, "arn") or text(first, "ARNPrefix")
    return resource(name or text(value, "requestParameters", "roleArn"), text(first, "type"))


FORMAT: Final = Format(
    name="cloudtrail",
    known_by="eventID and eventName",
    marks=lambda value: value.get("eventID") is not None and value.get("eventName") is not None,
    signs=re.compile(rb'"event(?:Source|Version|ID)"\s*:'),
    translate=_translate,
    settle=_settle,
    prefix="aws",
    urn=UNNAMED,
    unique_ids=True,
)
