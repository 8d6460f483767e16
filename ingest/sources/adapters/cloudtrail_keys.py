"""AWS CloudTrail: keys that events issue, delete, disable or enable, and the instances that pass them on. Pure.

Two events together show who is responsible for the key of an instance: the launch names the launcher, and EC2 then
assumes the role in a session named after the instance.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.cloudtrail_given import SERVICES_THAT_GIVE, IssuedKey, given_by
from ingest.sources.adapters.cloudtrail_parties import event, principal, source_identity, source_of, time_of
from ingest.sources.adapters.kit import BadRecordError, Document, Memory, Source, instant, member, text

_LAUNCH: Final = "launch"  # instance -> the key of its launcher
_HOLDER: Final = "holder"  # key -> its first user
_SWITCHES: Final = "switches"  # long-lived key -> {"off": [...], "on": [...]}
_MOST_SWITCHES: Final = 64
_INSTANCE: Final = re.compile(r"i-[0-9a-f]{8,32}")
_EC2: Final = "ec2.amazonaws.com"
# These services, the source of nearly all records, neither issue nor end a key.
_SERVICES: Final = SERVICES_THAT_GIVE | {_EC2}


def key_id(access_key_id: str | None) -> str | None:
    """Return the id of a key."""
    return f"aws#{access_key_id}" if access_key_id else None


def keys(value: Mapping[str, Any], source: Source, memory: Memory) -> Iterator[Document]:
    """Yield what a successful event does to keys.

    Raises:
        BadRecordError: It issues a key without stating to whom.
    """
    yield from _holders(value, source, memory)
    service = text(value, "eventSource")
    if service not in _SERVICES:
        return
    if (given := given_by(value)) is not None:
        yield from _issued(value, source, memory, given)
    match service, text(value, "eventName"):
        case "iam.amazonaws.com", "DeleteAccessKey":
            yield from _ended(value, source)
        case "iam.amazonaws.com", "UpdateAccessKey":
            yield from _switched(value, source, memory)
        case "ec2.amazonaws.com", "RunInstances":
            yield from _launched(value, source, memory)
        case _:
            return


def _issued(value: Mapping[str, Any], source: Source, memory: Memory, given: IssuedKey) -> Iterator[Document]:
    if given.subject is None:
        raise BadRecordError("missing-field", "it issues a key, and userIdentity does not say to whom")
    callers, stated_name = key_id(text(value, "userIdentity", "accessKeyId")), source_identity(value)
    instance = _instance(value)
    yield event(
        value,
        source,
        "token.issued",
        "token",
        token=key_id(given.key),
        subject=given.subject,
        actor=given.actor if given.actor != given.subject else None,
        prior_actors=[stated_name] if stated_name else [],
        session=given.session,
        delegation=f"aws#{instance}/launch" if instance else None,
        derived_from=[{"token": callers, "role": "subject"}] if callers else [],
        expires_at=given.expires_at,
    )
    asked = {"id": text(value, "eventID"), "source": source_of(value, source), "at": time_of(value)}
    asked |= {"token": key_id(given.key), "subject": given.subject}
    if instance and (launcher := memory.ask(_LAUNCH, instance, asked)):
        yield _launched_by(source, asked, launcher)
    of_cognito = text(value, "eventName") == "GetCredentialsForIdentity"
    if of_cognito and (holder := memory.ask(_HOLDER, given.key, asked)):
        yield _held_by(source, asked, holder)


def _ended(value: Mapping[str, Any], source: Source) -> Iterator[Document]:
    """Yield the end of a deleted key: AWS keeps the sessions that it opened alive."""
    key = key_id(text(value, "requestParameters", "accessKeyId"))
    if key is not None:
        yield _order(value, source, key)


def _switched(value: Mapping[str, Any], source: Source, memory: Memory) -> Iterator[Document]:
    """Yield the disabling or enabling of a key: each enabling lifts every earlier disabling."""
    key, status = text(value, "requestParameters", "accessKeyId"), text(value, "requestParameters", "status")
    if key is None or status not in {"Active", "Inactive"}:
        return
    at, by = time_of(value), principal(value.get("userIdentity")) or "aws:unknown"
    own: list[Any] = [text(value, "eventID"), at, instant(at, "eventTime"), by, source_of(value, source)]
    side, other = ("off", "on") if status == "Inactive" else ("on", "off")
    switches = memory.get(_SWITCHES, key, {"off": [], "on": []})
    if own not in switches[side]:
        memory.put(_SWITCHES, key, switches | {side: [*switches[side], own][-_MOST_SWITCHES:]})
    if status == "Inactive":
        yield _order(value, source, f"aws#{key}", mode="suspend")
    for those in switches[other]:
        off, on = (own, those) if status == "Inactive" else (those, own)
        if off[2] <= on[2]:
            yield source.lift(off[0], f"{on[0]}/lift/{off[0]}", on[1], by=on[3], source=on[4])


def _order(value: Mapping[str, Any], source: Source, key: str, **fields: Any) -> Document:
    return source.order(
        f"{text(value, 'eventID')}/order",
        time_of(value),
        ("token", key),
        by=principal(value.get("userIdentity")) or "aws:unknown",
        cascade=False,
        revocation=f"aws#{text(value, 'eventID')}",
        note=text(value, "eventName"),
        source=source_of(value, source),
        **fields,
    )


def _launched(value: Mapping[str, Any], source: Source, memory: Memory) -> Iterator[Document]:
    items = member(value, "responseElements", "instancesSet", "items")
    launcher, key = principal(value.get("userIdentity")), key_id(text(value, "userIdentity", "accessKeyId"))
    for item in items if isinstance(items, list) else ():
        instance = text(item, "instanceId")
        if instance is None or launcher is None:
            continue
        yield event(
            value,
            source,
            "delegation.granted",
            f"launch/{instance}",
            delegation=f"aws#{instance}/launch",
            delegator=launcher,
            delegatee=_EC2,
            purpose="RunInstances",
        )
        if key is not None:
            for asked in memory.learn(_LAUNCH, instance, key):
                yield _launched_by(source, asked, key)


def _instance(value: Mapping[str, Any]) -> str | None:
    """Return the instance for which EC2 assumed a role."""
    named = text(value, "requestParameters", "roleSessionName")
    by_ec2 = text(value, "userIdentity", "invokedBy") == _EC2
    return named if by_ec2 and named is not None and _INSTANCE.fullmatch(named) else None


def _launched_by(source: Source, asked: Mapping[str, Any], launcher: str) -> Document:
    """Link the key of an instance to the key with which it was launched, if the log knows it."""
    return _more(source, asked, "launched-by", derived_from=[{"token": launcher, "role": "subject"}])


def _holders(value: Mapping[str, Any], source: Source, memory: Memory) -> Iterator[Document]:
    """Handle a key issued by Cognito, whose response names no role: the first user of the key counts as its holder."""
    identity = value.get("userIdentity")
    if not (text(identity, "arn") or "").endswith("/CognitoIdentityCredentials"):
        return
    key, role = text(identity, "accessKeyId"), text(identity, "sessionContext", "sessionIssuer", "arn")
    if key is None or role is None:
        return
    if memory.get(_HOLDER, key) is None:
        for asked in memory.learn(_HOLDER, key, role):
            yield _held_by(source, asked, role)


def _held_by(source: Source, asked: Mapping[str, Any], role: str) -> Document:
    return _more(source, asked, "holder", actor=role)


def _more(source: Source, asked: Mapping[str, Any], part: str, **fields: Any) -> Document:
    id_, at, text = f"{asked['id']}/{part}", asked["at"], asked["source"]
    return source.event("token.issued", id_, at, source=text, token=asked["token"], subject=asked["subject"], **fields)
