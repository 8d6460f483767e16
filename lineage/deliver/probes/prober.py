"""Ask enforcement points whether they deny the elements that a revocation has ended, many points at once.

Anything but a clear reply is ``revocation_unavailable``: silence is never taken for a denial.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lineage.core.revocation.stop_proof import Observation, Reply
from lineage.deliver.http.certificates import trusting
from lineage.deliver.probes.endpoint_client import EndpointClient
from lineage.deliver.probes.follower_probe import ask_follower
from lineage.deliver.probes.inquiry import Inquiry
from lineage.deliver.probes.introspection_probe import introspect
from lineage.deliver.probes.probe_settings import ANSWERS, INTROSPECTION, STATUS_LIST, Probe
from lineage.deliver.probes.status_list_probe import read_lists

AT_ONCE: Final = 16  # enforcement points asked at the same time

_Ask = Callable[[EndpointClient, Sequence[str], Inquiry], list[Observation]]
_BY_KIND: Final[Mapping[str, _Ask]] = {INTROSPECTION: introspect, ANSWERS: ask_follower, STATUS_LIST: read_lists}


def ask_all(
    probes: Mapping[str, Probe], keys_of_probe: Mapping[str, Sequence[str]], inquiry: Inquiry
) -> list[Observation]:
    """Ask enforcement points about the elements that they cover.

    Args:
        probes: The probe of each point; a point without one is ``revocation_unsupported``.
        keys_of_probe: The enforcement points, and ``KIND:ID`` of each element to ask them about.
        inquiry: The data that all questions share.

    Raises:
        RefusedError: A file with secrets, certificates or keys cannot be read; nobody was asked then.
    """
    now = inquiry.clock()
    found = [
        Observation(receiver, dict.fromkeys(keys, Reply.UNSUPPORTED), now, now)
        for receiver, keys in keys_of_probe.items()
        if receiver not in probes
    ]
    probed = [(probes[receiver], keys) for receiver, keys in keys_of_probe.items() if receiver in probes and keys]
    contexts = {ca: trusting(ca) for ca in {probe.ca for probe, _ in probed}}
    clients = [EndpointClient(probe, contexts[probe.ca]) for probe, _ in probed]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        places = [
            threads.submit(_ask, client, keys, inquiry) for client, (_, keys) in zip(clients, probed, strict=True)
        ]
        for place in places:
            found += place.result()
    return found


def _ask(client: EndpointClient, keys: Sequence[str], inquiry: Inquiry) -> list[Observation]:
    with client:
        return _BY_KIND[client.probe.kind](client, keys, inquiry)
