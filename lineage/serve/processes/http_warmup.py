"""Warming up: what the first question would wait for is done before, step by step, in a background thread.

Nothing depends on it: what is not done by then is done by the question that needs it.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from lineage.core.model.errors import DelegraphError
from lineage.plumbing.gc_pause import collector_spared

logger = logging.getLogger(__name__)

_BREATH_SECONDS: Final = 0.1  # between two steps, for those who ask meanwhile
_GOODBYE_SECONDS: Final = 3


@contextmanager
def warmed(steps: Iterable[object]) -> Iterator[None]:
    """Go through some steps while this lasts."""
    over = threading.Event()

    def run() -> None:
        try:
            for _ in steps:
                if over.wait(_BREATH_SECONDS):
                    return
        except DelegraphError as fault:  # the database is away; whoever asks will be told
            logger.info("not all is made ready before it is asked for: %s", fault)

    thread = threading.Thread(target=run, name="delegraph-warming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_GOODBYE_SECONDS)


def spared() -> Iterator[None]:
    """Spare the collector what is ready: else a page now and then waits until it has looked at all templates."""
    collector_spared()
    yield
