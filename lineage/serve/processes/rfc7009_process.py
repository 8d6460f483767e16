"""Call revocation endpoints, each in a separate thread, so that neither delivery nor other endpoints wait."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from ingest.log.port import Log, entry_of
from ingest.opening import open_log
from lineage.core.model.errors import DelegraphError, FencedError, RefusedError
from lineage.core.model.events import Event
from lineage.core.model.times import Instant
from lineage.core.model.trust import Trusted
from lineage.serve.config.wiring import Settings, now
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.health_server import Health
from lineage.store.store import Store

if TYPE_CHECKING:
    from lineage.deliver.rfc7009.revocation_client import RevocationEndpointClient

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 5.0  # after an error on our side


class EndpointCalls:
    """The configured endpoints, and the log to which their answers are appended."""

    def __init__(self, settings: Settings, store: Store, trust: Trusted | None, clock: Callable[[], Instant]) -> None:
        """Create the clients of the endpoints.

        Raises:
            RefusedError: A secret cannot be read, or the trust file does not let us acknowledge.
        """
        self._settings = settings
        self._store = store
        self._log: Log | None = None
        self._appending = threading.Lock()
        self._revoking = list(_each(settings, store, trust, self._append, clock)) if settings.receivers else []

    def once(self) -> None:
        """Process what is pending now.

        Raises:
            UnavailableError: A server does not answer, or the log or the store is unavailable.
        """
        for revoking in self._revoking:
            revoking.turn()

    @contextmanager
    def in_background(self, stopped: threading.Event, health: Health) -> Iterator[None]:
        """Call within the block; ends once ``stopped`` is set."""
        targets = {f"calls-{number}": partial(self._run, client) for number, client in enumerate(self._revoking)}
        with background_threads(targets, stopped, health):
            yield

    def document(self) -> Document:
        """Report their answers; empty if no endpoint is called."""
        if not self._revoking:
            return {}
        return {
            "called": [{"receiver": one.endpoint.receiver, **dataclasses.asdict(one.counts)} for one in self._revoking]
        }

    def close(self) -> None:
        """Release its resources."""
        for revoking in self._revoking:
            revoking.close()
        if self._log is not None:
            self._log.close()

    @staticmethod
    def _run(revoking: "RevocationEndpointClient", stopped: threading.Event) -> None:
        from lineage.deliver.rfc7009.revocation_client import NotAnsweredError

        while not stopped.is_set():
            wait = _TURN_SECONDS
            try:
                revoking.turn()
            except FencedError as fault:
                logger.info("%s", fault)
            except NotAnsweredError as fault:  # the client waits by itself
                logger.warning("%s; it is asked again", fault)
            except DelegraphError as fault:
                wait = _WAIT_SECONDS
                logger.warning("%s is not called: %s", revoking.endpoint.receiver, fault)
            stopped.wait(wait)

    def _append(self, events: Sequence[Event]) -> None:
        with self._appending:
            if self._log is None:
                settings = self._settings
                self._log = open_log(settings.log_url, create=False, clock=now, settings=settings.kafka)
            self._store.bind(self._log.identity)  # checked before appending what would never be projected
            self._log.append([entry_of(event) for event in events])


def _each(
    settings: Settings,
    store: Store,
    trust: Trusted | None,
    append: Callable[[Sequence[Event]], None],
    clock: Callable[[], Instant],
) -> Iterator["RevocationEndpointClient"]:
    try:
        from lineage.deliver.rfc7009.revocation_client import RevocationEndpointClient
    except ImportError as error:
        raise RefusedError("calling receivers needs a few more packages: pip install 'delegraph[serve]'") from error
    for endpoint in settings.receivers:
        yield RevocationEndpointClient(store, trust, endpoint, append, clock)
