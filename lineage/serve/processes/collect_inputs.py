"""Build the inputs of named sources from the settings."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ingest.sources.inputs.file_follower import FileFollower, Progress
from ingest.sources.inputs.intake import SourceIntake
from ingest.sources.inputs.spool import LineSpool
from ingest.sources.inputs.tcp import LineReceiver
from lineage.core.model.errors import RefusedError
from lineage.core.model.times import Instant
from lineage.serve.config.wiring import Settings
from lineage.serve.processes.collect_metrics import CollectMetrics
from lineage.serve.server.listening import address_of

TCP_TOPIC: Final = "tcp"  # the key under which positions in spools are stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input that is polled.

    Attributes:
        source: The name of its source.
        kind: Such as ``follow``.
        turn: Ingests what is there now and returns whether there was anything; its argument says whether to stop.
        woken: Set when something arrived.
        drain: Ingests everything it has now; None if its turns do that.
        opening: A context in which it receives; None if it needs none.
        unread: Returns why files could not be read in the last turn, by path.
    """

    source: str
    kind: str
    turn: Callable[[Callable[[], bool]], bool]
    woken: threading.Event = field(default_factory=threading.Event)
    drain: Callable[[], object] | None = None
    opening: Callable[[], AbstractContextManager[object]] | None = None
    unread: Callable[[], dict[str, str]] = dict

    @property
    def name(self) -> str:
        """Its name in logs and metrics."""
        return f"{self.source} ({self.kind})"


def inputs_of(
    settings: Settings,
    intakes: Sequence[SourceIntake],
    clock: Callable[[], Instant],
    metrics: CollectMetrics,
    stack: ExitStack,
) -> list[Input]:
    """Build the inputs of all sources; the stack releases their resources.

    Raises:
        RefusedError: An input is invalid; the message names the source and the remedy.
    """
    found = []
    for intake in intakes:
        inputs = intake.named.inputs
        if "follow" in inputs:
            found.append(_following(intake, inputs["follow"], clock, metrics, stack))
        if "kafka_topic" in inputs:
            found.append(_subscribed(settings, intake, metrics, stack))
        if "tcp" in inputs:
            found.append(_listening(settings, intake, clock, metrics, stack))
    return found


def _following(
    intake: SourceIntake,
    paths: Sequence[str],
    clock: Callable[[], Instant],
    metrics: CollectMetrics,
    stack: ExitStack,
) -> Input:
    name = intake.named.name

    def note_progress(progress: Progress) -> None:
        metrics.behind(name, "follow", progress.behind, len(progress.faults))

    follower = FileFollower(intake, paths, clock=clock, progress=note_progress)
    stack.callback(follower.close)
    return Input(source=name, kind="follow", turn=lambda stop: follower.round(stop) > 0, unread=lambda: follower.unread)


def _listening(
    settings: Settings,
    intake: SourceIntake,
    clock: Callable[[], Instant],
    metrics: CollectMetrics,
    stack: ExitStack,
) -> Input:
    """Build the TCP input: its spool is followed like a folder."""
    name, came = intake.named.name, threading.Event()
    folder = spool_of(settings) / name

    def note_progress(progress: Progress) -> None:
        metrics.behind(name, "tcp", progress.behind, len(progress.faults))

    try:
        spool = LineSpool(folder)
    except OSError as error:
        raise RefusedError(
            f"the spool {folder} of the source {name!r} cannot be made: {error.strerror}; name a folder with "
            "DELEGRAPH_COLLECT_SPOOL"
        ) from error
    follower = FileFollower(
        intake,
        [str(folder)],
        clock=clock,
        origin=lambda _path: f"tcp {name}",
        topic=TCP_TOPIC,
        progress=note_progress,
        finished=spool.finished,
    )
    stack.callback(follower.close)
    return Input(
        source=name,
        kind="tcp",
        turn=lambda stop: follower.round(stop) > 0,
        woken=came,
        opening=lambda: LineReceiver(name, address_of(str(intake.named.inputs["tcp"])), spool, came),
        unread=lambda: follower.unread,
    )


def _subscribed(settings: Settings, intake: SourceIntake, metrics: CollectMetrics, stack: ExitStack) -> Input:
    name = intake.named.name
    try:
        from ingest.sources.inputs.kafka_topic import TopicReader, place_of
    except ImportError as error:
        raise RefusedError(
            f"the source {name!r} reads a Kafka topic, which needs a few more packages: pip install 'delegraph[kafka]'"
        ) from error
    servers, topic = place_of(str(intake.named.inputs["kafka_topic"]), settings.log, name)
    reader = TopicReader(
        intake, servers, topic, settings.kafka, behind=lambda count: metrics.behind_records(name, count)
    )
    stack.callback(reader.close)
    return Input(source=name, kind="kafka_topic", turn=lambda _stop: reader.round() > 0, drain=reader.drain)


def spool_of(settings: Settings) -> Path:
    """Return the folder of the spool for lines over TCP.

    Raises:
        RefusedError: The store is not a file next to which it could be, and no setting names one.
    """
    if settings.collect_spool is not None:
        return Path(settings.collect_spool)
    path = settings.store.removeprefix("sqlite:///")
    if path == settings.store:
        raise RefusedError("a source with 'tcp' needs a folder for what came; name one with DELEGRAPH_COLLECT_SPOOL")
    return Path(f"{path}.spool")


def receivers_of(
    settings: Settings, intakes: Sequence[SourceIntake], metrics: CollectMetrics
) -> list[AbstractContextManager[object]]:
    """Build the HTTP servers: one for each address that sources name.

    Raises:
        RefusedError: An address is invalid or in use, or a token cannot be read.
    """
    places: dict[str, dict[str, dict[str, SourceIntake]]] = {}
    for intake in intakes:
        for kind in ("http", "otlp"):
            value = intake.named.inputs.get(kind)
            if value is not None:
                address = settings.collect_http if value is True else str(value)
                by_kind = places.setdefault(address, {"http": {}, "otlp": {}})
                by_kind[kind][intake.named.name] = intake
    if not places:
        return []
    from lineage.serve.processes.collect_http import Receiver

    limits = settings.http.connection_limits
    return [
        Receiver(address, by_kind["http"], by_kind["otlp"], limits=limits, refused=metrics.refused)
        for address, by_kind in places.items()
    ]
