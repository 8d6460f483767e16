"""The live tail: newly recorded facts as server-sent events, for any number of listeners.

One task follows the store while anyone listens; each event is encoded once for all listeners. A listener that does not
keep up is disconnected, and reconnects with the id of the last event it saw (``Last-Event-ID``): it then receives what
was recorded since, or ``skipped`` if that is too much.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

from lineage.core.model.errors import DelegraphError, OverloadedError
from lineage.core.model.references import about
from lineage.plumbing.opaque_tokens import seal, unseal
from lineage.serve.documents.core_documents import fact_document
from lineage.serve.http.core.app_context import AppContext
from lineage.serve.http.core.query import ParameterError
from lineage.serve.http.core.responses import encoded
from lineage.serve.queries.records.recorded import Recorded, facts_recorded, findings_recorded, findings_until

logger = logging.getLogger(__name__)

TURN_SECONDS: Final = 0.1
BEAT_SECONDS: Final = 15.0  # a comment, so that intermediaries do not time out
WAITING: Final = 1_000  # the most events waiting for one listener
CAUGHT_UP: Final = 1_000  # the most facts sent to a listener that reconnects
_RETRY_MS: Final = 2_000

Places = dict[tuple[str, int], int]
_FINDINGS: Final = ("!findings", 0)  # the key, among the partitions, of the last change of a finding that was sent
_Queue = asyncio.Queue[bytes | None]  # None means that the listener did not keep up


class Tail:
    """The live tail of a store, for one event loop."""

    def __init__(self, site: AppContext) -> None:
        """Create a tail; the store is not accessed before anyone listens."""
        self._site = site
        self._recorded = Recorded(site.service)
        self._listeners: set[_Queue] = set()
        self._following: asyncio.Task[None] | None = None
        self._beginning = asyncio.Lock()
        self._places: Places = {}

    @property
    def listeners(self) -> int:
        """The number of listeners."""
        return len(self._listeners)

    async def listen(self, last: str | None) -> tuple[AsyncIterator[bytes], Callable[[], None]]:
        """Start listening, from now or after an event; return the stream, and a function to call at its end.

        Args:
            last: The id of the last event seen; None to start now.

        Raises:
            UnavailableError: There are too many listeners, or the store is unavailable.
            ParameterError: The id is not one of an event.
        """
        since = None if last is None else places_of(last)
        self._refuse_many()
        async with self._beginning:
            if self._following is None or self._following.done():
                self._places = await self._standing()
                self._following = asyncio.get_running_loop().create_task(self._follow())
        self._refuse_many()  # others may have joined in the meantime
        queue: _Queue = asyncio.Queue(WAITING)
        self._listeners.add(queue)
        begun = dict(self._places)
        return self._events(queue, since, begun), partial(self._listeners.discard, queue)

    def _refuse_many(self) -> None:
        if len(self._listeners) >= self._site.limits.listeners:
            raise OverloadedError("too many listen; try again later")

    async def _events(self, queue: _Queue, since: Places | None, begun: Places) -> AsyncIterator[bytes]:
        yield _event("hello", begun, {"listeners": len(self._listeners)}, retry=True)
        if since is not None:
            for event in await self._site.pools.own.run("live", self._between, since, begun):
                yield event
        while True:
            try:
                sent = await asyncio.wait_for(queue.get(), BEAT_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            if sent is None:  # did not keep up
                return
            yield sent

    async def _standing(self) -> Places:
        return await self._site.pools.own.run("live", self._stand)

    def _stand(self) -> Places:
        """Return the positions of the projection and of the index of findings; blocks."""
        return {**self._recorded.projected_until(), _FINDINGS: findings_until(self._site.service)}

    async def _follow(self) -> None:
        away = False
        while True:
            await asyncio.sleep(TURN_SECONDS)
            if not self._listeners:
                return
            try:
                places = await self._standing()
                events = await self._site.pools.own.run("live", self._between, self._places, places)
            except Exception as fault:  # noqa: BLE001 (whatever it is: else all hear nothing more, and do not know it)
                if not away:
                    self._tell([_event("away", self._places, {"detail": _message_of(fault)})])
                away = True
                continue
            away = False
            self._places = places
            self._tell(events)

    def _tell(self, events: list[bytes]) -> None:
        for queue in list(self._listeners):
            for event in events:
                try:
                    queue.put_nowait(event)
                except asyncio.QueueFull:
                    self._listeners.discard(queue)
                    queue.get_nowait()
                    queue.put_nowait(None)
                    break

    def _between(self, since: Places, until: Places) -> list[bytes]:
        """Return the facts that were projected between two positions; blocks."""
        events: list[bytes] = []
        place = dict(since)
        for (topic, partition), end in sorted(until.items()):
            # An event id without a position in the index predates findings in the tail: start with the current one.
            start = since.get((topic, partition), end if (topic, partition) == _FINDINGS else 0)
            if start >= end:
                continue
            if end - start > CAUGHT_UP:
                place[topic, partition] = end
                what = {"topic": topic, "partition": partition, "from": start, "to": end}
                events.append(_event("skipped", place, what))
                continue
            if (topic, partition) == _FINDINGS:
                events += self._found(start, end, place)
                continue
            facts = facts_recorded(self._site.service, topic, partition, start, end)
            place[topic, partition] = end
            for number, fact in enumerate(facts, start=1):
                # Only after the last of them is all of it sent.
                at = place if number == len(facts) else None
                events.append(_event("fact", at, {"of": about(fact.event), **fact_document(fact)}))
        return events

    def _found(self, start: int, end: int, place: Places) -> list[bytes]:
        """Return the changes of findings that were written between two positions."""
        events = []
        for message in findings_recorded(self._site.service, start, end):
            place[_FINDINGS] = message["seq"]
            events.append(_event("finding", place, message))
        place[_FINDINGS] = end
        return events


def _message_of(fault: Exception) -> str:
    """Return what listeners are told about an error: nothing specific about unexpected ones."""
    if isinstance(fault, DelegraphError):
        return str(fault)
    logger.error("the live tail cannot continue for now", exc_info=fault)
    return "the fault is ours, and in the log"


def _event(name: str, places: Places | None, data: Any, *, retry: bool = False) -> bytes:
    lines = [f"event: {name}".encode()]
    if places is not None:
        lines.append(f"id: {id_of(places)}".encode())
    if retry:
        lines.append(f"retry: {_RETRY_MS}".encode())
    return b"\n".join((*lines, b"data: " + encoded(data), b"", b""))


def id_of(places: Places) -> str:
    """Encode the positions of the projection as the id of an event.

    Examples:
        >>> places_of(id_of({("decisions", 0): 7}))
        {('decisions', 0): 7}
    """
    text = json.dumps([[*place, end] for place, end in sorted(places.items())], separators=(",", ":"))
    return seal(text)


def places_of(text: str) -> Places:
    """Decode the positions of the projection.

    Raises:
        ParameterError: It is not the id of an event of the tail.
    """
    try:
        raw = json.loads(unseal(text))
        places = {(str(topic), partition): end for topic, partition, end in raw}
    except (ValueError, TypeError, RecursionError) as error:
        raise ParameterError("Last-Event-ID", "is not the id of an event of this tail") from error
    numbers = [number for (_, partition), end in places.items() for number in (partition, end)]
    if not all(type(number) is int and 0 <= number < _LARGEST for number in numbers):
        raise ParameterError("Last-Event-ID", "is not the id of an event of this tail")
    return places


_LARGEST: Final = 1 << 40
