"""AWS CloudTrail: the parties that events name, and when events happened. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import (
    BadRecordError,
    Document,
    Memory,
    Source,
    instant,
    member,
    moment,
    required,
    text,
)
from lineage.core.model.times import LATEST, format_instant

UNNAMED: Final = "urn:aws:cloudtrail"
_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_NOBODY: Final = frozenset({"ANONYMOUS_PRINCIPAL", "HIDDEN_DUE_TO_SECURITY_REASONS", "anonymous"})
_USER: Final = re.compile(r"(arn:[^:]+:iam::[0-9]{12}:user/)(?:[^/]+/)*([^/]+)")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
# Java's format for times; the comma after the year and the kind of space depend on its version.
_WRITTEN_OUT: Final = re.compile(
    rf"({'|'.join(_MONTHS)}) (\d\d?), (\d{{4}}),? (\d\d?):(\d\d):(\d\d)\s([AP])M", re.ASCII
)


def principal(identity: Any) -> str | None:
    """Return the acting party, as logged: for an assumed role the role, so that all its sessions are one party."""
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


def registered(value: Mapping[str, Any], source: Source, memory: Memory) -> Iterator[Document]:
    """Yield the registration of a user named by ARN: its name, and its unique id, which other accounts log."""
    identity = value.get("userIdentity")
    if text(identity, "type") != "IAMUser" or (arn := text(identity, "arn")) is None:
        return
    path_less, unique_id, name = without_path(arn), text(identity, "principalId"), text(identity, "userName")
    aliases = [alias for alias in (unique_id, path_less) if alias and alias != arn]
    if memory.is_new("registered", f"{arn}\n{unique_id}\n{name}"):
        yield event(
            value,
            source,
            "principal.registered",
            "principal",
            principal=arn,
            kind="human",
            display_name=name,
            aliases=aliases,
        )


def without_path(arn: str) -> str:
    """Return a user's ARN without its path: user names are unique within an account, whatever their path.

    Examples:
        >>> without_path("arn:aws:iam::111122223333:user/staff/ann")
        'arn:aws:iam::111122223333:user/ann'
    """
    return _USER.sub(r"\1\2", arn)


def user_arn(value: Mapping[str, Any], name: str) -> str | None:
    """Return the ARN, without a path, of a user named by an event within its account."""
    account = account_of(value)
    _, _, rest = (text(value, "userIdentity", "arn") or "arn:aws:").partition(":")
    partition = rest.partition(":")[0] or "aws"
    return f"arn:{partition}:iam::{account}:user/{name}" if account is not None else None


def source_identity(value: Mapping[str, Any]) -> str | None:
    """Return the source identity that the caller of the first hop chose: a claim of theirs, within the account."""
    name = (
        text(value, "responseElements", "sourceIdentity")
        or text(value, "requestParameters", "sourceIdentity")
        or text(value, "userIdentity", "sessionContext", "sourceIdentity")
    )
    if name is None:
        return None
    account = text(value, "userIdentity", "accountId") or account_of(value) or ""
    return f"aws:{account}:source-identity:{name}"


def account_of(value: Mapping[str, Any]) -> str | None:
    """Return the account of the trail, else the caller's."""
    account = text(value, "recipientAccountId") or text(value, "userIdentity", "accountId") or ""
    return account if _ACCOUNT.fullmatch(account) else None


def source_of(value: Mapping[str, Any], source: Source) -> str:
    """Return the source of a record's events.

    Without settings, each account is a separate source for the trust file.
    """
    account = account_of(value) if source.urn == UNNAMED else None
    return f"{source.urn}:{account}" if account is not None else source.urn


def event(value: Mapping[str, Any], source: Source, type_: str, part: str, **body: Any) -> Document:
    """Build an event of a record."""
    id_ = f"{required(value, 'eventID')}/{part}"
    return source.event(type_, id_, time_of(value), source=source_of(value, source), **body)


def time_of(value: Mapping[str, Any]) -> str:
    """Return when it happened. A time without a zone is in UTC, as everywhere in CloudTrail."""
    return moment(value, "eventTime" if text(value, "eventTime") else "@timestamp")


def expiry(value: Any, *path: str) -> str | None:
    """Parse RFC 3339, or a time written for people, which has no zone and is in UTC, like every time in CloudTrail.

    Seen in AWS's own samples: a role assumed at 2019-10-02T22:12:29Z for 3,600 s expires "Oct 2, 2019, 11:12:29 PM".

    Raises:
        BadRecordError: ``bad-time``: it is neither.
    """
    logged = member(value, *path)
    if isinstance(logged, int | float) and not isinstance(logged, bool):  # seconds since the epoch
        if not 0 <= logged <= LATEST / 1_000_000:
            raise BadRecordError("bad-time", f"{'.'.join(path)}: {logged} s lie outside the years 1970 to 9999")
        return format_instant(int(logged * 1_000_000))
    if not isinstance(logged, str) or not logged:
        return None
    written_out = _WRITTEN_OUT.fullmatch(logged.replace("\u202f", " "))
    if written_out is None:
        return moment(value, *path)
    month, day, year, hour, minute, second, half = written_out.groups()
    hours = int(hour) % 12 + (12 if half == "P" else 0)
    found = f"{year}-{_MONTHS.index(month) + 1:02}-{int(day):02}T{hours:02}:{minute}:{second}Z"
    instant(found, ".".join(path))
    return found
