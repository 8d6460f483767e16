"""Ask enforcement points what they do with elements that a revocation has ended: many points at once.

An introspection endpoint (RFC 7662) is asked about each token, a follower of the feed about all elements in one
request. Whatever is not a clear reply is ``revocation_unavailable``: silence is never taken for a denial.
"""

import logging
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx

from ingest.kafka.revocation_answers import MOST_KEYS, question_of, replies_of
from ingest.secrets import read_secret
from lineage.core.model.errors import RefusedError
from lineage.core.model.keys import split_key
from lineage.core.model.times import Instant
from lineage.core.revocation.stop_proof import Observation, Reply
from lineage.deliver.probes.probe_settings import INTROSPECTION, Probe

logger = logging.getLogger(__name__)

AT_ONCE: Final = 16  # points asked at the same time,
BY_POINT: Final = 4  # and questions to one of them
_ANSWER_BYTES: Final = 8 * 1024 * 1024
_INTROSPECTION_BYTES: Final = 64 * 1024


def ask_all(
    probes: Mapping[str, Probe], wanted: Mapping[str, Sequence[str]], nonce: str, clock: Callable[[], Instant]
) -> list[Observation]:
    """Ask enforcement points about the elements that they cover.

    Args:
        probes: How each can be asked; one without a probe cannot say anything.
        wanted: The enforcement points, and ``KIND:ID`` of each element to ask them about.
        nonce: What a follower repeats in its answer.
        clock: Returns the current time.

    Raises:
        RefusedError: A secret cannot be read.
    """
    found: list[Observation] = []
    asked = [(probes[receiver], keys) for receiver, keys in wanted.items() if receiver in probes and keys]
    contexts = {ca: _trusting(ca) for ca in {probe.ca for probe, _ in asked}}  # each takes its time to load
    clients = [_client_of(probe, contexts[probe.ca]) for probe, _ in asked]
    now = clock()
    for receiver, keys in wanted.items():
        if receiver not in probes:
            found += [Observation(receiver, key, Reply.UNSUPPORTED, now, now) for key in keys]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        places = [
            threads.submit(_ask, client, probe, keys, nonce, clock)
            for client, (probe, keys) in zip(clients, asked, strict=True)
        ]
        for place in places:
            found += place.result()
    return found


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError) as error:
        raise RefusedError(f"the file {ca} with the certificates of enforcement points cannot be read") from error


def _client_of(probe: Probe, context: ssl.SSLContext) -> httpx.Client:
    secret = None if probe.secret is None else read_secret(probe.secret, probe.receiver)
    bearer = {} if secret is None or probe.client_id is not None else {"Authorization": f"Bearer {secret}"}
    auth = None if probe.client_id is None or secret is None else httpx.BasicAuth(probe.client_id, secret)
    headers = {"Accept": "application/json", "User-Agent": "delegraph", **bearer}
    # Of a proxy or a .netrc file nobody has said that they may see what is asked.
    return httpx.Client(timeout=probe.timeout_seconds, verify=context, trust_env=False, headers=headers, auth=auth)


def _ask(
    client: httpx.Client, probe: Probe, keys: Sequence[str], nonce: str, clock: Callable[[], Instant]
) -> list[Observation]:
    """Ask one enforcement point about everything."""
    with client:
        if probe.kind == INTROSPECTION:
            with ThreadPoolExecutor(BY_POINT) as threads:
                return list(threads.map(lambda key: _introspect(client, probe, key, clock), keys))
        found: list[Observation] = []
        for part in _parts(keys):
            asked_at = clock()
            replies = _follower(client, probe, part, nonce)
            answered_at = clock()
            said = zip(part, replies, strict=True)
            found += [Observation(probe.receiver, key, reply, asked_at, answered_at) for key, reply in said]
        return found


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), MOST_KEYS):
        yield keys[start : start + MOST_KEYS]


def _introspect(client: httpx.Client, probe: Probe, key: str, clock: Callable[[], Instant]) -> Observation:
    kind, id_ = split_key(key)
    asked_at = clock()
    reply = Reply.UNSUPPORTED  # RFC 7662 is about tokens
    if kind == "token":
        data = {"token": probe.handle_of(id_)}
        reply = _active(client, probe, data)
    return Observation(probe.receiver, key, reply, asked_at, clock())


def _active(client: httpx.Client, probe: Probe, data: Mapping[str, str]) -> Reply:
    """Ask whether a token is active; only ``true`` and ``false`` are replies."""
    body = _answer(client, probe, _INTROSPECTION_BYTES, data=dict(data))
    active = None if body is None else _member(body, "active")
    if not isinstance(active, bool):
        return Reply.UNAVAILABLE
    return Reply.ACCEPTED if active else Reply.DENIED


def _answer(client: httpx.Client, probe: Probe, most: int, **question: Any) -> bytes | None:
    """Return the body of an answer; None if there is none, or if it has more than ``most`` bytes."""
    body = bytearray()
    try:
        with client.stream("POST", probe.url, **question) as response:
            if response.status_code != HTTPStatus.OK:
                return None
            for part in response.iter_bytes():
                body += part
                if len(body) > most:
                    return None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        logger.info("%s does not answer: %s", probe.receiver, type(error).__name__)
        return None
    return bytes(body)


def _member(body: bytes, name: str) -> object:
    try:
        said = httpx.Response(HTTPStatus.OK, content=body).json()
    except (ValueError, RecursionError):  # it is not JSON, or nested without end
        return None
    return said.get(name) if isinstance(said, dict) else None


def _follower(client: httpx.Client, probe: Probe, keys: Sequence[str], nonce: str) -> list[Reply]:
    nothing = [Reply.UNAVAILABLE] * len(keys)
    body = _answer(client, probe, _ANSWER_BYTES, content=question_of(nonce, keys))
    if body is None:
        return nothing
    try:
        said = replies_of(body, nonce, keys)
    except (ValueError, RecursionError) as error:
        logger.info("the answer of %s is not one: %s", probe.receiver, type(error).__name__)
        return nothing
    words = {True: Reply.DENIED, False: Reply.ACCEPTED, None: Reply.UNAVAILABLE}
    return [words[one] for one in said]
