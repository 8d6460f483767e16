"""Remove the wrappers that collectors and cloud services put around a record.

Removed, at any nesting: arrays, ``Records``, EventLists, EventBridge's ``detail``, CloudWatch's
``logEvents[].message``, ``CloudTrailEvent`` of ``lookup-events``, Elastic's ``_source`` and ``event.original``,
Splunk's ``result._raw``, docker's ``log``, SNS and SQS, a Kafka record or an HTTP request with its headers, a record
of AWS's documentation with its title, and JSON within a string, also after a syslog header or ``name=``, or a line of
Keycloak's console.

Only these members are examined, and only in objects that are not records themselves: a record may quote anything in
its fields, which must never be read as a record. Pure.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from ingest.sources.adapters.console_lines import console_entry
from ingest.sources.adapters.raw_records import parse
from lineage.core.model.errors import BadRecordError

# In lower case. If two of them contain records, the first counts (Elastic keeps a line under several names).
_MEMBERS: Final = (
    *("records", "items", "logevents", "events", "cloudtrailevent", "detail", "hits", "_source"),
    *("event.original", "original", "result", "_raw", "body", "value", "sns", "message", "log", "event"),
)
_DEPTH: Final = 8
# The text before a record on a syslog line, or in a log of `name={...}`.
_IN_FRONT: Final = re.compile(r"[^{\[\"]{0,512}(?=\{)")


class Unwrapped(NamedTuple):
    """An object in a wrapper: a record, or something else."""

    value: Any
    headers: Mapping[str, str]
    is_record: bool


Marks = Callable[[Mapping[str, Any]], bool]
Unwrap = Callable[[Mapping[str, Any]], Iterable[Any] | None]


def unwrapped(value: Any, marks: Marks, unwrap: Unwrap | None = None) -> list[Unwrapped]:
    """Return the records in a value.

    Args:
        value: The value read from a file, a topic or a request.
        marks: Whether an object is a record.
        unwrap: Returns the content of a wrapper specific to the format; None if an object is not such a wrapper.

    Returns:
        The records, and any other objects among them; the value itself, not marked as a record, if it contains none.
    """
    found = list(_within(value, marks, unwrap, {}, _DEPTH))
    return found if any(inner.is_record for inner in found) else [Unwrapped(value, {}, is_record=False)]


def _within(
    value: Any, marks: Marks, unwrap: Unwrap | None, headers: Mapping[str, str], depth: int
) -> Iterator[Unwrapped]:
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, list) and depth:
        for item in value:
            yield from _within(item, marks, unwrap, headers, depth - 1)
        return
    if isinstance(value, dict) and not marks(value) and depth:
        inner = _inside(value, marks, unwrap, _headers(value) or headers, depth - 1)
        if inner:
            yield from inner
            return
    yield Unwrapped(value, headers, isinstance(value, dict) and marks(value))


def _inside(
    value: dict[str, Any], marks: Marks, unwrap: Unwrap | None, headers: Mapping[str, str], depth: int
) -> list[Unwrapped]:
    own = unwrap(value) if unwrap is not None else None
    if own is not None:
        return [Unwrapped(item, headers, is_record=True) for item in own]
    by_name = {name.lower(): item for name, item in value.items()}
    for name in _MEMBERS:
        if name in by_name:
            found = list(_within(by_name[name], marks, unwrap, headers, depth))
            if any(inner.is_record for inner in found):
                return found
    return []


def _parsed(text: str) -> Any:
    start = _IN_FRONT.match(text)
    within = text[start.end() :] if start is not None else text
    if within.lstrip()[:1] not in ("{", "["):
        return console_entry(text) or text
    try:
        return parse(within.encode(errors="surrogatepass"))
    except BadRecordError:
        return console_entry(text) or text


def _headers(value: Mapping[str, Any]) -> dict[str, str]:
    headers = value.get("headers")
    if not isinstance(headers, dict):
        return {}
    return {name.lower(): text for name, text in headers.items() if isinstance(text, str)}
