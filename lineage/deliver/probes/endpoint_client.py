"""An HTTP client for one enforcement point: its credentials, its certificate authority, and bounded answers."""

import logging
import ssl
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import httpx

from ingest.secrets import read_secret
from lineage.deliver.probes.probe_settings import Probe

logger = logging.getLogger(__name__)

ANSWER_BYTES: Final = 8 * 1024 * 1024  # of answers about many elements


class EndpointClient:
    """Asks one enforcement point, over connections that are kept until the end of the block."""

    def __init__(self, probe: Probe, context: ssl.SSLContext) -> None:
        """Read the credentials.

        Raises:
            RefusedError: The secret cannot be read.
        """
        self.probe = probe
        secret = None if probe.secret is None else read_secret(probe.secret, probe.receiver)
        bearer = {} if secret is None or probe.client_id is not None else {"Authorization": f"Bearer {secret}"}
        auth = None if probe.client_id is None or secret is None else httpx.BasicAuth(probe.client_id, secret)
        headers = {"Accept": "application/json", "User-Agent": "delegraph", **bearer}
        # Ignore proxies and .netrc files of the environment: they are not authorised to see the requests.
        self._client = httpx.Client(
            timeout=probe.timeout_seconds, verify=context, trust_env=False, headers=headers, auth=auth
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self._client.close()

    def answer(self, method: str, url: str, most: int, **question: Any) -> bytes | None:
        """Return the body of an answer with status 200; None without one, or if it has more than ``most`` bytes."""
        body = bytearray()
        try:
            with self._client.stream(method, url, **question) as response:
                if response.status_code != HTTPStatus.OK:
                    return None
                for part in response.iter_bytes():
                    body += part
                    if len(body) > most:
                        return None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            logger.info("%s does not answer: %s", self.probe.receiver, type(error).__name__)
            return None
        return bytes(body)
