"""Warm caches before a server announces its address, or in a background thread, so that no request pays for it.

Nothing depends on it: what is not warm yet is loaded by the question that needs it.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from lineage.core.model.errors import DelegraphError
from lineage.plumbing.gc_pause import gc_freeze

logger = logging.getLogger(__name__)

_BREATH_SECONDS: Final = 0.1  # between two steps, for requests in the meantime
_GOODBYE_SECONDS: Final = 3


def prepare(steps: Iterable[object]) -> None:
    """Run some short steps before a server announces its address, for which its first answer would wait."""
    try:
        for _ in steps:
            pass
    except DelegraphError as fault:
        _log_interruption(fault)


@contextmanager
def warmed(steps: Iterable[object]) -> Iterator[None]:
    """Run some steps in the background within the block."""
    stopping = threading.Event()

    def run() -> None:
        try:
            for _ in steps:
                if stopping.wait(_BREATH_SECONDS):
                    return
        except DelegraphError as fault:  # the database is unavailable; requests will report that
            _log_interruption(fault)

    thread = threading.Thread(target=run, name="delegraph-warming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join(_GOODBYE_SECONDS)


def loaded_frozen() -> Iterator[None]:
    """Exempt what is loaded from garbage collection; otherwise a page sometimes waits for it to scan all templates."""
    gc_freeze()
    yield


def _log_interruption(fault: DelegraphError) -> None:
    logger.info("warming the caches was interrupted: %s", fault)
