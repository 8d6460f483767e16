"""What whoever asks first would wait for, done before: in a thread of its own, step by step, left when serving ends.

Nothing depends on it: what is not done by then is done by the question that needs it.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from lineage.core.errors import DelegraphError
from lineage.serve.revocations import latest, work_out
from lineage.serve.service import Service

logger = logging.getLogger(__name__)

_NOBODY: Final = "urn:delegraph:nobody"  # asked about, so that statements are made ready; none is found
_BREATH_SECONDS: Final = 0.02  # between two steps, for those who ask meanwhile
_GOODBYE_SECONDS: Final = 3
_PATIENCE_SECONDS: Final = 1  # until it is seen that serving has ended
_LATEST: Final = 20  # revocations that the start page shows first


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


def steps_of(service: Service) -> Iterator[None]:
    """Make the statements of questions ready, and read how the sources number their events."""
    now = service.clock()
    for kind in ("token", "principal"):
        service.status(kind, _NOBODY, at=now)
        yield
    service.who(_NOBODY, at=now)
    key = f"client:{_NOBODY}"
    with service.store.reader(trust=service.trust.table) as reader:
        world = reader.world()
        reader.load_below(world, key, now)
        reader.load_nearby(world, key, 1)
        reader.children_of([key])
        reader.count_besides([key], (), now, 1)
        reader.first_besides([key], (), now, 1)
        reader.load_receivers(world)
    yield
    while service.store.sequence_holes(steps=1) is None:
        yield


def ends_of(service: Service) -> Iterator[None]:
    """Work out what the latest revocations end, and from then on what is too much for whoever asks to wait for."""
    ends = service.ends
    if ends is None:
        return
    for revocation in latest(service, _LATEST):
        ends.want(revocation)
    while True:
        wanted = ends.wanted(_PATIENCE_SECONDS)
        if wanted is not None:
            try:
                work_out(service, wanted)
            except DelegraphError as fault:  # whoever asks again has it tried again
                logger.info("what %s ends is not worked out: %s", wanted, fault)
        yield
