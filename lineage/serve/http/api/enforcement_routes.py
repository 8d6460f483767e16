"""The endpoints for enforcement points: introspection, Shared Signals, keys, status lists."""

from lineage.deliver.http.route import Route
from lineage.deliver.ssf import routes
from lineage.deliver.token_status import introspection, status_lists
from lineage.deliver.token_status.status_lists import StatusLists
from lineage.serve.config.delivery_wiring import delivery_over
from lineage.serve.config.settings import Settings
from lineage.serve.http.core.app_context import AppContext


def endpoints(settings: Settings, site: AppContext) -> list[Route]:
    """Build the configured endpoints; status lists need a signing key and a public URL.

    Raises:
        RefusedError: The key cannot be used.
    """
    clock, authenticate = site.service.clock, site.noting.authenticate
    keys = settings.read_keys()
    current, transmitter = delivery_over(site.service, settings.ssf, keys)
    found = [
        introspection.route(current, clock, site.noting),
        *routes.routes(transmitter, authenticate),
        routes.jwks_route(keys),
    ]
    address = settings.http.public_url or (settings.ssf.issuer if settings.ssf is not None else None)
    if keys is not None and address is not None:
        lists = StatusLists(current, clock, f"{address.rstrip('/')}/status-lists", keys)
        found += status_lists.routes(lists, clock)
    return found
