"""Build what the delivery endpoints need, over the store and trust table of the service."""

from lineage.deliver.http.signing_keys import SigningKeys
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica
from lineage.store.server_clock import ServerClock


def delivery_over(
    service: Service, ssf: SsfSettings | None, keys: SigningKeys | None
) -> tuple[AuthorityReplica, Transmitter | None]:
    """Build the in-memory authority graph, and the Shared Signals transmitter if one is configured."""
    return (
        AuthorityReplica(service.store, service.trust),
        Transmitter.of(service.store, service.trust, ssf, keys, ServerClock(service.store, service.clock)),
    )
