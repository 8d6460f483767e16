"""The transmitter of Shared Signals beside the API, and the keys that it signs with."""

from collections.abc import Callable, Sequence

from fastapi import APIRouter

from lineage.deliver.ssf.routes import jwks_router, router
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.serve.http.site import Site
from lineage.serve.settings import Settings


def shared_signals(settings: Settings) -> Callable[[Site], Sequence[APIRouter]]:
    """What is mounted beside the API; without a transmitter its endpoints say so.

    Raises:
        RefusedError: The keys cannot be used.
    """
    keys = settings.read_keys()

    def parts(site: Site) -> Sequence[APIRouter]:
        service = site.service
        transmitter = Transmitter.of(service.store, service.trust.table, settings.ssf, keys, service.clock)
        return router(transmitter, site.authenticate), jwks_router(keys)

    return parts
