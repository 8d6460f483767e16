"""The inputs of named sources, made from the settings."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from ingest.sources.inputs.follower import Follower, Progress
from ingest.sources.inputs.intake import SourceIntake
from lineage.core.model.times import Instant
from lineage.serve.config.wiring import Settings
from lineage.serve.processes.collect_metrics import CollectMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """An input that is asked for what has come.

    Attributes:
        source: The name of its source.
        kind: Such as ``follow``.
        turn: Takes what there is now; whether it was anything. It is told whether to stop.
        woken: Set when something came.
        drains: Whether what it holds has an end.
    """

    source: str
    kind: str
    turn: Callable[[Callable[[], bool]], bool]
    woken: threading.Event = field(default_factory=threading.Event)
    drains: bool = True

    @property
    def name(self) -> str:
        """How it is called where it is told of."""
        return f"{self.source} ({self.kind})"


def inputs_of(
    intakes: Sequence[SourceIntake],
    clock: Callable[[], Instant],
    metrics: CollectMetrics,
    stack: ExitStack,
) -> list[Input]:
    """The inputs of all sources; what they hold is given back by the stack.

    Raises:
        RefusedError: An input cannot be; the message names the source and the remedy.
    """
    found = []
    for intake in intakes:
        said = intake.named.inputs
        if "follow" in said:
            found.append(_following(intake, said["follow"], clock, metrics, stack))
    return found


def _following(
    intake: SourceIntake,
    paths: Sequence[str],
    clock: Callable[[], Instant],
    metrics: CollectMetrics,
    stack: ExitStack,
) -> Input:
    name = intake.named.name

    def told(progress: Progress) -> None:
        metrics.behind(name, "follow", progress.behind, len(progress.faults))

    follower = Follower(intake, paths, clock=clock, progress=told)
    stack.callback(follower.close)
    return Input(source=name, kind="follow", turn=lambda stop: follower.round(stop) > 0)


def receivers_of(
    settings: Settings, intakes: Sequence[SourceIntake], metrics: CollectMetrics
) -> list[AbstractContextManager[object]]:
    """What answers requests: one for each address that sources name.

    Raises:
        RefusedError: An address is none, or is taken, or a token cannot be read.
    """
    places: dict[str, dict[str, dict[str, SourceIntake]]] = {}
    for intake in intakes:
        for kind in ("http", "otlp"):
            said = intake.named.inputs.get(kind)
            if said is not None:
                address = settings.collect_http if said is True else str(said)
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
