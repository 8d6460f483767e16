"""Open a log, or the sink that a producer sends to, by its URL. The only module that knows every kind of log."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from ingest.kafka.cloudevents_headers import Headers
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.log.port import Log
from ingest.log.sink_port import LogSink, Sink
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.plumbing.addresses import without_password
from lineage.plumbing.sqlite_file import PinnedFile


def open_log(
    url: str,
    *,
    create: bool,
    clock: Callable[[], Instant],
    settings: KafkaSettings | None = None,
    file: PinnedFile | None = None,
) -> Log:
    """Open a log by its URL.

    Args:
        url: ``sqlite:///path`` or ``kafka://host:port[,host:port][/prefix]``.
        create: Whether to create a missing embedded log.
        clock: Returns the current time, for a log without its own clock.
        settings: How to connect to Kafka.
        file: For an embedded log that is opened again: its file as first opened.

    Raises:
        RefusedError: The scheme is not supported.
        UnavailableError: The log cannot be opened.
    """
    path = _path_of(url)
    if path:
        from ingest.log.sqlite_log import SqliteLog  # noqa: PLC0415 (only the log requested is imported)

        return SqliteLog(path, create=create, clock=clock, file=file)
    if url.startswith("kafka://"):
        try:
            from ingest.kafka.log import KafkaLog  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise RefusedError("a log on Kafka needs its client: pip install 'delegraph[kafka]'") from error
        return KafkaLog(url, settings)
    raise RefusedError(
        f"{without_password(url)!r} is not a log URL; write for example sqlite:///delegraph.db or kafka://127.0.0.1:9092/delegraph"
    )


def pinned_file(url: str) -> PinnedFile | None:
    """The current file of an embedded log, for one that will be opened again; None if the log is not in a file."""
    path = _path_of(url)
    return PinnedFile(Path(path)) if path else None


def _path_of(url: str) -> str:
    scheme, _, rest = url.partition(":///")
    return unquote(rest.partition("?")[0]) if scheme == "sqlite" else ""  # parsed like the URL of a store


def sink_opener(
    url: str,
    settings: KafkaSettings | None,
    clock: Callable[[], Instant],
    headers_of: Callable[[bytes], Headers] | None,
) -> Callable[[], Sink]:
    """Build the function that opens the sink to a log.

    Args:
        url: As for ``open_log``.
        settings: How to connect to Kafka.
        clock: Returns the current time.
        headers_of: Returns the Kafka headers for a value; None to send no headers.

    Raises:
        RefusedError: The URL or the settings are invalid. An unavailable log only raises when the sink is opened.
    """
    if url.startswith("kafka://"):
        try:
            from ingest.kafka.sink import KafkaSink  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise RefusedError("to send to Kafka, install delegraph[kafka]") from error
        settings = settings or KafkaSettings()
        servers, prefix = parse_url(url)
        settings.client(servers)
        return partial(KafkaSink, servers, prefix, settings, headers_of)
    if not url.startswith("sqlite:///"):
        open_log(url, create=False, clock=clock).close()  # raises with an example of a URL
    return lambda: LogSink(open_log(url, create=True, clock=clock))
