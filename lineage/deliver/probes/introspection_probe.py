"""Ask an introspection endpoint (RFC 7662) about each token."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from lineage.core.model.keys import split_key
from lineage.core.revocation.stop_proof import Observation, Reply
from lineage.deliver.probes.endpoint_client import EndpointClient
from lineage.deliver.probes.inquiry import Inquiry

AT_ONCE: Final = 4  # concurrent requests to one enforcement point
_ANSWER_BYTES: Final = 64 * 1024


def introspect(client: EndpointClient, keys: Sequence[str], inquiry: Inquiry) -> list[Observation]:
    """Ask about each element; RFC 7662 is about tokens, so a delegation is unsupported."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda key: _introspect(client, key, inquiry), keys))


def _introspect(client: EndpointClient, key: str, inquiry: Inquiry) -> Observation:
    kind, id_ = split_key(key)
    asked_at = inquiry.clock()
    reply = Reply.UNSUPPORTED if kind != "token" else _active(client, client.probe.handle_of(id_))
    return Observation(client.probe.receiver, {key: reply}, asked_at, inquiry.clock())


def _active(client: EndpointClient, handle: str) -> Reply:
    """Ask whether a token is active; only ``true`` and ``false`` are replies."""
    body = client.answer("POST", client.probe.url, _ANSWER_BYTES, data={"token": handle})
    active = None if body is None else _member(body, "active")
    if not isinstance(active, bool):
        return Reply.UNAVAILABLE
    return Reply.ACCEPTED if active else Reply.DENIED


def _member(body: bytes, name: str) -> object:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # it is not JSON, or nested too deeply
        return None
    return document.get(name) if isinstance(document, dict) else None
