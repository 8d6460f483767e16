"""The consumer: project what the log holds and what comes, until stopped."""

import logging
import signal
import threading
from collections.abc import Callable
from typing import Final

from ingest.projector import project
from lineage.core.errors import UnavailableError
from lineage.serve.service import Service

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 10.0


def follow(service: Service, *, drain: bool, progress: Callable[[int], None]) -> int:
    """Project until stopped by SIGINT or SIGTERM; with ``drain`` up to the end that the log has now.

    A batch that was begun is finished first. A log or store that is away is waited for, longer each time.

    Returns:
        How many records were projected.
    """
    log = service.require_log()
    if drain:
        return project(log, service.store, service.trust.table, progress=progress)
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    count, wait = 0, _POLL_SECONDS
    try:
        while not stopped.is_set():
            try:
                count += project(log, service.store, service.trust.table, stop=stopped.is_set, progress=progress)
                wait = _POLL_SECONDS
            except UnavailableError as fault:
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
                logger.warning("%s; trying again in %.1f s", fault, wait)
            stopped.wait(wait)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return count
