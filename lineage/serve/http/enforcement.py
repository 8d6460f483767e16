"""What enforcement points ask beside the API: introspection, and token status lists where they can be signed."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter

from lineage.deliver import introspection, status_lists
from lineage.deliver.current import Current
from lineage.deliver.keys import Keys, load_keys
from lineage.deliver.status_lists import StatusLists
from lineage.serve.http.site import Site
from lineage.serve.settings import Settings


def enforcement_points(settings: Settings) -> Callable[[Site], Sequence[APIRouter]]:
    """What is mounted; status lists take keys, and the URL under which the API is reached, which is in their URIs.

    Raises:
        RefusedError: The keys cannot be used.
    """
    keys: Keys | None = None
    if settings.signing_key_file is not None and settings.http.public_url is not None:
        keys = load_keys([settings.signing_key_file])

    def parts(site: Site) -> Sequence[APIRouter]:
        service = site.service
        current = Current(service.store, service.trust.table)
        found = [introspection.router(current, service.clock, site.authenticate)]
        if keys is not None:
            lists = StatusLists(current, service.clock, f"{settings.http.public_url}/status-lists", keys)
            found.append(status_lists.router(lists, service.clock))
        return found

    return parts
