"""Helpers with which adapters read untrusted JSON without failing on a wrong type.

Pure: no clock, no I/O.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingest.codec.credentials import CLEAN, KINDS, handle, scrubbed_member, scrubbed_value
from ingest.codec.limits import fault_of_text
from lineage.core.model.errors import BadRecordError
from lineage.core.model.times import LATEST, Instant, format_instant, parse_instant

Document = dict[str, Any]
"""An event in its JSONL form: envelope and body in one object."""

_LOGGED_TIME: Final = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?) ?(?P<zone>[Zz]|[+-]\d\d:?\d\d|UTC)?"
)


class _Asked(dict[str, Any]):
    """The members of an object that an adapter has read so far, scrubbed; None for a name that the object lacks."""

    __slots__ = ("raw",)
    raw: dict[str, Any]  # set by the creator: a constructor in Python would cost as much as the rest

    def __missing__(self, name: str) -> Any:
        clean: Any = self.raw.get(name)
        if clean is not None:
            of = type(clean)
            if KINDS[name] is not None:
                clean = scrubbed_member(name, clean)
            elif of is str:
                if clean not in CLEAN:
                    clean = scrubbed_value(clean)
            elif of is dict:
                clean = Clean(clean)
            elif of is list:
                clean = [_clean_item(item) for item in clean]
        self[name] = clean
        return clean


class Clean(Mapping[str, Any]):
    """A record without raw credentials: each member is scrubbed when it is first read.

    An adapter reads few of the many members of a record. A member is never returned unscrubbed.

    Attributes:
        asked: The scrubbed members read so far, by name; None for a name that the record lacks.
    """

    __slots__ = ("_raw", "asked")

    def __init__(self, raw: dict[str, Any]) -> None:
        """Wrap the object that was read."""
        self._raw = raw
        self.asked = asked = _Asked()
        asked.raw = raw

    def __getitem__(self, name: str) -> Any:
        """Return the scrubbed value of a member."""
        if name in self._raw:
            return self.asked[name]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the scrubbed value of a member, or the default."""
        return self.asked[name] if name in self._raw else default

    def __contains__(self, name: object) -> bool:
        """Whether there is a member."""
        return name in self._raw

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._raw)

    def __len__(self) -> int:
        """The number of members."""
        return len(self._raw)


def _clean_item(item: Any) -> Any:
    return Clean(item) if type(item) is dict else scrubbed_value(item)


def member(value: Any, *path: str) -> Any:
    """Return the value at a path of names in nested objects; None if anything on the path is not an object.

    Examples:
        >>> member({"request": {"id": "r1"}}, "request", "id")
        'r1'
    """
    for name in path:
        if type(value) is Clean:  # the usual case
            value = value.asked[name]
        elif isinstance(value, Mapping):
            value = value.get(name)
        else:
            return None
    return value


def text(value: Any, *path: str) -> str | None:
    """Return the string at a path; None for anything else, including the empty string."""
    for name in path:
        if type(value) is Clean:  # the usual case
            value = value.asked[name]
        elif value is None:
            return None
        elif isinstance(value, Mapping):
            value = value.get(name)
        else:
            return None
    return value if type(value) is str and value else None


def texts(value: Any, *path: str) -> list[str]:
    """Return the strings of the list at a path."""
    found = member(value, *path)
    return [item for item in found if isinstance(item, str) and item] if isinstance(found, list) else []


def required(value: Any, *path: str) -> str:
    """Return the string at a path.

    Raises:
        BadRecordError: ``missing-field``: there is none.
    """
    found = text(value, *path)
    if found is None:
        raise BadRecordError("missing-field", f"{'.'.join(path)} is not a string, or is empty")
    return found


def instant(logged: str, field: str) -> Instant:
    """Parse a logged time.

    Raises:
        BadRecordError: ``bad-time``: not RFC 3339 with an offset, or outside the years 1970 to 9999.
    """
    try:
        return parse_instant(logged)
    except ValueError as error:
        raise _bad_time(field, error) from error


def _bad_time(field: str, error: ValueError) -> BadRecordError:
    return BadRecordError("bad-time", f"{field}: {error}")


def moment(value: Any, *path: str) -> str:
    """Return the time at a path in RFC 3339: as logged, in UTC if it has no zone; a number is in milliseconds.

    Examples:
        >>> moment({"time": "2026-11-26 01:39:27"}, "time")
        '2026-11-26T01:39:27Z'
        >>> moment({"time": 1795658125196}, "time")
        '2026-11-26T01:55:25.196000Z'

    Raises:
        BadRecordError: ``missing-field`` or ``bad-time``.
    """
    found = member(value, *path)
    if type(found) is str and found[-1:] == "Z" and found[10:11] == "T":  # the usual case
        try:
            parse_instant(found)
        except ValueError as error:
            raise _bad_time(".".join(path), error) from error
        return found
    name = ".".join(path)
    if type(found) is int:
        if not 0 <= found <= LATEST // 1_000:
            raise BadRecordError("bad-time", f"{name}: {found} ms lie outside the years 1970 to 9999")
        return format_instant(found * 1_000)
    logged = required(value, *path)
    parts = _LOGGED_TIME.fullmatch(logged)
    if parts is not None:
        time = parts["time"].replace(",", ".")
        zone = parts["zone"] or "Z"
        zone = "Z" if zone in {"UTC", "z"} else zone if len(zone) != len("+0000") else f"{zone[:3]}:{zone[3:]}"
        logged = f"{parts['date']}T{time if time.count(':') > 1 else time + ':00'}{zone}"
    instant(logged, name)
    return logged


def resource(id_: str | None, type_: str | None) -> Document | None:
    """Build the resource of an action.

    A credential in it is replaced by its digest; a value too long for a text is replaced by its digest as a whole.
    """
    if id_ is None:
        return None
    clean = str(scrubbed_value(id_))
    return stated(type=type_, id=handle(id_) if fault_of_text(clean) else clean)


def stated(**fields: Any) -> Document:
    """Return the fields that are not None or empty lists."""
    return {name: value for name, value in fields.items() if value is not None and value != []}
