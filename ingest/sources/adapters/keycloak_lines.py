"""The lines of Keycloak's log: which of them report events, and the messages of its logging listener.

A message is a sequence of ``name="value"``, ``name='value'`` or ``name=value``. Pure.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from ingest.sources.adapters.console_lines import KEYCLOAK_EVENTS
from ingest.sources.adapters.kit import BadRecordError, text

NO_EVENT: Final = "not-an-event"
"""The reason for skipping a line of the server's log that does not report an event."""

_LOGGER_NAMES: Final = ("loggerName", "log.logger", "logger", "logger_name")
_LINE_NAMES: Final = ("message", "log", "_raw")

# Keycloak escapes quotes within a value by a backslash, and nothing else: a value ends at the first unescaped quote
# before the next name.
_FIELD: Final = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*)=(?:\"(?P<double>.*?)(?<!\\)\"|'(?P<single>.*?)(?<!\\)'|(?P<bare>[^,]*))"
    r"(?:$|, (?=[A-Za-z][\w.-]*=))",
    re.DOTALL,
)
_ABSENT: Final = ("", "null")


def is_entry(value: Mapping[str, Any]) -> bool:
    """Whether an object is a Keycloak entry."""
    if "realmId" in value and "time" in value and ("type" in value or "authDetails" in value):
        return True
    return "message" in value and KEYCLOAK_EVENTS in _loggers(value)


def is_of_another_logger(value: Mapping[str, Any]) -> bool:
    """Whether an object is a line of the server's log that does not report an event."""
    return not is_entry(value) and (bool(_loggers(value)) or any(text(value, name) for name in _LINE_NAMES))


def _loggers(value: Mapping[str, Any]) -> list[str]:
    names = (*(text(value, name) for name in _LOGGER_NAMES), text(value, "log", "logger"))
    return [name for name in names if name]


def no_wrapper(value: Mapping[str, Any]) -> list[Any] | None:
    """Return no records for a line of another logger, whose message may quote one; None for any other wrapper."""
    return [] if _loggers(value) and not is_entry(value) else None


def other_line(line: bytes) -> str | None:
    """Return the reason for skipping a line that is not JSON, such as in a stack trace; None if it is malformed."""
    return None if line.startswith((b"{", b"[")) or KEYCLOAK_EVENTS.encode() in line else NO_EVENT


def fields_of(message: str) -> dict[str, str]:
    r"""Return the fields of a message by name, without empty and null ones; of a repeated name, the first counts.

    Examples:
        >>> fields_of('type="LOGIN", userId="null", scope="openid email", username="a \"b\""')
        {'type': 'LOGIN', 'scope': 'openid email', 'username': 'a "b"'}
        >>> fields_of("type=LOGIN, clientId=portal, scope='openid email'")
        {'type': 'LOGIN', 'clientId': 'portal', 'scope': 'openid email'}

    Raises:
        BadRecordError: ``message``: the message contains something else.
    """
    found, at = dict[str, str](), 0
    while at < len(message):
        match = _FIELD.match(message, at)
        if match is None:
            raise BadRecordError("message", f"there is no name=value at character {at} of the message")
        quoted = match["double"] if match["double"] is not None else match["single"]
        value = match["bare"] if quoted is None else quoted.replace('\\"', '"').replace("\\'", "'")
        if value not in _ABSENT:
            found.setdefault(match["name"], value)
        at = match.end()
    return found
