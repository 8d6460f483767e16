"""Parse times as people type them: ``yesterday``, ``-2h``, ``10:25``, ``2026-11-02 10:25``.

Without a zone they are UTC.
"""

import re
from typing import Final

from lineage.core.model.times import DAY, EARLIEST, LATEST, SECOND, Instant, format_instant, parse_instant

_UNITS: Final = {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY, "w": 7 * DAY}
_AGO: Final = re.compile(r"-(\d{1,6})\s?(s|m|min|h|d|w)", re.ASCII)
_WRITTEN: Final = re.compile(
    r"(?:(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?=\d)|$))?(?P<time>\d\d?:\d\d(?::\d\d(?:\.\d+)?)?)?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:\d\d)?",
    re.ASCII | re.IGNORECASE,
)
FORMS: Final = "a time such as 2026-11-02T10:25:00Z, 2026-11-02 10:25, 10:25, yesterday, -2h or now (UTC)"


def typed_time(text: str, now: Instant) -> Instant:
    """Parse a time.

    Args:
        text: RFC 3339; a date, a time of today, or both; ``now``, ``today``, ``yesterday``, which begin at midnight;
            or a duration ago, such as ``-2h``, with the units s, m, h, d, w.
        now: What it is relative to.

    Raises:
        ValueError: It has none of these forms.

    Examples:
        >>> now = parse_instant("2026-11-02T10:30:00Z")
        >>> [format_instant(typed_time(text, now))[:16] for text in ("-2h", "yesterday", "9:05", "2026-11-01 10:25")]
        ['2026-11-02T08:30', '2026-11-01T00:00', '2026-11-02T09:05', '2026-11-01T10:25']
    """
    text = text.strip()
    days = {"now": now, "today": now - now % DAY, "yesterday": now - now % DAY - DAY}
    if (found := days.get(text.lower())) is not None:
        return max(found, EARLIEST)
    if ago := _AGO.fullmatch(text):
        found = now - int(ago[1]) * _UNITS[ago[2][0]]
        if found < EARLIEST:
            raise ValueError("before the year 1970")
        return min(found, LATEST)
    if (match := _WRITTEN.fullmatch(text)) is None or not (match["day"] or match["time"]):
        raise ValueError(f"not {FORMS}")
    return parse_instant(_as_rfc3339(match, match["day"] or format_instant(now)[:10]))


def complete_time(text: str) -> str:
    """Complete a date, or a date and a time, to RFC 3339. Anything else is unchanged, to be refused later.

    Examples:
        >>> complete_time("2026-11-02 10:25")
        '2026-11-02T10:25:00Z'
        >>> complete_time("2026-11-02")
        '2026-11-02T00:00:00Z'
        >>> complete_time("yesterday")
        'yesterday'
    """
    match = _WRITTEN.fullmatch(text)
    return text if match is None or not match["day"] else _as_rfc3339(match, match["day"])


def _as_rfc3339(match: re.Match[str], day: str) -> str:
    hour, _, rest = (match["time"] or "0:00").partition(":")
    seconds = "" if ":" in rest else ":00"
    zone = (match["zone"] or "Z").upper().replace("UTC", "Z")
    return f"{day}T{hour:0>2}:{rest}{seconds}{zone}"


def is_exact(text: str) -> bool:
    """Whether a text states its time exactly, so that no interpretation has to be shown."""
    try:
        parse_instant(text)
    except ValueError:
        return text == "now"
    return True
