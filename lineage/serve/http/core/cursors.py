"""Pages of lists: an opaque cursor names the item after which to continue."""

from collections.abc import Callable
from typing import Final

from lineage.core.model.errors import RefusedError
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


def value_of(question: str, cursor: str) -> str:
    """Decode a cursor of a question's list.

    Raises:
        ParameterError: It is not one of that list.
    """
    try:
        raw = unseal(cursor)
    except ValueError:
        raw = ""
    of, between, value = raw.partition(_BETWEEN)
    if of != question or not between:
        raise ParameterError("after", "is not the `next` of this list; start again without it")
    return value


def after_of(question: str, query: Query) -> str | None:
    """Decode the cursor of a query; None for the first page."""
    cursor = query.text("after")
    return None if cursor is None else value_of(question, cursor)


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


def continued(site: AppContext, question: str, query: Query, ask: Callable[[str | None, int], Document]) -> Document:
    """Ask for a page of a list, by the cursor of the query and its limit.

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
