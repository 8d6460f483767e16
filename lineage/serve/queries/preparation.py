"""Prepare answers before the first request: decoders, statements, effects of the latest revocations.

Each function is a generator of steps, so that requests can be answered between two steps.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from lineage.core.authority.action_filter import ActionFilter
from lineage.core.findings.nearby import near
from lineage.core.model.errors import TooManyError
from lineage.core.model.references import RefRole
from lineage.serve.queries.activity.actions import actions
from lineage.serve.queries.activity.uses import uses
from lineage.serve.queries.graphs.graph_view import graph
from lineage.serve.queries.inventory.inventory import ElementFilter, held
from lineage.serve.queries.revocations.revocation_snapshot import work_out
from lineage.serve.queries.revocations.revocations import latest
from lineage.serve.queries.service import Service
from lineage.store.reading.descendants import load_below
from lineage.store.reading.graph_parts import children_of, load_nearby
from lineage.store.reading.list_items import count_by_hour, load_held
from lineage.store.reading.revocation_facts import load_receivers
from lineage.store.reading.survivors import count_others, first_others

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
        load_below(reader, world, key, now)
        load_nearby(reader, world, key, 1)
        children_of(reader, [key])
        count_others(reader, [key], (), now, 1)
        first_others(reader, [key], (), now, 1)
        load_receivers(reader, world)
    yield
    held(service, "token", ElementFilter(holder=_NOBODY), at=now, limit=1)
    with service.reader() as reader:
        world, principal = reader.world(), f"principal:{_NOBODY}"
        load_held(reader, world, {0})
        reader.load_surroundings(world, [f"token:{_NOBODY}"], [principal], most=1)
        reader.last_mentions([principal], (RefRole.ACTS,), 1)
        count_by_hour(reader, now, now + 1)
        near(world, [principal], now, service.options)


def connections_of(service: Service) -> Iterator[None]:
    """Open the connections to the store that stay open."""
    yield from service.store.warm()


def ends_of(service: Service) -> Iterator[None]:
    """Compute what the latest revocations end, where that is cached."""
    if service.ends is not None:
        for revocation in reversed(latest(service, _LATEST)):  # the oldest entry is evicted first
            with suppress(TooManyError):
                work_out(service, revocation)
            yield
