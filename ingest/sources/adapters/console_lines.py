"""Lines that Keycloak writes to its console and its log file unless it is configured to write JSON.

``2026-11-26 01:55:21,805 INFO  [org.keycloak.events] (executor-thread-3) type="LOGIN", realmId="...", ...``

A line of the event listener becomes the object that Keycloak would log as JSON. It may follow the time and stream of a
container runtime or a syslog header, and contain colour codes, but nothing else: a line of another logger, which may
quote input of a stranger, is never mistaken for one of the listener. Pure.
"""

import re
from typing import Final

KEYCLOAK_EVENTS: Final = "org.keycloak.events"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_LINE: Final = re.compile(
    r"(?:<\d{1,3}>[^\[\]{}\"']{0,200}?|[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ \S+: "  # syslog
    r"|\d{4}-\d\d-\d\dT\S{8,32} std(?:out|err) [FP] )?"  # a container runtime
    r"(?P<timestamp>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?)\s+"
    r"(?P<level>[A-Z]{4,7})\s+"
    rf"\[(?P<loggerName>{re.escape(KEYCLOAK_EVENTS)})\]\s+(?:\((?P<threadName>[^()]*)\)\s+)?"
    r"(?P<message>\S.*)",
    re.DOTALL,
)


def console_entry(text: str) -> dict[str, str] | None:
    """Return the parts of a line of the event listener; None for every other text.

    Examples:
        >>> console_entry('2026-11-26 01:55:21,805 INFO  [org.keycloak.events] (t-3) type="LOGIN"')["message"]
        'type="LOGIN"'
        >>> console_entry("2026-11-26 01:55:20,100 INFO  [io.quarkus] (main) Keycloak started")
    """
    if KEYCLOAK_EVENTS not in text:
        return None
    found = _LINE.fullmatch(_COLOUR.sub("", text))
    if found is None:
        return None
    parts = found.groupdict()
    return {name: part.strip() for name, part in parts.items() if part is not None}
