"""The errors of the Python clients: what a problem document of the HTTP API reports."""

from typing import Final

import httpx

from lineage.core.model.errors import (
    DelegraphError,
    DriftError,
    IntegrityError,
    NotOverError,
    OtherOrderError,
    OverloadedError,
    RefusedError,
    SlowAnswerError,
    UnavailableError,
    UnprojectedError,
)
from lineage.deliver.http.callers import ForbiddenError, UnauthenticatedError

LONGEST_WAIT_SECONDS: Final = 30.0
_PREFIX: Final = "urn:delegraph:problem:"
_FAULTS: Final[dict[str, type[DelegraphError]]] = {
    "unauthenticated": UnauthenticatedError,
    "forbidden": ForbiddenError,
    "unavailable": UnavailableError,
    "fault": UnavailableError,
    "fenced": UnavailableError,
    "overloaded": OverloadedError,
    "too-many-requests": OverloadedError,
    "slow": SlowAnswerError,
    "unprojected": UnprojectedError,
    "integrity": IntegrityError,
    "idempotency-key-reused": OtherOrderError,
}


class MissingError(RefusedError):
    """Raised when no fact names what was asked for."""


def fault_of(response: httpx.Response) -> DelegraphError:
    """Convert a problem document to the error that it reports."""
    try:
        document = response.json()
        word, detail = str(document["type"]).removeprefix(_PREFIX), str(document["detail"])
    except (ValueError, KeyError, TypeError):
        return UnavailableError(f"{response.url.host} answers {response.status_code}, and it is not delegraph")
    if word == "drifted":
        return DriftError(detail, document.get("unlisted", []), document.get("differs"))
    if word == "not-over":
        return NotOverError(detail, str(document.get("verdict", "")))
    if word == "not-found":
        return MissingError(detail)
    return _FAULTS.get(word, RefusedError)(detail)


def wait_of(response: httpx.Response) -> float:
    """Return how long to wait before trying again, in seconds: ``Retry-After``, within bounds."""
    header = response.headers.get("retry-after", "")
    return min(float(header), LONGEST_WAIT_SECONDS) if header.isascii() and header.isdigit() else 1.0
