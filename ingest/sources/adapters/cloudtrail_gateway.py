"""Amazon Bedrock AgentCore in CloudTrail: what an agent did through a gateway, and under which token. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.kit import Document, Source, member, stated, text
from ingest.sources.adapters.parties import bearer_of

GATEWAY_CALL: Final = ("InvokeGateway", "bedrock-agentcore.amazonaws.com")
"""The name and source of the event."""

_REFUSED: Final = (401, 403)
_FAILED_FROM: Final = 400


def gateway_call(value: Mapping[str, Any], source: Source) -> Document:
    """Return the fields specific to a gateway call.

    The caller is identified by the claims of its token, since it is anonymous to CloudTrail.
    """
    bearer = bearer_of(member(value, "additionalEventData", "jwt", "claims"), source)
    return stated(
        outcome=_outcome(value),
        tool=text(value, "requestParameters", "body", "params", "name"),
        token=bearer.token,
        actor=bearer.actor or bearer.subject,
        on_behalf_of=bearer.subject if bearer.actor is not None else None,
        prior_actors=list(bearer.prior_actors),
    )


def _outcome(value: Mapping[str, Any]) -> str | None:
    status, body = member(value, "responseElements", "statusCode"), member(value, "responseElements", "body")
    if status in _REFUSED:
        return "denied"
    wrong = isinstance(status, int) and status >= _FAILED_FROM
    failed = wrong or member(body, "error") is not None or member(body, "result", "isError") is True
    return "failed" if failed else None
