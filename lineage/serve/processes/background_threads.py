"""Run functions in threads for as long as a block lasts."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 10.0  # until a function that has failed is called again


@contextmanager
def background_threads(
    targets: Mapping[str, Callable[[threading.Event], None]], stopped: threading.Event
) -> Iterator[None]:
    """Run each function in a thread of its name; at the end of the block set ``stopped`` and wait for all of them.

    A function that raises is called again: if its thread ended, the process would silently go on without its work.

    Args:
        targets: By the name of the thread. Each is called with ``stopped`` and must return soon after it is set.
        stopped: Ends the threads.
    """
    threads = [
        threading.Thread(target=_repeated, args=(name, target, stopped), name=name) for name, target in targets.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _repeated(name: str, target: Callable[[threading.Event], None], stopped: threading.Event) -> None:
    """Call a function until it returns."""
    while True:
        try:
            target(stopped)
        except Exception:
            logger.exception("%s failed; trying again in %.0f s", name, _AGAIN_SECONDS)
            if stopped.wait(_AGAIN_SECONDS):
                return
        else:
            return
