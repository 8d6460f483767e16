"""AWS CloudTrail: the keys that responses issue, in the format of each service. Pure."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.cloudtrail_parties import expiry, principal, user_arn
from ingest.sources.adapters.kit import member, text

SERVICES_THAT_GIVE: Final = frozenset(
    {"iam.amazonaws.com", "sts.amazonaws.com", "rolesanywhere.amazonaws.com", "cognito-identity.amazonaws.com"}
)
"""The services whose responses issue keys."""


class IssuedKey(NamedTuple):
    """A key that a response issues.

    Attributes:
        key: Its public id.
        expires_at: When it expires; None if the event states no expiry.
        subject: The party it acts for.
        actor: The party that uses it; None if it is the subject, or the event does not say.
        session: The assumed role with its session.
    """

    key: str
    expires_at: str | None
    subject: str | None
    actor: str | None
    session: str | None


def given_by(value: Mapping[str, Any]) -> IssuedKey | None:
    """Return the key that a successful event issues, or None.

    Raises:
        BadRecordError: ``bad-time``: its expiry cannot be parsed.
    """
    match text(value, "eventSource"), text(value, "eventName"):
        case "iam.amazonaws.com", "CreateAccessKey":
            return _long_lived(value)
        case "sts.amazonaws.com", _:
            return _of_sts(value)
        case "rolesanywhere.amazonaws.com", "CreateSession":
            return _of_roles_anywhere(value)
        case "cognito-identity.amazonaws.com", "GetCredentialsForIdentity":
            return _of_cognito(value)
        case _:
            return None


def _of_sts(value: Mapping[str, Any]) -> IssuedKey | None:
    answer, asked = value.get("responseElements"), value.get("requestParameters")
    key = text(answer, "credentials", "accessKeyId")
    if key is None:
        return None
    root = text(asked, "targetPrincipal") if text(value, "eventName") == "AssumeRoot" else None
    return IssuedKey(
        key,
        expiry(answer, "credentials", "expiration"),
        _asserted_subject(answer) or principal(value.get("userIdentity")),
        text(asked, "roleArn")
        or text(answer, "federatedUser", "arn")
        or (root if root is None or root.startswith("arn:") else f"arn:aws:iam::{root}:root"),
        text(answer, "assumedRoleUser", "arn"),
    )


def _asserted_subject(answer: Any) -> str | None:
    """Return the subject of an assertion, within its issuer: another system's log may name the same party."""
    if sub := text(answer, "subjectFromWebIdentityToken"):
        provider = (text(answer, "provider") or "").rpartition("oidc-provider/")[2]
        return f"https://{provider}#{sub}" if provider and "://" not in provider else f"{provider}#{sub}"
    subject, issuer = text(answer, "subject"), text(answer, "issuer")
    return f"{issuer}#{subject}" if subject and issuer else None


def _of_roles_anywhere(value: Mapping[str, Any]) -> IssuedKey | None:
    sets = member(value, "responseElements", "credentialSet")
    given = sets[0] if isinstance(sets, list) and sets else None
    key = text(given, "credentials", "accessKeyId")
    if key is None:
        return None
    subject = text(value, "responseElements", "subjectArn") or principal(value.get("userIdentity"))
    role = text(given, "roleArn") or text(value, "requestParameters", "roleArn")
    return IssuedKey(
        key, expiry(given, "credentials", "expiration"), subject, role, text(given, "assumedRoleUser", "arn")
    )


def _of_cognito(value: Mapping[str, Any]) -> IssuedKey | None:
    answer = value.get("responseElements")
    key = text(answer, "credentials", "accessKeyId")
    identity = text(answer, "identityId") or text(value, "requestParameters", "identityId")
    subject = f"cognito-identity.amazonaws.com#{identity}" if identity else principal(value.get("userIdentity"))
    return IssuedKey(key, expiry(answer, "credentials", "expiration"), subject, None, None) if key else None


def _long_lived(value: Mapping[str, Any]) -> IssuedKey | None:
    made = member(value, "responseElements", "accessKey")
    key, name = text(made, "accessKeyId"), text(made, "userName") or text(value, "requestParameters", "userName")
    if key is None:
        return None
    caller = value.get("userIdentity")
    own = name is None or (text(caller, "type") == "IAMUser" and text(caller, "userName") == name)
    return IssuedKey(key, None, principal(caller), None if own or name is None else user_arn(value, name), None)
