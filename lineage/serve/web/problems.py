"""A page for each problem: what it is and what to do about it, keeping what was filled in."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from lineage.serve.http.core.query import TIME_PARAMETERS
from lineage.serve.web.page_endpoint import path_of, render_template

_ADVICE: Final = {
    HTTPStatus.UNAUTHORIZED: "Sign in with the link that 'delegraph serve' printed, or with your identity provider.",
    HTTPStatus.NOT_FOUND: "Search for a part of the id:",
    HTTPStatus.METHOD_NOT_ALLOWED: "Use the form on the page. Nothing was done.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing is lost. Try again.",
}
_TIME: Final = "Write it as 2026-11-02T10:25:00Z or as 2026-11-02 10:25; without a zone it is UTC."
# After these the same form may succeed, because the form was not at fault.
_AGAIN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE})
_TYPED: Final = (
    "reason",
    "note",
    "until",
    "principal",
    "case",
    "starts_at",
    "ends_at",
    "typed",
)  # fields of forms that a person fills in


def show_fault(request: Request, response: Response) -> Response:
    """Render a problem document as a page, for clients that ask for pages."""
    if request.scope["path"].startswith("/v1/") or "text/html" not in request.headers.get("accept", ""):
        return response
    problem = json.loads(bytes(response.body))
    status = HTTPStatus(problem["status"])
    headers = {name: value for name, value in response.headers.items() if name in ("retry-after", "www-authenticate")}
    form = getattr(request.state, "form", {})
    context = {
        "problem": problem,
        "navigable": status not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN),
        "advice": _TIME if problem.get("parameter") in TIME_PARAMETERS else _ADVICE.get(status, ""),
        "looked_for": problem.get("id", ""),
        "retry_after": response.headers.get("retry-after"),
        "same": _address(request),
        "without": _without(request, problem),
        "ahead": _ahead(request, problem),
        "form": form,
        "filled": [(name, form[name]) for name in _TYPED if name in form],
        "again": bool(form) and status in _AGAIN,
        "back": path_of(request).removesuffix("/lift") if path_of(request).endswith("/lift") else "",
    }
    return render_template(request, "problem.html", context, caller=None, status=status, headers=headers)


def _address(request: Request) -> str:
    """Return where to retry the request; empty for write requests."""
    if request.method != "GET":
        return ""
    query = request.scope["query_string"].decode("ascii", "replace")
    return path_of(request) + (f"?{query}" if query else "")


def _ahead(request: Request, problem: Mapping[str, Any]) -> str:
    """Return the plan of an order on an unknown target, in case that is intended; else empty."""
    if request.method != "GET" or path_of(request) != "/reach" or problem["status"] != HTTPStatus.NOT_FOUND:
        return ""
    return f"/reach?{urlencode([*request.query_params.multi_items(), ('unseen', 'true')])}"


def _without(request: Request, problem: Mapping[str, Any]) -> str:
    """Return the same page without the wrong parameter, if the problem names one; else empty."""
    params = request.query_params.multi_items()
    others = [(name, value) for name, value in params if name != problem.get("parameter")]
    if len(others) == len(params) or problem.get("parameter") in ("of", "action", "q"):
        return ""
    return path_of(request) + (f"?{urlencode(others)}" if others else "")
