"""The access log: one structured line for each request, with its caller, and the reason if a write was refused."""

import logging
from typing import Any, Final

from starlette.requests import HTTPConnection, Request

from ingest.codec import credentials
from lineage.deliver.http.callers import Authenticate, Authentication, Caller

access = logging.getLogger(f"{__name__}.access")

LONGEST: Final = 200  # characters of text that a caller may choose
_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def log_access(caller: Caller, request: Request, **more: Any) -> None:
    """Log a request: one structured line, whatever the request contains."""
    access.info("%s %s", request.method, request.scope["path"], extra={"caller": caller.name, **more})


def log_tool_call(caller: Caller, tool: str, **more: Any) -> None:
    """Log a call of a tool, by whatever transport it came."""
    access.info("MCP %s", tool, extra={"caller": caller.name, **more})


def log_refusal(request: Request, status: int, why: str) -> None:
    """Log a refused write; refused reads are not logged.

    Args:
        request: The request, with the caller that ``noted`` has stored; without one the caller is null.
        status: The status of the response.
        why: The error message. Credentials in it and in the path are removed.
    """
    if request.method in _READS:
        return
    fields = {"caller": getattr(request.state, "caller", None), "status": int(status), "why": _shown(why)}
    access.warning("%s %s", request.method, _shown(request.scope["path"]), extra=fields)


def noted(authentication: Authentication) -> Authentication:
    """Wrap an authentication so that it stores the name of the caller with the request, for ``log_refusal``."""

    def noting(authenticate: Authenticate) -> Authenticate:
        def known(connection: HTTPConnection) -> Caller:
            caller = authenticate(connection)
            connection.state.caller = caller.name
            return caller

        return known

    recognise = authentication.recognise
    return Authentication(noting(authentication.authenticate), None if recognise is None else noting(recognise))


def _shown(text: str) -> str:
    """Prepare text that a caller may have chosen: without credentials, and of bounded length."""
    shown = credentials.scrubbed(text)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
