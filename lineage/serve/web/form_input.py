"""Normalise form input: drop empty fields, strip white space around ids, and convert times that people typed."""

import re
from collections.abc import Iterable
from typing import Final

TIMES: Final = frozenset({"at", "known_at", "from", "to", "issued_before", "since", "until"})
_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<minute>\d\d:\d\d)(?P<second>:\d\d(?:\.\d+)?)?)?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:\d\d)?",
    re.ASCII | re.IGNORECASE,
)


def as_meant(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Normalise the fields of a form; no id begins or ends with white space."""
    params = [(name, value.strip()) for name, value in items]
    return [(name, moment(value) if name in TIMES else value) for name, value in params if value]


def moment(text: str) -> str:
    """Convert a time to RFC 3339, in UTC without a zone. Anything else is unchanged, to be refused later.

    Examples:
        >>> moment("2026-11-02 10:25")
        '2026-11-02T10:25:00Z'
        >>> moment("2026-11-02")
        '2026-11-02T00:00:00Z'
        >>> moment("yesterday")
        'yesterday'
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return text
    zone = (found["zone"] or "Z").upper().replace("UTC", "Z")
    return f"{found['day']}T{found['minute'] or '00:00'}{found['second'] or ':00'}{zone}"
