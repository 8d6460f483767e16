"""Every page and where it is; our own files; and a page for each problem."""

import json
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from lineage.serve.http.site import Site
from lineage.serve.web import shown
from lineage.serve.web.looks import STATIC
from lineage.serve.web.pages import ASKED, View, add, page_of, written

PAGES: Final[tuple[tuple[str, str, View], ...]] = (
    ("/who", "who.html", shown.who),
    ("/chain", "chain.html", shown.chain),
    ("/status", "status.html", shown.status),
    ("/uses", "uses.html", shown.uses),
    ("/actions", "actions.html", shown.nothing),
    ("/timeline", "timeline.html", shown.timeline),
    ("/search", "search.html", shown.search),
    ("/graph", "graph.html", shown.graph),
    ("/findings", "findings.html", shown.findings),
    ("/quarantine", "quarantine.html", shown.nothing),
    ("/conflicts", "conflicts.html", shown.conflicts),
)
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOREVER: Final = "public, max-age=31536000, immutable"  # the address changes with the file


def pages(site: Site) -> APIRouter:
    """Every page."""
    router = APIRouter()
    for path, template, view in PAGES:
        if path in ASKED:
            add(router, path, page_of(site, path, template, view))
    router.add_api_route("/static/{name:path}", static, methods=["GET"], include_in_schema=False)
    return router


FILES: Final = {
    path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file() and path.suffix in _TYPES
}


def static(name: str) -> Response:
    """One of our own files."""
    path = FILES.get(name)
    if path is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": _FOREVER})


_ADVICE: Final = {
    HTTPStatus.UNAUTHORIZED: "Sign in by the link that 'delegraph serve' printed, or by your provider.",
    HTTPStatus.NOT_FOUND: "Look for a part of the id in the search: ids are compared as they are written.",
    HTTPStatus.SERVICE_UNAVAILABLE: "Nothing is lost: what was recorded is there, and so is this question.",
}


def show_fault(request: Request, response: Response) -> Response:
    """A problem document as a page, for whoever asks for pages."""
    if request.url.path.startswith("/v1/") or "text/html" not in request.headers.get("accept", ""):
        return response
    problem = json.loads(bytes(response.body))
    status = HTTPStatus(problem["status"])
    headers = {name: value for name, value in response.headers.items() if name in ("retry-after", "www-authenticate")}
    context = {
        "problem": problem,
        "advice": _ADVICE.get(status, ""),
        "retry_after": response.headers.get("retry-after"),
        "address": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
    }
    return written(request, "problem.html", context, caller=None, status=status, headers=headers)
