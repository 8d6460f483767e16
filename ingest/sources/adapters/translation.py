"""What becomes of one foreign record, and the few words that every adapter needs to read untrusted JSON.

Pure: no clock, no I/O.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ingest.codec.credentials import handle, redact
from ingest.codec.limits import fault_of_text
from lineage.core.model.errors import BadRecordError
from lineage.core.model.times import Instant, parse_instant

Document = dict[str, Any]
"""An event in its JSONL form: envelope and body side by side."""


class Translation(NamedTuple):
    """What became of a record: exactly one of the three is stated.

    Attributes:
        events: At least one event.
        skipped: Why it gives none: a short stable word, such as ``request-of-a-response``.
        fault: Why it belongs in quarantine.
    """

    events: tuple[Document, ...] = ()
    skipped: str | None = None
    fault: BadRecordError | None = None


def member(value: Any, *path: str) -> Any:
    """What stands at a path of names in nested objects; None where something on the way is no object.

    Examples:
        >>> member({"request": {"id": "r1"}}, "request", "id")
        'r1'
    """
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def text(value: Any, *path: str) -> str | None:
    """The string at a path; None for anything else, the empty string included."""
    found = member(value, *path)
    return found if isinstance(found, str) and found else None


def texts(value: Any, *path: str) -> list[str]:
    """The strings of the list at a path."""
    found = member(value, *path)
    return [item for item in found if isinstance(item, str) and item] if isinstance(found, list) else []


def required(value: Any, *path: str) -> str:
    """The string at a path.

    Raises:
        BadRecordError: ``missing-field``: there is none.
    """
    found = text(value, *path)
    if found is None:
        raise BadRecordError("missing-field", f"{'.'.join(path)} is not a string that says something")
    return found


def instant(moment: str, field: str) -> Instant:
    """A time as logged.

    Raises:
        BadRecordError: ``bad-time``: not RFC 3339 with an offset, or outside the years 1970 to 9999.
    """
    try:
        return parse_instant(moment)
    except ValueError as error:
        raise BadRecordError("bad-time", f"{field}: {error}") from error


def resource(id_: str | None, type_: str | None) -> Document | None:
    """What an action is about.

    A credential within it is replaced by its digest; what is too long for a text is spoken of by its digest
    as a whole.
    """
    if id_ is None:
        return None
    clean = redact(id_.encode(errors="surrogatepass")).decode(errors="surrogatepass")
    return stated(type=type_, id=handle(id_) if fault_of_text(clean) else clean)


def stated(**fields: Any) -> Document:
    """The fields that say something: without None and the empty list."""
    return {name: value for name, value in fields.items() if value is not None and value != []}
