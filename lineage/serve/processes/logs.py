"""Logs of long-running commands: one line per event on standard error, JSON for machines or text for people.

Everything logged through the standard library, by us or by a library, passes through here. A line is always one line,
contains no terminal control characters, and no credential.
"""

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TextIO

import structlog

from ingest.codec import credentials
from lineage.core.model.errors import RefusedError
from lineage.serve.text.text_page import safe

FORMATS: Final = ("json", "text")
LEVELS: Final = ("debug", "info", "warning", "error")
FLOOD_SECONDS: Final = 5.0  # at most one record of a statement in this time
_LONGEST: Final = 8_192  # characters of one text
_DEEPEST: Final = 4  # levels of an extra value
_OURS: Final = ("ingest", "lineage")
_HIDDEN: Final = "***"

Event = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Settings of the log output."""

    format: str
    level: str

    @classmethod
    def of(cls, environ: Mapping[str, str], *, terminal: bool) -> "LogSettings":
        """Read ``DELEGRAPH_LOG_FORMAT`` and ``DELEGRAPH_LOG_LEVEL``; by default text on a terminal, else JSON.

        Raises:
            RefusedError: There is no such format or level.
        """
        format_ = environ.get("DELEGRAPH_LOG_FORMAT", "").lower() or ("text" if terminal else "json")
        level = environ.get("DELEGRAPH_LOG_LEVEL", "").lower() or "info"
        for name, value, known in (("FORMAT", format_, FORMATS), ("LEVEL", level, LEVELS)):
            if value not in known:
                raise RefusedError(f"DELEGRAPH_LOG_{name} is {value!a}; it can be {', '.join(known)}")
        return cls(format_, level)


@contextmanager
def logging_to(
    stream: TextIO, settings: LogSettings, *, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[None]:
    """Log to a stream within the block, and restore everything afterwards.

    Uncaught exceptions that end a thread or the process are logged as well.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    # Libraries log warnings only; at level debug, Kafka's client also logs details.
    levels = {"": logging.WARNING, "kafka": logging.INFO if level == logging.DEBUG else logging.WARNING}
    levels |= dict.fromkeys(_OURS, level)
    loggers = {name: logging.getLogger(name) for name in levels}
    root = loggers[""]
    before = {name: logger.level for name, logger in loggers.items()}
    handlers, hooks = root.handlers[:], (sys.excepthook, threading.excepthook)
    handler = _Lines(stream)
    handler.setFormatter(_formatter(settings.format))
    handler.addFilter(FloodFilter("kafka", monotonic))
    try:
        root.handlers[:] = [handler]
        for name, logger in loggers.items():
            logger.setLevel(levels[name])
        logging.captureWarnings(capture=True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
        yield
    finally:
        sys.excepthook, threading.excepthook = hooks
        logging.captureWarnings(capture=False)
        for name, logger in loggers.items():
            logger.setLevel(before[name])
        root.handlers[:] = handlers


def _uncaught(kind: Any, fault: Any, traceback: Any) -> None:
    if issubclass(kind, (KeyboardInterrupt, SystemExit)):
        return
    logging.getLogger(__name__).critical("uncaught", exc_info=(kind, fault, traceback))


class FloodFilter(logging.Filter):
    """Limits a library's logging statements to one record per ``FLOOD_SECONDS``, and reports the suppressed ones.

    There are as many entries as the library has logging statements.
    """

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._prefix = name
        self._monotonic = monotonic
        self._logged: dict[tuple[str, int], tuple[float, int]] = {}  # the time, and the number suppressed since
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record may pass."""
        if record.name.partition(".")[0] != self._prefix:
            return True
        statement, now = (record.pathname, record.lineno), self._monotonic()
        with self._lock:
            logged_at, silent = self._logged.get(statement, (-FLOOD_SECONDS, 0))
            if now - logged_at < FLOOD_SECONDS:
                self._logged[statement] = (logged_at, silent + 1)
                return False
            self._logged[statement] = (now, 0)
        if silent:
            record.suppressed = silent
        return True


class _Lines(logging.StreamHandler[TextIO]):
    """Reports a message that cannot be formatted as a log line instead of a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (of the base class)
        fault = sys.exception()
        event = {"level": "error", "logger": record.name, "event": f"a log message could not be written: {fault!a}"}
        try:
            self.stream.write(json.dumps(event) + self.terminator)
        except (OSError, ValueError):  # the reader of the output has gone
            return


def _formatter(format_: str) -> structlog.stdlib.ProcessorFormatter:
    render = structlog.processors.JSONRenderer(default=safe) if format_ == "json" else _text
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
        ],
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            _cleaned,
            render,
        ],
    )


def _cleaned(_logger: Any, _name: str, event: Event) -> Event:
    ordered = {name: event.pop(name, None) for name in ("timestamp", "level", "logger", "event")} | dict(event)
    return {name: _HIDDEN if _is_secret(name, value) else _clean(value, 0) for name, value in ordered.items()}


def _is_secret(name: str, value: Any) -> bool:
    """Whether a name denotes a secret. A `token` is an id here, and is checked by its value."""
    return isinstance(value, (str, bytes)) and credentials.is_secret_of_ours(name, str(value))


def _clean(value: Any, depth: int) -> Any:
    """Make a value safe to log: bounded, and without credentials."""
    if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        items = ((str(name), item) for name, item in value.items())
        return {
            clean_text(name): _HIDDEN if _is_secret(name, item) else _clean(item, depth + 1) for name, item in items
        }
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item, depth + 1) for item in value]
    return clean_text(value if isinstance(value, str) else repr(value))


def clean_text(text: str) -> str:
    """Bound a text, and replace credentials and passwords in URLs.

    Examples:
        >>> clean_text("postgresql://delegraph:hunter2@db/delegraph")
        'postgresql://delegraph:***@db/delegraph'
    """
    shown = credentials.scrubbed(text.encode(errors="backslashreplace").decode())
    if len(shown) <= _LONGEST:
        return shown
    half = _LONGEST // 2  # the end of a traceback is the most informative part
    return f"{shown[:half]} ... ({len(shown):,} characters) ... {shown[-half:]}"


def _text(_logger: Any, _name: str, event: Event) -> str:
    at, level, logger, message = (event.pop(name, "") for name in ("timestamp", "level", "logger", "event"))
    exception = event.pop("exception", "")
    fields = "".join(f" {safe(name)}={safe(value)}" for name, value in event.items())
    line = f"{safe(at)} {safe(level):<8} {safe(logger)}: {safe(message)}{fields}"
    # Mark the lines of a traceback, so that none can be mistaken for a log line.
    return "\n".join([line, *(f"  | {safe(part)}" for part in exception.splitlines())])
