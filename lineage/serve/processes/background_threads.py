"""Run functions in threads for as long as a block lasts."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from lineage.serve.processes.health_server import Health

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 10.0  # until a function that has failed is called again


@contextmanager
def background_threads(
    targets: Mapping[str, Callable[[threading.Event], None]],
    stopped: threading.Event,
    health: Health | None = None,
    *,
    join_seconds: float | None = None,
) -> Iterator[None]:
    """Run each function in a thread of its name; at the end of the block set ``stopped`` and wait for all of them.

    A function that raises is called again: if its thread ended, the process would silently go on without its work.

    Args:
        targets: By the name of the thread. Each is called with ``stopped`` and must return soon after it is set.
        stopped: Ends the threads.
        health: The health of the process, which is not ready while a function that has failed waits to be called again.
        join_seconds: The longest wait for each thread at the end, for work that may be abandoned; None for no limit.
    """
    threads = [
        threading.Thread(
            target=_repeated, args=(name, target, stopped, health), name=name, daemon=join_seconds is not None
        )
        for name, target in targets.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join(join_seconds)


def _repeated(
    name: str, target: Callable[[threading.Event], None], stopped: threading.Event, health: Health | None
) -> None:
    """Call a function until it returns."""
    while True:
        try:
            target(stopped)
        except Exception:
            logger.exception("%s failed; trying again in %.0f s", name, _AGAIN_SECONDS)
            if health is not None:
                health.part_failed(name, "an internal error, see the log")
            if stopped.wait(_AGAIN_SECONDS):
                return
            if health is not None:
                health.part_works(name)
        else:
            return
