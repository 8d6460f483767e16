"""Calls of revocation endpoints beside the rest of delivery: each in a thread of its own, so that none waits."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ingest.log.port import Log, entry_of
from ingest.opening import open_log
from lineage.core.model.errors import DelegraphError, FencedError, RefusedError
from lineage.core.model.events import Event
from lineage.core.model.trust import Trusted
from lineage.serve.config.wiring import Settings, now
from lineage.serve.documents.core_documents import Document
from lineage.store.store import Store

if TYPE_CHECKING:
    from lineage.deliver.rfc7009.revocation_client import Revoking

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 0.2
_WAIT_SECONDS: Final = 5.0  # after a fault of our own side


class Calling:
    """The endpoints of the settings, and the log that their answers go to."""

    def __init__(self, settings: Settings, store: Store, trust: Trusted | None) -> None:
        """Take whom to call.

        Raises:
            RefusedError: A secret cannot be read, or the trust file does not let us acknowledge.
        """
        self._settings = settings
        self._store = store
        self._log: Log | None = None
        self._appending = threading.Lock()
        self._revoking = list(_each(settings, store, trust, self._append)) if settings.receivers else []

    def once(self) -> None:
        """Call for what there is now.

        Raises:
            UnavailableError: Somebody does not answer, or the log or the store is away.
        """
        for revoking in self._revoking:
            revoking.turn()

    @contextmanager
    def beside(self, stopped: threading.Event) -> Iterator[None]:
        """Call while this lasts; it ends once ``stopped`` is set."""
        threads = [
            threading.Thread(target=self._run, args=(revoking, stopped), name=f"calls-{number}")
            for number, revoking in enumerate(self._revoking)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def document(self) -> Document:
        """What they answered; nothing if nobody is called."""
        if not self._revoking:
            return {}
        return {
            "called": [{"receiver": one.endpoint.receiver, **dataclasses.asdict(one.counts)} for one in self._revoking]
        }

    def close(self) -> None:
        """Give back what it holds."""
        for revoking in self._revoking:
            revoking.close()
        if self._log is not None:
            self._log.close()

    @staticmethod
    def _run(revoking: "Revoking", stopped: threading.Event) -> None:
        from lineage.deliver.rfc7009.revocation_client import NotAnsweredError

        while not stopped.is_set():
            wait = _TURN_SECONDS
            try:
                revoking.turn()
            except FencedError as fault:
                logger.info("%s", fault)
            except NotAnsweredError as fault:  # it keeps its own waits
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
            self._store.bind(self._log.identity)  # before anything is appended that would never be projected
            self._log.append([entry_of(event) for event in events])


def _each(
    settings: Settings, store: Store, trust: Trusted | None, append: Callable[[Sequence[Event]], None]
) -> Iterator["Revoking"]:
    try:
        from lineage.deliver.rfc7009.revocation_client import Revoking
    except ImportError as error:
        raise RefusedError("calling receivers needs a few more packages: pip install 'delegraph[serve]'") from error
    for endpoint in settings.receivers:
        yield Revoking(store, trust, endpoint, append, now)
