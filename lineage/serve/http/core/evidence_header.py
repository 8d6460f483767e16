"""The header of answers about the evidence for them: under which checkpoint the log is, and what came later."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from lineage.core.model.errors import DelegraphError

NAME: Final = "Delegraph-Evidence"
_SECONDS: Final = 1.0  # the greatest age of the sentence, and how long an answer waits for it

Header = tuple[bytes, bytes]


class EvidenceHeader:
    """The header of one process; answers within a second share one reading of the store."""

    def __init__(self, read: Callable[[], Awaitable[str | None]], clock: Callable[[], float] = time.monotonic) -> None:
        """Store the function that reads the sentence without blocking the event loop, and the clock."""
        self._read = read
        self._clock = clock
        self._read_at = float("-inf")
        self._header: tuple[Header, ...] = ()
        self._reading: asyncio.Task[None] | None = None

    async def current(self) -> tuple[Header, ...]:
        """Return the header; nothing if no checkpoint is signed, or the store does not answer in time."""
        if self._clock() - self._read_at < _SECONDS:
            return self._header
        reading = self._reading
        if reading is None or reading.done() or reading.get_loop() is not asyncio.get_running_loop():
            reading = self._reading = asyncio.create_task(self._renew(self._clock()))
        done, _ = await asyncio.wait({reading}, timeout=_SECONDS)
        return self._header if done else ()

    async def _renew(self, began: float) -> None:
        sentence = None
        with suppress(DelegraphError):
            sentence = await self._read()
        self._header = () if sentence is None else ((NAME.lower().encode(), sentence.encode("ascii")),)
        self._read_at = began
