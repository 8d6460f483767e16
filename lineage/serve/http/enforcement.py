"""What is beside the API for enforcement points: Shared Signals, introspection, and status lists that can be signed."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter

from lineage.deliver import introspection, status_lists
from lineage.deliver.current import Current
from lineage.deliver.status_lists import StatusLists
from lineage.serve.http.shared_signals import shared_signals
from lineage.serve.http.site import Site
from lineage.serve.settings import Settings


def enforcement_points(settings: Settings) -> Callable[[Site], Sequence[APIRouter]]:
    """What is mounted; status lists take keys, and the URL under which the API is reached, which is in their URIs.

    Raises:
        RefusedError: The keys cannot be used.
    """
    keys, public_url = settings.read_keys(), settings.http.public_url
    signals = shared_signals(settings)

    def parts(site: Site) -> Sequence[APIRouter]:
        service = site.service
        current = Current(service.store, service.trust.table)
        found = [*signals(site), introspection.router(current, service.clock, site.authenticate)]
        if keys is not None and public_url is not None:
            lists = StatusLists(current, service.clock, f"{public_url}/status-lists", keys)
            found.append(status_lists.router(lists, service.clock))
        return found

    return parts
