"""Prepare answers before the first request: decoders, statements, effects of the latest revocations.

Each function is a generator of steps, so that requests can be answered between two steps.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.model.errors import TooManyError
from lineage.serve.queries.actions import actions
from lineage.serve.queries.graph_view import graph
from lineage.serve.queries.revocation_snapshot import work_out
from lineage.serve.queries.revocations import latest
from lineage.serve.queries.service import Service
from lineage.serve.queries.uses import uses

_NOBODY: Final = "urn:delegraph:nobody"  # an id that no fact has; asking about it prepares the statements
_LATEST: Final = 20  # revocations at the top of the start page


def steps_of(service: Service) -> Iterator[None]:
    """Prepare the decoders and statements of questions."""
    now = service.clock()
    service.store.facts(limit=1)
    yield
    for kind in ("token", "principal"):
        service.status(kind, _NOBODY, at=now)
        yield
    service.who(_NOBODY, at=now)
    uses(service, "token", _NOBODY)
    actions(service, ActionFilter(human=_NOBODY, token=_NOBODY, tool=_NOBODY), at=now)
    yield
    graph(service, "token", _NOBODY, at=now)
    yield
    key = f"client:{_NOBODY}"
    with service.reader() as reader:
        world = reader.world()
        reader.load_below(world, key, now)
        reader.load_nearby(world, key, 1)
        reader.children_of([key])
        reader.count_others([key], (), now, 1)
        reader.first_others([key], (), now, 1)
        reader.load_receivers(world)


def ends_of(service: Service) -> Iterator[None]:
    """Compute what the latest revocations end, where that is cached."""
    if service.ends is not None:
        for revocation in reversed(latest(service, _LATEST)):  # the oldest entry is evicted first
            with suppress(TooManyError):
                work_out(service, revocation)
            yield
