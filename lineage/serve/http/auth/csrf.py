"""Writes that a page of somewhere else has a browser make (CSRF), refused.

A browser sends cookies, and what a proxy makes of them, with whatever page asks. What such a page cannot do is send a
header of ours (``Delegraph-Request``, any value) without asking first, nor hide where it is from. Whoever brings a
bearer token needs no such header: no browser adds one by itself.
"""

from typing import Final
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from lineage.deliver.http.callers import ForbiddenError

HEADER: Final = "Delegraph-Request"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_HERE: Final = frozenset({"same-origin", "none"})


def refuse_forgery(connection: HTTPConnection) -> None:
    """Refuse a write of a caller whom the browser itself authenticates, unless a page of ours makes it.

    Raises:
        ForbiddenError: It may come from elsewhere.
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
