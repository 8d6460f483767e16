"""Pages of lists: an opaque cursor names the item after which to continue."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

from lineage.core.model.errors import RefusedError
from lineage.core.model.events import canonical_json
from lineage.plumbing.opaque_tokens import seal, unseal
from lineage.serve.documents.core_documents import Document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import ParameterError, Query

_BETWEEN: Final = "\0"


def cursor(question: str, value: str) -> str:
    """Encode a cursor of a question's list.

    Examples:
        >>> value_of("search", cursor("search", "token:t1"))
        'token:t1'
    """
    return seal(f"{question}{_BETWEEN}{value}")


def value_of(question: str, said: str) -> str:
    """Decode a cursor of a question's list.

    Raises:
        ParameterError: It is not one of that list.
    """
    try:
        raw = unseal(said)
    except ValueError:
        raw = ""
    of, between, value = raw.partition(_BETWEEN)
    if of != question or not between:
        raise ParameterError("after", "is not the `next` of this list; start again without it")
    return value


def after_of(question: str, query: Query) -> str | None:
    """Decode the cursor of a query; None for the first page."""
    said = query.text("after")
    return None if said is None else value_of(question, said)


def whole_number_of(question: str, query: Query) -> int | None:
    """Decode the cursor of a query as a number; None for the first page."""
    value = after_of(question, query)
    return None if value is None else whole_number(value)


def whole_number(value: str) -> int:
    """Parse a number in a cursor.

    Raises:
        ParameterError: It is not a number.
    """
    if not (value.isascii() and value.isdigit() and len(value) < len(str(1 << 62))):
        raise ParameterError("after", "is not the `next` of this list; start again without it")
    return int(value)


def limit_of(site: AppContext, query: Query, *, most: int | None = None) -> int:
    """Return the requested number of items, at most ``most`` for a list with expensive items."""
    largest = site.limits.page if most is None else min(most, site.limits.page)
    return query.number("limit", default=site.limits.first_page, most=largest)


def page_in_time(site: AppContext, question: str, query: Query, ask: Callable[[str | None, int], Document]) -> Document:
    """Ask for a page of a list in time order, by the cursor of the query and its limit.

    Raises:
        ParameterError: The cursor is not one of this list.
    """
    try:
        found = ask(after_of(question, query), limit_of(site, query))
    except RefusedError as fault:
        raise _named(fault) from fault
    return with_cursor(question, found)


def _named(fault: RefusedError) -> RefusedError:
    """Attribute an error about the cursor to its parameter; leave any other unchanged."""
    name, _, detail = str(fault).partition(": ")
    return ParameterError(name, detail) if name == "after" and not isinstance(fault, ParameterError) else fault


def with_cursor(question: str, document: Document) -> Document:
    """Encode the cursor of a document."""
    following = document["next"]
    return {**document, "next": None if following is None else cursor(question, following)}


def one_page(site: AppContext, question: str, query: Query, document: Document) -> Document:
    """Replace the items of a document by one page of them.

    Raises:
        ParameterError: The item that the cursor names is not in the list.
    """
    page, end = cut(document["items"], after_of(question, query), limit_of(site, query))
    following = None if end is None else cursor(question, end)
    return {**document, "items": page, "complete": following is None, "next": following}


def cut(items: list[Any], after: str | None, limit: int) -> tuple[list[Any], str | None]:
    """Cut a page from items, and return where the next one starts, if there are more.

    The cursor contains the last item by content and its index: it is found even if new records have moved it.

    Raises:
        ParameterError: The item is not in the list.
    """
    start = 0 if after is None else _behind(items, after)
    page = items[start : start + limit]
    end = start + len(page)
    return page, f"{end}:{_digest(page[-1])}" if end < len(items) else None


def _behind(items: list[Any], after: str) -> int:
    place, _, digest = after.partition(":")
    end = int(place) if place.isascii() and place.isdigit() and len(place) <= len(str(len(items))) else 0
    if 0 < end <= len(items) and _digest(items[end - 1]) == digest:
        return end
    for number, item in enumerate(items, start=1):
        if _digest(item) == digest:
            return number
    raise ParameterError("after", "names an item that is not in this list; start again without it")


def _digest(item: Any) -> str:
    return hashlib.blake2b(canonical_json(item), digest_size=12).hexdigest()
