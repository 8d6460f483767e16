"""Compare a live graph with the graph of a fresh projection up to the same positions."""

import json
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException

from ingest.projector import project
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.live_graph import digest_of_store
from lineage.serve.queries.service import Service
from lineage.serve.server.listening import address_of
from lineage.store.rebuild.temporary_twin import temporary_twin

_SECONDS = 60.0  # a large graph takes a while to answer


def check_live(service: Service, address: str, progress: Callable[[int], None]) -> list[str]:
    """Return the differences between a consumer's live graph and a fresh projection; empty if there are none.

    Args:
        service: The service whose log is projected.
        address: ``host:port`` at which the consumer listens.
        progress: Called with the number of records projected.

    Raises:
        UnavailableError: The consumer does not answer.
    """
    digest = _digest(address)
    ends = {}
    for place, end in digest["positions"].items():
        topic, _, partition = place.rpartition("/")
        ends[topic, int(partition)] = end
    with temporary_twin(service.store) as fresh:
        project(service.require_log(), fresh, service.trust.table, ends=ends, progress=progress)
        expected = digest_of_store(fresh, service.trust.table)
    if expected == digest["digest"]:
        return []
    return [f"live graph: the consumer at {address} has {digest['digest']}, a fresh projection has {expected}"]


def _digest(address: str) -> Document:
    host, port = address_of(address)
    connection = HTTPConnection(host, port, timeout=_SECONDS)
    try:
        connection.request("GET", "/digest")
        response = connection.getresponse()
        body = response.read()
        found = json.loads(body)
    except (OSError, HTTPException, ValueError) as error:
        raise UnavailableError(f"the consumer at {address} does not answer: {error}") from error
    finally:
        connection.close()
    if "digest" not in found:
        raise RefusedError(f"the consumer at {address} shows no live graph: {found.get('detail', response.status)}")
    return dict(found)
