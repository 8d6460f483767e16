"""Checking a live graph: against the graph of a fresh projection up to where it stands."""

import json
import tempfile
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from ingest.projector import project
from lineage.core.model.errors import RefusedError, UnavailableError
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.live_graph import digest_of_store
from lineage.serve.queries.service import Service
from lineage.serve.server.listening import address_of
from lineage.store.rebuild.diff import twin

_SECONDS = 60.0  # a large graph takes a while to show itself


def check_live(service: Service, address: str, progress: Callable[[int], None]) -> list[str]:
    """Where the live graph of a consumer differs from a fresh projection of the log; empty if it does not.

    Args:
        service: Whose log is projected.
        address: ``host:port`` at which the consumer listens.
        progress: Told how many records were projected.

    Raises:
        UnavailableError: The consumer does not answer.
    """
    said = _digest(address)
    ends = {}
    for place, end in said["positions"].items():
        topic, _, partition = place.rpartition("/")
        ends[topic, int(partition)] = end
    near = service.store.file.parent if service.store.file is not None else None
    with tempfile.TemporaryDirectory(prefix=".delegraph-", dir=near) as folder:
        fresh = twin(service.store, Path(folder) / "anew.db")
        try:
            project(service.require_log(), fresh, service.trust.table, ends=ends, progress=progress)
            anew = digest_of_store(fresh, service.trust.table)
        finally:
            fresh.close()
    if anew == said["digest"]:
        return []
    return [f"live graph: the consumer at {address} has {said['digest']}, projected anew {anew}"]


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
