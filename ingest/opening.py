"""Opens a log, or the sink that a producer sends to, by its URL. The only module that knows every kind of log."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from ingest.kafka.cloudevents_headers import Headers
from ingest.kafka.settings import KafkaSettings, parse_url
from ingest.log.port import Log
from ingest.log.sink_port import LogOutlet, Outlet
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
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
        create: Whether to make what is missing.
        clock: The moment now, for a log that has no clock of its own.
        settings: How to get in where the log is a Kafka.
        file: Of an embedded log that is opened again: what its file was the first time.

    Raises:
        RefusedError: Nothing here speaks that scheme.
        UnavailableError: It cannot be opened.
    """
    path = _path_of(url)
    if path:
        from ingest.log.sqlite_log import SqliteLog  # noqa: PLC0415 (only the log that is asked for is imported)

        return SqliteLog(path, create=create, clock=clock, file=file)
    if url.startswith("kafka://"):
        try:
            from ingest.kafka.log import KafkaLog  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise RefusedError("a log on Kafka needs its client: pip install 'delegraph[kafka]'") from error
        return KafkaLog(url, settings)
    raise RefusedError(
        f"{url!r} is no log URL; write for example sqlite:///delegraph.db or kafka://127.0.0.1:9092/delegraph"
    )


def pinned_file(url: str) -> PinnedFile | None:
    """The file of an embedded log as it is now, for a log that will be opened again; None: it is in no file."""
    path = _path_of(url)
    return PinnedFile(Path(path)) if path else None


def _path_of(url: str) -> str:
    scheme, _, rest = url.partition(":///")
    return unquote(rest.partition("?")[0]) if scheme == "sqlite" else ""  # as the URL of a store is read


def outlet_opener(
    url: str,
    settings: KafkaSettings | None,
    clock: Callable[[], Instant],
    headers_of: Callable[[bytes], Headers] | None,
) -> Callable[[], Outlet]:
    """What opens the way into a log. What is wrong with the settings is told here and now, what is away later."""
    if url.startswith("kafka://"):
        try:
            from ingest.kafka.sink import KafkaOutlet  # noqa: PLC0415 (an extra)
        except ImportError as error:
            raise RefusedError("to send to a Kafka install delegraph[kafka]") from error
        settings = settings or KafkaSettings()
        servers, prefix = parse_url(url)
        settings.client(servers)
        return partial(KafkaOutlet, servers, prefix, settings, headers_of)
    if not url.startswith("sqlite:///"):
        open_log(url, create=False, clock=clock).close()  # says what a URL looks like
    return lambda: LogOutlet(open_log(url, create=True, clock=clock))
