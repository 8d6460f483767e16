"""A whole evaluation in a process of its own: it leaves the processor to the looks, and gives its memory back."""

import logging
import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

from lineage.core.model.errors import DelegraphError, UnavailableError
from lineage.serve.commands.finding_keeper import FindingKeeper
from lineage.serve.config.wiring import Settings, now, opened_store
from lineage.store.kept_findings import Kept

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.2


class Evaluated(NamedTuple):
    """What an evaluation did.

    Attributes:
        changes: What it wrote, without the documents.
        seconds: How long each rule took.
        took: How long all of it took, in seconds.
        fault: Why it failed; None if it did not.
    """

    changes: list[tuple[str, Kept]]
    seconds: dict[str, float]
    took: float = 0.0
    fault: str | None = None


def evaluated_apart(settings: Settings, stopped: threading.Event) -> Evaluated:
    """Evaluate everything in another process, and wait for it; once ``stopped`` is set it is ended.

    Raises:
        UnavailableError: It failed; the message says why.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_evaluate, args=(settings, sending), name="evaluates", daemon=True)
    process.start()
    sending.close()
    try:
        while not receiving.poll(_POLL_SECONDS):
            if stopped.is_set():
                return Evaluated([], {})
        found: Evaluated = receiving.recv()
    except EOFError:
        raise UnavailableError("the process that evaluates the findings has ended before it was done") from None
    finally:
        process.terminate()
        process.join()
        receiving.close()
    if found.fault is not None:
        raise UnavailableError(found.fault)
    return found


def _evaluate(settings: Settings, sending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    changes: list[tuple[str, Kept]] = []
    try:
        with opened_store(settings) as store:
            keeper = FindingKeeper(store, settings.read_trust(now), settings.findings)
            keeper.told = lambda told, _now: changes.extend((change, one._replace(document={})) for change, one in told)
            keeper.sweep(now())
        sending.send(Evaluated(changes, keeper.total_seconds, keeper.swept_seconds))
    except DelegraphError as fault:
        sending.send(Evaluated([], {}, fault=str(fault)))
