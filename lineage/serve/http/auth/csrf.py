"""Protection against writes that a foreign page makes a browser send (CSRF).

A browser sends cookies, and whatever a proxy derives from them, with the requests of any page. Such a page cannot
send our header (``Delegraph-Request``, any value) without a preflight, nor hide its origin. Callers with a bearer
token need no such header: no browser adds a token by itself.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from lineage.deliver.http.callers import ForbiddenError

HEADER: Final = "Delegraph-Request"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_HERE: Final = frozenset({"same-origin", "none"})


def refuse_forgery(connection: HTTPConnection) -> None:
    """Refuse a write by a caller whom the browser authenticates, unless one of our pages makes it.

    Raises:
        ForbiddenError: It may come from a foreign page.
    """
    if connection.scope.get("method") in _SAFE:
        return
    headers = connection.headers
    if HEADER not in headers:
        raise ForbiddenError(f"a write by a browser carries the header {HEADER}: 1")
    if headers.get("sec-fetch-site", "same-origin") not in _FROM_HERE:
        raise ForbiddenError("a page of another site may not write here (Sec-Fetch-Site)")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise ForbiddenError("a page of another origin may not write here (Origin)")
