"""Messages of Keycloak's logging listener: a sequence of ``name="value"``, ``name='value'`` or ``name=value``. Pure."""

import re
from typing import Final

from ingest.sources.adapters.kit import BadRecordError

# Keycloak escapes quotes within a value by a backslash, and nothing else: a value ends at the first unescaped quote
# before the next name.
_FIELD: Final = re.compile(
    r"(?P<name>[A-Za-z][\w.-]*)=(?:\"(?P<double>.*?)(?<!\\)\"|'(?P<single>.*?)(?<!\\)'|(?P<bare>[^,]*))"
    r"(?:$|, (?=[A-Za-z][\w.-]*=))",
    re.DOTALL,
)
_ABSENT: Final = ("", "null")


def fields_of(message: str) -> dict[str, str]:
    r"""Return the fields of a message by name: of repeated ones the first, without empty and null ones.

    Examples:
        >>> fields_of('type="LOGIN", userId="null", scope="openid email", username="a \"b\""')
        {'type': 'LOGIN', 'scope': 'openid email', 'username': 'a "b"'}
        >>> fields_of("type=LOGIN, clientId=portal, scope='openid email'")
        {'type': 'LOGIN', 'clientId': 'portal', 'scope': 'openid email'}

    Raises:
        BadRecordError: ``message``: there is something else in it.
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
