"""What the endpoints of enforcement points work on, over the same store and trust table as the service."""

from lineage.deliver.http.signing_keys import Keys
from lineage.deliver.ssf.settings import SsfSettings
from lineage.deliver.ssf.transmitter import Transmitter
from lineage.serve.queries.service import Service
from lineage.store.authority_replica import AuthorityReplica


def delivery_over(
    service: Service, ssf: SsfSettings | None, keys: Keys | None
) -> tuple[AuthorityReplica, Transmitter | None]:
    """The authority graph in memory, and the transmitter of Shared Signals if one is configured."""
    return (
        AuthorityReplica(service.store, service.trust),
        Transmitter.of(service.store, service.trust, ssf, keys, service.clock),
    )
