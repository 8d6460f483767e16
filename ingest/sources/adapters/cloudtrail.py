"""AWS CloudTrail: what an event says of access keys and actions. docs/foreign-logs.md has the table.

Pure: no clock, no I/O, no memory: every event follows from its own record alone.
"""

import re
from typing import Any, Final

from ingest.sources.adapters.kit import (
    Document,
    Format,
    Memory,
    Record,
    Source,
    Translation,
    instant,
    required,
    resource,
    stated,
    text,
)
from lineage.core.model.errors import BadRecordError

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# How Java writes a time for people; the comma after the year and the kind of space depend on its version.
_WRITTEN_OUT: Final = re.compile(
    rf"({'|'.join(_MONTHS)}) (\d\d?), (\d{{4}}),? (\d\d?):(\d\d):(\d\d)\s([AP])M", re.ASCII
)
# Services spell a refusal in many ways: Client.UnauthorizedOperation, AccessDenied, VpceAccessDenied.
_DENIED: Final = re.compile(r"access_?denied|unauthori[sz]ed|not_?authori[sz]ed|forbidden", re.IGNORECASE)
_NOBODY: Final = frozenset({"ANONYMOUS_PRINCIPAL", "HIDDEN_DUE_TO_SECURITY_REASONS"})


def _translate(record: Record, source: Source, memory: Memory) -> Translation:
    value = record.value
    if "digestStartTime" in value:
        return Translation(skipped="digest-file")
    if text(value, "eventCategory") == "Insight" or text(value, "eventType") == "AwsCloudTrailInsight":
        return Translation(skipped="insight")
    events = [_action(value)]
    if issue := _issue(value):
        events.append(issue)
    return Translation(events=tuple(events))


def _action(value: dict[str, Any]) -> Document:
    identity = value.get("userIdentity")
    assumed_role = text(identity, "type") == "AssumedRole"
    return _event(
        value,
        "action.performed",
        "action",
        action=f"aws#{required(value, 'eventID')}",
        operation=required(value, "eventName"),
        outcome=_outcome(value),
        tool=text(value, "eventSource"),
        resource=_resource(value),
        token=_key(text(identity, "accessKeyId")),
        actor=_principal(identity),
        session=text(identity, "arn") if assumed_role else None,
        on_behalf_of=text(identity, "sessionContext", "sourceIdentity"),
    )


def _issue(value: dict[str, Any]) -> Document | None:
    """The key that STS gave out: derived from the caller's, if he came with one and not with an assertion."""
    answer, identity = value.get("responseElements"), value.get("userIdentity")
    issued = _key(text(answer, "credentials", "accessKeyId"))
    if issued is None or text(value, "eventSource") != "sts.amazonaws.com":
        return None
    role, federated = text(value, "requestParameters", "roleArn"), text(answer, "federatedUser", "arn")
    subject = (
        text(answer, "sourceIdentity")
        or text(value, "requestParameters", "sourceIdentity")
        or text(identity, "sessionContext", "sourceIdentity")
        or _principal(identity)
    )
    if subject is None:
        raise BadRecordError("missing-field", "it issues a key, and userIdentity does not say to whom")
    callers = _key(text(identity, "accessKeyId"))
    return _event(
        value,
        "token.issued",
        "token",
        token=issued,
        subject=subject,
        actor=role or federated,
        session=text(answer, "assumedRoleUser", "arn"),
        derived_from=[{"token": callers, "role": "subject"}] if callers else [],
        expires_at=_expiry(text(answer, "credentials", "expiration")),
    )


def _principal(identity: Any) -> str | None:
    """Who acts, as logged: of an assumed role the role, so that all of its sessions are one party."""
    kind = text(identity, "type")
    named = (
        (text(identity, "sessionContext", "sessionIssuer", "arn") if kind == "AssumedRole" else None)
        or text(identity, "arn")
        or text(identity, "principalId")
        or text(identity, "invokedBy")
        or text(identity, "onBehalfOf", "userId")
        or (text(identity, "accountId") if kind == "AWSAccount" else None)
    )
    return None if named in _NOBODY else named


def _outcome(value: dict[str, Any]) -> str:
    if code := text(value, "errorCode"):
        return "denied" if _DENIED.search(code) else "failed"
    if text(value, "errorMessage") or text(value, "responseElements", "ConsoleLogin") == "Failure":
        return "failed"
    return "succeeded"


def _resource(value: dict[str, Any]) -> Document | None:
    """The first of the resources, which go from the particular to the general; else the role asked for."""
    resources = value.get("resources")
    first = resources[0] if isinstance(resources, list) and resources else None
    name = text(first, "ARN") or text(first, "arn") or text(first, "ARNPrefix")
    return resource(name or text(value, "requestParameters", "roleArn"), text(first, "type"))


def _key(access_key_id: str | None) -> str | None:
    return f"aws#{access_key_id}" if access_key_id else None


def _expiry(logged: str | None) -> str | None:
    """RFC 3339, or written out for people, which names no zone: it is UTC, as every time in CloudTrail.

    Seen in AWS's own samples: a role assumed at 2019-10-02T22:12:29Z for 3,600 s expires "Oct 2, 2019,
    11:12:29 PM".

    Raises:
        BadRecordError: ``bad-time``: it is neither.
    """
    if logged is None:
        return None
    written_out = _WRITTEN_OUT.fullmatch(logged.replace("\u202f", " "))
    if written_out is None:
        moment = logged
    else:
        month, day, year, hour, minute, second, half = written_out.groups()
        hours = int(hour) % 12 + (12 if half == "P" else 0)
        moment = f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{hours:02}:{minute}:{second}Z"
    instant(moment, "responseElements.credentials.expiration")
    return moment


def _event(value: dict[str, Any], type_: str, part: str, **body: Any) -> Document:
    """An event of a record. Each account is a source, so that the trust file can tell accounts apart."""
    time = text(value, "eventTime") or required(value, "@timestamp")
    instant(time, "eventTime")
    account = text(value, "recipientAccountId") or text(value, "userIdentity", "accountId") or ""
    source = f"urn:aws:cloudtrail:{account}" if _ACCOUNT.fullmatch(account) else "urn:aws:cloudtrail"
    id_ = f"aws#{required(value, 'eventID')}/{part}"
    return stated(type=type_, event_id=id_, source=source, occurred_at=time, **body)


FORMAT: Final = Format(
    name="cloudtrail",
    marks=lambda value: value.get("eventID") is not None and value.get("eventName") is not None,
    signs=re.compile(rb'"event(?:Source|Version|ID)"\s*:'),
    translate=_translate,
    prefix="aws",
    urn="urn:aws:cloudtrail",
)
