"""Instants: whole microseconds since the epoch, UTC, as plain integers. Pure: the clock is elsewhere."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

Instant = int

# Durations, in the unit of an instant: microseconds.
SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

EARLIEST: Final[Instant] = 0
LATEST: Final[Instant] = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
NEVER: Final[Instant] = 1 << 62  # later than every instant: means "no end" in comparisons

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = _EPOCH.replace(tzinfo=None)  # formats without an offset and is faster
_MICROSECOND = timedelta(microseconds=1)
# RFC 3339 section 5.6, with any number of fraction digits.
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d):(\d\d))", re.ASCII)
_WHOLE_SECONDS: Final = {f"{second:02}Z": second * SECOND for second in range(60)}


@lru_cache(maxsize=1024)  # an event repeats its times
def parse_instant(text: str) -> Instant:
    """Read an RFC 3339 time; digits past the microsecond are cut off.

    Raises:
        ValueError: No offset, not RFC 3339, or outside the years 1970 to 9999.

    Examples:
        >>> parse_instant("2026-11-01T10:00:00+01:00") == parse_instant("2026-11-01T09:00:00Z")
        True
    """
    seconds = _WHOLE_SECONDS.get(text[17:])
    if seconds is not None and text[16] == ":" and (minute := _minute(text[:16])) is not None:  # the usual case
        return minute + seconds
    return _parsed(text)


@lru_cache(maxsize=1024)  # the records of a log follow one another
def _minute(text: str) -> Instant | None:
    try:
        return _parsed(f"{text}:00Z")
    except ValueError:
        return None


def _parsed(text: str) -> Instant:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 time with an offset, such as 2026-11-01T09:00:00Z")
    date, clock, fraction, _, sign, hours, minutes = match.groups()
    leap = clock.endswith(":60")  # RFC 3339 allows a leap second; the scale here has none
    moment = datetime.fromisoformat(f"{date}T{clock[:-2] + '59' if leap else clock}+00:00")
    micros = (moment - _EPOCH) // _MICROSECOND + (1_000_000 if leap else 0)
    micros += int((fraction or "0")[:6].ljust(6, "0"))
    if sign:
        if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004
            raise ValueError("the offset of the time is out of range")
        offset = (int(hours) * 60 + int(minutes)) * 60_000_000
        micros += -offset if sign == "+" else offset
    if not EARLIEST <= micros <= LATEST:
        raise ValueError("the time is outside the years 1970 to 9999")
    return micros


def format_instant(instant: Instant) -> str:
    """Write an instant as answers show it: UTC, six digits, ``Z``.

    Examples:
        >>> format_instant(0)
        '1970-01-01T00:00:00.000000Z'
    """
    seconds, micros = divmod(instant, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=4_096)  # a list shows the same seconds repeatedly
def _second(seconds: int) -> str:
    return (_EPOCH_NAIVE + timedelta(seconds=seconds)).isoformat()
