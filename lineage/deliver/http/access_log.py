"""The access log: who asked for what or tried to write it, and why it was refused. One structured line each."""

import logging
from typing import Any, Final

from starlette.requests import HTTPConnection, Request

from ingest.codec import credentials
from lineage.deliver.http.callers import Authenticate, Authentication, Caller

access = logging.getLogger(f"{__name__}.access")

LONGEST: Final = 200  # characters of what a caller may choose
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def log_access(caller: Caller, request: Request, **more: Any) -> None:
    """Write who asked for what to the access log: one structured line, whatever stands in it."""
    access.info("%s %s", request.method, request.scope["path"], extra={"caller": caller.name, **more})


def log_refusal(request: Request, status: int, why: str) -> None:
    """Write a write that was refused to the access log; a question that was refused is none of its business.

    Args:
        request: The request; ``noted`` keeps its caller, and without one the line holds null.
        status: The status of the answer.
        why: The message of the fault. A credential in it, or in the path, is not repeated.
    """
    if request.method in _READS:
        return
    said = {"caller": getattr(request.state, "caller", None), "status": int(status), "why": _shown(why)}
    access.warning("%s %s", request.method, _shown(request.scope["path"]), extra=said)


def noted(authentication: Authentication) -> Authentication:
    """The same, which also keeps the name of the caller beside the request, for a line about its refusal."""

    def noting(authenticate: Authenticate) -> Authenticate:
        def known(connection: HTTPConnection) -> Caller:
            caller = authenticate(connection)
            connection.state.caller = caller.name
            return caller

        return known

    recognise = authentication.recognise
    return Authentication(noting(authentication.authenticate), None if recognise is None else noting(recognise))


def _shown(text: str) -> str:
    """What a caller may have chosen, without credentials and bounded."""
    shown = credentials.scrubbed(text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
