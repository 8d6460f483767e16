"""Errors over HTTP: problem documents (RFC 9457) with stable types.

A type is ``urn:delegraph:problem:WORD``. The message of an error is the ``detail``; its evidence is in further members.
One table maps errors to statuses.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse

from ingest.codec import credentials
from lineage.core.model.errors import (
    BadRecordError,
    DelegraphError,
    DriftError,
    FencedError,
    IntegrityError,
    NotOverError,
    OverloadedError,
    RefusedError,
    SlowAnswerError,
    UnavailableError,
    UnprojectedError,
)
from lineage.deliver.http.callers import (
    BadTokenError,
    CallerLimitError,
    ForbiddenError,
    LacksRoleError,
    UnauthenticatedError,
)
from lineage.plumbing.problem_documents import MEDIA_TYPE, json_bytes, problem_document

RETRY_AFTER_SECONDS: Final = 5  # an embedded store is locked for moments, a broker is down for somewhat longer

# The first match applies: class of the error, status, last part of its type, title.
_FAULTS: Final[tuple[tuple[type[DelegraphError], HTTPStatus, str, str], ...]] = (
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED, "unauthenticated", "Authentication is required"),
    (ForbiddenError, HTTPStatus.FORBIDDEN, "forbidden", "The caller is not allowed to do that"),
    (DriftError, HTTPStatus.CONFLICT, "drifted", "The order differs from its plan"),
    (NotOverError, HTTPStatus.CONFLICT, "not-over", "The revocation is not complete"),
    (
        CallerLimitError,
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-requests",
        "The caller has too many concurrent requests",
    ),
    (OverloadedError, HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "There are too many concurrent requests"),
    (SlowAnswerError, HTTPStatus.SERVICE_UNAVAILABLE, "slow", "The answer takes too long"),
    (UnprojectedError, HTTPStatus.SERVICE_UNAVAILABLE, "unprojected", "The event is in the log but not projected yet"),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "The log or the store is unavailable"),
    (FencedError, HTTPStatus.SERVICE_UNAVAILABLE, "fenced", "Another process wrote at the same time"),
    (IntegrityError, HTTPStatus.SERVICE_UNAVAILABLE, "integrity", "The stored data contradicts itself or the log"),
    (BadRecordError, HTTPStatus.BAD_REQUEST, "bad-record", "A record cannot be read"),
    (RefusedError, HTTPStatus.BAD_REQUEST, "refused", "The request is wrong or not allowed"),
)


class JsonAnswer(JSONResponse):
    """A JSON response in which unpaired surrogates, which a request may contain, are replaced."""

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return json_bytes(content)


def problem(
    status: int, word: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """Build a problem document as a response.

    Credentials in the detail and in the further members are removed.

    Args:
        status: The HTTP status.
        word: The last part of the type.
        title: One sentence, the same for every problem of the type.
        detail: One sentence about this occurrence.
        headers: Further headers.
        more: Members in addition to the standard ones.
    """
    document = problem_document(status, word, title, credentials.scrubbed(detail), **credentials.scrubbed_value(more))
    return JsonAnswer(document, status_code=int(status), headers=headers, media_type=MEDIA_TYPE)


def problem_of(fault: DelegraphError) -> JSONResponse:
    """Build the response for an error."""
    _, status, word, title = next((found for found in _FAULTS if isinstance(fault, found[0])), _FAULTS[-1])
    more: dict[str, object] = fault.difference if isinstance(fault, DriftError) else {}
    more |= {"verdict": fault.verdict} if isinstance(fault, NotOverError) else {}
    return problem(status, word, title, str(fault), headers=_headers(fault, status), **more)


def _headers(fault: DelegraphError, status: HTTPStatus) -> dict[str, str]:
    match fault:
        case BadTokenError():
            return {"WWW-Authenticate": _challenge("invalid_token", str(fault))}
        case UnauthenticatedError():  # RFC 6750 section 3.1: no error code if the request has no token
            return {"WWW-Authenticate": "Bearer"}
        case CallerLimitError():
            return {"Retry-After": "1"}
        case LacksRoleError(by_token=True):
            return {"WWW-Authenticate": _challenge("insufficient_scope", fault.needs)}
        case _:
            return {"Retry-After": str(RETRY_AFTER_SECONDS)} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}


# Characters that a description must not contain (RFC 6750 section 3).
_NOT_DESCRIBING: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


def _challenge(error: str, description: str) -> str:
    """The challenge for a refused bearer token (RFC 6750 section 3); without scope, since roles may be in any claim."""
    return f'Bearer error="{error}", error_description="{_NOT_DESCRIBING.sub("?", credentials.scrubbed(description))}"'
