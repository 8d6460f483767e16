"""Check on the event loop whether a store on a server has changed, so that cached answers need no thread.

Concurrent requests share a check, but only one that begins after they arrived: an answer is never older than its
question (ADR 0058). A store in a file is checked without any of this (``Store.change_probe``).
"""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Final, Protocol

from lineage.core.model.errors import DelegraphError

logger = logging.getLogger(__name__)

_SECONDS: Final = 1.0  # for one check; then requests ask on a thread, which waits longer
_RETRY_SECONDS: Final = 2.0  # between attempts to open the connection

Check = asyncio.Future[object]


class TwoStepProbe(Protocol):
    """A connection that asks for the version of the store in two steps (``lineage.store.store.VersionProbe``)."""

    def fileno(self) -> int:
        """The file descriptor that becomes readable when ``receive`` has something to do."""
        ...

    def begin(self) -> None:
        """Ask."""
        ...

    def receive(self) -> object:
        """Return the version at some time after ``begin``; None if it is still to come."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Probed(Protocol):
    """Opens such a connection (``lineage.serve.queries.service.Service``)."""

    def version_probe(self) -> TwoStepProbe | None:
        """Open a connection, which blocks; None if the store is not on a server."""
        ...


class StoreChecks:
    """Determines the version of a store; all methods are called in one event loop."""

    def __init__(self, store: Probed, *, seconds: float = _SECONDS) -> None:
        """Check this store; a check may take ``seconds``."""
        self._store = store
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = threading.Event()
        self._connected: TwoStepProbe | None = None  # the newest connection, perhaps not in use yet
        self._probe: TwoStepProbe | None = None
        self._running: Check | None = None
        self._next: Check | None = None
        self._late: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Open the connection in the background, also again whenever it breaks."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._connect, args=(self._loop,), name="delegraph-checks", daemon=True).start()

    def begin(self) -> Check | None:
        """Begin a check, or join one that has not begun yet.

        Returns:
            The version of the store at some time after this call, or None if it could not be determined. None in place
            of a check if there is no connection.
        """
        if self._probe is None or self._loop is None:
            return None
        check = self._next
        if check is None:
            check = self._next = self._loop.create_future()
            if self._running is None:
                self._send(self._probe, self._loop)
        return asyncio.shield(check)  # one request that is cancelled does not cancel the check of the others

    def close(self) -> None:
        """Close the connection; checks in progress end without a result."""
        self._closed.set()
        self._disconnect()

    def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open a connection, on a thread of its own."""
        while not self._closed.is_set():
            try:
                probe = self._store.version_probe()
            except DelegraphError as fault:
                logger.info("the store cannot be checked without a thread: %s", fault)
                self._closed.wait(_RETRY_SECONDS)
                continue
            if probe is not None:
                self._connected = probe
                try:
                    loop.call_soon_threadsafe(self._use, probe)
                except RuntimeError:  # the loop has ended
                    probe.close()
            return

    def _use(self, probe: TwoStepProbe) -> None:
        if self._closed.is_set() or self._loop is None:
            probe.close()
            return
        self._probe = probe
        self._loop.add_reader(probe.fileno(), self._received)

    def _send(self, probe: TwoStepProbe, loop: asyncio.AbstractEventLoop) -> None:
        self._running, self._next = self._next, None
        self._late = loop.call_later(self._seconds, self._reconnect, "it takes too long")
        try:
            probe.begin()
        except DelegraphError as fault:
            self._reconnect(str(fault))

    def _received(self) -> None:
        probe, loop, running = self._probe, self._loop, self._running
        if probe is None or loop is None:
            return
        try:
            version = probe.receive()
        except DelegraphError as fault:
            self._reconnect(str(fault))
            return
        if version is None or running is None:
            return
        if self._late is not None:
            self._late.cancel()
        self._running = None
        running.set_result(version)
        if self._next is not None:
            self._send(probe, loop)

    def _reconnect(self, why: str) -> None:
        """Close the connection, so that requests ask on a thread until there is another."""
        logger.info("a check of the store was given up: %s", why)
        self._disconnect()
        self.open()

    def _disconnect(self) -> None:
        if self._late is not None:
            self._late.cancel()
        probe, self._connected = self._connected, None
        if self._probe is not None and self._loop is not None:
            with suppress(RuntimeError, ValueError, OSError):  # the loop or the connection may be closed already
                self._loop.remove_reader(self._probe.fileno())
        self._probe = None
        if probe is not None:
            probe.close()
        for check in (self._running, self._next):
            if check is not None and not check.done():
                with suppress(RuntimeError):  # the loop has ended, and nobody waits
                    check.set_result(None)
        self._running = self._next = None
