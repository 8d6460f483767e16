"""Delete old records every so many hours, where the settings say so (ADR 0062). In a separate thread."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from lineage.core.model.errors import DelegraphError, RefusedError, UnavailableError
from lineage.core.model.times import Instant
from lineage.core.retention.schedule import is_due
from lineage.serve.config.wiring import opened_service
from lineage.serve.documents.core_documents import Document
from lineage.serve.processes.background_threads import background_threads
from lineage.serve.processes.health_server import Health
from lineage.serve.queries.retention.retention_status import run_status
from lineage.store import retention_runs
from lineage.store.store import Store

if TYPE_CHECKING:
    from lineage.serve.config.settings import Settings

logger = logging.getLogger(__name__)

_TURN_SECONDS: Final = 60.0


class Retaining:
    """Applies retention when it is due. Several processes over one store delete one at a time."""

    def __init__(self, settings: "Settings", store: Store, clock: Callable[[], Instant]) -> None:
        """Prepare what the settings say; nothing is read before the first turn."""
        self._settings, self._store, self._clock = settings, store, clock
        self._is_completed = False

    def once(self) -> None:
        """Delete what may be deleted, if that is due.

        Raises:
            RefusedError: The key cannot be used, or the trust file does not let us announce a deletion.
            UnavailableError: The store or the log is unavailable, or another process deletes.
        """
        if self._settings.retention_every_hours is not None:
            self._refuse_no_key()
            self._turn(self._settings.retention_every_hours, threading.Event())

    @contextmanager
    def in_background(self, stopped: threading.Event, health: Health) -> Iterator[None]:
        """Delete within the block whenever that is due; ends once ``stopped`` is set."""
        if self._settings.retention_every_hours is None:
            yield
            return
        self._refuse_no_key()  # reported at the start
        run = partial(self._repeat, self._settings.retention_every_hours)
        with background_threads({"retention": run}, stopped, health):
            yield

    def document(self) -> Document:
        """Report the last run and the next one; empty if this process does not delete."""
        if self._settings.retention_every_hours is None:
            return {}
        try:
            return {"retention": run_status(self._store, self._settings.retention_every_hours, at=self._clock())}
        except DelegraphError:
            return {"retention": None}

    def _refuse_no_key(self) -> None:
        if self._settings.evidence_key_file is None:
            raise RefusedError(
                "retention_every_hours is set, and there is no key to sign the certificates of deletions with: name "
                "it as DELEGRAPH_EVIDENCE_KEY_FILE"
            )

    def _repeat(self, every_hours: int, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self._turn(every_hours, stopped)
            except DelegraphError as fault:  # a run that failed is recorded, and due again within an hour
                logger.warning("retention: %s", fault)
            stopped.wait(_TURN_SECONDS)

    def _turn(self, every_hours: int, stopped: threading.Event) -> None:
        last = retention_runs.last_run(self._store)
        due = is_due(last, every_hours, self._clock())
        if not due and (self._is_completed or last is None or last.has_succeeded):
            return

        def pause() -> None:
            if stopped.is_set():
                raise UnavailableError("this process was stopped; the next run completes what this one began")

        from lineage.serve.commands import retention
        from lineage.serve.commands.checkpoints import keys_of

        settings = self._settings
        with opened_service(settings, clock=self._clock) as service:
            if not due:  # but the last run did not end: what it recorded is carried out without delay
                retention.complete(service, pause)
                self._is_completed = True
                return
            horizon = retention.horizon_of(service, settings.retention_days, None)
            document = retention.retain(
                service,
                keys_of(service, settings.evidence_key_file, settings.evidence_origin),
                horizon,
                rule=retention.rule_of(settings.retention_days, horizon),
                by=service.source,
                witnessed=bool(settings.witnesses),
                pause=pause,
            )
        logger.info("retention deleted %d records; %d are held", document["records"], document["held"])
