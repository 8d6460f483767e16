"""What whoever asks first would wait for, done before: in a thread of its own, step by step, left when serving ends.

Nothing depends on it: what is not done by then is done by the question that needs it.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lineage.core.model.errors import DelegraphError, TooManyError
from lineage.plumbing.gc_pause import collector_spared
from lineage.serve.queries import activity
from lineage.serve.queries.graph_view import graph
from lineage.serve.queries.revocations import latest, work_out
from lineage.serve.queries.service import Service

logger = logging.getLogger(__name__)

_NOBODY: Final = "urn:delegraph:nobody"  # asked about, so that statements are made ready; none is found
_BREATH_SECONDS: Final = 0.1  # between two steps, for those who ask meanwhile
_GOODBYE_SECONDS: Final = 3
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
    """Make decoders and the statements of questions ready, and read how the sources number their events."""
    now = service.clock()
    service.store.facts(limit=1)
    yield
    for kind in ("token", "principal"):
        service.status(kind, _NOBODY, at=now)
        yield
    service.who(_NOBODY, at=now)
    activity.uses(service, "token", _NOBODY)
    activity.actions(service, "token", _NOBODY)
    yield
    graph(service, "token", _NOBODY, at=now)
    yield
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


def spared() -> Iterator[None]:
    """Spare the collector what is ready: else a page now and then waits until it has looked at all templates."""
    collector_spared()
    yield


def ends_of(service: Service) -> Iterator[None]:
    """Work out what the latest revocations end, where that is kept."""
    if service.ends is not None:
        for revocation in reversed(latest(service, _LATEST)):  # what is kept first is dropped first
            with suppress(TooManyError):
                work_out(service, revocation)
            yield
